#include "ringkernel/runtime/inbox.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <unordered_map>
#include <utility>

namespace rk {
namespace {

// Lanes that were closed in this process, ever: whether it is time for a thread to let go of some.
HostAtomics::Atomic<std::uint64_t> lanes_closed{0};

// The lanes that this thread sends through; they are abandoned when it ends.
class ThreadLanes {
 public:
  ~ThreadLanes() {
    for (auto& [key, lane] : lanes_) lane->abandon();
  }

  Lane* find(std::uint64_t key) {
    if (key == last_key_) return last_;
    const auto found = lanes_.find(key);
    if (found == lanes_.end()) return nullptr;
    return remember(key, found->second.get());
  }

  Lane* add(std::uint64_t key, std::shared_ptr<Lane> lane) {
    forget_if_worthwhile();
    Lane* added = lane.get();
    lanes_[key] = std::move(lane);
    return remember(key, added);
  }

  void forget_closed() {
    if (kept_ != 0) return;
    seen_closed_ = lanes_closed.load_relaxed();  // S before looking: what closes meanwhile counts for the next time
    std::erase_if(lanes_, [](const auto& entry) { return entry.second->closed(); });
    last_key_ = kNone;
  }

  // Of many lanes none is looked at for each closed one; and what closed ones hold is no more than a few.
  void forget_if_worthwhile() {
    const std::uint64_t closed = lanes_closed.load_relaxed() - seen_closed_;  // S
    if (closed >= kFew || (closed != 0 && 2 * closed >= lanes_.size())) forget_closed();
  }

  void keep() {
    forget_if_worthwhile();
    ++kept_;
  }
  void keep_no_more() { --kept_; }

 private:
  static constexpr std::uint64_t kFew = 64;
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};

  Lane* remember(std::uint64_t key, Lane* lane) {
    last_key_ = key;
    return last_ = lane;
  }

  std::uint64_t last_key_ = kNone;  // the lane of the last send, most likely of the next one too
  Lane* last_ = nullptr;
  std::uint64_t seen_closed_ = 0;
  int kept_ = 0;
  std::unordered_map<std::uint64_t, std::shared_ptr<Lane>> lanes_;
};

ThreadLanes& thread_lanes() {
  static thread_local ThreadLanes lanes;
  return lanes;
}

}  // namespace

std::uint64_t Inbox::next_id() {
  static std::atomic<std::uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

Inbox::~Inbox() = default;

// -- senders ----------------------------------------------------------------------------------------------------------

std::shared_ptr<Lane> Inbox::open(const LaneOptions& options, std::shared_ptr<LaneSender> sender) {
  auto lane = std::make_shared<Lane>(*this, options, memory_, std::move(sender));
  const std::lock_guard lock(mutex_);
  if (closed()) return nullptr;
  lanes_.push_back(lane);
  if (lanes_.size() >= sweep_at_) sweep_wanted_.store_relaxed(1);  // S the receiver looks when it comes to this lane
  return lane;
}

Lane* Inbox::lane_of_thread(const LaneOptions& options) {
  ThreadLanes& mine = thread_lanes();
  const std::uint64_t key = id_ * kPriorityCount + options.priority;
  if (Lane* lane = mine.find(key)) return lane;
  std::shared_ptr<Lane> lane = open(options);
  return lane ? mine.add(key, std::move(lane)) : nullptr;
}

void Inbox::announce(Lane& lane) {
  if (!lane.mark()) return;
  ready_[lane.options().priority].push(lane);
  owner_->inbox_ready();
}

// -- the receiver -----------------------------------------------------------------------------------------------------

const std::byte* Inbox::try_peek() {
  if (peeked_ == nullptr) peeked_ = look();
  return peeked_;
}

const std::byte* Inbox::look() {
  if (current_ != nullptr && !must_move()) {
    if (const std::byte* message = current_->try_peek()) return message;
  }
  if (sweep_wanted_.load_relaxed() != 0) sweep();  // S
  for (;;) {
    Lane* next = next_lane();
    if (next == nullptr) {
      burst_ = kBurst;
      return current_ != nullptr ? current_->try_peek() : nullptr;
    }
    if (current_ != nullptr) put_back(*current_);
    current_ = next;
    burst_ = kBurst;
    if (const std::byte* message = current_->try_peek()) return message;
  }
}

// On the receiver's thread, which alone takes marks off: a lane that is abandoned and has no mark is empty, will not be
// marked again, and is in nobody's hands. Not at every open(): a hundred thousand senders would look at each other.
void Inbox::sweep() {
  std::vector<std::shared_ptr<Lane>> gone;  // freed without the lock
  const std::lock_guard lock(mutex_);
  std::erase_if(lanes_, [&](std::shared_ptr<Lane>& lane) {
    if (!lane->abandoned() || lane->marked()) return false;
    retired_ += lane->stats();
    gone.push_back(std::move(lane));
    return true;
  });
  sweep_at_ = std::max(kSweepFrom, 2 * lanes_.size());
  sweep_wanted_.store_relaxed(0);  // S
}

std::uint32_t Inbox::readable_run(std::uint32_t wanted, std::size_t* stride) {
  if (!current_->in_place()) return 1;
  *stride = current_->stride();
  const std::uint32_t mine = current_->options().priority;
  std::uint32_t most = std::min(wanted, std::max<std::uint32_t>(burst_, 1));
  for (std::uint32_t p = 0; p < kPriorityCount; ++p) {  // a run ends where must_move() would say so
    if (p == mine || ready_[p].looks_empty()) continue;
    const std::uint32_t patience = kPatience - std::min(skipped_[p], kPatience - 1);
    most = std::min(most, p > mine ? 1 : patience);
  }
  return static_cast<std::uint32_t>(current_->readable_run(most));
}

void Inbox::release(std::uint32_t count) {
  const std::uint32_t priority = current_->options().priority;
  peeked_ = nullptr;
  current_->release(count);
  burst_ -= std::min(burst_, count);
  count_skipped(priority, count);
}

// Its turn is over, or somebody more urgent waits, or somebody has waited long enough.
bool Inbox::must_move() const {
  if (burst_ == 0) return true;
  const std::uint32_t mine = current_->options().priority;
  for (std::uint32_t p = 0; p < kPriorityCount; ++p) {
    if (p < mine ? starving(p) : p > mine && !ready_[p].looks_empty()) return true;
  }
  return false;
}

bool Inbox::starving(std::uint32_t priority) const {
  return skipped_[priority] >= kPatience && !ready_[priority].looks_empty();
}

void Inbox::count_skipped(std::uint32_t priority, std::uint32_t count) {
  skipped_[priority] = 0;
  for (std::uint32_t p = 0; p < priority; ++p) {
    if (ready_[p].looks_empty()) {
      skipped_[p] = 0;
    } else if ((skipped_[p] += count) >= kPatience) {
      burst_ = 0;
    }
  }
}

Lane* Inbox::next_lane() {
  for (std::uint32_t p = 0; p < kPriorityCount; ++p) {
    if (!starving(p)) continue;
    if (auto* node = ready_[p].pop()) return static_cast<Lane*>(node);
  }
  for (std::uint32_t p = kPriorityCount; p-- > 0;) {
    // Not below the lane it is at, as long as that has messages.
    if (current_ != nullptr && p < current_->options().priority && current_->try_peek() != nullptr) return nullptr;
    if (auto* node = ready_[p].pop()) return static_cast<Lane*>(node);
  }
  return nullptr;
}

void Inbox::put_back(Lane& lane) {
  if (lane.try_peek() == nullptr) {
    lane.unmark();
    if (lane.try_peek() == nullptr || !lane.mark()) return;
  }
  ready_[lane.options().priority].push(lane);
}

bool Inbox::rest() {
  if (current_ != nullptr && current_->try_peek() != nullptr) return false;
  let_go();
  return !has_ready();
}

void Inbox::let_go() {
  const std::lock_guard lock(mutex_);
  peeked_ = nullptr;
  if (Lane* lane = std::exchange(current_, nullptr)) put_back(*lane);
}

bool Inbox::has_ready() const {
  return std::any_of(ready_.begin(), ready_.end(), [](const auto& queue) { return !queue.looks_empty(); });
}

void Inbox::for_each(const std::function<void(const MessageHeader&, const std::byte*)>& use) {
  const std::lock_guard lock(mutex_);
  if (closed()) return;  // its receiver may be emptying it
  for (const auto& lane : lanes_) {
    for (std::uint64_t n = 0; lane->in_place() || n == 0; ++n) {
      const std::byte* message = lane->in_place() ? lane->peek_ahead(n) : lane->try_peek();
      if (message == nullptr || n == lane->options().capacity) break;
      MessageHeader header;
      std::memcpy(&header, message, sizeof(header));
      use(header, message + sizeof(header));
    }
  }
}

// -- any thread -------------------------------------------------------------------------------------------------------

void Inbox::close() {
  const std::lock_guard lock(mutex_);
  closed_.store_relaxed(1);  // S
  for (const auto& lane : lanes_) lane->close();
  lanes_closed.fetch_add_relaxed(lanes_.size());  // S
}

void Inbox::forget_closed() { thread_lanes().forget_closed(); }

Inbox::KeepsLanes::KeepsLanes() { thread_lanes().keep(); }
Inbox::KeepsLanes::~KeepsLanes() { thread_lanes().keep_no_more(); }

RingStats Inbox::stats() const {
  const std::lock_guard lock(mutex_);
  RingStats sum = retired_;
  for (const auto& lane : lanes_) sum += lane->stats();
  return sum;
}

}  // namespace rk
