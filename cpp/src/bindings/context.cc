// `ctx`: what a handler can do besides computing. On the CPU a block is one thread.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "kernel_box.h"
#include "python_handler.h"
#include "timestamp.h"

namespace rk::py {

namespace py = pybind11;

Outgoing outgoing(const MessageObject& message, const LayoutObject& layout) {
  const MessageHeader header = message.load_header();
  Outgoing made;
  made.type_id = layout.layout->type_id;
  made.payload = {message.payload, layout.layout->size};
  made.priority = header.priority;
  return made;
}

void raise_not_sent(Status status, const char* what, std::uint32_t bytes) {
  switch (status) {
    case Status::kClosed:
      raise("KernelTerminatedError", "%s: the receiver is terminating or gone", what);
      return;
    case Status::kTooLarge:
      raise(
          "MessageTooLargeError",
          "%s: the message has %u bytes, more than the receiver's slots hold: launch it with a larger max_message_size",
          what, bytes);
      return;
    case Status::kUndeclared:
      raise("UndeclaredTargetError",
            "%s: no edge leads there: name the target in publishes_to= of the handler or of launch(), or use "
            "rt.connect()",
            what);
      return;
    case Status::kNoMemory:
      raise("RingMemoryError", "%s: no memory for a ring to the receiver: choose a smaller capacity", what);
      return;
    default:
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
  check(context.reply(outgoing(*message, *layout)), "ctx.reply", layout->layout->size);
}

// Python code finds the address; it is asked again when target or class are others than the last time.
Address resolved(ContextBox& box, const py::object& target, const py::handle& object, bool again,
                 const std::optional<std::int64_t>& instance) {
  const py::handle type(reinterpret_cast<PyObject*>(Py_TYPE(object.ptr())));
  if (again || !box.last_target.is(target) || !box.last_class.is(type)) {
    box.last_target = py::object();
    box.last_word = box.resolve(target, type, instance).cast<std::uint64_t>();
    box.last_class = py::reinterpret_borrow<py::object>(type);
    box.last_target = target;
  }
  return Address{box.last_word};
}

Address at_instance(Address address, const std::optional<std::int64_t>& instance) {
  if (address.kernel() == 0) return address;
  if (!instance) return Address::make(address.node(), address.kernel(), KernelContext::kAnyInstance);
  if (*instance < 0 || *instance >= KernelContext::kAnyInstance) {
    raise("InvalidArgumentError", "instance: found %lld, need the index of an instance",
          static_cast<long long>(*instance));
    throw_set();
  }
  return Address::make(address.node(), address.kernel(), static_cast<std::uint32_t>(*instance));
}

void set_options(Outgoing& message, KernelContext& context, const std::optional<int>& priority,
                 const std::optional<double>& deadline) {
  if (priority && (*priority < 0 || *priority >= kPriorityCount)) {
    raise("InvalidArgumentError", "priority: found %d, need 0 (LOW) to 3 (CRITICAL)", *priority);
    throw_set();
  }
  if (priority) message.priority = static_cast<std::uint8_t>(*priority);
  if (deadline && !parse_deadline(*deadline, context.now().time, &message.deadline)) throw_set();
}

void send(ContextBox& box, const py::object& target, const py::handle& object,
          const std::optional<std::int64_t>& instance, const std::optional<int>& priority,
          const std::optional<double>& deadline) {
  KernelContext& context = current(box);
  const LayoutObject* layout = nullptr;
  MessageObject* message = checked_message(object, &layout);
  Outgoing made = outgoing(*message, *layout);
  set_options(made, context, priority, deadline);
  Status status = context.send(at_instance(resolved(box, target, object, false, instance), instance), made);
  if (status == Status::kClosed) {  // a kernel of this name may have been launched since, or there is no such instance
    status = context.send(at_instance(resolved(box, target, object, true, instance), instance), made);
  }
  if (status == Status::kOk) return;
  const std::string shown = py::repr(py::getattr(target, "name", target)).cast<std::string>();
  check(status, ("ctx.send to " + shown).c_str(), layout->layout->size);
}

std::uint32_t publish(ContextBox& box, const std::string& topic, const py::handle& object, bool retain) {
  KernelContext& context = current(box);
  const LayoutObject* layout = nullptr;
  MessageObject* message = checked_message(object, &layout);
  return context.publish(topic, outgoing(*message, *layout), retain);
}

std::uint64_t free_slots(ContextBox& box, const py::object& target) {
  KernelContext& context = current(box);
  const Address to{box.resolve(target, py::none(), py::none()).cast<std::uint64_t>()};
  return context.free_slots(at_instance(to, std::nullopt));
}

void update_clock(ContextBox& box, const HlcTimestamp& stamp) {
  if (current(box).update_clock(stamp.time) == HlcUpdate::kMerged) return;
  raise("ClockSkewError", "the timestamp is further ahead of this clock than max_drift allows");
  throw_set();
}

void report_error(ContextBox& box, std::int64_t code) {
  if (code < 1 || code > 0xFFFFFFFFll) {
    raise("InvalidArgumentError", "code: found %lld, need 1 to 2**32 - 1", static_cast<long long>(code));
    throw_set();
  }
  current(box).report_error(static_cast<std::uint32_t>(code));
}

}  // namespace

void bind_context(py::module_& module) {
  const auto zero = [](ContextBox&) { return 0; };
  const auto one = [](ContextBox&) { return 1; };
  const auto nothing = [](ContextBox&) {};
  py::class_<ContextBox>(module, "Context", "What a handler can do; valid until it returns.")
      .def("reply", &reply, py::arg("message"), "Answer the message in hand; its sender gets it.")
      .def("send", &send, py::arg("target"), py::arg("message"), py::kw_only(), py::arg("instance") = py::none(),
           py::arg("priority") = py::none(), py::arg("deadline") = py::none(),
           "Send to a declared kernel, by name or handle, also to oneself; or to \"host\", where receive() takes it. "
           "Raises UndeclaredTargetError, UnknownKernelError, WrongMessageError, RingFullError, KernelTerminatedError.")
      .def("publish", &publish, py::arg("topic"), py::arg("message"), py::arg("retain") = false,
           "Send to all subscribers of a topic; returns how many got it. Raises TopicError.")
      .def(
          "pending", [](ContextBox& b) { return current(b).pending(); }, "Messages that wait in the own inbox.")
      .def("free_slots", &free_slots, py::arg("target"),
           "Messages that can be sent to `target` before its ring is full.")
      .def("update_clock", &update_clock, py::arg("timestamp"), "Merge a timestamp. Raises ClockSkewError.")
      .def("report_error", &report_error, py::arg("code"), "Count an error and keep its code; the message is handled.")
      .def(
          "_report_errors",
          [](ContextBox& b, std::uint32_t code, std::uint64_t count) { current(b).report_error(code, count); },
          py::arg("code"), py::arg("count"), "What a compiled handler counted during a message.")
      .def(
          "fence", [](ContextBox&, const std::string&) {}, py::arg("scope") = "block")
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
