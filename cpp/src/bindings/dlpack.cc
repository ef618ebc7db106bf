// Tensors for others, by DLPack (https://dmlc.github.io/dlpack/latest/c_api.html, version 0.8): the structs are its
// ABI.
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include <pybind11/stl.h>

#include "bindings.h"

namespace rk::py {

namespace py = pybind11;

namespace {

struct DlDevice {
  std::int32_t type, id;
};

struct DlDataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};

struct DlTensor {
  void* data;
  DlDevice device;
  std::int32_t ndim;
  DlDataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byte_offset;
};

struct DlManagedTensor {
  DlTensor tensor;
  void* manager;
  void (*deleter)(DlManagedTensor*);
};

// What lives as long as the tensor; `owner` keeps the memory.
struct Lent {
  DlManagedTensor managed{};
  std::vector<std::int64_t> shape, strides;
  py::object owner;
};

constexpr const char* kUnused = "dltensor";

void give_back(DlManagedTensor* managed) {
  auto* lent = static_cast<Lent*>(managed->manager);
  if (Py_IsInitialized() == 0) return;  // the interpreter took everything with it
  const py::gil_scoped_acquire gil;
  delete lent;
}

// A consumer renames the capsule and owns the tensor from then on.
void forget_unused(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, kUnused) == 0) return;
  auto* managed = static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule, kUnused));
  managed->deleter(managed);
}

// `type`: code (0 signed, 1 unsigned, 2 float, 6 bool) and bits of an element; strides in elements.
py::object capsule_of(std::uintptr_t address, std::vector<std::int64_t> shape, std::vector<std::int64_t> strides,
                      std::pair<std::uint8_t, std::uint8_t> type, std::pair<std::int32_t, std::int32_t> device,
                      py::object owner) {
  if (shape.size() != strides.size()) throw py::value_error("shape and strides differ in length");
  auto lent = std::make_unique<Lent>();
  lent->shape = std::move(shape);
  lent->strides = std::move(strides);
  lent->owner = std::move(owner);
  DlTensor& tensor = lent->managed.tensor;
  tensor.data = reinterpret_cast<void*>(address);
  tensor.device = {device.first, device.second};
  tensor.ndim = static_cast<std::int32_t>(lent->shape.size());
  tensor.dtype = {type.first, type.second, 1};
  tensor.shape = lent->shape.data();
  tensor.strides = lent->strides.data();
  lent->managed.manager = lent.get();
  lent->managed.deleter = &give_back;
  PyObject* capsule = PyCapsule_New(&lent->managed, kUnused, &forget_unused);
  if (capsule == nullptr) throw py::error_already_set();
  lent.release();  // the capsule's, or its consumer's
  return py::reinterpret_steal<py::object>(capsule);
}

}  // namespace

void bind_dlpack(py::module_& module) {
  module.def("dlpack", &capsule_of, py::arg("address"), py::arg("shape"), py::arg("strides"), py::arg("type"),
             py::arg("device"), py::arg("owner"));
}

}  // namespace rk::py
