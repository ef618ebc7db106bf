// send, try_send, receive and call as plain C functions.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

#include "kernel_box.h"
#include "ring_box.h"
#include "stream_send.h"

namespace rk::py {

namespace {

constexpr std::uint64_t kDefaultTimeoutNs = 5'000'000'000;  // of send and call

}  // namespace

PyObject* raise_gone(const KernelBox& box) {
  const Kernel& kernel = *box.kernel;
  const KernelState state = kernel.state();
  if (kernel.hung()) {
    const StuckHandler stuck = kernel.stuck();
    if (stuck.busy_ns == 0) {
      return raise("KernelFailedError", "kernel '%s' was given up: its handler did not return", kernel.name().c_str());
    }
    char seconds[32];
    std::snprintf(seconds, sizeof(seconds), "%.3f", static_cast<double>(stuck.busy_ns) / 1e9);
    return raise("KernelHungError",
                 "kernel '%s' hangs: the handler of instance %u has been in message %llu (type 0x%08x) for %s s",
                 kernel.name().c_str(), stuck.instance, static_cast<unsigned long long>(stuck.message_id),
                 stuck.message_type, seconds);
  }
  if (state != KernelState::kFailed) {
    return raise("KernelTerminatedError", "kernel '%s' is %s", kernel.name().c_str(), to_string(state));
  }
  if (const std::string why = kernel.failure(); !why.empty()) {
    raise("KernelFailedError", "kernel '%s' failed: %s", kernel.name().c_str(), why.c_str());
  } else if (kernel.options().supervisor != 0) {
    raise("KernelFailedError", "kernel '%s' failed: its supervisor gave up", kernel.name().c_str());
  } else {
    raise("KernelFailedError", "kernel '%s' failed: its handler raised more than %u times within the window",
          kernel.name().c_str(), kernel.options().max_failures);
  }
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (value != nullptr && box.errors) {
    pybind11::object newest = box.errors->newest();
    if (!newest.is_none()) PyException_SetCause(value, newest.release().ptr());
  }
  PyErr_Restore(type, value, traceback);
  return nullptr;
}

bool prepare(const KernelBox& box, PyObject* object, std::uint8_t flags, const SendOptions& options,
             MessageHeader* header) {
  if (!box.takes(Py_TYPE(object))) {
    raise("WrongMessageError", "kernel '%s' does not accept %s: see kernel.accepts", box.kernel->name().c_str(),
          Py_TYPE(object)->tp_name);
    return false;
  }
  auto* message = reinterpret_cast<MessageObject*>(object);
  const LayoutObject* layout = layout_of(Py_TYPE(object));
  if (layout == nullptr || !alive(message)) return false;
  *header = message->load_header();
  header->version = kMessageVersion;
  header->flags = flags;
  header->hops = 0;
  header->crc32c = 0;
  header->type_id = layout->layout->type_id;
  header->payload_size = layout->layout->size;
  header->message_id = options.message_id != 0 ? options.message_id : box.kernel->next_message_id();
  if (options.priority >= 0) header->priority = static_cast<u8>(options.priority);
  if (options.deadline != 0) header->deadline = options.deadline;
  return true;
}

bool parse_deadline(double seconds, std::uint64_t now_ntp64, std::uint64_t* deadline) {
  if (!(seconds >= 0) || seconds > 2e9) {
    PyObject* shown = PyFloat_FromDouble(seconds);
    raise("InvalidArgumentError", "deadline: found %R, need seconds from now, from 0", shown);
    Py_XDECREF(shown);
    return false;
  }
  *deadline = now_ntp64 + static_cast<std::uint64_t>(seconds * 4294967296.0);
  return true;
}

namespace {

bool take_number(PyObject* value, const char* name, unsigned long long max, const char* need, unsigned long long* out) {
  PyObject* index = PyNumber_Index(value);
  const unsigned long long found = index != nullptr ? PyLong_AsUnsignedLongLong(index) : 0;
  Py_XDECREF(index);
  if (PyErr_Occurred() == nullptr && found <= max) {
    *out = found;
    return true;
  }
  PyErr_Clear();
  raise("InvalidArgumentError", "%s: found %R, need %s", name, value, need);
  return false;
}

bool take_option(const KernelBox& box, const char* name, PyObject* value, SendOptions* options) {
  unsigned long long number = 0;
  if (std::strcmp(name, "timeout") == 0) {
    options->timeout = value;
    return true;
  }
  if (value == Py_None) return true;
  if (std::strcmp(name, "after") == 0) {
    options->after = value;
    return true;
  }
  if (std::strcmp(name, "instance") == 0) {
    if (!take_number(value, name, box.kernel->instances() - 1, "the index of an instance", &number)) return false;
    options->instance = static_cast<std::int64_t>(number);
    return true;
  }
  if (std::strcmp(name, "priority") == 0) {
    if (!take_number(value, name, kPriorityCount - 1, "0 (LOW) to 3 (CRITICAL)", &number)) return false;
    options->priority = static_cast<int>(number);
    return true;
  }
  if (std::strcmp(name, "message_id") == 0) {
    constexpr const char* kNeed = "an int from 1 to 2**63 - 1 (ids from 2**63 on are the runtime's)";
    if (!take_number(value, name, kOwnMessageIds - 1, kNeed, &number)) return false;
    if (number == 0) return raise("InvalidArgumentError", "message_id: found 0, need %s", kNeed), false;
    options->message_id = number;
    return true;
  }
  const double seconds = PyFloat_AsDouble(value);
  if (PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return raise("InvalidArgumentError", "deadline: found %R, need seconds from now", value), false;
  }
  return parse_deadline(seconds, box.runtime->clock().physical(), &options->deadline);
}

}  // namespace

// message, then `timeout` by place where `allowed` has it, the rest by name. `allowed`: names between spaces.
bool parse_send(const KernelBox& box, PyObject* const* args, Py_ssize_t count, PyObject* names, const char* allowed,
                SendOptions* options) {
  const bool timeout_by_place = std::strstr(allowed, " timeout ") != nullptr;
  if (count < 1 || count > (timeout_by_place ? 2 : 1)) {
    PyErr_Format(PyExc_TypeError, "found %zd positional arguments, need a message%s", count,
                 timeout_by_place ? " and perhaps a timeout" : "");
    return false;
  }
  if (count == 2) options->timeout = args[1];
  const Py_ssize_t named = names != nullptr ? PyTuple_GET_SIZE(names) : 0;
  for (Py_ssize_t i = 0; i < named; ++i) {
    const char* name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i));
    if (name == nullptr) return false;
    const std::string wanted = std::string(" ") + name + " ";
    if (std::strstr(allowed, wanted.c_str()) == nullptr || (count == 2 && std::strcmp(name, "timeout") == 0)) {
      PyErr_Format(PyExc_TypeError, "unexpected keyword argument '%s'", name);
      return false;
    }
    if (!take_option(box, name, args[count + i], options)) return false;
  }
  return true;
}

std::uint32_t instance_for(const KernelBox& box, const SendOptions& options, const MessageHeader& header,
                           const MessageObject& message) {
  if (options.instance >= 0) return static_cast<std::uint32_t>(options.instance);
  return box.kernel->choose_instance(header.type_id, {message.payload, header.payload_size});
}

namespace {

// 1: sent, 0: full until the deadline (0: at once), -1: error set.
int send_until(KernelBox& box, MessageObject* message, MessageHeader& header, std::uint32_t instance,
               std::uint64_t deadline) {
  for (;;) {
    const Status status = box.kernel->try_send(header, message->payload, instance);
    if (status == Status::kOk) {
      message->store_header(header);
      return 1;
    }
    if (status == Status::kClosed) return raise_gone(box), -1;
    if (status != Status::kFull) {
      return raise("RingMemoryError", "kernel '%s': no memory for a ring of this sender", box.kernel->name().c_str()),
             -1;
    }
    if (deadline == 0) return 0;
    Scheduler::about_to_block();
    const int waited = wait_interruptibly(
        deadline, [&](std::uint64_t slice) { return box.kernel->wait_for_room(instance, header.priority, slice); });
    if (waited <= 0) return waited;
  }
}

PyObject* try_send(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  KernelBox* box = kernel_box(self);
  SendOptions options;
  MessageHeader header;
  if (box == nullptr || !parse_send(*box, args, count, names, " instance priority deadline message_id ", &options) ||
      !prepare(*box, args[0], 0, options, &header)) {
    return nullptr;
  }
  auto* message = reinterpret_cast<MessageObject*>(args[0]);
  const int sent = send_until(*box, message, header, instance_for(*box, options, header, *message), 0);
  return sent < 0 ? nullptr : PyBool_FromLong(sent);
}

PyObject* send(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  KernelBox* box = kernel_box(self);
  SendOptions options;
  MessageHeader header;
  if (box == nullptr ||
      !parse_send(*box, args, count, names, " timeout instance priority deadline message_id after ", &options)) {
    return nullptr;
  }
  std::uint64_t deadline = 0;
  if (options.timeout != nullptr && !parse_timeout(options.timeout, &deadline)) return nullptr;
  if (!prepare(*box, args[0], 0, options, &header)) return nullptr;
  auto* message = reinterpret_cast<MessageObject*>(args[0]);
  const std::uint32_t instance = instance_for(*box, options, header, *message);
  if (options.after != nullptr) {
    const std::uint64_t now = HostAtomics::monotonic_ns();
    const std::uint64_t patience = options.timeout == nullptr ? kDefaultTimeoutNs
                                   : deadline == kNoDeadline  ? kNoDeadline
                                                              : deadline - std::min(deadline, now);
    if (!send_after(*box, options.after, header, message->payload, instance, patience)) return nullptr;
    message->store_header(header);
    Py_RETURN_NONE;
  }
  int sent = send_until(*box, message, header, instance, 0);
  if (sent == 0) {
    if (!may_wait_for(*box, "send")) return nullptr;
    if (options.timeout == nullptr) deadline = HostAtomics::monotonic_ns() + kDefaultTimeoutNs;
    sent = send_until(*box, message, header, instance, deadline);
  }
  if (sent < 0) return nullptr;
  if (sent == 0) return raise("RingTimeoutError", "the inbox of kernel '%s' stayed full", box->kernel->name().c_str());
  Py_RETURN_NONE;
}

// 1: `frame` is filled, 0: none until the deadline, -1: error set.
int receive_until(KernelBox& box, std::uint64_t id, Frame* frame, std::uint64_t deadline) {
  Scheduler::about_to_block();
  const int got = wait_interruptibly(deadline, [&](std::uint64_t slice) {
    // Two looks: the kernel may have ended after the first, and what it sent before is still there.
    return box.kernel->receive(id, frame, slice) || box.kernel->silent();
  });
  if (got <= 0) return got;
  if (!frame->empty() || box.kernel->receive(id, frame, 0)) return 1;
  return raise_gone(box), -1;
}

PyObject* receive(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  KernelBox* box = kernel_box(self);
  PyObject* timeout = nullptr;
  std::uint64_t deadline = kNoDeadline;
  if (box == nullptr || !parse_call(0, args, count, names, &timeout) || !may_wait_for(*box, "receive")) return nullptr;
  if (timeout != nullptr && !parse_timeout(timeout, &deadline)) return nullptr;
  Frame frame;
  const int got = receive_until(*box, 0, &frame, deadline);
  if (got < 0) return nullptr;
  if (got == 0)
    return raise("ReceiveTimeoutError", "kernel '%s' sent nothing within %R s", box->kernel->name().c_str(), timeout);
  return message_from(frame);
}

PyObject* raise_handler_error(const KernelBox& box, std::uint64_t message_id) {
  if (!box.python) {
    return raise("HandlerError", "the handler of kernel '%s' failed: %s", box.kernel->name().c_str(),
                 box.native->take_error(message_id).c_str());
  }
  const pybind11::object cause = box.errors ? box.errors->take(message_id) : pybind11::none();
  PyObject* shown = PyObject_Repr(cause.ptr());
  if (shown == nullptr) {  // an exception that cannot even be shown
    PyErr_Clear();
    shown = PyUnicode_FromString(Py_TYPE(cause.ptr())->tp_name);
  }
  raise("HandlerError", "the handler of kernel '%s' raised %U", box.kernel->name().c_str(), shown);
  Py_XDECREF(shown);
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (value != nullptr && !cause.is_none()) PyException_SetCause(value, pybind11::object(cause).release().ptr());
  PyErr_Restore(type, value, traceback);
  return nullptr;
}

}  // namespace

PyObject* raise_error_reply(const KernelBox& box, const MessageHeader& header, const std::byte* payload) {
  std::uint32_t code = 0;
  if (header.payload_size >= sizeof(code)) std::memcpy(&code, payload, sizeof(code));
  if (code == static_cast<std::uint32_t>(DeadLetterReason::kExpired)) {
    return raise("DeadlineExpiredError", "kernel '%s': the message's deadline passed before a handler began",
                 box.kernel->name().c_str());
  }
  if (code == static_cast<std::uint32_t>(DeadLetterReason::kHung)) {
    return raise("KernelHungError", "kernel '%s': the handler of this message did not return and was stopped",
                 box.kernel->name().c_str());
  }
  if (code == kAnswerDuplicate) {
    return raise("InvalidArgumentError", "message_id: found %llu, which kernel '%s' has seen: need another, or none",
                 static_cast<unsigned long long>(header.correlation_id), box.kernel->name().c_str());
  }
  return raise_handler_error(box, header.correlation_id);
}

namespace {

// Sends and waits in one stretch without the GIL, so that the worker finds it free.
int call_until(KernelBox& box, MessageObject* message, MessageHeader& header, std::uint32_t instance, Frame* frame,
               std::uint64_t deadline) {
  bool sent = false, no_memory = false;
  Scheduler::about_to_block();
  const int got = wait_interruptibly(deadline, [&](std::uint64_t slice) {
    while (!sent) {
      const Status status = box.kernel->try_send(header, message->payload, instance);
      sent = status == Status::kOk;
      no_memory = status == Status::kNoMemory;
      if (status == Status::kClosed || no_memory) return true;
      if (!sent && !box.kernel->wait_for_room(instance, header.priority, slice)) return false;
    }
    return box.kernel->receive(header.message_id, frame, slice) || box.kernel->silent();
  });
  if (got <= 0) return got;
  if (!frame->empty() || (sent && box.kernel->receive(header.message_id, frame, 0))) return 1;
  if (no_memory) return raise("RingMemoryError", "kernel '%s': no memory for a ring", box.kernel->name().c_str()), -1;
  return raise_gone(box), -1;
}

PyObject* default_timeout() {
  static PyObject* seconds = PyFloat_FromDouble(static_cast<double>(kDefaultTimeoutNs) / 1e9);
  return seconds;
}

PyObject* call(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  KernelBox* box = kernel_box(self);
  SendOptions options;
  MessageHeader header;
  if (box == nullptr || !parse_send(*box, args, count, names, " timeout instance priority deadline ", &options)) {
    return nullptr;
  }
  std::uint64_t deadline = HostAtomics::monotonic_ns() + kDefaultTimeoutNs;
  if (options.timeout != nullptr && !parse_timeout(options.timeout, &deadline)) return nullptr;
  if (!may_wait_for(*box, "call") || !prepare(*box, args[0], kFlagWantsReply, options, &header)) return nullptr;
  auto* message = reinterpret_cast<MessageObject*>(args[0]);
  const std::uint32_t instance = instance_for(*box, options, header, *message);
  Frame frame;
  box->kernel->expect_reply(header.message_id);
  const int got = call_until(*box, message, header, instance, &frame, deadline);
  box->kernel->forget_reply(header.message_id);
  if (got < 0) return nullptr;
  if (got == 0) {
    return raise("CallTimeoutError",
                 "kernel '%s' did not reply within %S s: is it active, and does its handler reply to %s?",
                 box->kernel->name().c_str(), options.timeout != nullptr ? options.timeout : default_timeout(),
                 Py_TYPE(args[0])->tp_name);
  }
  message->store_header(header);
  const MessageHeader answer = header_of(frame);
  if ((answer.flags & kFlagError) != 0) return raise_error_reply(*box, answer, frame.data() + sizeof(answer));
  return message_from(frame);
}

template <class Function>
PyCFunction as_method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef kHotMethods[] = {
    {"send", as_method(send), METH_FASTCALL | METH_KEYWORDS,
     "send(message, timeout=5.0, *, instance=None, priority=None, deadline=None, message_id=None)\n\nWaits while the "
     "inbox is full. Raises RingTimeoutError, KernelTerminatedError, "
     "KernelFailedError, WrongMessageError."},
    {"try_send", as_method(try_send), METH_FASTCALL | METH_KEYWORDS,
     "try_send(message, *, instance=None, priority=None, deadline=None, message_id=None) -> bool\n\nFalse when the "
     "inbox is full."},
    {"receive", as_method(receive), METH_FASTCALL | METH_KEYWORDS,
     "receive(timeout=None)\n\nThe next message that the kernel sent to the host and nobody else waits for. Raises "
     "ReceiveTimeoutError, KernelTerminatedError, KernelFailedError."},
    {"call", as_method(call), METH_FASTCALL | METH_KEYWORDS,
     "call(message, timeout=5.0, *, instance=None, priority=None, deadline=None)\n\nSend, and return the reply. Raises "
     "CallTimeoutError, HandlerError (from the "
     "handler's exception), DeadlineExpiredError, KernelTerminatedError, KernelFailedError, KernelHungError."},
    {"ask", as_method(ask), METH_FASTCALL | METH_KEYWORDS,
     "ask(message, *, instance=None, priority=None, deadline=None) -> Operation\n\nSend, and return what will hold the "
     "reply. Raises RingFullError when the inbox is full."},
};

}  // namespace

void add_hot_methods(const pybind11::object& kernel_class) {
  for (PyMethodDef& method : kHotMethods) {
    kernel_class.attr(method.ml_name) = pybind11::reinterpret_steal<pybind11::object>(
        PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(kernel_class.ptr()), &method));
  }
}

}  // namespace rk::py
