// VmProgram: compiled handlers as bytecode.
#include "ringkernel/runtime/vm.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "errors.h"

namespace rk::py {
namespace {

namespace py = pybind11;

struct VmProgramBox : Initialised {
  std::unique_ptr<const VmProgram> program;
};

std::unique_ptr<VmProgramBox> load(const py::bytes& data) {
  char* bytes = nullptr;
  Py_ssize_t size = 0;
  if (PyBytes_AsStringAndSize(data.ptr(), &bytes, &size) != 0) throw py::error_already_set();
  auto box = std::make_unique<VmProgramBox>();
  std::string refusal;
  box->program = VmProgram::load({reinterpret_cast<const std::byte*>(bytes), static_cast<std::size_t>(size)}, &refusal);
  if (box->program == nullptr) {
    raise("InvalidArgumentError", "%s", refusal.c_str());
    throw py::error_already_set();
  }
  return box;
}

std::vector<std::pair<std::uintptr_t, std::uintptr_t>> entries(const VmProgramBox& box) {
  if (!box.check_initialised()) throw py::error_already_set();
  std::vector<std::pair<std::uintptr_t, std::uintptr_t>> found;
  for (const VmEntry& entry : box.program->entries()) {
    found.emplace_back(reinterpret_cast<std::uintptr_t>(&vm_run), reinterpret_cast<std::uintptr_t>(&entry));
  }
  return found;
}

py::dict opcodes() {
  py::dict found;
  std::size_t number = 0;
  for (const VmOpcode& op : vm_opcodes()) found[op.name] = py::make_tuple(number++, op.operands);
  return found;
}

py::list functions(int operands) {
  py::list names;
  for (const char* name : vm_functions(operands)) names.append(name);
  return names;
}

}  // namespace

void bind_vm(py::module_& module) {
  module.attr("vm_version") = kVmVersion;
  module.attr("vm_max_registers") = kVmMaxRegisters;
  module.attr("vm_max_call_depth") = kVmMaxCallDepth;
  module.def("vm_opcodes", &opcodes, "Name -> (number, operands) of every operation of the bytecode machine.");
  module.def("vm_functions", &functions, py::arg("operands"), "The machine's functions of one or two numbers.");
  py::class_<VmProgramBox>(module, "VmProgram", "Bytecode that was checked. Raises InvalidArgumentError.")
      .def(py::init(&load), py::arg("data"))
      .def_property_readonly("entries", &entries,
                             "(address of the run function, its first argument) of every entry; valid as long as this "
                             "object lives.");
}

}  // namespace rk::py
