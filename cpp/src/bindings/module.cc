#include <pybind11/pybind11.h>

#include "bindings.h"
#include "errors.h"

PYBIND11_MODULE(_core, module) {
  module.doc() = "Native half of pyringkernel; use the package, not this module.";
  module.attr("version") = RK_PACKAGE_VERSION;
  rk::py::watch_forks();
  rk::py::bind_abi(module);
  rk::py::bind_messages(module);
  rk::py::bind_buffers(module);
  rk::py::bind_hlc(module);
  rk::py::bind_rings(module);
  rk::py::bind_kernels(module);
  rk::py::bind_vm(module);
  rk::py::bind_cuda(module);
  rk::py::bind_dlpack(module);
}
