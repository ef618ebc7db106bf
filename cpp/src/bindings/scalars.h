// One scalar between Python and wire bytes.
#pragma once

#include "errors.h"

#include <cstddef>

#include "ringkernel/core/message_layout.h"

namespace rk::py {

// nullptr with an error set on failure. `size` is of kBytes.
PyObject* load_scalar(Scalar kind, const std::byte* from, std::uint32_t size);

// False with FieldTypeError or FieldRangeError set, naming `name`.
bool store_scalar(Scalar kind, std::byte* to, std::uint32_t size, PyObject* value, PyObject* name);

const char* scalar_name(Scalar kind);

}  // namespace rk::py
