#include "ringkernel/runtime/host_ring.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <utility>

namespace rk {
namespace {

std::uint64_t next_ring_id() {
  static std::atomic<std::uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

// Which lane this thread has in the rings it used last. Ring ids are never used twice, so an old entry cannot mislead.
struct LaneCacheEntry {
  std::uint64_t ring_id = 0;
  std::uint32_t lane = 0;
};
constinit thread_local std::array<LaneCacheEntry, 16> lane_cache;

// The calling thread's token once it has one. Plain thread-local data without a guard: it is read for every message.
constinit thread_local const ThreadToken* this_thread = nullptr;

std::uint64_t key_at(const std::byte* message, std::int64_t offset) {
  std::uint64_t key;
  std::memcpy(&key, message + offset, sizeof(key));
  return key;
}

}  // namespace

const std::shared_ptr<ThreadToken>& ThreadToken::current() {
  struct Holder {
    std::shared_ptr<ThreadToken> token = std::make_shared<ThreadToken>();
    ~Holder() {
      this_thread = nullptr;
      token->end();
    }
  };
  static thread_local Holder holder;
  this_thread = holder.token.get();
  return holder.token;
}

HostRing::HostRing(const HostRingOptions& options, MemorySource& memory) : options_(options), id_(next_ring_id()) {
  const bool dropping = options.overflow == Overflow::kDropOldest;
  const GeometryError error =
      dropping ? OverwriteRing<HostAtomics>::geometry(options.capacity, options.slot_size + 8, &geometry_)
               : make_geometry(options.capacity, options.slot_size, options.layout, &geometry_);
  if (error != GeometryError::kNone) throw GeometryFailure{error};
  if (options.slot_size == 0) throw GeometryFailure{GeometryError::kSlotSizeZero};
  if (geometry_.total_bytes > physical_memory()) throw std::bad_alloc();
  const std::uint32_t lanes = options_.max_producers;
  memory_ = memory.allocate(geometry_.total_bytes * lanes);
  const SpscOptions spsc{lanes == 1 ? options_.wait : Wait::kLatency, options_.progress_interval};
  if (dropping) {
    dropping_ = std::make_unique<DroppingRing>(
        lanes, options_.wait, lanes_in<HostAtomics, OverwriteRing<HostAtomics>>(memory_.data(), geometry_, spsc));
    scratch_.resize(lanes, std::vector<std::byte>(options_.slot_size + 8));
  } else {
    fifo_ = std::make_unique<FifoRing>(lanes, options_.wait, lanes_in<HostAtomics>(memory_.data(), geometry_, spsc));
    lengths_ = process_memory().allocate(options_.capacity * lanes * sizeof(std::uint32_t));
  }
  if (fifo_ && lanes == 1 && options_.order_offset < 0) single_ = &fifo_->lane(0).ring;
  not_full_ = std::make_unique<Parking<HostAtomics>[]>(lanes);
  staged_ = std::make_unique<std::uint64_t[]>(lanes);
}

// -- roles ------------------------------------------------------------------------------------------------------------

std::uint32_t HostRing::lane_of_thread() {
  if (this_thread != nullptr && producer_id_.load(std::memory_order_relaxed) == this_thread) return 0;
  return lane_of_thread_slowly();
}

std::uint32_t HostRing::lane_of_thread_slowly() {
  LaneCacheEntry& entry = lane_cache[id_ % lane_cache.size()];
  if (entry.ring_id != id_) entry = LaneCacheEntry{id_, assign_lane()};
  return entry.lane;
}

namespace {

// A thread that was joined may still be on its last instructions, before it says that it has ended.
template <class Free>
bool becomes_free(Free&& free) {
  const HostAtomics::Atomic<std::uint32_t> nobody{0};
  for (int tries = 0; tries < 200; ++tries) {
    if (free()) return true;
    HostAtomics::park(nobody, 0, 100'000);
  }
  return false;
}

}  // namespace

std::uint32_t HostRing::assign_lane() {
  const auto& me = ThreadToken::current();
  const std::lock_guard lock(mutex_);
  if (options_.one_producer && !owners_.empty() && owners_[0] && owners_[0] != me &&
      !becomes_free([this] { return !owners_[0]->alive(); })) {
    throw RoleTaken{Role::kProducer};
  }
  const auto mine = std::find(owners_.begin(), owners_.end(), me);
  if (mine != owners_.end()) return static_cast<std::uint32_t>(mine - owners_.begin());
  std::erase_if(sharers_, [](const auto& sharer) { return !sharer->alive(); });
  if (std::find(sharers_.begin(), sharers_.end(), me) != sharers_.end()) return options_.max_producers - 1;
  const auto orphan = std::find_if(owners_.begin(), owners_.end(), [](const auto& o) { return !o || !o->alive(); });
  if (orphan != owners_.end()) {
    *orphan = me;
    if (options_.one_producer) producer_id_.store(me.get(), std::memory_order_relaxed);
    return static_cast<std::uint32_t>(orphan - owners_.begin());
  }
  if (owners_.size() == options_.max_producers) {
    sharers_.push_back(me);
    return options_.max_producers - 1;
  }
  const auto lane = static_cast<std::uint32_t>(owners_.size());
  if (fifo_) {
    fifo_->take_lane();
  } else {
    dropping_->take_lane();
  }
  if (options_.one_producer) producer_id_.store(me.get(), std::memory_order_relaxed);
  if (shared_lane(lane)) {
    owners_.push_back(std::make_shared<ThreadToken>());  // nobody's
    sharers_.push_back(me);
  } else {
    owners_.push_back(me);
  }
  return lane;
}

void HostRing::own_consumer() {
  if (this_thread != nullptr && consumer_id_.load(std::memory_order_relaxed) == this_thread) return;
  if (options_.one_consumer) take_consumer_role();
}

void HostRing::take_consumer_role() {
  const auto& me = ThreadToken::current();
  const std::lock_guard lock(mutex_);
  if (consumer_owner_ && consumer_owner_ != me && !becomes_free([this] { return !consumer_owner_->alive(); })) {
    throw RoleTaken{Role::kConsumer};
  }
  consumer_owner_ = me;
  consumer_id_.store(me.get(), std::memory_order_relaxed);
}

void HostRing::leave(Role role) {
  const auto& me = ThreadToken::current();
  const std::lock_guard lock(mutex_);
  if (role == Role::kConsumer && consumer_owner_ == me) {
    consumer_owner_.reset();
    consumer_id_.store(nullptr, std::memory_order_relaxed);
  }
  const auto mine = std::find(owners_.begin(), owners_.end(), me);
  if (role == Role::kProducer && mine != owners_.end()) {
    mine->reset();
    producer_id_.store(nullptr, std::memory_order_relaxed);
    lane_cache[id_ % lane_cache.size()] = LaneCacheEntry{};
  }
}

// -- producing --------------------------------------------------------------------------------------------------------

Status HostRing::try_push(const void* from, std::size_t bytes) {
  const std::uint32_t lane = lane_of_thread();
  Status status;
  if (shared_lane(lane)) {
    const std::lock_guard lock(shared_lane_mutex_);
    status = push_to(lane, from, bytes);
  } else {
    status = push_to(lane, from, bytes);
  }
  if (status == Status::kOk) not_empty_.wake();
  return status;
}

Status HostRing::push_to(std::uint32_t lane, const void* from, std::size_t bytes) {
  return fifo_ ? push_fifo(lane, from, bytes) : push_dropping(lane, from, bytes);
}

Status HostRing::push_fifo(std::uint32_t lane, const void* from, std::size_t bytes) {
  auto& producer = fifo_->lane(lane).ring.producer();
  if (staged_[lane] != 0) publish_staged();
  std::byte* slot = producer.try_claim();
  if (slot == nullptr) {
    if (producer.closed()) return Status::kClosed;
    if (options_.overflow != Overflow::kDropNewest) return Status::kFull;
    producer.count_dropped(1);
    return Status::kOk;
  }
  std::memcpy(slot, from, bytes);
  if (bytes != options_.slot_size) std::memset(slot + bytes, 0, options_.slot_size - bytes);
  *length_of(lane, producer.claimed_index()) = static_cast<std::uint32_t>(bytes);
  producer.publish();
  return Status::kOk;
}

Status HostRing::push_dropping(std::uint32_t lane, const void* from, std::size_t bytes) {
  std::vector<std::byte>& message = scratch_[lane];
  const std::uint64_t length = bytes;
  std::memcpy(message.data(), from, bytes);
  std::memset(message.data() + bytes, 0, options_.slot_size - bytes);
  std::memcpy(message.data() + options_.slot_size, &length, sizeof(length));
  return dropping_->lane(lane).ring.producer().try_push(message.data(), message.size());
}

std::uint64_t HostRing::push_many(const void* from, std::uint64_t count) {
  const std::uint32_t lane = lane_of_thread();
  const auto* rows = static_cast<const std::byte*>(from);
  std::uint64_t pushed;
  if (shared_lane(lane)) {
    const std::lock_guard lock(shared_lane_mutex_);
    pushed = push_rows(lane, rows, count);
  } else {
    pushed = push_rows(lane, rows, count);
  }
  if (pushed != 0) not_empty_.wake();
  return pushed;
}

std::uint64_t HostRing::push_rows(std::uint32_t lane, const std::byte* rows, std::uint64_t count) {
  if (!fifo_ || options_.overflow == Overflow::kDropNewest) {
    std::uint64_t pushed = 0;
    while (pushed < count && push_to(lane, rows + pushed * options_.slot_size, options_.slot_size) == Status::kOk) {
      ++pushed;
    }
    return pushed;
  }
  auto& producer = fifo_->lane(lane).ring.producer();
  if (staged_[lane] != 0) publish_staged();
  const std::uint64_t fitting = producer.free_slots(count);
  const auto full = static_cast<std::uint32_t>(options_.slot_size);
  for (std::uint64_t n = 0; n < fitting; ++n) *length_of(lane, producer.claimed_index(n)) = full;
  return producer.push_many(rows, fitting);
}

bool HostRing::can_claim() { return fifo_ != nullptr && !shared_lane(lane_of_thread()); }

std::byte* HostRing::try_claim() {
  const std::uint32_t lane = lane_of_thread();
  if (staged_[lane] != 0) publish_staged();
  return fifo_->lane(lane).ring.producer().try_claim();
}

std::byte* HostRing::try_stage() {
  const std::uint32_t lane = lane_of_thread();
  auto& producer = fifo_->lane(lane).ring.producer();
  std::byte* slot = producer.try_claim(staged_[lane]);
  if (slot == nullptr) return nullptr;
  *length_of(lane, producer.claimed_index(staged_[lane])) = static_cast<std::uint32_t>(options_.slot_size);
  ++staged_[lane];
  return slot;
}

void HostRing::publish_staged() {
  const std::uint32_t lane = lane_of_thread();
  const std::uint64_t count = std::exchange(staged_[lane], 0);
  if (count == 0) return;
  fifo_->lane(lane).ring.producer().publish(count);
  not_empty_.wake();
}

void HostRing::publish(std::size_t bytes) {
  const std::uint32_t lane = lane_of_thread();
  auto& producer = fifo_->lane(lane).ring.producer();
  *length_of(lane, producer.claimed_index()) = static_cast<std::uint32_t>(bytes);
  producer.publish();
  not_empty_.wake();
}

bool HostRing::has_room() {
  const std::uint32_t lane = lane_of_thread();
  if (!fifo_ || options_.overflow == Overflow::kDropNewest) return true;
  if (!shared_lane(lane)) return fifo_->lane(lane).ring.producer().has_room_exact();
  const std::lock_guard lock(shared_lane_mutex_);
  return fifo_->lane(lane).ring.producer().has_room_exact();
}

bool HostRing::wait_for_room(std::uint64_t deadline_ns) {
  const std::uint32_t lane = lane_of_thread();
  // Threads that share a lane share its sleeper too: they look again at intervals instead.
  if (shared_lane(lane)) deadline_ns = std::min(deadline_ns, HostAtomics::monotonic_ns() + 1'000'000);
  return not_full_[lane].wait([this] { return closed() || has_room(); }, deadline_ns);
}

// -- consuming --------------------------------------------------------------------------------------------------------

const std::byte* HostRing::try_peek() {
  own_consumer();
  if (single_ != nullptr) return single_->try_peek();
  if (options_.order_offset < 0) return fifo_ ? fifo_->try_peek() : dropping_->try_peek();
  const auto key = [offset = options_.order_offset](const std::byte* message) { return key_at(message, offset); };
  return fifo_ ? fifo_->try_peek_ordered(key) : dropping_->try_peek_ordered(key);
}

std::uint32_t HostRing::peeked_length() const {
  if (single_ != nullptr) return lengths_.data<std::uint32_t>()[single_->consumer().peeked_index()];
  if (fifo_) {
    auto& consumer = fifo_->lane(fifo_->peeked_lane()).ring.consumer();
    return const_cast<HostRing*>(this)->length_of(fifo_->peeked_lane(), consumer.peeked_index())[0];
  }
  const std::byte* message = dropping_->lane(dropping_->peeked_lane()).ring.consumer().try_peek();
  return static_cast<std::uint32_t>(key_at(message, static_cast<std::int64_t>(options_.slot_size)));
}

void HostRing::release() {
  if (single_ != nullptr) {
    single_->release();
    return not_full_[0].wake();
  }
  if (!fifo_) return dropping_->release();
  fifo_->release();
  not_full_[fifo_->peeked_lane()].wake();
}

std::uint64_t HostRing::readable_span(std::uint64_t wanted) {
  if (!fifo_ || options_.order_offset >= 0 || geometry_.layout == kLayoutTurn)
    return std::min<std::uint64_t>(wanted, 1);
  if (single_ != nullptr) return single_->consumer().readable_span(wanted);
  return fifo_->lane(fifo_->peeked_lane()).ring.consumer().readable_span(wanted);
}

void HostRing::release_many(std::uint64_t count) {
  if (!fifo_ || count <= 1) return release();
  if (single_ != nullptr) {
    single_->release(count);
    return not_full_[0].wake();
  }
  fifo_->release(count);
  not_full_[fifo_->peeked_lane()].wake();
}

std::uint64_t HostRing::pop_many(void* to, std::uint64_t count) {
  auto* rows = static_cast<std::byte*>(to);
  std::uint64_t done = 0;
  while (done < count) {
    const std::byte* message = try_peek();
    if (message == nullptr) break;
    const std::uint64_t span = readable_span(count - done);
    std::memcpy(rows + done * options_.slot_size, message, span * options_.slot_size);
    release_many(span);
    done += span;
  }
  return done;
}

bool HostRing::wait_for_message(std::uint64_t deadline_ns) {
  return not_empty_.wait([this] { return try_peek() != nullptr || closed(); }, deadline_ns);
}

// -- both -------------------------------------------------------------------------------------------------------------

void HostRing::close() {
  if (fifo_) {
    fifo_->close();
  } else {
    dropping_->close();
  }
  not_empty_.wake();
  for (std::uint32_t i = 0; i < options_.max_producers; ++i) not_full_[i].wake();
}

bool HostRing::closed() const { return fifo_ ? fifo_->closed() : dropping_->closed(); }

bool HostRing::closed_and_drained() { return fifo_ ? fifo_->closed_and_drained() : dropping_->closed_and_drained(); }

RingStats HostRing::stats() const { return fifo_ ? fifo_->stats() : dropping_->stats(); }

std::uint32_t HostRing::producers() const { return fifo_ ? fifo_->lanes_in_use() : dropping_->lanes_in_use(); }

}  // namespace rk
