// The parts of the extension module; each adds its names.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

namespace rk::py {

void bind_abi(pybind11::module_& module);
void bind_messages(pybind11::module_& module);
void bind_buffers(pybind11::module_& module);
void bind_rings(pybind11::module_& module);
void bind_hlc(pybind11::module_& module);
void bind_kernels(pybind11::module_& module);
void bind_vm(pybind11::module_& module);
void bind_cuda(pybind11::module_& module);
void bind_dlpack(pybind11::module_& module);

// What keeps Python objects for threads that do not know Python.
std::shared_ptr<void> kept_alive(const pybind11::object& object);

// A hot method as a plain C function: pybind11's dispatch costs about 100 ns, this one about 10.
using FastCall = PyObject* (*)(PyObject* self, PyObject* const* args, Py_ssize_t count);
using FastCallKeywords = PyObject* (*)(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names);

}  // namespace rk::py
