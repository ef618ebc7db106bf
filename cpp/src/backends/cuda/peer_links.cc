// Ways of one instance to others of the same device, and those that lead to it: see link.h.
//
// A way is opened in answer to a message that was to go by the host: the instance waits for the answer meanwhile, so
// that its entry may change, and its lane has nothing on its way that the message could overtake.
#include <algorithm>
#include <utility>

#include "bridge.h"
#include "peer.h"
#include "ringkernel/runtime/error.h"

namespace rk::cuda {
namespace {

constexpr std::uint64_t kTryAgainNs = 10'000'000;  // after there was no room
constexpr std::uint64_t kNever = ~std::uint64_t{0};
constexpr std::uint64_t kSilencePatienceNs = 20'000'000;  // of a receiver that ends; what comes later is left over
constexpr std::uint64_t kLookAgainNs = 2'000'000;
constexpr std::uint64_t kMostSlots = std::uint64_t{1} << 28;

std::uint64_t key_of(std::uint32_t target, std::uint32_t instance) { return std::uint64_t{target} << 32 | instance; }

// What comes by a link is looked at by nobody on the host before it is handled.
bool takes_links(const Bridge& bridge) {
  const ResidentSpec& spec = bridge.spec();
  if (spec.dedup_window != 0 || spec.routes_by_key || bridge.lines().works == 0) return false;
  const auto& accepts = bridge.code().accepts;
  return std::all_of(accepts.begin(), accepts.end(), [](const auto& one) { return one.references.empty(); });
}

bool may_be_linked(const Route& route) {
  if (!route.edge || !route.lane) return false;
  return route.edge->options().overflow != Overflow::kDropOldest;
}

}  // namespace

// -- the sender -------------------------------------------------------------------------------------------------------

bool Peer::goes_by_link(std::uint32_t target, Address to, const MessageHeader& header) {
  if (bridge_.hub() == nullptr || header.priority != kPriorityNormal) return false;
  if (to.kernel() == 0 || to.kernel() == self_.kernel()) return false;
  if (const auto way = ways_out_.find(key_of(target, to.instance())); way != ways_out_.end()) {
    return way->second.closed_with == 0 && way->second.to.word == to.word && !way->second.link->is_shut();
  }
  if (const auto none = no_way_.find(to.word); none != no_way_.end()) {
    if (none->second == kNever || HostAtomics::monotonic_ns() < none->second) return false;
  }
  return open_way(target, to, header);
}

bool Peer::open_way(std::uint32_t target, Address to, const MessageHeader& header) {
  std::uint64_t& again = no_way_[to.word];
  again = kNever;
  const Route* route = sender_.route_of(header);
  if (route == nullptr) {
    no_way_.erase(to.word);  // it is not there, or was not connected; both may change
    return false;
  }
  Bridge* receiver = bridge_.hub()->find(*bridge_.spec().switchboard, to);
  if (receiver == nullptr || !takes_links(*receiver) || !may_be_linked(*route)) return false;
  again = HostAtomics::monotonic_ns() + kTryAgainNs;
  // What went by the host before must be over first.
  const RingStats before = route->lane->stats();
  if (before.in_flight != 0) return false;
  HostAtomics::fence_heavy();  // N3
  if (before.accepted != 0 && !receiver->peer(to.instance()).holds_nothing()) return false;
  if (!bridge_.has_table(target, receiver->shape().instances)) return false;
  std::shared_ptr<Link> link = make_link(*receiver, to, *route);
  if (!link) return false;
  const LinkBody body{target, to.instance(), kLinkOpen, 0, link->ring(), receiver->lines().doorbell(to.instance())};
  bridge_.put(kDownLink, self_.instance(), bytes_of(body));
  ways_out_[key_of(target, to.instance())] = WayOut{std::move(link), to};
  no_way_.erase(to.word);
  return true;
}

std::shared_ptr<Link> Peer::make_link(Bridge& receiver, Address to, const Route& route) {
  Peer& peer = receiver.peer(to.instance());
  LinkShape shape;
  const Overflow overflow = route.edge->options().overflow;
  std::uint64_t slots = route.lane->options().capacity;
  if (overflow == Overflow::kBlock) {  // what would wait beside the ring waits in it
    shape.limit = static_cast<std::uint32_t>(std::min<std::uint64_t>(slots, kMostSlots));
    slots += bridge_.spec().spill_limit;
  }
  if (slots > kMostSlots) return nullptr;
  shape.slots = static_cast<std::uint32_t>(slots);
  shape.stride = receiver.shape().inbox_stride;
  shape.max_payload = receiver.shape().max_payload;
  shape.drops = overflow == Overflow::kDropNewest;
  if (shape.bytes() > LinkHub::kMostBytes) return nullptr;
  DeviceMemory memory = bridge_.hub()->take(shape.bytes());
  if (memory.size() == 0) return nullptr;
  LinkRing ring{};
  ring.slots_address = memory.address() + LinkShape::kHeadBytes;
  ring.slots = shape.slots;
  ring.stride = shape.stride;
  ring.max_payload = shape.max_payload;
  ring.limit = shape.limit;
  ring.drops = shape.drops ? 1 : 0;
  ring.dest = to.word;
  bridge_.hub()->heap().write(memory.address(), &ring, sizeof(ring));
  const std::optional<std::uint32_t> place = peer.reserve_place();
  if (!place) return nullptr;
  auto counts = std::make_shared<LinkCounts>(shape, route.receiver, receiver);
  auto link = std::make_shared<Link>(std::move(memory), shape, peer, route.receiver, counts, bridge_, *place);
  route.edge->add(std::shared_ptr<EdgeLink>(std::move(counts)));
  peer.arrive(link);
  return link;
}

// An entry may be used again when the instance has heard that it was closed.
bool Peer::look_at_ways_out() {
  bool any = false;
  for (auto at = ways_out_.begin(); at != ways_out_.end();) {
    WayOut& way = at->second;
    if (way.closed_with == 0 && way.link->is_shut()) {
      const LinkBody body{static_cast<u32>(at->first >> 32), way.to.instance(), kLinkByHost, 0, 0, 0};
      bridge_.put(kDownLink, self_.instance(), bytes_of(body));
      way.closed_with = bridge_.next_command();
      any = true;
    }
    if (way.closed_with == 0 || !bridge_.heard(*this, way.closed_with)) {
      ++at;
      continue;
    }
    forget(std::exchange(way.link, nullptr));
    at = ways_out_.erase(at);
    any = true;
  }
  return any;
}

bool Peer::has_way(std::uint32_t target) const {
  return std::any_of(ways_out_.begin(), ways_out_.end(), [&](const auto& one) { return one.first >> 32 == target; });
}

// The sender's end of it. Not here the last of the receiving kernel.
void Peer::forget(std::shared_ptr<Link> link) {
  if (link->fall_silent()) link->receiver().take_left_over(*link);
  if (bridge_.failed()) bridge_.keep(link->memory());
  bridge_.keeper().let_go(std::move(link));
}

// In a cycle of waiters it takes a message: that is what makes room for the others.
void Peer::on_blocked(const SendBody& asked) {
  if (std::exchange(in_graph_, false)) bridge_.graph().leave(&record_.inbox);
  link_waits_ = false;
  const auto way = ways_out_.find(key_of(asked.target, asked.instance));
  if (asked.request == 0) {
    room_.store_relaxed(1);  // P1 own note
    return;
  }
  if (way != ways_out_.end() && way->second.closed_with == 0) {
    in_graph_ = bridge_.graph().enter(&record_.inbox, &way->second.link->receiver().record_.inbox);
    link_waits_ = in_graph_;
  }
  answer(asked.request, static_cast<u32>(Status::kOk), link_waits_ ? 0 : 1);
}

// -- the receiver -----------------------------------------------------------------------------------------------------

std::optional<std::uint32_t> Peer::reserve_place() {
  const std::lock_guard lock(links_mutex_);
  if (shut_) return std::nullopt;
  const auto free = std::find(places_.begin(), places_.end(), false);
  const auto place = static_cast<std::uint32_t>(free - places_.begin());
  if (place == kMaxIncoming) return std::nullopt;
  if (free == places_.end()) places_.push_back(false);
  places_[place] = true;
  return place;
}

void Peer::give_place(std::uint32_t place) {
  const std::lock_guard lock(links_mutex_);
  places_[place] = false;
}

void Peer::arrive(std::shared_ptr<Link> link) {
  {
    const std::lock_guard lock(links_mutex_);
    if (shut_) link->shut();
    arriving_.push_back(std::move(link));
  }
  arrived_.store_release(1);  // P1
  bridge_.wake();
}

void Peer::take_arrivals() {
  std::vector<std::shared_ptr<Link>> arrived;
  {
    const std::lock_guard lock(links_mutex_);
    arrived.swap(arriving_);
  }
  for (std::shared_ptr<Link>& link : arrived) {
    u64* words = bridge_.lines().link(self_.instance(), link->place());
    for (u32 n = 0; n < kLinkWords; ++n) store_relaxed(words[n], u64{0});  // S1 of the one that had the place
    const LinkBody body{kIncoming, link->place(), kLinkOpen, 0, link->ring(), 0};
    bridge_.put(kDownLink, self_.instance(), bytes_of(body));
    ways_in_.push_back(WayIn{std::move(link)});
  }
}

bool Peer::holds_nothing() const {
  return record_.inbox.stats().in_flight == 0 && record_.aboard.load_relaxed() == 0;  // S
}

void Peer::load_links() {
  u64 linked = linked_before_, dropped = dropped_before_;
  for (const WayIn& way : ways_in_) {
    LinkCounts& counts = way.link->counts();
    if (way.left_with == 0) {
      const u64* words = bridge_.lines().link(self_.instance(), way.link->place());
      counts.told(load_relaxed(words[0]), load_relaxed(words[1]), load_relaxed(words[2]),  // S1
                  load_relaxed(words[3]));                                                 // S1
    }
    const RingStats stats = counts.stats();
    linked += stats.accepted - stats.dropped;
    dropped += stats.dropped;
  }
  record_.linked.store_relaxed(linked);           // S
  record_.linked_dropped.store_relaxed(dropped);  // S
}

// One whose sender is silent goes when a command, given after that, found it empty.
bool Peer::look_at_ways_in() {
  bool any = false;
  for (std::size_t n = 0; n < ways_in_.size();) {
    WayIn& way = ways_in_[n];
    ++n;
    if (!way.link->silent()) continue;
    if (way.left_with != 0) {
      if (!bridge_.heard(*this, way.left_with)) continue;
      const RingStats stats = way.link->counts().stats();
      linked_before_ += stats.accepted - stats.dropped;
      dropped_before_ += stats.dropped;
      give_place(way.link->place());
      bridge_.keeper().let_go(std::move(way.link));
      ways_in_.erase(ways_in_.begin() + static_cast<std::ptrdiff_t>(--n));
      any = true;
      continue;
    }
    const bool looked = way.looked_with != 0 && bridge_.heard(*this, way.looked_with);
    if (looked) load_links();
    if (looked && way.link->counts().in_flight() == 0) {
      const LinkBody body{kIncoming, way.link->place(), kLinkByHost, 0, 0, 0};
      bridge_.put(kDownLink, self_.instance(), bytes_of(body));
      way.left_with = bridge_.next_command();
      any = true;
    } else if (way.looked_with == 0 || (looked && HostAtomics::monotonic_ns() >= look_again_ns_)) {
      look_again_ns_ = HostAtomics::monotonic_ns() + kLookAgainNs;
      way.looked_with = bridge_.next_command();
      any = true;
    }
  }
  return any;
}

bool Peer::look_at_links() {
  if (over_) return false;
  bool any = false;
  if (arrived_.load_relaxed() != 0 && arrived_.exchange_acquire(0) != 0) {  // P1
    take_arrivals();
    any = true;
  }
  if (!ways_out_.empty()) any |= look_at_ways_out();
  if (!ways_in_.empty()) any |= look_at_ways_in();
  return any;
}

// Those that come from now on are shut when they arrive.
void Peer::shut_ways_in() {
  if (shut_since_ != 0) return;
  shut_since_ = HostAtomics::monotonic_ns();
  {
    const std::lock_guard lock(links_mutex_);
    shut_ = true;
    for (const auto& link : arriving_) link->shut();
  }
  take_arrivals();
  for (const WayIn& way : ways_in_) way.link->shut();
}

// Or has waited long enough.
bool Peer::all_silent() const {
  if (std::all_of(ways_in_.begin(), ways_in_.end(), [](const WayIn& way) { return way.link->silent(); })) return true;
  return HostAtomics::monotonic_ns() - shut_since_ >= kSilencePatienceNs;
}

// -- the end ----------------------------------------------------------------------------------------------------------

void Peer::end_links() {
  for (auto& [key, way] : ways_out_) forget(std::move(way.link));
  ways_out_.clear();
  shut_ways_in();
  if (!ways_in_.empty()) load_links();
  for (WayIn& way : ways_in_) {
    if (way.link->receiver_over()) take_left_over(*way.link);
    if (bridge_.failed()) bridge_.keep(way.link->memory());
    bridge_.keeper().let_go(std::move(way.link));
  }
  ways_in_.clear();
}

// Of a device that does not answer nothing is left but a number.
void Peer::take_left_over(const Link& link) {
  const std::lock_guard lock(end_mutex_);
  std::uint64_t count = 0;
  try {
    const LinkRing ring =
        link.for_each(bridge_.hub()->heap(), [&](const MessageHeader& header, const std::byte* payload) {
          ++count;
          bury_left_over(header, payload, lost_);
        });
    link.counts().told(ring.accepted, ring.refused, ring.accepted, ring.waits);
  } catch (const Error&) {
    return;
  }
  (void)record_.linked_delivered.fetch_add_acq_rel(count);  // S
}

void Peer::for_each_linked(const MessageUse& use) const {
  for (const WayIn& way : ways_in_) {
    if (way.left_with == 0) way.link->for_each(bridge_.hub()->heap(), use);
  }
}

// The device may be at it still: nobody looks.
void Peer::leave_links() {
  for (auto& [key, way] : ways_out_) way.link->leave();
}

void Peer::collect_memory(std::vector<std::shared_ptr<DeviceMemory>>& of_links) {
  for (const auto& [key, way] : ways_out_) of_links.push_back(way.link->memory());
  for (const WayIn& way : ways_in_) of_links.push_back(way.link->memory());
}

}  // namespace rk::cuda
