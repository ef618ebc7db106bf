// Names of kernels: who is there, and who hears of it when that changes.
//
// Each watcher has a queue. An event is put into the queues under the lock, so every watcher sees the order in which
// things happened; then it is delivered without the lock. A watcher's callback runs on one thread at a time: a thread
// that finds another one at it leaves its event to that one and goes on. So nobody ever waits for a callback but
// unwatch().
//
// Protection: kernels_, watchers_, over_ and everything in a Watcher but the callback, waiting_: mutex_. Watcher::id,
// pattern: constant. Watcher::callback: the thread that `deliverer` names.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "ringkernel/runtime/error.h"

namespace rk {

struct RegistryEvent {
  enum class Kind : std::uint8_t { kRegistered, kUnregistered };
  Kind kind = Kind::kRegistered;
  std::string name;
  std::uint64_t address = 0;
};

inline const char* to_string(RegistryEvent::Kind kind) {
  return kind == RegistryEvent::Kind::kRegistered ? "registered" : "unregistered";
}

// Must outlive the calls into it, callbacks included.
class Registry {
 public:
  using Callback = std::function<void(const RegistryEvent&)>;

  // A name that stands for another address is taken over: watchers see that one go, then the new one come. False: it
  // stands for this address already. Callbacks run on this thread before it returns, unless another thread is at it.
  bool add(std::string name, std::uint64_t address);
  // False: the name does not stand for this address (any more).
  bool remove(std::string_view name, std::uint64_t address);

  std::optional<std::uint64_t> find(std::string_view name) const;
  // Everything that matches (see name_pattern.h), by name. Throws Error("InvalidArgumentError").
  std::vector<std::pair<std::string, std::uint64_t>> lookup(std::string_view pattern) const;

  // Calls `callback` for everything that happens to matching names from now on. It may call back into the registry;
  // what it throws is swallowed. Throws Error("InvalidArgumentError").
  std::uint64_t watch(std::string pattern, Callback callback);

  // After it returns the callback neither runs nor exists. Two cases in which it cannot wait for that return at once:
  // in the callback itself, and when the callback is waiting for this thread in another unwatch(). Then it runs no more
  // after the present run. An unknown id is no error.
  void unwatch(std::uint64_t id);

  // Lets every callback go, once it was told what happened before; who watches from now on is told nothing. A callback
  // that leads back to the registry's owner would keep it for ever otherwise.
  void unwatch_all();

 private:
  struct Watcher {
    std::uint64_t id = 0;
    std::string pattern;
    Callback callback;
    std::deque<RegistryEvent> due;
    std::thread::id deliverer;  // who runs the callback; nobody: the default
    bool closed = false;        // gone when its deliverer, if any, is done
  };
  using Lock = std::unique_lock<std::mutex>;
  using Watchers = std::vector<std::shared_ptr<Watcher>>;

  void announce(RegistryEvent::Kind kind, const std::string& name, std::uint64_t address, Watchers& concerned);
  void deliver(const Watchers& concerned);
  void deliver_to(Watcher& watcher);
  bool waits_for_me(const Watcher& watcher) const;

  mutable std::mutex mutex_;
  std::condition_variable gone_;  // a watcher left watchers_
  std::map<std::string, std::uint64_t, std::less<>> kernels_;
  std::map<std::uint64_t, std::shared_ptr<Watcher>> watchers_;
  std::map<std::thread::id, std::uint64_t> waiting_;  // threads in unwatch(), and for which watcher
  std::uint64_t last_id_ = 0;
  bool over_ = false;  // nobody is told anything any more
};

}  // namespace rk
