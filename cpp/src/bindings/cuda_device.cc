// NVIDIA's driver and its devices, as Python asks for them before it makes a runtime.
//
// Protection: opened_in: its mutex.
#include "cuda_device.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <tuple>

#include "bindings.h"
#include "cuda/device.h"
#include "errors.h"

namespace rk::py {

namespace py = pybind11;

namespace {

// CUDA does not survive fork(): a driver that the parent opened would let the child wait for grids that are not its
// own.
const cuda::Driver& driver_of_this_process() {
  static std::mutex mutex;
  static std::optional<std::uint32_t> opened_in;
  const std::lock_guard lock(mutex);
  if (opened_in.value_or(fork_generation()) != fork_generation()) {
    throw Error("BackendUnavailableError",
                "the parent process has opened CUDA, which does not survive fork(). Start processes with the 'spawn' "
                "method, or use backend=\"cpu\"");
  }
  const cuda::Driver& driver = cuda::Driver::get();
  opened_in = fork_generation();
  return driver;
}

// (path, version as 13020, devices). Throws BackendUnavailableError.
std::tuple<std::string, int, int> driver_facts() {
  const py::gil_scoped_release release;
  const cuda::Driver& driver = driver_of_this_process();
  return {driver.path(), driver.version(), driver.device_count()};
}

}  // namespace

std::shared_ptr<cuda::Device> open_device(int index) {
  driver_of_this_process();
  return cuda::Device::open(index);
}

void bind_cuda(py::module_& module) {
  using cuda::Device;
  module.def("cuda_driver", &driver_facts);
  py::class_<Device, std::shared_ptr<Device>>(module, "CudaDevice")
      .def(py::init([](int index) {
             const py::gil_scoped_release release;
             return open_device(index);
           }),
           py::arg("index"))
      .def_property_readonly("index", &Device::index)
      .def_property_readonly("name", [](const Device& d) { return d.traits().name; })
      .def_property_readonly(
          "compute_capability",
          [](const Device& d) { return std::pair(d.traits().compute_major, d.traits().compute_minor); })
      .def_property_readonly("sm_count", [](const Device& d) { return d.traits().sm_count; })
      .def_property_readonly("memory", [](const Device& d) { return d.traits().memory_bytes; })
      .def_property_readonly("max_threads_per_block", [](const Device& d) { return d.traits().max_threads_per_block; })
      .def_property_readonly("max_shared_per_block", [](const Device& d) { return d.traits().max_shared_per_block; })
      .def_property_readonly("kernel_timeout", [](const Device& d) { return d.traits().kernel_timeout; })
      .def_property_readonly("driver_version", [](const Device& d) { return d.driver().version(); })
      .def_property_readonly("pci_address", &Device::pci_address)
      .def(
          "place_of",
          [](Device& d, std::uint64_t address) {
            const py::gil_scoped_release release;
            const cuda::MemoryPlace place = d.place_of(address);
            return std::tuple(place.known, place.device, place.everywhere);
          },
          py::arg("address"), "(is it memory of CUDA, device or -1, do host and device have it there)")
      .def_property_readonly("description", &Device::description);
}

}  // namespace rk::py
