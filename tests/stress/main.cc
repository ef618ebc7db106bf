// `stress [--messages N] [--seed S]`: N messages in all, over each kind of ring with 1, 2 and 4 producers, and clocks
// beside them; then random graphs of kernels. `--graphs N`: only that many graphs. `--soak SECONDS`: graphs for so
// long, then a look at what they left behind.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <random>
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
        dump_graph();
        std::_Exit(1);
      }
      seen = now;
      wake_.wait_for(lock, kPatience, [this] { return done_; });
    }
  }

  static constexpr std::chrono::seconds kPatience{60};

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

struct Arguments {
  std::uint64_t messages = 1'000'000, graphs = 0, soak = 0, seed = 0;
};

bool run_graphs(std::uint64_t count, std::uint64_t seed) {
  std::printf("stress: %llu graphs from --seed %llu\n", static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  Tally total;
  for (std::uint64_t i = 0; i < count; ++i) total += graph(seed + i, 2000);
  report("graphs", total);
  return total.clean();
}

bool run_rings(std::uint64_t messages) {
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

bool run(const Arguments& arguments) {
  const Watchdog watchdog;
  if (arguments.soak != 0) return soak(arguments.soak, arguments.seed);
  if (arguments.graphs != 0) return run_graphs(arguments.graphs, arguments.seed);
  const bool rings = run_rings(arguments.messages);
  return run_graphs(arguments.messages / 30'000, arguments.seed) && rings;
}

bool parse(int argc, char** argv, Arguments* out) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--messages") == 0) {
      out->messages = value;
    } else if (std::strcmp(argv[i], "--graphs") == 0) {
      out->graphs = value;
    } else if (std::strcmp(argv[i], "--soak") == 0) {
      out->soak = value;
    } else if (std::strcmp(argv[i], "--seed") == 0) {
      out->seed = value;
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
}

}  // namespace
}  // namespace rk::stress

int main(int argc, char** argv) {
  rk::stress::Arguments arguments;
  arguments.seed = std::random_device{}();
  if (!rk::stress::parse(argc, argv, &arguments)) {
    std::fprintf(stderr, "usage: %s [--messages N | --graphs N | --soak SECONDS] [--seed S]\n", argv[0]);
    return 2;
  }
  return rk::stress::run(arguments) ? 0 : 1;
}
