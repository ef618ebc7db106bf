// HlcTimestamp as a Python object.
#pragma once

#include <pybind11/pybind11.h>

#include "ringkernel/core/hlc.h"

namespace rk::py {

PyObject* make_timestamp(const HlcTimestamp& stamp);

}  // namespace rk::py
