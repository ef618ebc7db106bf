// The field lists of abi/ as Python data: what the NumPy dtypes are made from.
#include "ringkernel/abi/abi.h"

#include <pybind11/pybind11.h>

#include "bindings.h"

namespace rk::py {
namespace {

template <class T>
constexpr const char* numpy_code() {
  return sizeof(T) == 1 ? "<u1" : sizeof(T) == 2 ? "<u2" : sizeof(T) == 4 ? "<u4" : "<u8";
}

}  // namespace

void bind_abi(pybind11::module_& module) {
  pybind11::dict layouts;
#define RK_ABI_ROW(S, type, name, offset) fields.append(pybind11::make_tuple(#name, numpy_code<type>(), offset));
#define RK_ABI_TABLE(S, FIELDS)                            \
  {                                                        \
    pybind11::list fields;                                 \
    FIELDS(RK_ABI_ROW)                                     \
    layouts[#S] = pybind11::make_tuple(sizeof(S), fields); \
  }
  RK_ABI_STRUCTS(RK_ABI_TABLE)
  module.attr("abi_layouts") = layouts;
  module.attr("abi_version") = pybind11::make_tuple(kAbiMajor, kAbiMinor);
}

}  // namespace rk::py
