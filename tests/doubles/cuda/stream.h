// Work in order, on a thread that is there while there is work; and events, which are marks in it.
//
// Protection: Stream, Event: their mutexes. Streams, Events (the tables of handles): theirs.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "world.h"

namespace rk_double {

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  static std::shared_ptr<Stream> make(Device& device);
  void push(std::function<void()> work);
  bool idle();
  void wait();

  Device& device;

 private:
  explicit Stream(Device& given) : device(given) {}
  void serve();

  std::mutex mutex_;
  std::condition_variable idle_;
  std::deque<std::function<void()>> queue_;
  bool served_ = false;  // a thread is in serve()
};

class Event {
 public:
  void record(Stream& stream);
  bool reached();
  void wait();
  void make_wait(Stream& stream);      // for what is recorded now
  bool times(std::uint64_t& last_ns);  // false: not recorded, or not reached

 private:
  void wait_for(std::uint64_t number);
  std::shared_ptr<Event> shared();

  friend std::shared_ptr<Event> make_event();
  std::weak_ptr<Event> self_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t recorded_ = 0, reached_ = 0, time_ns_ = 0;
};
std::shared_ptr<Event> make_event();

// Handles that have been handed out and not given back.
template <class T>
class Handles {
 public:
  void* add(std::shared_ptr<T> one) {
    const std::lock_guard lock(mutex_);
    void* handle = one.get();
    all_[handle] = std::move(one);
    return handle;
  }
  std::shared_ptr<T> find(void* handle) {
    const std::lock_guard lock(mutex_);
    const auto found = all_.find(handle);
    return found != all_.end() ? found->second : nullptr;
  }
  std::shared_ptr<T> take(void* handle) {
    const std::lock_guard lock(mutex_);
    auto node = all_.extract(handle);
    return node.empty() ? nullptr : std::move(node.mapped());
  }
  std::map<void*, std::shared_ptr<T>> all() {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  std::mutex mutex_;
  std::map<void*, std::shared_ptr<T>> all_;
};

Handles<Stream>& streams();
// Null handles, and 1 and 2, are the default stream of the current device.
std::shared_ptr<Stream> stream_of(void* handle);

}  // namespace rk_double
