// `stress [--messages N]`: N messages in all, over each kind of ring with 1, 2 and 4 producers, and clocks beside them.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "stress.h"

namespace rk::stress {
namespace {

struct Part {
  const char* name;
  std::function<Tally(std::uint64_t)> run;
};

std::vector<Part> parts() {
  std::vector<Part> all{{"batches, packed", batches_packed}, {"batches, turn", batches_turn}};
  for (unsigned producers : {1u, 2u, 4u}) {
    all.push_back({"packed", [=](std::uint64_t count) { return many_producers_packed(count, producers); }});
    all.push_back({"turn", [=](std::uint64_t count) { return many_producers_turn(count, producers); }});
    all.push_back({"overwrite", [=](std::uint64_t count) { return many_producers_overwrite(count, producers); }});
  }
  return all;
}

// Ends the program when nothing has moved for a while: a lost wake-up has no other way to show itself.
class Watchdog {
 public:
  Watchdog() : thread_([this] { watch(); }) {}
  ~Watchdog() {
    {
      std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    for (std::uint64_t seen = ~std::uint64_t{0}; !done_;) {
      const std::uint64_t now = progress.load(std::memory_order_relaxed);
      if (now == seen) {
        std::printf("stress: stuck after %llu steps\n", static_cast<unsigned long long>(now));
        std::fflush(stdout);
        std::_Exit(1);
      }
      seen = now;
      wake_.wait_for(lock, std::chrono::seconds(30), [this] { return done_; });
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::thread thread_;
};

void report(const char* what, const Tally& tally) {
  std::printf("%s: %llu messages, %llu lost, %llu duplicated, %llu reordered, %llu corrupt\n", what,
              static_cast<unsigned long long>(tally.messages), static_cast<unsigned long long>(tally.lost),
              static_cast<unsigned long long>(tally.duplicated), static_cast<unsigned long long>(tally.reordered),
              static_cast<unsigned long long>(tally.corrupt));
  std::fflush(stdout);
}

bool run(std::uint64_t messages) {
  const Watchdog watchdog;
  const std::vector<Part> all = parts();
  Tally total;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Tally tally = all[i].run(messages / all.size() + (i < messages % all.size() ? 1 : 0));
    if (!tally.clean()) report(all[i].name, tally);
    total += tally;
  }
  total += stamps(messages);
  total += clock_readings(messages < 50'000 ? 50'000 : messages);
  report("stress", total);
  return total.clean();
}

}  // namespace
}  // namespace rk::stress

int main(int argc, char** argv) {
  std::uint64_t messages = 1'000'000;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--messages") != 0 || i + 1 == argc) {
      std::fprintf(stderr, "usage: %s [--messages N]\n", argv[0]);
      return 2;
    }
    messages = std::strtoull(argv[++i], nullptr, 10);
  }
  return rk::stress::run(messages) ? 0 : 1;
}
