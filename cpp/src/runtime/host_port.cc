#include "ringkernel/runtime/host_port.h"

#include <algorithm>
#include <chrono>

#if defined(__linux__)
#include <sys/eventfd.h>
#include <unistd.h>
#endif

namespace rk {
namespace {

constexpr std::uint64_t kHelpNs = 100'000;  // a spin that works takes longer to be in vain

}  // namespace

HostPort::~HostPort() {
#if defined(__linux__)
  if (event_.load_relaxed() >= 0) ::close(event_.load_relaxed());  // A1 nobody else is left
#endif
}

void HostPort::expect(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  expected_[id];
}

void HostPort::forget(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  expected_.erase(id);
}

bool HostPort::take(std::uint64_t id, Frame* out, std::uint64_t deadline_ns, const std::function<bool()>& over) {
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
    // Not when it is over: what was sent before is in the ring, and who reads now, or we after it, finds it there.
    if (HostAtomics::monotonic_ns() >= deadline_ns) return take_sorted(id, out);
  }
}

bool HostPort::take_sorted(std::uint64_t id, Frame* out) {
  const std::lock_guard lock(mutex_);
  const auto expected = expected_.find(id);
  std::deque<Frame>* frames = id == 0 ? &unexpected_ : expected != expected_.end() ? &expected->second : nullptr;
  if (frames == nullptr || frames->empty()) return false;
  *out = std::move(frames->front());
  frames->pop_front();
  return true;
}

bool HostPort::read_until(std::uint64_t id, Frame* out, std::uint64_t deadline_ns, const std::function<bool()>& over) {
  bool found = false;
  for (;;) {
    const bool last_look = over();  // who is over publishes nothing more; what it published before is there now
    while (read_one(id, out, &found)) {
      if (found) return true;
    }
    if (last_look || !wait_for_message(deadline_ns, over)) return false;
  }
}

// True: there is a message.
bool HostPort::look() {
  if (inbox_.try_peek() != nullptr) return true;
  if (helper_ == nullptr) return false;
  helper_->help();
  return inbox_.try_peek() != nullptr;
}

// Spins first, then lets go of the lane it stays at, so that its sender wakes us.
bool HostPort::wait_for_message(std::uint64_t deadline_ns, const std::function<bool()>& over) {
  const std::uint64_t start = HostAtomics::monotonic_ns();
  const std::uint64_t until = std::min(deadline_ns, start + (helper_ == nullptr ? kDefaultSpinNs : kHelpNs));
  do {
    for (int i = 0; i < 16; ++i) {
      if (look()) return true;
      HostAtomics::pause();
    }
    if (over()) return true;
  } while (HostAtomics::monotonic_ns() < until);
  if (!inbox_.rest()) return true;
  return parking_.wait([&] { return inbox_.has_ready() || over(); }, deadline_ns, 0);
}

// Takes one message from the ring: `*found` when it is the wanted one, else it is sorted. False: the ring is empty.
bool HostPort::read_one(std::uint64_t id, Frame* out, bool* found) {
  const std::byte* slot = inbox_.try_peek();
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
  inbox_.release();
  return true;
}

std::uint64_t HostPort::take_more(std::uint32_t type_id, std::uint32_t size, std::uint64_t max,
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
        const MessageHeader header = header_of(oldest);
        if (header.type_id != type_id || header.payload_size != size) return taken;
        use(oldest.data() + sizeof(MessageHeader), oldest.size() - sizeof(MessageHeader));
        unexpected_.pop_front();
        ++taken;
        continue;
      }
    }
    const std::byte* slot = inbox_.try_peek();
    if (slot == nullptr) return taken;
    MessageHeader header;
    std::memcpy(&header, slot, sizeof(header));
    if ((header.flags & kFlagError) != 0 || ((header.flags & kFlagReply) != 0 && is_expected(header.correlation_id))) {
      bool found = false;
      read_one(~std::uint64_t{0}, &frame, &found);  // sorted for its caller, or dropped
      continue;
    }
    if (header.type_id != type_id || header.payload_size != size) return taken;
    use(slot + sizeof(header), header.payload_size);
    inbox_.release();
    ++taken;
  }
  return taken;
}

std::uint64_t HostPort::drain(std::uint64_t max, const std::function<void(const std::byte*)>& use) {
  const std::unique_lock reading(reading_, std::try_to_lock);
  if (!reading.owns_lock()) return 0;
  std::uint64_t taken = 0;
  for (; taken < max; ++taken) {
    const std::byte* slot = inbox_.try_peek();
    if (slot == nullptr) break;
    use(slot);
    inbox_.release();
  }
  if (taken == 0) return 0;
  const std::lock_guard lock(mutex_);
  changed_.notify_all();  // for wait_readable of others
  return taken;
}

bool HostPort::wait_readable(std::uint64_t deadline_ns, std::uint64_t seen) {
  const std::unique_lock reading(reading_, std::try_to_lock);
  if (reading.owns_lock()) return wait_for_message(deadline_ns, [&] { return kicks() + nudges() != seen; });
  std::unique_lock lock(mutex_);
  const std::uint64_t now = HostAtomics::monotonic_ns();
  if (now >= deadline_ns) return false;
  changed_.wait_for(lock, std::chrono::nanoseconds(std::min<std::uint64_t>(deadline_ns - now, 1'000'000)));
  return true;
}

bool HostPort::spin_readable(std::uint64_t spin_ns) {
  const std::unique_lock reading(reading_, std::try_to_lock);
  if (!reading.owns_lock()) return false;
  if (inbox_.try_peek() != nullptr || spin_ns == 0) return inbox_.try_peek() != nullptr;
  const std::uint64_t until = HostAtomics::monotonic_ns() + spin_ns;
  do {
    for (int i = 0; i < 16; ++i) {
      if (look()) return true;
      HostAtomics::pause();
    }
  } while (HostAtomics::monotonic_ns() < until);
  return false;
}

bool HostPort::is_expected(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  return expected_.find(id) != expected_.end();
}

bool HostPort::wait_for_reader(std::uint64_t id, Frame* out, std::uint64_t deadline_ns) {
  const std::uint64_t now = HostAtomics::monotonic_ns();
  if (now >= deadline_ns) return take_sorted(id, out);
  {
    // Short naps: the reader may end between our look at reading_ and our wait.
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::nanoseconds(std::min<std::uint64_t>(deadline_ns - now, 1'000'000)));
  }
  return take_sorted(id, out);
}

// -- the descriptor ---------------------------------------------------------------------------------------------------

int HostPort::event() {
#if defined(__linux__)
  const std::lock_guard lock(mutex_);
  if (event_.load_relaxed() < 0) event_.store_release(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));  // A1
#endif
  return event_.load_relaxed();  // A1 under mutex_, or never written
}

bool HostPort::arm() {
#if defined(__linux__)
  std::uint64_t count = 0;
  [[maybe_unused]] const auto ignored = read(event_.load_relaxed(), &count, sizeof(count));  // A1 the reader's own
#endif
  (void)armed_.exchange_acq_rel(1);  // A1
  const std::unique_lock reading(reading_, std::try_to_lock);
  if (!reading.owns_lock() || inbox_.rest()) return true;
  return armed_.exchange_acq_rel(0) == 0;  // A1 who was faster has written already
}

void HostPort::write_event() {
#if defined(__linux__)
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(event_.load_acquire(), &one, sizeof(one));  // A1
#endif
}

void HostPort::inbox_ready() {
  if (armed_.exchange_acq_rel(0) != 0) write_event();  // A1
  parking_.wake();
}

void HostPort::nudge() {
  (void)nudges_.fetch_add_acq_rel(1);  // A2
  parking_.wake();
}

void HostPort::kick() {
  (void)kicks_.fetch_add_acq_rel(1);                   // A2
  if (armed_.exchange_acq_rel(0) != 0) write_event();  // A1
  parking_.wake();
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

}  // namespace rk
