// Runtime in Python: launching, closing, the clock.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <system_error>

#include "bindings.h"
#include "compiled_handler.h"
#include "device_handler.h"
#include "kernel_box.h"
#include "native_handler.h"
#include "ring_box.h"
#include "ringkernel/runtime/cuda_backend.h"
#include "stream_send.h"

namespace rk::py {

namespace py = pybind11;

namespace {

std::uint64_t to_ns(const py::handle& seconds) {
  const double value = seconds.cast<double>();
  return value >= 1.8e10 ? kNoDeadline : static_cast<std::uint64_t>(value * 1e9);
}

FieldInfo field_from(const py::handle& row) {
  const auto t = row.cast<py::tuple>();
  return {t[0].cast<std::string>(), t[1].cast<std::string>(), t[2].cast<u32>(), t[3].cast<u32>()};
}

// (class name, size, type id, [(name, type, offset, size)])
LayoutInfo layout_from(const py::handle& given) {
  LayoutInfo info;
  if (given.is_none()) return info;
  const auto t = given.cast<py::tuple>();
  info.class_name = t[0].cast<std::string>();
  info.size = t[1].cast<u32>();
  info.type_id = t[2].cast<u32>();
  for (const py::handle row : t[3].cast<py::list>()) info.fields.push_back(field_from(row));
  return info;
}

KernelOptions options_from(const py::dict& o) {
  KernelOptions options;
  options.name = o["name"].cast<std::string>();
  options.instances = o["instances"].cast<std::uint32_t>();
  options.capacity = o["capacity"].cast<std::uint64_t>();
  options.max_payload = o["max_payload"].cast<std::uint32_t>();
  options.max_failures = o["max_failures"].cast<std::uint32_t>();
  options.failure_window_ns = to_ns(o["failure_window"]);
  for (const py::handle row : o["route_by"].cast<py::list>()) {
    const auto t = row.cast<py::tuple>();
    options.route_by.push_back({t[0].cast<u32>(), t[1].cast<u32>(), t[2].cast<u32>()});
  }
  options.dedup_window = o["dedup"].cast<std::uint32_t>();
  options.worker = o["worker"].cast<std::int32_t>();
  options.watchdog_ns = o["watchdog"].is_none() ? 0 : to_ns(o["watchdog"]);
  options.publishes_to = o["publishes_to"].cast<std::vector<std::string>>();
  options.supervisor = o["supervisor"].cast<std::uint32_t>();
  options.restart = static_cast<Restart>(o["restart"].cast<int>());
  options.state_layout = layout_from(o["state_layout"]);
  for (const py::handle one : o["message_layouts"].cast<py::list>())
    options.message_layouts.push_back(layout_from(one));
  return options;
}

void raise_geometry(const GeometryError error, const KernelOptions& options) {
  const auto capacity = static_cast<unsigned long long>(options.capacity);
  if (error == GeometryError::kCapacityNotPowerOfTwo) {
    raise("CapacityError", "capacity: found %llu, need a power of two, such as 1024", capacity);
  } else {
    raise("RingMemoryError", "%llu messages of %u bytes are more than a ring can have", capacity, options.max_payload);
  }
}

}  // namespace

std::shared_ptr<void> kept_alive(const py::object& object) {
  if (object.is_none()) return nullptr;
  return std::shared_ptr<void>(py::object(object).release().ptr(), [](void* pointer) {
    if (Py_IsInitialized() == 0 || interpreter_is_ending()) return;
    const py::gil_scoped_acquire gil;
    Py_DECREF(static_cast<PyObject*>(pointer));
  });
}

namespace {

// For each accepted class: [(offset, scalar, does the handler write to what it refers to, name)]
std::vector<std::vector<ReferenceField>> references_from(const py::dict& o) {
  std::vector<std::vector<ReferenceField>> found;
  for (const py::handle rows : o["references"].cast<py::list>()) {
    auto& fields = found.emplace_back();
    for (const py::handle row : rows.cast<py::list>()) {
      const auto t = row.cast<py::tuple>();
      fields.push_back(
          {t[0].cast<u32>(), static_cast<Scalar>(t[1].cast<int>()), t[2].cast<bool>(), t[3].cast<std::string>()});
    }
    if (fields.size() > kMostReferences) throw py::value_error("too many references in a message");
  }
  return found;
}

// What a handler of machine code is told, whoever made it; `targets`: the names that it sends to, by index.
MachineHandler::Given given_from(RuntimeBox& box, const py::dict& o, const std::vector<py::type>& accepts,
                                 const KernelOptions& options, std::vector<std::string> targets) {
  MachineHandler::Given given;
  auto references = references_from(o);
  references.resize(accepts.size());
  for (std::size_t i = 0; i < accepts.size(); ++i) {
    const LayoutObject* layout = layout_of(reinterpret_cast<PyTypeObject*>(accepts[i].ptr()));
    if (layout == nullptr) throw py::error_already_set();
    given.accepts.push_back({layout->layout->type_id, layout->layout->size, std::move(references[i])});
  }
  if (!o["state"].is_none()) {
    const auto* state = reinterpret_cast<MessageObject*>(o["state"].ptr());
    given.initial_state.assign(state->payload, state->payload + options.state_layout.size);
  }
  given.instances = options.instances;
  given.targets = targets;
  const std::weak_ptr<Runtime> runtime = box.runtime;
  given.resolve = [runtime, names = std::move(targets)](std::uint32_t index) {
    if (names[index] == "host") return std::uint64_t{0};
    const auto living = runtime.lock();
    const auto kernel = living ? living->find(names[index]) : nullptr;
    if (!kernel) return MachineHandler::kNowhere;
    const Address at = kernel->address();
    return Address::make(at.node(), at.kernel(), KernelContext::kAnyInstance).word;
  };
  given.keep_alive = kept_alive(o["keep_alive"]);
  return given;
}

// {"entries": [(address of the run function, of its program)] as `accepts`, sizes in bytes, names}
CompiledHandler::Code code_from(const py::dict& o) {
  CompiledHandler::Code code;
  for (const py::handle row : o["entries"].cast<py::list>()) {
    const auto t = row.cast<py::tuple>();
    code.entries.push_back({reinterpret_cast<rk_run>(t[0].cast<std::uintptr_t>()),
                            reinterpret_cast<const void*>(t[1].cast<std::uintptr_t>())});
  }
  code.frame_bytes = o["frame"].cast<std::size_t>();
  code.shared_bytes = o["shared"].cast<std::size_t>();
  code.message_bytes = o["message"].cast<std::size_t>();
  code.topics = o["topics"].cast<std::vector<std::string>>();
  code.file = o["file"].cast<std::string>();
  code.assertions = o["assertions"].cast<std::unordered_map<std::uint32_t, std::string>>();
  code.longest_run = o["longest_run"].cast<std::uint32_t>();
  return code;
}

// {"image": what the device loads, "arch": for what, sizes in bytes, names}
DeviceCode device_code_from(const py::dict& o) {
  DeviceCode code;
  const std::string_view image = o["image"].cast<py::bytes>();
  const auto bytes = std::as_bytes(std::span(image.data(), image.size()));
  code.image = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
  code.arch = o["arch"].cast<std::string>();
  code.block_size = o["block_size"].cast<std::uint32_t>();
  code.shared_bytes = o["shared"].cast<std::uint32_t>();
  code.copy_bytes = o["message"].cast<std::uint32_t>();
  code.topics = o["topics"].cast<std::vector<std::string>>();
  code.file = o["file"].cast<std::string>();
  code.assertions = o["assertions"].cast<std::unordered_map<std::uint32_t, std::string>>();
  code.device = o["device"].cast<int>();
  return code;
}

std::shared_ptr<MachineHandler> machine_handler_from(RuntimeBox& box, const py::dict& o, const KernelBox& made,
                                                     const KernelOptions& options) {
  if (o["code"].is_none()) {
    return std::make_shared<NativeHandler>(reinterpret_cast<rk_handler>(o["pointer"].cast<std::uintptr_t>()),
                                           given_from(box, o, made.accepts, options, options.publishes_to));
  }
  const auto code = o["code"].cast<py::dict>();
  auto given = given_from(box, o, made.accepts, options, code["targets"].cast<std::vector<std::string>>());
  if (code.contains("image")) return std::make_shared<DeviceHandler>(device_code_from(code), std::move(given));
  return std::make_shared<CompiledHandler>(code_from(code), std::move(given));
}

std::shared_ptr<Handler> handler_from(RuntimeBox& box, const py::dict& o, KernelBox* made,
                                      const KernelOptions& options) {
  if (o["code"].is_none() && o["pointer"].is_none()) {
    made->python = std::make_shared<PythonHandler>(o["callable"], o["state"], made->accepts, o["on_error"],
                                                   o["resolve"], options.instances, references_from(o));
    made->errors = made->python->errors();
    return made->python;
  }
  made->native = machine_handler_from(box, o, *made, options);
  made->native_state = o["state"].is_none() ? py::object(py::none()) : py::object(py::type::of(o["state"]));
  return made->native;
}

// What a checkpoint holds must fit the kernel that is to go on with it.
void check_restore(const Checkpoint& checkpoint, const KernelOptions& options) {
  if (checkpoint.instances != options.instances) {
    throw Error("LayoutMismatchError", "the checkpoint has " + std::to_string(checkpoint.instances) +
                                           " instances, the launch asks for " + std::to_string(options.instances));
  }
  const std::string state = first_difference(checkpoint.state_layout, options.state_layout);
  if (!state.empty()) throw Error("LayoutMismatchError", "state of kernel '" + options.name + "': " + state);
  for (const InFlight& message : checkpoint.messages) {
    const auto has_id = [&](const LayoutInfo& one) { return one.type_id == message.header.type_id; };
    const auto found = std::find_if(checkpoint.message_layouts.begin(), checkpoint.message_layouts.end(), has_id);
    const auto needed = std::find_if(options.message_layouts.begin(), options.message_layouts.end(), has_id);
    if (needed == options.message_layouts.end() || found == checkpoint.message_layouts.end()) {
      throw Error("LayoutMismatchError",
                  "the checkpoint holds messages of " +
                      (found != checkpoint.message_layouts.end() ? found->class_name : "a class") + ", which kernel '" +
                      options.name + "' does not accept");
    }
    const std::string problem = first_difference(*found, *needed);
    if (!problem.empty()) throw Error("LayoutMismatchError", "message " + needed->class_name + ": " + problem);
    PyObject* type = PyDict_GetItem(message_types().ptr(), py::int_(message.header.type_id).ptr());
    const LayoutObject* layout = type != nullptr ? layout_of(reinterpret_cast<PyTypeObject*>(type)) : nullptr;
    if (layout == nullptr || message.payload.size() != layout->layout->size ||
        check_payload(*layout->layout, message.payload.data(), message.payload.size()).error != PayloadError::kNone) {
      throw Error("CheckpointCorruptError", "a message of " + needed->class_name + " in the checkpoint is not valid");
    }
  }
}

KernelBox launch(RuntimeBox& box, const py::dict& o) {
  checked(box);
  const KernelOptions options = options_from(o);
  std::optional<Checkpoint> restore;
  if (!o["restore"].is_none()) {
    const std::string_view bytes = o["restore"].cast<py::bytes>();
    restore = decode(std::as_bytes(std::span(bytes.data(), bytes.size())));
    check_restore(*restore, options);
  }
  KernelBox made(box.runtime, nullptr, o["accepts"].cast<std::vector<py::type>>());
  made.asks = box.asks;
  const std::shared_ptr<Handler> handler = handler_from(box, o, &made, options);
  try {
    const py::gil_scoped_release release;
    made.kernel = box.runtime->prepare(handler, options, restore ? &*restore : nullptr);
    return made;
  } catch (const Lane::GeometryFailure& failure) {
    raise_geometry(failure.error, options);
  } catch (const std::bad_alloc&) {
    raise("RingMemoryError", "no memory for %llu messages of %u bytes: choose a smaller capacity",
          static_cast<unsigned long long>(options.capacity), options.max_payload);
  }
  throw py::error_already_set();
}

void log_root_failure(const std::string& supervisor) {
  if (interpreter_is_ending()) return;
  const py::gil_scoped_acquire gil;
  try {
    const py::object log = py::module_::import("logging").attr("getLogger")("pyringkernel");
    log.attr("error")("supervisor %r failed: too many restarts, and nobody above it; its children are FAILED",
                      supervisor);
  } catch (py::error_already_set& error) {
    error.discard_as_unraisable("a logger of pyringkernel");
  }
}

std::shared_ptr<Backend> make_backend(const std::string& name, const CudaOptions& options) {
  if (name == "cpu") return make_cpu_backend(options.workers);
  if (name == "cuda") return make_cuda_backend(options);
  throw Error("BackendUnavailableError", "backend '" + name + "' is not part of this build");
}

RuntimeBox make_runtime(const std::string& backend, std::uint32_t node_id, double max_drift, std::uint32_t workers,
                        bool pin, std::uint64_t dead_letters, std::vector<int> devices, double lease,
                        std::uint32_t sm_budget) {
  RuntimeOptions options;
  options.node_id = node_id;
  options.max_drift_ntp64 = static_cast<std::uint64_t>(max_drift * 4294967296.0);
  options.dead_letters = dead_letters;
  const CudaOptions cuda{.devices = std::move(devices),
                         .lease_ns = static_cast<std::uint64_t>(lease * 1e9),
                         .sm_budget = sm_budget,
                         .workers = {.workers = workers, .pin = pin}};
  std::shared_ptr<Runtime> made;
  {
    const py::gil_scoped_release release;
    made = std::make_shared<Runtime>(make_backend(backend, cuda), options);
  }
  made->supervisors().on_root_failed(&log_root_failure);
  return RuntimeBox(std::move(made));
}

std::vector<std::string> close_runtime(RuntimeBox& box, const py::object& timeout) {
  const std::uint64_t deadline = deadline_from(timeout);
  Runtime& runtime = *checked(box).runtime;
  Scheduler::about_to_block();
  std::vector<std::string> hung;
  {
    const py::gil_scoped_release release;
    hung = runtime.close(deadline, Kernel::Poll(&poll_signals));
    forget_stream_sends();
  }
  box.asks->end();
  return hung;
}

}  // namespace

void bind_runtime(py::module_& module) {
  py::class_<RuntimeBox> runtime(module, "Runtime");
  runtime
      .def(py::init(&make_runtime), py::arg("backend"), py::arg("node_id"), py::arg("max_drift"), py::arg("workers"),
           py::arg("pin_workers"), py::arg("dead_letters"), py::arg("devices"), py::arg("lease"), py::arg("sm_budget"))
      .def("launch", &launch)
      .def("announce",
           [](RuntimeBox& b, KernelBox& kernel) {
             checked(b);
             const py::gil_scoped_release release;
             b.runtime->announce(*kernel.kernel);
           })
      .def("close", &close_runtime)
      .def("find",
           [](RuntimeBox& b, const std::string& name) -> std::optional<std::uint64_t> {
             const auto kernel = checked(b).runtime->find(name);
             return kernel ? std::optional(kernel->address().word) : std::nullopt;
           })
      .def("now", [](RuntimeBox& b) { return checked(b).runtime->clock().now(); })
      .def("tick", [](RuntimeBox& b) { return checked(b).runtime->clock().tick(); })
      .def("description", [](RuntimeBox& b) { return b.runtime->backend().description(); })
      .def_property_readonly("closed", [](RuntimeBox& b) { return b.runtime->closed(); })
      .def_property_readonly("workers", [](RuntimeBox& b) { return b.runtime->backend().scheduler().workers(); })
      .def_property_readonly("backend", [](RuntimeBox& b) { return b.runtime->backend().name(); });
  bind_services(module, runtime);
}

}  // namespace rk::py
