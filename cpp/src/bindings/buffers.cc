// The table of registered buffers in Python; rk.Buffer is made of these in buffers.py.
#include <pybind11/pybind11.h>

#include <memory>
#include <utility>

#include "bindings.h"
#include "errors.h"
#include "ringkernel/runtime/buffer_table.h"

namespace rk::py {
namespace {

namespace py = pybind11;

std::uint32_t register_buffer(std::uint64_t address, std::uint64_t bytes, int scalar, bool writable,
                              std::int32_t device, bool everywhere, const py::object& owner) {
  BufferRegion region;
  region.address = address;
  region.bytes = bytes;
  region.scalar = static_cast<Scalar>(scalar);
  region.writable = writable;
  region.device = device;
  region.everywhere = everywhere;
  region.owner = kept_alive(owner);
  const std::uint32_t key = BufferTable::of_process().add(std::move(region));
  if (key == 0) {
    raise("ResourceLimitError", "found %u registered buffers, which is the most: release some",
          BufferTable::kMostBuffers);
    throw py::error_already_set();
  }
  return key;
}

// What has a check of a reference to say; "" when it is good.
std::string check_reference(std::uint64_t address, std::uint32_t count, std::uint32_t key, int scalar, bool writes,
                            std::int32_t device, std::string name) {
  const ReferenceField field{0, static_cast<Scalar>(scalar), writes, std::move(name)};
  const BufferReference reference{address, count, key};
  BufferTable& table = BufferTable::of_process();
  const ReferenceProblem problem = table.hold(reference, field, device);
  if (problem == ReferenceProblem::kNone && count != 0) table.drop(key);
  return BufferTable::explain(problem, field, reference);
}

}  // namespace

void bind_buffers(py::module_& module) {
  module.attr("most_references") = kMostReferences;
  module.def("register_buffer", &register_buffer, py::arg("address"), py::arg("bytes"), py::arg("scalar"),
             py::arg("writable"), py::arg("device"), py::arg("everywhere"), py::arg("owner"),
             "The number of a new registration. `owner` is kept until nobody uses the memory.");
  module.def(
      "release_buffer", [](std::uint32_t key) { return BufferTable::of_process().release(key); }, py::arg("key"),
      "False when there is no such registration (any more).");
  module.def(
      "buffer_holds", [](std::uint32_t key) { return BufferTable::of_process().holds(key); }, py::arg("key"),
      "How many handlers use it now.");
  module.def("check_reference", &check_reference, py::arg("address"), py::arg("count"), py::arg("key"),
             py::arg("scalar"), py::arg("writes"), py::arg("device"), py::arg("name"),
             "Why a reference cannot be used on a device (-1: the host); '' when it can.");
}

}  // namespace rk::py
