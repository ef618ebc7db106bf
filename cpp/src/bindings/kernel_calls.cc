// send, try_send, receive and call as plain C functions.
#include <pybind11/pybind11.h>

#include "kernel_box.h"
#include "ring_box.h"

namespace rk::py {
namespace {

constexpr std::uint64_t kDefaultTimeoutNs = 5'000'000'000;  // of send and call

PyObject* raise_gone(KernelBox& box) {
  const KernelState state = box.kernel->state();
  if (state != KernelState::kFailed) {
    return raise("KernelTerminatedError", "kernel '%s' is %s", box.kernel->name().c_str(), to_string(state));
  }
  if (box.kernel->hung()) {
    return raise("KernelFailedError", "kernel '%s' was given up: its handler did not return",
                 box.kernel->name().c_str());
  }
  raise("KernelFailedError", "kernel '%s' failed: its handler raised more than %u times within the window",
        box.kernel->name().c_str(), box.kernel->options().max_failures);
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (value != nullptr && !box.handler->last_error().is_none()) {
    PyException_SetCause(value, pybind11::object(box.handler->last_error()).release().ptr());
  }
  PyErr_Restore(type, value, traceback);
  return nullptr;
}

// The header for `object` with a new message id; also left in the object. False with an error set.
bool prepare(KernelBox& box, PyObject* object, std::uint8_t flags, MessageHeader* header) {
  if (!box.handler->accepts(Py_TYPE(object))) {
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
  header->message_id = box.kernel->next_message_id();
  return true;
}

// 1: sent, 0: full until the deadline (0: at once), -1: error set.
int send_until(KernelBox& box, MessageObject* message, MessageHeader& header, std::uint64_t deadline) {
  for (;;) {
    const Status status = box.kernel->try_send(header, message->payload);
    if (status == Status::kOk) {
      message->store_header(header);
      return 1;
    }
    if (status == Status::kClosed) return raise_gone(box), -1;
    if (deadline == 0) return 0;
    const int waited =
        wait_interruptibly(deadline, [&](std::uint64_t slice) { return box.kernel->wait_for_room(slice); });
    if (waited <= 0) return waited;
  }
}

PyObject* try_send(PyObject* self, PyObject* object) {
  KernelBox* box = kernel_box(self);
  MessageHeader header;
  if (box == nullptr || !prepare(*box, object, 0, &header)) return nullptr;
  const int sent = send_until(*box, reinterpret_cast<MessageObject*>(object), header, 0);
  return sent < 0 ? nullptr : PyBool_FromLong(sent);
}

PyObject* send(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  KernelBox* box = kernel_box(self);
  PyObject* timeout = nullptr;
  MessageHeader header;
  if (box == nullptr || !parse_call(1, args, count, names, &timeout)) return nullptr;
  std::uint64_t deadline = 0;
  if (timeout != nullptr && !parse_timeout(timeout, &deadline)) return nullptr;
  if (!prepare(*box, args[0], 0, &header)) return nullptr;
  auto* message = reinterpret_cast<MessageObject*>(args[0]);
  int sent = send_until(*box, message, header, 0);
  if (sent == 0) {
    if (!may_wait_for(*box, "send")) return nullptr;
    if (timeout == nullptr) deadline = HostAtomics::monotonic_ns() + kDefaultTimeoutNs;
    sent = send_until(*box, message, header, deadline);
  }
  if (sent < 0) return nullptr;
  if (sent == 0) return raise("RingTimeoutError", "the inbox of kernel '%s' stayed full", box->kernel->name().c_str());
  Py_RETURN_NONE;
}

// 1: `frame` is filled, 0: none until the deadline, -1: error set.
int receive_until(KernelBox& box, std::uint64_t id, Frame* frame, std::uint64_t deadline) {
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

PyObject* raise_handler_error(KernelBox& box, std::uint64_t message_id) {
  const pybind11::object cause = box.handler->take_error(message_id);
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

// Sends and waits in one stretch without the GIL, so that the worker finds it free.
int call_until(KernelBox& box, MessageObject* message, MessageHeader& header, Frame* frame, std::uint64_t deadline) {
  bool sent = false;
  const int got = wait_interruptibly(deadline, [&](std::uint64_t slice) {
    while (!sent) {
      const Status status = box.kernel->try_send(header, message->payload);
      sent = status == Status::kOk;
      if (status == Status::kClosed) return true;
      if (!sent && !box.kernel->wait_for_room(slice)) return false;
    }
    return box.kernel->receive(header.message_id, frame, slice) || box.kernel->silent();
  });
  if (got <= 0) return got;
  if (!frame->empty() || (sent && box.kernel->receive(header.message_id, frame, 0))) return 1;
  return raise_gone(box), -1;
}

PyObject* default_timeout() {
  static PyObject* seconds = PyFloat_FromDouble(static_cast<double>(kDefaultTimeoutNs) / 1e9);
  return seconds;
}

PyObject* call(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  KernelBox* box = kernel_box(self);
  PyObject* timeout = nullptr;
  std::uint64_t deadline = HostAtomics::monotonic_ns() + kDefaultTimeoutNs;
  MessageHeader header;
  if (box == nullptr || !parse_call(1, args, count, names, &timeout)) return nullptr;
  if (timeout != nullptr && !parse_timeout(timeout, &deadline)) return nullptr;
  if (!may_wait_for(*box, "call") || !prepare(*box, args[0], kFlagWantsReply, &header)) return nullptr;
  auto* message = reinterpret_cast<MessageObject*>(args[0]);
  Frame frame;
  box->kernel->expect_reply(header.message_id);
  const int got = call_until(*box, message, header, &frame, deadline);
  box->kernel->forget_reply(header.message_id);
  if (got < 0) return nullptr;
  if (got == 0) {
    return raise(
        "CallTimeoutError", "kernel '%s' did not reply within %S s: is it active, and does its handler reply to %s?",
        box->kernel->name().c_str(), timeout != nullptr ? timeout : default_timeout(), Py_TYPE(args[0])->tp_name);
  }
  message->store_header(header);
  if ((header_of(frame).flags & kFlagError) != 0) return raise_handler_error(*box, header.message_id);
  return message_from(frame);
}

template <class Function>
PyCFunction as_method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef kHotMethods[] = {
    {"send", as_method(send), METH_FASTCALL | METH_KEYWORDS,
     "send(message, timeout=5.0)\n\nWaits while the inbox is full. Raises RingTimeoutError, KernelTerminatedError, "
     "KernelFailedError, WrongMessageError."},
    {"try_send", try_send, METH_O, "try_send(message) -> bool\n\nFalse when the inbox is full."},
    {"receive", as_method(receive), METH_FASTCALL | METH_KEYWORDS,
     "receive(timeout=None)\n\nThe next message that the kernel sent to the host and nobody else waits for. Raises "
     "ReceiveTimeoutError, KernelTerminatedError, KernelFailedError."},
    {"call", as_method(call), METH_FASTCALL | METH_KEYWORDS,
     "call(message, timeout=5.0)\n\nSend, and return the reply. Raises CallTimeoutError, HandlerError (from the "
     "handler's exception), KernelTerminatedError, KernelFailedError."},
};

}  // namespace

void add_hot_methods(const pybind11::object& kernel_class) {
  for (PyMethodDef& method : kHotMethods) {
    kernel_class.attr(method.ml_name) = pybind11::reinterpret_steal<pybind11::object>(
        PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(kernel_class.ptr()), &method));
  }
}

}  // namespace rk::py
