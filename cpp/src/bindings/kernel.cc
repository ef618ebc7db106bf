// Kernel in Python: everything that is not hot.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "kernel_box.h"
#include "ring_box.h"

namespace rk::py {

namespace py = pybind11;

py::dict& message_types() {
  static auto* types = new py::dict;  // never destroyed: the interpreter may be gone first
  return *types;
}

KernelBox& checked(KernelBox& box) {
  if (!box.check_initialised() || !same_process(box.generation)) throw py::error_already_set();
  return box;
}

RuntimeBox& checked(RuntimeBox& box) {
  if (!box.check_initialised() || !same_process(box.generation)) throw py::error_already_set();
  return box;
}

// Called without the GIL while a move waits.
void poll_signals() {
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

std::uint64_t deadline_from(const py::object& timeout) {
  std::uint64_t deadline = kNoDeadline;
  if (!parse_timeout(timeout.ptr(), &deadline)) throw py::error_already_set();
  return deadline;
}

namespace {

// To read is harmless in any process.
template <class Box>
Box& readable(Box& box) {
  if (!box.check_initialised()) throw py::error_already_set();
  return box;
}

using Move = void (Kernel::*)(std::uint64_t, const Kernel::Poll&);

void make_move(KernelBox& box, const py::object& timeout, Move move) {
  const std::uint64_t deadline = deadline_from(timeout);
  Kernel& kernel = *checked(box).kernel;
  if (!may_wait_for(box, "a change of state")) throw py::error_already_set();
  Scheduler::about_to_block();
  const py::gil_scoped_release release;
  (kernel.*move)(deadline, Kernel::Poll(&poll_signals));
}

void activate(KernelBox& box, const py::object& timeout) {
  const std::uint64_t deadline = deadline_from(timeout);
  Kernel& kernel = *checked(box).kernel;
  const py::gil_scoped_release release;
  box.runtime->activate(kernel, deadline, Kernel::Poll(&poll_signals));
}

std::uint64_t send_rows(KernelBox& box, const py::type& type, const py::buffer& rows, std::uint64_t count,
                        std::optional<double> timeout, std::optional<std::uint32_t> instance, int priority) {
  checked(box);
  if (!may_wait_for(box, "send_many")) throw py::error_already_set();
  const LayoutObject* layout = layout_of(reinterpret_cast<PyTypeObject*>(type.ptr()));
  if (layout == nullptr) throw py::error_already_set();
  const py::buffer_info info = rows.request();
  const auto* bytes = static_cast<const std::byte*>(info.ptr);
  MessageHeader like{};
  like.version = kMessageVersion;
  like.priority = static_cast<u8>(priority);
  like.type_id = layout->layout->type_id;
  like.payload_size = layout->layout->size;
  const std::uint64_t deadline = timeout ? deadline_from(py::float_(*timeout)) : 0;
  std::uint64_t sent = 0;
  for (;;) {
    if (box.kernel->closed_for_sending()) {
      raise_gone(box);
      throw py::error_already_set();
    }
    {
      const py::gil_scoped_release release;
      sent += box.kernel->send_many(like, bytes + sent * like.payload_size, count - sent, instance);
    }
    if (sent == count || deadline == 0) return sent;
    const std::uint32_t full = instance.value_or(0);  // with several, any of them: the next look will tell
    const int waited = wait_interruptibly(deadline, [&](std::uint64_t slice) {
      const std::uint64_t soon = HostAtomics::monotonic_ns() + 1'000'000;
      const bool one = instance || box.kernel->instances() == 1;
      return box.kernel->wait_for_room(full, like.priority, one ? slice : std::min(slice, soon)) || !one;
    });
    if (waited < 0) throw py::error_already_set();
    if (waited == 0) return sent;
  }
}

// Messages of one type, the first one's, as bytes: (type id, payloads). Ends before a message of another type.
py::object receive_rows(KernelBox& box, std::uint64_t max, const py::object& timeout) {
  checked(box);
  if (!may_wait_for(box, "receive_many")) throw py::error_already_set();
  const std::uint64_t deadline = deadline_from(timeout);
  Frame first;
  const int got = wait_interruptibly(
      deadline, [&](std::uint64_t slice) { return box.kernel->receive(0, &first, slice) || box.kernel->silent(); });
  if (got < 0) throw py::error_already_set();
  if (first.empty() && (got == 0 || !box.kernel->receive(0, &first, 0))) return py::none();
  std::string payloads;
  const MessageHeader header = header_of(first);
  if (!check_size(header)) throw py::error_already_set();
  {
    const py::gil_scoped_release release;
    payloads.assign(reinterpret_cast<const char*>(first.data()) + sizeof(MessageHeader), header.payload_size);
    box.kernel->receive_more(header.type_id, header.payload_size, max - 1,
                             [&](const std::byte* payload, std::size_t size) {
                               payloads.append(reinterpret_cast<const char*>(payload), size);
                             });
  }
  return py::make_tuple(header.type_id, py::bytes(payloads));
}

py::dict histogram_dict(const HistogramCopy& copy) {
  using namespace pybind11::literals;
  static py::object* edges = [] {  // never destroyed: the interpreter may be gone first
    py::array_t<std::uint64_t> made(HistogramCopy::kBuckets + 1);
    for (std::size_t i = 0; i <= HistogramCopy::kBuckets; ++i) made.mutable_at(i) = HistogramCopy::lower_edge(i);
    made.attr("flags").attr("writeable") = false;
    return new py::object(made);
  }();
  return py::dict("counts"_a = py::array_t<std::uint64_t>(HistogramCopy::kBuckets, copy.counts.data()),
                  "count"_a = copy.count, "sum"_a = copy.sum, "min"_a = copy.min, "max"_a = copy.max,
                  "edges"_a = *edges);
}

py::dict telemetry_dict(KernelBox& box, std::optional<std::uint32_t> instance) {
  using namespace pybind11::literals;
  const Kernel& kernel = *readable(box).kernel;
  const KernelTelemetry t = [&] {
    const py::gil_scoped_release release;  // to add up a hundred thousand instances takes a while
    return kernel.telemetry(instance);
  }();
  return py::dict("name"_a = box.kernel->name(), "instances"_a = box.kernel->instances(), "processed"_a = t.processed,
                  "failed"_a = t.failed + t.refused, "dropped"_a = t.inbox.dropped, "expired"_a = t.expired,
                  "restarts"_a = t.restarts, "accepted"_a = t.inbox.accepted, "in_flight"_a = t.inbox.in_flight,
                  "high_water"_a = t.inbox.high_water, "dead_lettered"_a = t.inbox.dead_lettered,
                  "sent_to_host"_a = t.outbox.accepted, "linked"_a = t.linked, "errors_reported"_a = t.reported,
                  "last_error"_a = t.last_error, "handler"_a = histogram_dict(t.handler),
                  "queueing"_a = histogram_dict(t.queueing));
}

// Where the state is on a device, what is shown of it is a copy.
void fetch_states(KernelBox& box) {
  constexpr std::uint64_t kPatience = 5'000'000'000;
  if (box.native->device_code() == nullptr) return;
  bool came = false;
  {
    const py::gil_scoped_release release;
    came = box.kernel->fetch_states(HostAtomics::monotonic_ns() + kPatience);
  }
  if (came) return;
  throw Error("KernelHungError", "the state of kernel '" + box.kernel->name() +
                                     "' did not come from the device within 5 s: its handler has not returned");
}

// With its counts as they are, also where they are on a device.
Kernel& refreshed(KernelBox& box) {
  Kernel& kernel = *readable(box).kernel;
  const py::gil_scoped_release release;
  kernel.refresh();
  return kernel;
}

py::object state_object(KernelBox& box, std::uint32_t instance) {
  readable(box);
  if (instance >= box.kernel->instances()) throw py::index_error("no such instance");
  if (box.python) return box.python->state(instance);
  fetch_states(box);
  const std::span<std::byte> bytes = box.native->state_of(instance);
  if (bytes.empty()) return py::none();
  auto* type = reinterpret_cast<PyTypeObject*>(box.native_state.ptr());
  // The view keeps the handler whose bytes it shows.
  const py::capsule owner(new std::shared_ptr<MachineHandler>(box.native),
                          [](void* held) { delete static_cast<std::shared_ptr<MachineHandler>*>(held); });
  return py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(new_view(type, bytes.data(), owner.ptr())));
}

// Where the state lies: its address, and the CUDA device, or -1 for the host's memory. Whoever uses it keeps the
// kernel.
py::tuple state_place(KernelBox& box, std::uint32_t instance) {
  const Resident::StatePlace place = readable(box).kernel->state_place(instance);
  if (place.device >= 0) return py::make_tuple(place.address, place.device);
  const py::object state = state_object(box, instance);
  if (state.is_none()) throw py::value_error("the kernel has no state");
  return py::make_tuple(reinterpret_cast<std::uintptr_t>(reinterpret_cast<MessageObject*>(state.ptr())->payload), -1);
}

py::object state_class(KernelBox& box) {
  const py::object state = state_object(box, 0);
  return state.is_none() ? state : py::object(py::type::of(state));
}

py::bytes snapshot(KernelBox& box, const py::object& timeout) {
  const std::uint64_t deadline = deadline_from(timeout);
  Kernel& kernel = *checked(box).kernel;
  if (!may_wait_for(box, "snapshot")) throw py::error_already_set();
  std::vector<std::byte> bytes;
  {
    const py::gil_scoped_release release;
    bytes = encode(kernel.snapshot(deadline, Kernel::Poll(&poll_signals)));
  }
  return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void translate_errors(std::exception_ptr error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const Error& typed) {
    raise(typed.kind(), "%s", typed.what());
  }
}

// The collector's view of a box: what leads back to it is what its handler raised.
KernelBox* made_box(PyObject* self) {
  return static_cast<KernelBox*>(reinterpret_cast<py::detail::instance*>(self)->get_value_and_holder().value_ptr());
}

int box_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  KernelBox* box = made_box(self);
  if (box != nullptr && box->errors) Py_VISIT(box->errors->all().ptr());
  return 0;
}

int box_clear(PyObject* self) {
  if (KernelBox* box = made_box(self)) box->errors.reset();
  return 0;
}

void make_collectable(PyHeapTypeObject* heap_type) {
  PyTypeObject& type = heap_type->ht_type;
  type.tp_flags |= Py_TPFLAGS_HAVE_GC;
  type.tp_traverse = box_traverse;
  type.tp_clear = box_clear;
}

void bind_kernel_class(py::module_& module) {
  py::class_<KernelBox> kernel(module, "Kernel", py::custom_type_setup(&make_collectable));
  kernel.def("activate", &activate, py::arg("timeout") = 5.0)
      .def(
          "deactivate", [](KernelBox& b, const py::object& t) { make_move(b, t, &Kernel::deactivate); },
          py::arg("timeout") = 5.0, "Pause: returns when the handler rests; state and waiting messages stay.")
      .def(
          "terminate", [](KernelBox& b, const py::object& t) { make_move(b, t, &Kernel::terminate); },
          py::arg("timeout") = 5.0,
          "Drain, then stop, within `timeout` seconds. Raises KernelHungError when a handler does not return.")
      .def("_send_rows", &send_rows)
      .def("_receive_rows", &receive_rows)
      .def("_snapshot", &snapshot)
      .def("_stats", [](KernelBox& b) { return stats_dict(refreshed(b).inbox_stats()); })
      .def("_outbox_stats", [](KernelBox& b) { return stats_dict(readable(b).kernel->outbox_stats()); })
      .def("_telemetry", &telemetry_dict, py::arg("instance") = py::none())
      .def("_state_object", &state_object)
      .def("_state_place", &state_place)
      .def_property_readonly("_state_class", &state_class)
      .def("_generation", [](KernelBox& b, std::uint32_t i) { return readable(b).kernel->generation(i); })
      .def_property_readonly("name", [](KernelBox& b) { return readable(b).kernel->name(); })
      .def_property_readonly("address", [](KernelBox& b) { return readable(b).kernel->address().word; })
      .def_property_readonly("capacity", [](KernelBox& b) { return readable(b).kernel->options().capacity; })
      .def_property_readonly("instances", [](KernelBox& b) { return readable(b).kernel->instances(); })
      .def_property_readonly("error_count", [](KernelBox& b) { return refreshed(b).error_count(); })
      .def_property_readonly("restarts", [](KernelBox& b) { return readable(b).kernel->restarts(); })
      .def_property_readonly("hung", [](KernelBox& b) { return readable(b).kernel->hung(); })
      .def_property_readonly("busy", [](KernelBox& b) { return readable(b).kernel->busy(); })
      .def_property_readonly(
          "last_error", [](KernelBox& b) { return readable(b).errors ? b.errors->newest() : py::object(py::none()); },
          "The newest exception of the handler, with its traceback; None.")
      .def_property_readonly("accepts", [](KernelBox& b) { return py::tuple(py::cast(readable(b).accepts)); })
      .def_property_readonly("backend", [](KernelBox& b) { return readable(b).kernel->backend().name(); })
      .def_property_readonly(
          "mode",
          [](KernelBox& b) { return readable(b).kernel->backend().persistent() ? "persistent" : "event_driven"; })
      .def_property_readonly("_state", [](KernelBox& b) { return static_cast<int>(readable(b).kernel->state()); });
  add_hot_methods(kernel);
}

}  // namespace

py::dict stats_dict(const RingStats& s) {
  using namespace pybind11::literals;
  return py::dict("accepted"_a = s.accepted, "delivered"_a = s.delivered, "dropped"_a = s.dropped,
                  "dead_lettered"_a = s.dead_lettered, "in_flight"_a = s.in_flight, "high_water"_a = s.high_water);
}

KernelBox* kernel_box(PyObject* self) {
  auto* box = static_cast<KernelBox*>(reinterpret_cast<py::detail::instance*>(self)->simple_value_holder[0]);
  if (box == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "kernels are made by Runtime.launch()");
    return nullptr;
  }
  return box->check_initialised() && same_process(box->generation) ? box : nullptr;
}

bool may_wait_for(const KernelBox& box, const char* verb) {
  if (!box.python || !box.python->runs_here()) return true;
  raise("ContextError",
        "%s: the handler of kernel '%s' would wait for itself; use ctx.reply, ctx.send or "
        "ctx.request_termination",
        verb, box.kernel->name().c_str());
  return false;
}

namespace {

// The class of a message and its layout; nullptr with an error set when it is unknown, or the payload has another size.
const LayoutObject* layout_for(const MessageHeader& header, PyTypeObject** type) {
  PyObject* id = PyLong_FromUnsignedLong(header.type_id);
  if (id == nullptr) return nullptr;
  *type = reinterpret_cast<PyTypeObject*>(PyDict_GetItemWithError(message_types().ptr(), id));
  Py_DECREF(id);
  if (*type == nullptr) {
    raise("WrongMessageError", "no message class has the type id 0x%08x", header.type_id);
    return nullptr;
  }
  const LayoutObject* layout = layout_of(*type);
  if (layout == nullptr || layout->layout->size == header.payload_size) return layout;
  raise("InvalidMessageError", "%s: found %u bytes, need %u", (*type)->tp_name, header.payload_size,
        layout->layout->size);
  return nullptr;
}

}  // namespace

bool check_size(const MessageHeader& header) {
  PyTypeObject* type = nullptr;
  return layout_for(header, &type) != nullptr;
}

PyObject* message_from(const MessageHeader& header, const std::byte* payload) {
  PyTypeObject* type = nullptr;
  const LayoutObject* layout = layout_for(header, &type);
  if (layout == nullptr) return nullptr;
  MessageObject* message = new_message(type, *layout, payload);
  if (message != nullptr) message->store_header(header);
  return reinterpret_cast<PyObject*>(message);
}

PyObject* message_from(const Frame& frame) {
  return message_from(header_of(frame), frame.data() + sizeof(MessageHeader));
}

void bind_kernels(py::module_& module) {
  bind_context(module);
  py::register_exception_translator(translate_errors);
  module.attr("message_types") = message_types();
  bind_kernel_class(module);
  bind_operations(module);
  bind_runtime(module);
}

}  // namespace rk::py
