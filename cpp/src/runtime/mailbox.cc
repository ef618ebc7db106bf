#include "ringkernel/runtime/mailbox.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace rk {

void Mailbox::expect(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  expected_[id];
}

void Mailbox::forget(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  expected_.erase(id);
}

bool Mailbox::take(std::uint64_t id, Frame* out, std::uint64_t deadline_ns, const std::function<bool()>& over) {
  for (;;) {
    if (take_sorted(id, out)) return true;
    std::unique_lock reading(reading_, std::try_to_lock);
    if (reading.owns_lock()) {
      // Somebody may have sorted ours in between our look and our turn.
      if (take_sorted(id, out)) return true;
      const bool found = read_until(id, out, deadline_ns, over);
      reading.unlock();
      const std::lock_guard lock(mutex_);
      changed_.notify_all();  // somebody else reads now
      return found;
    }
    if (wait_for_reader(id, out, deadline_ns)) return true;
    if (HostAtomics::monotonic_ns() >= deadline_ns) return false;
  }
}

bool Mailbox::take_sorted(std::uint64_t id, Frame* out) {
  const std::lock_guard lock(mutex_);
  const auto expected = expected_.find(id);
  std::deque<Frame>* frames = id == 0 ? &unexpected_ : expected != expected_.end() ? &expected->second : nullptr;
  if (frames == nullptr || frames->empty()) return false;
  *out = std::move(frames->front());
  frames->pop_front();
  return true;
}

bool Mailbox::read_until(std::uint64_t id, Frame* out, std::uint64_t deadline_ns, const std::function<bool()>& over) {
  bool found = false;
  for (;;) {
    while (read_one(id, out, &found)) {
      if (found) return true;
    }
    // Ended kernels publish nothing more; what they published before is there now.
    if (over()) return read_one(id, out, &found) && found;
    const bool more = outbox_.wait_consumer([&] { return outbox_.try_peek() != nullptr || over(); }, deadline_ns);
    if (!more) return false;
  }
}

// Takes one message from the ring: `*found` when it is the wanted one, else it is sorted. False: the ring is empty.
bool Mailbox::read_one(std::uint64_t id, Frame* out, bool* found) {
  const std::byte* slot = outbox_.try_peek();
  if (slot == nullptr) return false;
  MessageHeader header;
  std::memcpy(&header, slot, sizeof(header));
  const std::byte* end = slot + sizeof(header) + header.payload_size;
  const std::lock_guard lock(mutex_);
  const auto expected = expected_.find(header.correlation_id);
  const bool awaited = (header.flags & kFlagReply) != 0 && expected != expected_.end();
  const bool is_error = (header.flags & kFlagError) != 0;  // for a caller, or for nobody
  *found = awaited ? header.correlation_id == id : id == 0 && !is_error;
  if (!awaited && is_error) {
    // Who asked has given up waiting; the failure is counted and logged.
  } else if (*found) {
    out->assign(slot, end);
  } else {
    (awaited ? expected->second : unexpected_).emplace_back(slot, end);
    changed_.notify_all();
  }
  outbox_.release();
  return true;
}

std::uint64_t Mailbox::take_more(std::uint32_t type_id, std::uint64_t max,
                                 const std::function<void(const std::byte*, std::size_t)>& use) {
  std::uint64_t taken = 0;
  Frame frame;
  const std::unique_lock reading(reading_, std::try_to_lock);
  if (!reading.owns_lock()) return 0;  // somebody else reads, and may do so for long
  while (taken < max) {
    {
      const std::lock_guard lock(mutex_);
      if (!unexpected_.empty()) {
        const Frame& oldest = unexpected_.front();
        if (header_of(oldest).type_id != type_id) return taken;
        use(oldest.data() + sizeof(MessageHeader), oldest.size() - sizeof(MessageHeader));
        unexpected_.pop_front();
        ++taken;
        continue;
      }
    }
    const std::byte* slot = outbox_.try_peek();
    if (slot == nullptr) return taken;
    MessageHeader header;
    std::memcpy(&header, slot, sizeof(header));
    if ((header.flags & kFlagError) != 0 || ((header.flags & kFlagReply) != 0 && is_expected(header.correlation_id))) {
      bool found = false;
      read_one(~std::uint64_t{0}, &frame, &found);  // sorted for its caller, or dropped
      continue;
    }
    if (header.type_id != type_id) return taken;
    use(slot + sizeof(header), header.payload_size);
    outbox_.release();
    ++taken;
  }
  return taken;
}

bool Mailbox::is_expected(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  return expected_.find(id) != expected_.end();
}

bool Mailbox::wait_for_reader(std::uint64_t id, Frame* out, std::uint64_t deadline_ns) {
  const std::uint64_t now = HostAtomics::monotonic_ns();
  if (now >= deadline_ns) return take_sorted(id, out);
  {
    // Short naps: the reader may end between our look at reading_ and our wait.
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::nanoseconds(std::min<std::uint64_t>(deadline_ns - now, 1'000'000)));
  }
  return take_sorted(id, out);
}

}  // namespace rk
