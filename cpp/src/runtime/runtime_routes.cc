// What resident loops ask their runtime for: ways to receivers, topics, a place for dead letters, a supervisor.
#include <algorithm>

#include "ringkernel/runtime/runtime.h"

namespace rk {
namespace {

// Does the kernel's handler take this type? What says nothing about its types is asked.
bool takes(const Kernel& kernel, std::uint32_t type_id) {
  const auto& known = kernel.options().message_layouts;
  return known.empty() ||
         std::any_of(known.begin(), known.end(), [&](const auto& one) { return one.type_id == type_id; });
}

const char* why(Status status) {
  return status == Status::kTooLarge ? "the message is larger than what the subscription holds" : "the ring was full";
}

}  // namespace

// -- ways -------------------------------------------------------------------------------------------------------------

Route Runtime::open_route(const RouteRequest& request, std::shared_ptr<LaneSender> sender) {
  const std::shared_ptr<Kernel> from = find(request.from);
  Route route;
  if (from == nullptr) return route;
  if (request.to.kernel() == 0) return route_to_host(request, *from, std::move(sender));
  const std::shared_ptr<Kernel> to = find(request.to);
  if (to == nullptr || request.to.instance() >= to->instances()) return route;
  LaneOptions options = to->lane_options(request.priority);
  if (!request.reply) route.edge = edge_between(*from, *to);
  if (!request.reply && !route.edge && to != from) {
    route.status = Status::kUndeclared;
    return route;
  }
  if (route.edge) {
    options.overflow = route.edge->options().overflow;
    if (route.edge->options().capacity != 0) options.capacity = route.edge->options().capacity;
  }
  try {
    route.lane = to->open_lane(request.to.instance(), options, std::move(sender));
  } catch (const std::bad_alloc&) {
    route.status = Status::kNoMemory;
    return route;
  } catch (const Lane::GeometryFailure&) {  // a kernel with larger messages has taken the place of the one connected
    route.status = Status::kNoMemory;
    return route;
  }
  if (!route.lane) return route;
  if (route.edge) route.edge->add(route.lane);
  route.waits_for = &to->inbox(request.to.instance());
  route.receiver = to;
  route.status = Status::kOk;
  return route;
}

Route Runtime::route_to_host(const RouteRequest& request, Kernel& from, std::shared_ptr<LaneSender> sender) {
  Route route;
  const std::uint32_t number = request.to.instance();
  try {
    if (number == 0) {
      route.lane = from.outbox().inbox().open(from.lane_options(request.priority), std::move(sender));
    } else {
      std::shared_ptr<HostPort> port;
      {
        const std::shared_lock lock(mutex_);
        if (number <= ports_.size()) port = ports_[number - 1].lock();
      }
      if (port) route.lane = port->inbox().open(from.lane_options(request.priority), std::move(sender));
      route.receiver = port;
    }
    route.status = route.lane ? Status::kOk : Status::kClosed;
  } catch (const std::bad_alloc&) {
    route.status = Status::kNoMemory;
  }
  return route;
}

std::optional<Address> Runtime::find_receiver(const std::string& name) {
  if (name == "host") return Address{0};
  const std::shared_ptr<Kernel> kernel = find(name);
  if (!kernel) return std::nullopt;
  return Address::make(kernel->address().node(), kernel->address().kernel(), KernelContext::kAnyInstance);
}

std::uint32_t Runtime::choose_instance(Address kernel, std::uint32_t type_id, std::span<const std::byte> payload) {
  const std::shared_ptr<Kernel> found = find(kernel);
  return found ? found->choose_instance(type_id, payload) : 0;
}

// -- edges ------------------------------------------------------------------------------------------------------------

std::shared_ptr<Edge> Runtime::connect(const std::string& from, const std::string& to, EdgeOptions options) {
  const std::shared_ptr<Kernel> source = find(from), target = find(to);
  if (source == nullptr || target == nullptr) {
    throw Error("UnknownKernelError", "connect: no kernel is named '" + (source == nullptr ? from : to) + "'");
  }
  const std::uint64_t capacity = options.capacity != 0 ? options.capacity : target->options().capacity;
  if (!is_power_of_two(capacity)) {
    throw Error("CapacityError",
                "connect: capacity: found " + std::to_string(capacity) + ", need a power of two, such as 1024");
  }
  LaneOptions lane = target->lane_options();
  lane.capacity = capacity;
  lane.overflow = options.overflow;
  if (Lane::check(lane) != GeometryError::kNone || capacity > physical_memory() / lane.slot_size) {
    throw Error("RingMemoryError", "connect: a ring of " + std::to_string(capacity) + " messages of " +
                                       std::to_string(lane.slot_size) +
                                       " bytes does not fit this machine's memory: choose a smaller capacity");
  }
  options.capacity = capacity;  // also for a kernel that takes the target's place: the marks are made for it
  if (options.high_water == 0) options.high_water = std::max<std::uint64_t>(capacity / 4 * 3, 1);
  if (options.low_water == 0) options.low_water = options.high_water / 2;
  if (options.high_water > capacity || options.low_water >= options.high_water) {
    throw Error("InvalidArgumentError", "connect: found low_water=" + std::to_string(options.low_water) +
                                            ", high_water=" + std::to_string(options.high_water) +
                                            "; need low < high <= capacity (" + std::to_string(capacity) + ")");
  }
  const std::lock_guard lock(edges_mutex_);
  std::shared_ptr<Edge>& edge = edges_[{from, to}];
  if (edge && edge->stats().lanes != 0) {
    throw Error("EdgeExistsError", "connect: '" + from + "' has sent to '" + to + "' already: connect them before");
  }
  edge = std::make_shared<Edge>(from, to, options);
  return edge;
}

std::shared_ptr<Edge> Runtime::edge_between(const Kernel& from, const Kernel& to) {
  const std::lock_guard lock(edges_mutex_);
  const auto found = edges_.find({from.name(), to.name()});
  if (found != edges_.end()) return found->second;
  if (&from == &to) return nullptr;  // it may send to itself as it is
  const auto& declared = from.options().publishes_to;
  if (std::find(declared.begin(), declared.end(), to.name()) == declared.end()) return nullptr;
  EdgeOptions options;
  options.high_water = std::max<std::uint64_t>(to.options().capacity / 4 * 3, 1);
  options.low_water = options.high_water / 2;
  return edges_[{from.name(), to.name()}] = std::make_shared<Edge>(from.name(), to.name(), options);
}

std::vector<std::shared_ptr<Edge>> Runtime::edges() {
  const std::lock_guard lock(edges_mutex_);
  std::vector<std::shared_ptr<Edge>> all;
  for (const auto& [names, edge] : edges_) all.push_back(edge);
  return all;
}

// -- topics -----------------------------------------------------------------------------------------------------------

void Runtime::refused_by(Subscription& subscription, Status status, const MessageHeader& header,
                         const std::byte* payload) {
  const Kernel* kernel = subscription.kernel();
  MessageHeader bound = header;  // for replay(): any instance of the kernel, or (0) the host
  bound.dest =
      kernel == nullptr
          ? 0
          : Address::make(kernel->address().node(), kernel->address().kernel(), KernelContext::kAnyInstance).word;
  dead_letters_.add(status == Status::kFull ? DeadLetterReason::kSubscriberFull : DeadLetterReason::kUndeliverable,
                    clock_.now(), bound, {payload, header.payload_size},
                    kernel != nullptr ? kernel->name() : subscription.pattern(), why(status));
}

std::uint32_t Runtime::publish(std::string_view topic, const MessageHeader& header, const std::byte* payload,
                               bool retain) {
  const auto refused = [this](auto&&... what) { refused_by(what...); };
  return topics_.publish(topic, header, payload, retain, 0, refused, [] {});
}

std::uint32_t Runtime::publish_from_host(std::string_view topic, MessageHeader& header, const std::byte* payload,
                                         bool retain, std::uint64_t deadline_ns, const Topics::Poll& poll) {
  if (closed()) throw Error("RuntimeClosedError", "the runtime is closed: make a new one");
  header.message_id = take_message_ids(1);
  header.source = Address::make(clock_.node_id(), 0).word;
  header.dest = 0;
  header.hlc = clock_.tick().time;
  const auto refused = [this](auto&&... what) { refused_by(what...); };
  return topics_.publish(topic, header, payload, retain, deadline_ns, refused, poll);
}

std::shared_ptr<Subscription> Runtime::subscribe(std::string pattern, const SubscriptionOptions& options,
                                                 std::shared_ptr<Kernel> kernel) {
  if (closed()) throw Error("RuntimeClosedError", "the runtime is closed: make a new one");
  const auto refused = [this](auto&&... what) { refused_by(what...); };
  auto made = topics_.subscribe(std::move(pattern), options, kernel, backend_->inbox_memory(), refused);
  // After it is known: a kernel that ends from here on finds it, and closes it.
  if (!kernel || !kernel->closed_for_sending()) return made;
  topics_.unsubscribe(made);
  throw Error("KernelTerminatedError", "subscribe: kernel '" + kernel->name() + "' has ended: launch it again");
}

// -- what goes wrong --------------------------------------------------------------------------------------------------

void Runtime::bury(DeadLetterReason reason, Address kernel, const MessageHeader& header, const std::byte* payload,
                   std::string_view error) {
  const std::shared_ptr<Kernel> found = find(kernel);
  if (reason == DeadLetterReason::kTerminated && found && found->hung()) reason = DeadLetterReason::kHung;
  dead_letters_.add(reason, clock_.now(), header, {payload, header.payload_size}, found ? found->name() : "", error);
}

std::uint64_t Runtime::replay(const std::vector<u64>& sequences, Kernel* to) {
  std::uint64_t sent = 0;
  std::vector<DeadLetter> kept;
  for (DeadLetter& letter : dead_letters_.take(sequences)) {
    if (replay_one(letter, to)) {
      ++sent;
    } else {
      kept.push_back(std::move(letter));
    }
  }
  dead_letters_.put_back(std::move(kept));
  return sent;
}

bool Runtime::replay_one(const DeadLetter& letter, Kernel* to) {
  const Address dest{letter.header.dest};
  std::shared_ptr<Kernel> bound;
  if (to != nullptr) {
    bound = to->shared_from_this();
  } else if (dest.kernel() != 0) {
    bound = find(letter.kernel);
  }
  if (!bound || bound->closed_for_sending() || letter.truncated || !takes(*bound, letter.header.type_id)) return false;
  MessageHeader header = letter.header;
  header.deadline = 0;                                // the one it had has passed
  header.message_id = take_message_ids(1);            // a receiver that remembers ids must not take it for a duplicate
  header.flags &= static_cast<u8>(~kFlagWantsReply);  // who asked was told
  const bool as_before = to == nullptr && dest.instance() < bound->instances();
  const std::uint32_t instance = as_before ? dest.instance() : bound->choose_instance(header.type_id, letter.payload);
  return bound->try_send(header, letter.payload.data(), instance) == Status::kOk;
}

std::uint64_t Runtime::take_message_ids(std::uint64_t count) {
  return message_ids_.fetch_add(count, std::memory_order_relaxed) + 1;
}

bool Runtime::on_exit(Address instance, bool abnormal, const std::string& error) {
  const std::shared_ptr<Kernel> kernel = find(instance);
  return kernel && supervisors_->on_exit(kernel, instance, abnormal, error);
}

// On the loop's own thread. What may call back into the user's world is put off.
void Runtime::on_end(Address address) {
  const std::shared_ptr<Kernel> kernel = find(address);
  if (!kernel) return;
  kernel->outbox().kick();
  {
    const std::shared_lock lock(mutex_);
    for (const auto& weak : ports_) {
      if (const auto port = weak.lock()) port->kick();
    }
  }
  supervisors_->on_end(kernel);
  backend_->scheduler().later([self = shared_from_this(), kernel] {
    self->topics_.forget(*kernel);
    self->registry_.remove(kernel->name(), kernel->address().word);
  });
}

// -- watchdogs --------------------------------------------------------------------------------------------------------

void Runtime::watch_over(const std::shared_ptr<Kernel>& kernel) {
  const std::uint64_t limit = kernel->options().watchdog_ns;
  if (limit == 0) return;
  const std::uint64_t pause = std::clamp<std::uint64_t>(limit / 4, 1'000'000, 1'000'000'000);
  backend_->scheduler().later(
      [self = weak_from_this(), watched = std::weak_ptr<Kernel>(kernel)] {
        if (const auto runtime = self.lock()) runtime->look_for_hang(watched);
      },
      HostAtomics::monotonic_ns() + pause);
}

void Runtime::look_for_hang(const std::weak_ptr<Kernel>& watched) {
  const std::shared_ptr<Kernel> kernel = watched.lock();
  if (!kernel || kernel->silent()) return;
  const std::optional<StuckHandler> stuck = kernel->find_stuck(kernel->options().watchdog_ns);
  if (!stuck || kernel->stop_stuck(*stuck)) return watch_over(kernel);
  MessageHeader header{};
  header.type_id = stuck->message_type;
  header.message_id = stuck->message_id;
  header.payload_size = ~u32{0};  // only the handler knows; the letter counts as cut
  kernel->give_up_as_hung(*stuck, [&] {
    dead_letters_.add(DeadLetterReason::kHung, clock_.now(), header, {}, kernel->name(),
                      "its handler did not return within the watchdog's time");
  });
  if (!kernel->hung()) return;
  registry_.remove(kernel->name(), kernel->address().word);
  topics_.forget(*kernel);
  supervisors_->on_hung(kernel, "its handler did not return within the watchdog's time");
  const std::shared_lock lock(mutex_);
  for (const auto& weak : ports_) {
    if (const auto port = weak.lock()) port->kick();
  }
}

}  // namespace rk
