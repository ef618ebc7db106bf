// Runtime and Kernel in Python: everything that is not hot.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "kernel_box.h"
#include "ring_box.h"

namespace rk::py {

namespace py = pybind11;

namespace {

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

// To read is harmless in any process.
template <class Box>
Box& readable(Box& box) {
  if (!box.check_initialised()) throw py::error_already_set();
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

using Move = void (Kernel::*)(std::uint64_t, const Kernel::Poll&);

void make_move(KernelBox& box, const py::object& timeout, Move move) {
  const std::uint64_t deadline = deadline_from(timeout);
  Kernel& kernel = *checked(box).kernel;
  if (!may_wait_for(box, "a change of state")) throw py::error_already_set();
  const py::gil_scoped_release release;
  (kernel.*move)(deadline, Kernel::Poll(&poll_signals));
}

std::uint64_t send_rows(KernelBox& box, const py::type& type, const py::buffer& rows, std::uint64_t count,
                        std::optional<double> timeout) {
  checked(box);
  if (!may_wait_for(box, "send_many")) throw py::error_already_set();
  const LayoutObject* layout = layout_of(reinterpret_cast<PyTypeObject*>(type.ptr()));
  if (layout == nullptr) throw py::error_already_set();
  const py::buffer_info info = rows.request();
  const auto* bytes = static_cast<const std::byte*>(info.ptr);
  MessageHeader like{};
  like.version = kMessageVersion;
  like.priority = kPriorityNormal;
  like.type_id = layout->layout->type_id;
  like.payload_size = layout->layout->size;
  const std::uint64_t deadline = timeout ? deadline_from(py::float_(*timeout)) : 0;
  std::uint64_t sent = 0;
  for (;;) {
    if (box.kernel->closed_for_sending())
      throw Error("KernelTerminatedError", "kernel '" + box.kernel->name() + "' is " + to_string(box.kernel->state()));
    {
      const py::gil_scoped_release release;
      sent += box.kernel->send_many(like, bytes + sent * like.payload_size, count - sent);
    }
    if (sent == count || deadline == 0) return sent;
    const int waited =
        wait_interruptibly(deadline, [&](std::uint64_t slice) { return box.kernel->wait_for_room(slice); });
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
  {
    const py::gil_scoped_release release;
    payloads.assign(reinterpret_cast<const char*>(first.data()) + sizeof(MessageHeader), header.payload_size);
    box.kernel->receive_more(header.type_id, max - 1, [&](const std::byte* payload, std::size_t size) {
      payloads.append(reinterpret_cast<const char*>(payload), size);
    });
  }
  return py::make_tuple(header.type_id, py::bytes(payloads));
}

py::dict stats_dict(const RingStats& s) {
  using namespace pybind11::literals;
  return py::dict("accepted"_a = s.accepted, "delivered"_a = s.delivered, "dropped"_a = s.dropped,
                  "dead_lettered"_a = s.dead_lettered, "in_flight"_a = s.in_flight, "high_water"_a = s.high_water);
}

py::dict telemetry_dict(const TelemetryBlock& block) {
  py::dict result;
#define RK_TELEMETRY_ENTRY(S, type, name, offset) result[#name] = block.name;
  RK_TELEMETRY_BLOCK_FIELDS(RK_TELEMETRY_ENTRY)
#undef RK_TELEMETRY_ENTRY
  return result;
}

KernelBox launch(RuntimeBox& box, const std::string& name, py::object callable, py::object state,
                 const std::vector<py::type>& accepts, std::uint64_t capacity, std::uint32_t max_payload,
                 std::uint32_t max_failures, double failure_window, py::object on_error, py::object resolve) {
  checked(box);
  auto handler = std::make_shared<PythonHandler>(std::move(callable), std::move(state), accepts, std::move(on_error),
                                                 std::move(resolve));
  KernelOptions options;
  options.name = name;
  options.capacity = capacity;
  options.max_payload = max_payload;
  options.max_failures = max_failures;
  options.failure_window_ns = static_cast<std::uint64_t>(failure_window * 1e9);
  try {
    const py::gil_scoped_release release;
    std::shared_ptr<Kernel> kernel = box.runtime->launch(handler, options);
    return KernelBox(box.runtime, std::move(kernel), std::move(handler));
  } catch (const HostRing::GeometryFailure& failure) {
    if (failure.error == GeometryError::kCapacityNotPowerOfTwo) {
      raise("CapacityError", "capacity: found %llu, need a power of two, such as 1024",
            static_cast<unsigned long long>(capacity));
    } else {
      raise("RingMemoryError", "%llu messages of %u bytes are more than a ring can have",
            static_cast<unsigned long long>(capacity), max_payload);
    }
  } catch (const std::bad_alloc&) {
    raise("RingMemoryError", "no memory for %llu messages of %u bytes: choose a smaller capacity",
          static_cast<unsigned long long>(capacity), max_payload);
  }
  throw py::error_already_set();
}

RuntimeBox make_runtime(const std::string& backend, std::uint32_t node_id, double max_drift) {
  if (backend != "cpu") throw Error("BackendUnavailableError", "backend '" + backend + "' is not part of this build");
  const auto drift = static_cast<std::uint64_t>(max_drift * 4294967296.0);
  return RuntimeBox(std::make_shared<Runtime>(std::shared_ptr<Backend>(make_cpu_backend()), node_id, drift));
}

std::vector<std::string> close_runtime(RuntimeBox& box, const py::object& timeout) {
  const std::uint64_t deadline = deadline_from(timeout);
  Runtime& runtime = *checked(box).runtime;
  const py::gil_scoped_release release;
  return runtime.close(deadline, Kernel::Poll(&poll_signals));
}

void translate_errors(std::exception_ptr error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const Error& typed) {
    raise(typed.kind(), "%s", typed.what());
  }
}

void bind_kernel_class(py::module_& module) {
  py::class_<KernelBox> kernel(module, "Kernel");
  kernel
      .def(
          "activate", [](KernelBox& b, const py::object& t) { make_move(b, t, &Kernel::activate); },
          py::arg("timeout") = 5.0)
      .def(
          "deactivate", [](KernelBox& b, const py::object& t) { make_move(b, t, &Kernel::deactivate); },
          py::arg("timeout") = 5.0, "Pause: returns when the handler rests; state and waiting messages stay.")
      .def(
          "terminate", [](KernelBox& b, const py::object& t) { make_move(b, t, &Kernel::terminate); },
          py::arg("timeout") = 5.0,
          "Drain, then stop, within `timeout` seconds. Raises KernelHungError when a handler does not return.")
      .def("_send_rows", &send_rows)
      .def("_receive_rows", &receive_rows)
      .def("_stats", [](KernelBox& b) { return stats_dict(readable(b).kernel->inbox_stats()); })
      .def("_outbox_stats", [](KernelBox& b) { return stats_dict(readable(b).kernel->outbox_stats()); })
      .def("_telemetry", [](KernelBox& b) { return telemetry_dict(readable(b).kernel->telemetry()); })
      .def_property_readonly("name", [](KernelBox& b) { return readable(b).kernel->name(); })
      .def_property_readonly("address", [](KernelBox& b) { return readable(b).kernel->address().word; })
      .def_property_readonly("capacity", [](KernelBox& b) { return readable(b).kernel->options().capacity; })
      .def_property_readonly("error_count", [](KernelBox& b) { return readable(b).kernel->error_count(); })
      .def_property_readonly(
          "last_error", [](KernelBox& b) { return readable(b).handler->last_error(); },
          "The newest exception of the handler, with its traceback; None.")
      .def_property_readonly("state_object", [](KernelBox& b) { return readable(b).handler->state(); })
      .def_property_readonly("accepts",
                             [](KernelBox& b) { return py::tuple(py::cast(readable(b).handler->accepted_types())); })
      .def_property_readonly("backend", [](KernelBox& b) { return readable(b).kernel->backend().name(); })
      .def_property_readonly(
          "mode",
          [](KernelBox& b) { return readable(b).kernel->backend().persistent() ? "persistent" : "event_driven"; })
      .def_property_readonly("_state", [](KernelBox& b) { return static_cast<int>(readable(b).kernel->state()); });
  add_hot_methods(kernel);
}

}  // namespace

KernelBox* kernel_box(PyObject* self) {
  auto* box = static_cast<KernelBox*>(reinterpret_cast<py::detail::instance*>(self)->simple_value_holder[0]);
  if (box == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "kernels are made by Runtime.launch()");
    return nullptr;
  }
  return box->check_initialised() && same_process(box->generation) ? box : nullptr;
}

bool may_wait_for(const KernelBox& box, const char* verb) {
  if (!box.handler->runs_here()) return true;
  raise("ContextError",
        "%s: the handler of kernel '%s' would wait for itself; use ctx.reply, ctx.send or "
        "ctx.request_termination",
        verb, box.kernel->name().c_str());
  return false;
}

PyObject* message_from(const Frame& frame) {
  const MessageHeader header = header_of(frame);
  PyObject* id = PyLong_FromUnsignedLong(header.type_id);
  if (id == nullptr) return nullptr;
  PyObject* type = PyDict_GetItemWithError(message_types().ptr(), id);
  Py_DECREF(id);
  if (type == nullptr) return raise("WrongMessageError", "no message class has the type id 0x%08x", header.type_id);
  const LayoutObject* layout = layout_of(reinterpret_cast<PyTypeObject*>(type));
  if (layout == nullptr) return nullptr;
  MessageObject* message = new_message(reinterpret_cast<PyTypeObject*>(type), *layout, frame.data() + sizeof(header));
  if (message != nullptr) message->store_header(header);
  return reinterpret_cast<PyObject*>(message);
}

void bind_kernels(py::module_& module) {
  bind_context(module);
  py::register_exception_translator(translate_errors);
  module.attr("message_types") = message_types();
  bind_kernel_class(module);
  py::class_<RuntimeBox>(module, "Runtime")
      .def(py::init(&make_runtime), py::arg("backend"), py::arg("node_id"), py::arg("max_drift"))
      .def("launch", &launch)
      .def("close", &close_runtime)
      .def("find",
           [](RuntimeBox& b, const std::string& name) -> std::optional<std::uint64_t> {
             const auto kernel = checked(b).runtime->find(name);
             return kernel ? std::optional(kernel->address().word) : std::nullopt;
           })
      .def("now", [](RuntimeBox& b) { return checked(b).runtime->clock().now(); })
      .def("tick", [](RuntimeBox& b) { return checked(b).runtime->clock().tick(); })
      .def("description", [](RuntimeBox& b) { return readable(b).runtime->backend().description(); })
      .def_property_readonly("closed", [](RuntimeBox& b) { return readable(b).runtime->closed(); })
      .def_property_readonly("backend", [](RuntimeBox& b) { return readable(b).runtime->backend().name(); });
}

}  // namespace rk::py
