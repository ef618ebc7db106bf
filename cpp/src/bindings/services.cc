// Edges, topics, dead letters, supervisors, the registry and totals in Python.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "bindings.h"
#include "kernel_box.h"
#include "ring_box.h"

namespace rk::py {

namespace py = pybind11;
using namespace pybind11::literals;

namespace {

struct EdgeBox {
  std::shared_ptr<Edge> edge;
};

struct SubscriptionBox : Initialised {
  SubscriptionBox(std::shared_ptr<Runtime> r, std::shared_ptr<Subscription> s)
      : runtime(std::move(r)), subscription(std::move(s)) {}
  std::shared_ptr<Runtime> runtime;
  std::shared_ptr<Subscription> subscription;
  std::uint32_t generation = fork_generation();
};

Overflow overflow_from(const std::string& name) {
  if (name == "fail") return Overflow::kFail;
  if (name == "block") return Overflow::kBlock;
  if (name == "drop_newest") return Overflow::kDropNewest;
  if (name == "drop_oldest") return Overflow::kDropOldest;
  throw Error("InvalidArgumentError",
              "overflow: found '" + name + "', need 'fail', 'block', 'drop_newest' or 'drop_oldest'");
}

const char* name_of(Overflow overflow) {
  static constexpr const char* kNames[] = {"fail", "block", "drop_newest", "drop_oldest"};
  return kNames[static_cast<int>(overflow)];
}

// What a callback of Python code needs when it is kept and called by threads of ours.
template <class... Args>
std::function<void(Args...)> kept(py::function callback) {
  std::shared_ptr<py::function> held(new py::function(std::move(callback)), [](py::function* f) {
    if (Py_IsInitialized() == 0 || interpreter_is_ending()) {
      f->release();  // left to the process's end
    } else {
      const py::gil_scoped_acquire gil;
      *f = py::function();
    }
    delete f;
  });
  return [held](Args... args) {
    if (interpreter_is_ending()) return;
    const py::gil_scoped_acquire gil;
    try {
      (*held)(args...);
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("a callback of the registry");
    }
  };
}

// -- edges

EdgeBox connect(RuntimeBox& box, const std::string& from, const std::string& to, const std::string& overflow,
                std::uint64_t capacity, std::uint64_t high_water, std::uint64_t low_water) {
  return {checked(box).runtime->connect(from, to, {overflow_from(overflow), capacity, high_water, low_water})};
}

Edge& refreshed(EdgeBox& box) {
  constexpr std::uint64_t kPatienceNs = 20'000'000;
  const py::gil_scoped_release release;
  box.edge->refresh(HostAtomics::monotonic_ns() + kPatienceNs);
  return *box.edge;
}

py::dict edge_stats(EdgeBox& box) {
  const EdgeStats stats = refreshed(box).stats();
  py::dict dict = stats_dict(stats.ring);
  dict["credits"] = stats.credits;
  dict["capacity"] = stats.capacity;
  dict["lanes"] = stats.lanes;
  dict["blocked"] = stats.times_blocked;
  dict["linked"] = stats.linked;
  dict["congested"] = stats.congested;
  return dict;
}

// -- topics

std::uint32_t publish(RuntimeBox& box, const std::string& topic, const py::handle& object, bool retain,
                      const py::object& timeout) {
  checked(box);
  if (!is_message(object.ptr())) {
    raise("WrongMessageError", "publish: found %s, need a message", Py_TYPE(object.ptr())->tp_name);
    throw py::error_already_set();
  }
  const std::uint64_t deadline = deadline_from(timeout);
  auto* message = reinterpret_cast<MessageObject*>(object.ptr());
  const LayoutObject* layout = layout_of(Py_TYPE(object.ptr()));
  if (layout == nullptr || !alive(message)) throw py::error_already_set();
  MessageHeader header = message->load_header();
  header.version = kMessageVersion;
  header.flags = 0;
  header.type_id = layout->layout->type_id;
  header.payload_size = layout->layout->size;
  const Frame payload(message->payload, message->payload + layout->layout->size);
  std::uint32_t delivered = 0;
  {
    const py::gil_scoped_release release;
    delivered = box.runtime->publish_from_host(topic, header, payload.data(), retain, deadline, &poll_signals);
  }
  message->store_header(header);
  return delivered;
}

SubscriptionBox subscribe(RuntimeBox& box, const std::string& pattern, std::optional<KernelBox*> kernel,
                          std::uint64_t capacity, const std::string& overflow, std::uint32_t max_payload) {
  checked(box);
  SubscriptionOptions options;
  options.capacity = capacity;
  options.max_payload = max_payload;
  options.overflow = overflow_from(overflow);
  try {
    return SubscriptionBox(box.runtime, box.runtime->subscribe(pattern, options, kernel ? (*kernel)->kernel : nullptr));
  } catch (const Lane::GeometryFailure&) {
    raise("CapacityError", "capacity: found %llu, need a power of two, such as 256",
          static_cast<unsigned long long>(capacity));
  } catch (const std::bad_alloc&) {
    raise("RingMemoryError", "no memory for a subscription of %llu messages",
          static_cast<unsigned long long>(capacity));
  }
  throw py::error_already_set();
}

SubscriptionBox& checked(SubscriptionBox& box) {
  if (!box.check_initialised() || !same_process(box.generation)) throw py::error_already_set();
  return box;
}

// The next message; None when there is none until the deadline, or the subscription is closed and drained.
py::object receive(SubscriptionBox& box, const py::object& timeout) {
  Subscription& subscription = *checked(box).subscription;
  const std::uint64_t deadline = deadline_from(timeout);
  Frame frame;
  Scheduler::about_to_block();
  const int got = wait_interruptibly(deadline, [&](std::uint64_t slice) {
    return subscription.port().take(0, &frame, slice, [&] { return subscription.closed(); }) || subscription.closed();
  });
  if (got < 0) throw py::error_already_set();
  if (frame.empty()) return py::none();
  return py::reinterpret_steal<py::object>(message_from(frame));
}

py::object receive_rows(SubscriptionBox& box, std::uint64_t max, const py::object& timeout) {
  Subscription& subscription = *checked(box).subscription;
  const std::uint64_t deadline = deadline_from(timeout);
  Frame first;
  const int got = wait_interruptibly(deadline, [&](std::uint64_t slice) {
    return subscription.port().take(0, &first, slice, [&] { return subscription.closed(); }) || subscription.closed();
  });
  if (got < 0) throw py::error_already_set();
  if (first.empty()) return py::none();
  const MessageHeader header = header_of(first);
  if (!check_size(header)) throw py::error_already_set();
  std::string payloads(reinterpret_cast<const char*>(first.data()) + sizeof(MessageHeader), header.payload_size);
  subscription.port().take_more(header.type_id, header.payload_size, max - 1,
                                [&](const std::byte* payload, std::size_t size) {
                                  payloads.append(reinterpret_cast<const char*>(payload), size);
                                });
  return py::make_tuple(header.type_id, py::bytes(payloads));
}

// -- dead letters

py::dict letter_dict(const DeadLetter& letter) {
  const MessageHeader& h = letter.header;
  return py::dict("sequence"_a = letter.sequence, "reason"_a = to_string(letter.reason), "hlc"_a = letter.hlc,
                  "kernel"_a = letter.kernel, "error"_a = letter.error, "truncated"_a = letter.truncated,
                  "payload"_a = py::bytes(reinterpret_cast<const char*>(letter.payload.data()), letter.payload.size()),
                  "header"_a = py::bytes(reinterpret_cast<const char*>(&h), sizeof(h)));
}

py::list letters_list(const std::vector<DeadLetter>& letters) {
  py::list list;
  for (const DeadLetter& letter : letters) list.append(letter_dict(letter));
  return list;
}

py::list browse(RuntimeBox& box, std::size_t max, const std::optional<int>& reason,
                const std::optional<std::string>& kernel) {
  DeadLetterFilter filter;
  if (reason) filter.reason = static_cast<DeadLetterReason>(*reason);
  filter.kernel = kernel;
  return letters_list(box.runtime->dead_letters().browse(max, filter));
}

py::dict letter_stats(RuntimeBox& box) {
  const DeadLetterStats stats = box.runtime->dead_letters().stats();
  py::dict by_reason;
  for (std::size_t i = 0; i < stats.by_reason.size(); ++i) {
    by_reason[to_string(static_cast<DeadLetterReason>(i))] = stats.by_reason[i];
  }
  return py::dict("total"_a = stats.total, "kept"_a = stats.kept, "overwritten"_a = stats.overwritten,
                  "taken"_a = stats.taken, "by_reason"_a = by_reason);
}

// The decoded message of a letter; None when its class is unknown or it was cut.
py::object decode_letter(const py::bytes& header_bytes, const py::bytes& payload) {
  const std::string_view head = header_bytes, body = payload;
  MessageHeader header;
  if (head.size() != sizeof(header)) return py::none();
  std::memcpy(&header, head.data(), sizeof(header));
  if (header.payload_size != body.size()) return py::none();
  PyObject* message = message_from(header, reinterpret_cast<const std::byte*>(body.data()));
  if (message == nullptr) PyErr_Clear();
  return message != nullptr ? py::reinterpret_steal<py::object>(message) : py::object(py::none());
}

// -- supervision

std::uint32_t add_supervisor(RuntimeBox& box, std::uint32_t parent, int strategy, std::uint32_t intensity,
                             double period, double backoff, double max_backoff, const std::string& name, int restart) {
  SupervisorOptions options;
  options.strategy = static_cast<Strategy>(strategy);
  options.intensity = intensity;
  options.period_ns = static_cast<std::uint64_t>(period * 1e9);
  options.backoff_ns = static_cast<std::uint64_t>(backoff * 1e9);
  options.max_backoff_ns = static_cast<std::uint64_t>(max_backoff * 1e9);
  options.restart = static_cast<Restart>(restart);
  options.name = name;
  return checked(box).runtime->supervisors().add_supervisor(parent, options);
}

py::list supervision_events(RuntimeBox& box, std::uint32_t id) {
  py::list list;
  for (const SupervisionEvent& event : box.runtime->supervisors().events(id)) {
    list.append(py::dict(
        "kind"_a = to_string(event.kind), "supervisor"_a = event.supervisor, "child"_a = event.child,
        "instance"_a = event.instance == kAllInstances ? py::object(py::none()) : py::object(py::int_(event.instance)),
        "generation"_a = event.generation, "error"_a = event.error,
        "hlc"_a = HlcTimestamp{event.hlc, box.runtime->clock().node_id(), 0}));
  }
  return list;
}

py::dict totals(RuntimeBox& box) {
  const RuntimeTotals t = box.runtime->totals();
  const SchedulerStats s = box.runtime->backend().scheduler().stats();
  return py::dict("all"_a = stats_dict(t.all()), "inboxes"_a = stats_dict(t.inboxes),
                  "outboxes"_a = stats_dict(t.outboxes), "ports"_a = stats_dict(t.ports),
                  "subscriptions"_a = stats_dict(t.subscriptions), "workers"_a = s.workers, "threads"_a = s.threads,
                  "steals"_a = s.steals, "parks"_a = s.parks, "replaced"_a = s.replaced,
                  "dead_letters"_a = box.runtime->dead_letters().stats().total);
}

// -- checkpoints

py::dict checkpoint_facts(const py::bytes& bytes) {
  const std::string_view view = bytes;
  const Checkpoint made = decode(std::as_bytes(std::span(view.data(), view.size())));
  py::list layout;
  for (const FieldInfo& field : made.state_layout.fields) {
    layout.append(py::make_tuple(field.name, field.type, field.offset));
  }
  return py::dict("kernel"_a = made.kernel, "instances"_a = made.instances, "messages"_a = made.messages.size(),
                  "hlc"_a = HlcTimestamp{made.hlc, made.node_id, 0},
                  "version"_a = py::make_tuple(made.version >> 16, made.version & 0xFFFF), "layout"_a = layout);
}

[[noreturn]] void throw_os_error(const std::system_error& error, const std::string& path) {
  errno = error.code().value();
  PyErr_SetFromErrnoWithFilename(PyExc_OSError, path.c_str());
  throw py::error_already_set();
}

void checkpoint_save(const std::string& path, const py::bytes& bytes) {
  const std::string_view view = bytes;
  try {
    const py::gil_scoped_release release;
    save_atomically(path, std::as_bytes(std::span(view.data(), view.size())));
  } catch (const std::system_error& error) {
    throw_os_error(error, path);
  }
}

py::bytes checkpoint_load(const std::string& path) {
  std::vector<std::byte> bytes;
  try {
    const py::gil_scoped_release release;
    bytes = load_file(path);
  } catch (const std::system_error& error) {
    throw_os_error(error, path);
  }
  return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void bind_topics(py::module_& module, py::class_<RuntimeBox>& runtime) {
  py::class_<SubscriptionBox>(module, "Subscription")
      .def("receive", &receive)
      .def("_receive_rows", &receive_rows)
      .def("close",
           [](SubscriptionBox& b) {
             checked(b);
             const py::gil_scoped_release release;
             b.runtime->topics().unsubscribe(b.subscription);
           })
      .def("_stats", [](SubscriptionBox& b) { return stats_dict(b.subscription->stats()); })
      .def_property_readonly("closed", [](SubscriptionBox& b) { return b.subscription->closed(); })
      .def_property_readonly("pattern", [](SubscriptionBox& b) { return b.subscription->pattern(); });
  runtime.def("publish", &publish)
      .def("subscribe", &subscribe)
      .def("clear_retained", [](RuntimeBox& b, const std::string& t) { return b.runtime->topics().clear_retained(t); })
      .def("topics", [](RuntimeBox& b) {
        py::list list;
        for (const TopicInfo& one : b.runtime->topics().topics()) {
          list.append(py::make_tuple(one.topic, one.published, one.retained));
        }
        return list;
      });
}

void bind_supervision(py::class_<RuntimeBox>& runtime) {
  runtime.def("add_supervisor", &add_supervisor)
      .def("supervisor_state",
           [](RuntimeBox& b, std::uint32_t id) { return static_cast<int>(b.runtime->supervisors().state(id)); })
      .def("supervisor_restarts", [](RuntimeBox& b, std::uint32_t id) { return b.runtime->supervisors().restarts(id); })
      .def("supervisor_children", [](RuntimeBox& b, std::uint32_t id) { return b.runtime->supervisors().children(id); })
      .def("supervisor_events", &supervision_events)
      .def("terminate_supervisor", [](RuntimeBox& b, std::uint32_t id, const py::object& timeout) {
        const std::uint64_t deadline = deadline_from(timeout);
        checked(b);
        Scheduler::about_to_block();
        const py::gil_scoped_release release;
        return b.runtime->supervisors().terminate(id, deadline, Kernel::Poll(&poll_signals));
      });
}

void bind_registry(py::class_<RuntimeBox>& runtime) {
  runtime.def("registry_find", [](RuntimeBox& b, const std::string& name) { return b.runtime->registry().find(name); })
      .def("registry_lookup",
           [](RuntimeBox& b, const std::string& pattern) { return b.runtime->registry().lookup(pattern); })
      .def("registry_watch",
           [](RuntimeBox& b, const std::string& pattern, py::function callback) {
             auto tell = kept<bool, std::string, std::uint64_t>(std::move(callback));
             const py::gil_scoped_release release;
             return b.runtime->registry().watch(pattern, [tell](const RegistryEvent& event) {
               tell(event.kind == RegistryEvent::Kind::kRegistered, event.name, event.address);
             });
           })
      .def("registry_unwatch", [](RuntimeBox& b, std::uint64_t id) {
        const py::gil_scoped_release release;
        b.runtime->registry().unwatch(id);
      });
}

}  // namespace

void bind_services(py::module_& module, py::class_<RuntimeBox>& runtime) {
  py::class_<EdgeBox>(module, "Edge")
      .def("_stats", &edge_stats)
      .def_property_readonly("source", [](EdgeBox& b) { return b.edge->from(); })
      .def_property_readonly("target", [](EdgeBox& b) { return b.edge->to(); })
      .def_property_readonly("overflow", [](EdgeBox& b) { return name_of(b.edge->options().overflow); })
      .def_property_readonly("high_water", [](EdgeBox& b) { return b.edge->options().high_water; })
      .def_property_readonly("low_water", [](EdgeBox& b) { return b.edge->options().low_water; })
      .def_property_readonly("congested", [](EdgeBox& b) { return refreshed(b).congested(); });
  runtime.def("connect", &connect)
      .def("edges",
           [](RuntimeBox& b) {
             std::vector<EdgeBox> all;
             for (auto& edge : b.runtime->edges()) all.push_back({edge});
             return all;
           })
      .def("dead_letters_browse", &browse)
      .def("dead_letters_take",
           [](RuntimeBox& b, std::size_t max) { return letters_list(b.runtime->dead_letters().take(max)); })
      .def("dead_letters_stats", &letter_stats)
      .def("dead_letters_replay",
           [](RuntimeBox& b, const std::vector<u64>& sequences, std::optional<KernelBox*> to) {
             Kernel* kernel = to ? (*to)->kernel.get() : nullptr;
             const py::gil_scoped_release release;
             return b.runtime->replay(sequences, kernel);
           })
      .def("totals", &totals);
  module.def("decode_letter", &decode_letter);
  module.def("checkpoint_facts", &checkpoint_facts);
  module.def("checkpoint_save", &checkpoint_save);
  module.def("checkpoint_load", &checkpoint_load);
  bind_topics(module, runtime);
  bind_supervision(runtime);
  bind_registry(runtime);
}

}  // namespace rk::py
