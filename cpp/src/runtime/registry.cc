#include "ringkernel/runtime/registry.h"

#include "ringkernel/runtime/name_pattern.h"

namespace rk {
namespace {

void require_pattern(std::string_view pattern) {
  const std::string problem = check_name_pattern(pattern);
  if (!problem.empty()) throw Error("InvalidArgumentError", problem);
}

}  // namespace

bool Registry::add(std::string name, std::uint64_t address) {
  Watchers concerned;
  {
    const std::lock_guard lock(mutex_);
    const auto [entry, is_new] = kernels_.try_emplace(std::move(name), address);
    if (!is_new) {
      if (entry->second == address) return false;
      announce(RegistryEvent::Kind::kUnregistered, entry->first, entry->second, concerned);
      entry->second = address;
    }
    announce(RegistryEvent::Kind::kRegistered, entry->first, address, concerned);
  }
  deliver(concerned);
  return true;
}

bool Registry::remove(std::string_view name, std::uint64_t address) {
  Watchers concerned;
  {
    const std::lock_guard lock(mutex_);
    const auto entry = kernels_.find(name);
    if (entry == kernels_.end() || entry->second != address) return false;
    announce(RegistryEvent::Kind::kUnregistered, entry->first, address, concerned);
    kernels_.erase(entry);
  }
  deliver(concerned);
  return true;
}

std::optional<std::uint64_t> Registry::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto entry = kernels_.find(name);
  return entry == kernels_.end() ? std::nullopt : std::optional(entry->second);
}

std::vector<std::pair<std::string, std::uint64_t>> Registry::lookup(std::string_view pattern) const {
  require_pattern(pattern);
  const std::string_view prefix = fixed_prefix(pattern);
  std::vector<std::pair<std::string, std::uint64_t>> found;
  const std::lock_guard lock(mutex_);
  for (auto entry = kernels_.lower_bound(prefix); entry != kernels_.end(); ++entry) {
    if (!entry->first.starts_with(prefix)) break;
    if (name_matches(pattern, entry->first)) found.emplace_back(*entry);
  }
  return found;
}

std::uint64_t Registry::watch(std::string pattern, Callback callback) {
  require_pattern(pattern);
  if (!callback) throw Error("InvalidArgumentError", "watch: found no callback, need one to call");
  auto watcher = std::make_shared<Watcher>();
  watcher->pattern = std::move(pattern);
  watcher->callback = std::move(callback);
  const std::lock_guard lock(mutex_);
  watcher->id = ++last_id_;
  if (over_) return watcher->id;
  watchers_.emplace(watcher->id, watcher);
  return watcher->id;
}

void Registry::unwatch(std::uint64_t id) {
  Callback ended;  // outlives the lock: what it owns may call us when it goes
  Lock lock(mutex_);
  const auto entry = watchers_.find(id);
  if (entry == watchers_.end()) return;
  Watcher& watcher = *entry->second;
  watcher.closed = true;
  watcher.due.clear();
  if (watcher.deliverer == std::thread::id()) {
    // Out of the watcher, which others may still hold who were about to deliver.
    ended.swap(watcher.callback);
    watchers_.erase(entry);
    return;
  }
  if (waits_for_me(watcher)) return;
  waiting_[std::this_thread::get_id()] = id;
  gone_.wait(lock, [&] { return !watchers_.contains(id); });
  waiting_.erase(std::this_thread::get_id());
}

void Registry::unwatch_all() {
  Watchers ended;  // outlives the lock, as above
  const std::lock_guard lock(mutex_);
  over_ = true;
  for (auto entry = watchers_.begin(); entry != watchers_.end();) {
    const std::shared_ptr<Watcher>& watcher = entry->second;
    watcher->closed = true;
    const bool idle = watcher->deliverer == std::thread::id() && watcher->due.empty();
    if (idle) ended.push_back(watcher);
    entry = idle ? watchers_.erase(entry) : std::next(entry);
  }
}

// Would waiting for the watcher's callback to return never end? Its thread may be this one, or wait in unwatch() for a
// callback whose thread waits ... for this one. Each thread waits for one watcher at most, so this is a chain; it has
// no cycle, because nobody closes one.
bool Registry::waits_for_me(const Watcher& watcher) const {
  for (const Watcher* next = &watcher;;) {
    if (next->deliverer == std::this_thread::get_id()) return true;
    const auto waits = waiting_.find(next->deliverer);
    if (waits == waiting_.end()) return false;
    const auto awaited = watchers_.find(waits->second);
    if (awaited == watchers_.end()) return false;  // gone: its waiter is about to wake
    next = awaited->second.get();
  }
}

void Registry::announce(RegistryEvent::Kind kind, const std::string& name, std::uint64_t address, Watchers& concerned) {
  for (const auto& [id, watcher] : watchers_) {
    if (watcher->closed || !name_matches(watcher->pattern, name)) continue;
    watcher->due.push_back({kind, name, address});
    concerned.push_back(watcher);
  }
}

void Registry::deliver(const Watchers& concerned) {
  for (const auto& watcher : concerned) deliver_to(*watcher);
}

void Registry::deliver_to(Watcher& watcher) {
  Lock lock(mutex_);
  if (watcher.deliverer != std::thread::id()) return;  // that thread sees our event before it stops
  if (watcher.due.empty()) return;
  watcher.deliverer = std::this_thread::get_id();
  while (!watcher.due.empty()) {
    const RegistryEvent event = std::move(watcher.due.front());
    watcher.due.pop_front();
    lock.unlock();
    try {
      watcher.callback(event);
    } catch (...) {
      // A watcher's failure is not the launcher's, nor that of the other watchers.
    }
    lock.lock();
  }
  if (watcher.closed) {
    lock.unlock();
    watcher.callback = nullptr;  // what it owns goes before unwatch() returns, and without the lock
    lock.lock();
    watchers_.erase(watcher.id);
    gone_.notify_all();
  }
  watcher.deliverer = std::thread::id();
}

}  // namespace rk
