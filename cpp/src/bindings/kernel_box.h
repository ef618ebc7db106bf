// Kernel and Runtime as Python holds them.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <vector>

#include "ask_port.h"
#include "errors.h"
#include "machine_handler.h"
#include "python_handler.h"
#include "ringkernel/runtime/runtime.h"

namespace rk::py {

struct RuntimeBox : Initialised {
  explicit RuntimeBox(std::shared_ptr<Runtime> r) : runtime(std::move(r)), asks(std::make_shared<AskPorts>(runtime)) {}
  std::shared_ptr<Runtime> runtime;
  std::shared_ptr<AskPorts> asks;
  std::uint32_t generation = fork_generation();
};

struct KernelBox : Initialised {
  KernelBox(std::shared_ptr<Runtime> r, std::shared_ptr<Kernel> k, std::vector<pybind11::type> types)
      : runtime(std::move(r)), kernel(std::move(k)), accepts(std::move(types)) {}

  bool takes(PyTypeObject* type) const {
    for (const pybind11::type& one : accepts) {
      if (reinterpret_cast<PyTypeObject*>(one.ptr()) == type) return true;
    }
    return false;
  }

  std::shared_ptr<Runtime> runtime;
  std::shared_ptr<Kernel> kernel;
  std::vector<pybind11::type> accepts;
  std::shared_ptr<AskPorts> asks;
  std::shared_ptr<PythonHandler> python;  // one of the two
  std::optional<HandlerErrors> errors;    // of `python`
  std::shared_ptr<MachineHandler> native;
  pybind11::object native_state;  // the class of its state, or None
  std::uint32_t generation = fork_generation();
};

// What a send may be given besides its message. False with an error set.
struct SendOptions {
  PyObject* timeout = nullptr;   // borrowed; nullptr: not given
  std::int64_t instance = -1;    // -1: by routing
  int priority = -1;             // -1: the message's own
  std::uint64_t deadline = 0;    // NTP64; 0: the message's own
  std::uint64_t message_id = 0;  // 0: a new one
  PyObject* after = nullptr;     // borrowed; a CUDA stream
};

// "now + seconds" as NTP64. False with InvalidArgumentError set.
bool parse_deadline(double seconds, std::uint64_t now_ntp64, std::uint64_t* deadline);

// The box behind a Kernel instance; nullptr with an error set when it belongs to another process.
KernelBox* kernel_box(PyObject* self);

// False with ContextError set inside the kernel's own handler, where waiting for it would never end.
bool may_wait_for(const KernelBox& box, const char* verb);

// A received frame as a message object; nullptr with an error set.
PyObject* message_from(const MessageHeader& header, const std::byte* payload);
PyObject* message_from(const Frame& frame);
pybind11::dict& message_types();
// That a payload has the size of its class. False with an error set.
bool check_size(const MessageHeader& header);

// -- kernel_calls.cc: the hot methods, and what they share with ask
void add_hot_methods(const pybind11::object& kernel_class);
PyObject* raise_gone(const KernelBox& box);
// The header for `object` with a new message id. False with an error set.
bool prepare(const KernelBox& box, PyObject* object, std::uint8_t flags, const SendOptions& options,
             MessageHeader* header);
bool parse_send(const KernelBox& box, PyObject* const* args, Py_ssize_t count, PyObject* names, const char* allowed,
                SendOptions* options);
std::uint32_t instance_for(const KernelBox& box, const SendOptions& options, const MessageHeader& header,
                           const MessageObject& message);
// The error that a reply with kFlagError stands for; sets it and returns nullptr.
PyObject* raise_error_reply(const KernelBox& box, const MessageHeader& header, const std::byte* payload);

// -- operation.cc
void bind_operations(pybind11::module_& module);
PyObject* ask(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names);

// -- kernel.cc, runtime.cc, services.cc
pybind11::dict stats_dict(const RingStats& stats);
std::uint64_t deadline_from(const pybind11::object& timeout);
void poll_signals();
KernelBox& checked(KernelBox& box);
RuntimeBox& checked(RuntimeBox& box);
void bind_runtime(pybind11::module_& module);
void bind_services(pybind11::module_& module, pybind11::class_<RuntimeBox>& runtime);

}  // namespace rk::py
