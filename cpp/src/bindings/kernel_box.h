// Kernel and Runtime as Python holds them.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "errors.h"
#include "python_handler.h"
#include "ringkernel/runtime/runtime.h"

namespace rk::py {

struct KernelBox : Initialised {
  KernelBox(std::shared_ptr<Runtime> r, std::shared_ptr<Kernel> k, std::shared_ptr<PythonHandler> h)
      : runtime(std::move(r)), kernel(std::move(k)), handler(std::move(h)) {}
  std::shared_ptr<Runtime> runtime;
  std::shared_ptr<Kernel> kernel;
  std::shared_ptr<PythonHandler> handler;
  std::uint32_t generation = fork_generation();
};

struct RuntimeBox : Initialised {
  explicit RuntimeBox(std::shared_ptr<Runtime> r) : runtime(std::move(r)) {}
  std::shared_ptr<Runtime> runtime;
  std::uint32_t generation = fork_generation();
};

// The box behind a Kernel instance; nullptr with an error set when it belongs to another process.
KernelBox* kernel_box(PyObject* self);

// False with ContextError set on the kernel's own worker, where waiting for it would never end.
bool may_wait_for(const KernelBox& box, const char* verb);

// A received frame as a message object; nullptr with an error set.
PyObject* message_from(const Frame& frame);

// -- kernel_calls.cc: the hot methods
void add_hot_methods(const pybind11::object& kernel_class);

}  // namespace rk::py
