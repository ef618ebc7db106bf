// `ctx`: what a handler can do besides computing. On the CPU a block is one thread.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "python_handler.h"
#include "timestamp.h"

namespace rk::py {

namespace py = pybind11;

Status reply_with(KernelContext& context, MessageObject* message, const LayoutObject& layout) {
  const std::span<const std::byte> payload(message->payload, layout.layout->size);
  return context.reply(layout.layout->type_id, payload, static_cast<std::uint8_t>(message->load_header().priority));
}

void raise_not_sent(Status status, const char* what, std::uint32_t bytes) {
  if (status == Status::kClosed) {
    raise("KernelTerminatedError", "%s: the receiver is terminating or gone", what);
  } else if (status == Status::kTooLarge) {
    raise("MessageTooLargeError",
          "%s: the message has %u bytes, more than the receiver's slots hold: launch it with a larger max_message_size",
          what, bytes);
  } else {
    raise("RingFullError", "%s: the receiver's inbox is full", what);
  }
}

namespace {

[[noreturn]] void throw_set() { throw py::error_already_set(); }

KernelContext& current(ContextBox& box) {
  if (!box.check_initialised()) throw_set();
  if (box.current != nullptr && box.thread == PyThread_get_thread_ident()) return *box.current;
  raise("ContextError", box.current == nullptr
                            ? "this context belongs to a handler call that has ended: use it inside the handler only"
                            : "a context may be used on its handler's own thread only");
  throw_set();
}

MessageObject* checked_message(const py::handle& object, const LayoutObject** layout) {
  if (!is_message(object.ptr())) {
    raise("WrongMessageError", "found %s, need a message", Py_TYPE(object.ptr())->tp_name);
    throw_set();
  }
  auto* message = reinterpret_cast<MessageObject*>(object.ptr());
  *layout = layout_of(Py_TYPE(object.ptr()));
  if (*layout == nullptr || !alive(message)) throw_set();
  return message;
}

void check(Status status, const char* what, std::uint32_t bytes) {
  if (status == Status::kOk) return;
  raise_not_sent(status, what, bytes);
  throw_set();
}

void reply(ContextBox& box, const py::handle& object) {
  KernelContext& context = current(box);
  const LayoutObject* layout = nullptr;
  MessageObject* message = checked_message(object, &layout);
  check(reply_with(context, message, *layout), "ctx.reply", layout->layout->size);
}

void send(ContextBox& box, const py::object& target, const py::handle& object) {
  KernelContext& context = current(box);
  const LayoutObject* layout = nullptr;
  MessageObject* message = checked_message(object, &layout);
  const auto word =
      box.resolve(target, py::handle(reinterpret_cast<PyObject*>(Py_TYPE(object.ptr())))).cast<std::uint64_t>();
  const std::span<const std::byte> payload(message->payload, layout->layout->size);
  check(context.send(Address{word}, layout->layout->type_id, payload,
                     static_cast<std::uint8_t>(message->load_header().priority)),
        "ctx.send", layout->layout->size);
}

}  // namespace

void bind_context(py::module_& module) {
  const auto zero = [](ContextBox&) { return 0; };
  const auto one = [](ContextBox&) { return 1; };
  const auto nothing = [](ContextBox&) {};
  py::class_<ContextBox>(module, "Context", "What a handler can do; valid until it returns.")
      .def("reply", &reply, py::arg("message"), "Answer the message in hand; its sender gets it.")
      .def("send", &send, py::arg("target"), py::arg("message"),
           "Send to a kernel, by name or handle, also to oneself; or to \"host\", where receive() takes it.")
      .def(
          "now", [](ContextBox& b) { return current(b).now(); }, "The hybrid logical time; stamps nothing.")
      .def(
          "tick", [](ContextBox& b) { return current(b).tick(); }, "Stamp an event.")
      .def(
          "request_termination", [](ContextBox& b) { current(b).request_termination(); },
          "Drain the inbox after this message, then stop.")
      .def("is_terminating", [](ContextBox& b) { return current(b).is_terminating(); })
      .def("kernel_id", [](ContextBox& b) { return current(b).self().kernel(); })
      .def("instance_id", [](ContextBox& b) { return current(b).self().instance(); })
      .def("thread_id", zero)
      .def("block_id", zero)
      .def("global_thread_id", zero)
      .def("warp_id", zero)
      .def("lane_id", zero)
      .def("block_dim", one)
      .def("grid_dim", one)
      .def("sync_threads", nothing)
      .def("sync_warp", nothing)
      .def("sync_grid", nothing);
}

}  // namespace rk::py
