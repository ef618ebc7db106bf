// Random graphs of kernels that pass tokens on, while kernels are paused, copied, ended and launched again. In the end
// every token is accounted for: received by the host, refused to its sender, dropped by policy, or dead.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "ringkernel/runtime/actor_system.h"
#include "stress.h"

namespace rk::stress {
namespace {

using namespace std::chrono_literals;

struct Token {
  static constexpr std::uint32_t kTypeId = 1;
  std::uint64_t id;
  std::uint32_t hops, fails;  // kernels to go through; whether the last one raises
};

std::uint64_t mixed(std::uint64_t word) {
  word = (word ^ (word >> 31)) * 0x7FB5D329728EA185u;
  word = (word ^ (word >> 27)) * 0x81DADEF4BC2DD44Du;
  return word ^ (word >> 33);
}

// What every place of the graph knows.
struct Node {
  std::string name;
  KernelOptions options;
  std::vector<std::size_t> targets;
  std::atomic<std::uint64_t> address{0};
};

class Graph {
 public:
  Graph(std::uint64_t seed, std::uint64_t tokens) : random_(seed), tokens_(tokens) {
    build();
    connect();
    for (auto& node : nodes_) system_.activate(*current(*node), 30s);
  }

  Tally run() {
    const bool close_early = pick(3) == 0;
    std::vector<std::thread> threads;
    threads.emplace_back([this] { receive_all(); });
    const std::uint64_t injectors = 1 + pick(3);
    for (std::uint64_t i = 0; i < injectors; ++i) {
      threads.emplace_back([this, i, seed = random_(), share = tokens_ / injectors] { inject(i, seed, share); });
    }
    disturb(pick(30));
    if (!close_early) {
      for (std::size_t i = 1; i < threads.size(); ++i) threads[i].join();
      while (accounted() != injected_) std::this_thread::sleep_for(100us);  // the watchdog knows when this hangs
    }
    const std::vector<std::string> hung = system_.close(60s);
    for (auto& thread : threads) {
      if (thread.joinable() && &thread != &threads[0]) thread.join();
    }
    done_ = true;
    threads[0].join();
    drain();
    return verdict(hung);
  }

  void dump() {
    for (const auto& kernel : system_->kernels()) print(*kernel);
    for (const auto& edge : system_->edges()) print(*edge);
    print_sums();
  }

 private:
  // Modulo is good enough.
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }

  void build() {
    const std::uint32_t supervisor =
        pick(2) == 0 ? 0 : system_->supervisors().add_supervisor(0, {.intensity = ~0u, .name = "all"});
    const std::size_t count = 2 + pick(6);
    for (std::size_t i = 0; i < count; ++i) {
      auto node = std::make_unique<Node>();
      node->name = std::string("k").append(std::to_string(i));
      node->options.instances = static_cast<std::uint32_t>(1 + pick(3));
      node->options.capacity = std::uint64_t{1} << pick(5);
      node->options.failure_window_ns = 0;  // fails as often as it likes
      node->options.supervisor = pick(2) == 0 ? supervisor : 0;
      node->options.dedup_window = pick(4) == 0 ? 16 : 0;
      for (std::uint64_t out = 1 + pick(3); out-- > 0;) node->targets.push_back(pick(count));
      nodes_.push_back(std::move(node));
    }
    for (auto& node : nodes_) launch(*node);
  }

  void launch(Node& node) {
    auto kernel =
        system_.launch(node.name, make_handler(on<Token>([this, &node](KernelContext& context, const Token& token) {
                         pass_on(context, node, token);
                       })),
                       node.options, false);
    node.address = kernel->address().word;
    const std::lock_guard lock(mutex_);
    launched_.push_back(std::move(kernel));
  }

  void connect() {
    constexpr std::array kPolicies{Overflow::kBlock, Overflow::kBlock, Overflow::kFail, Overflow::kDropNewest,
                                   Overflow::kDropOldest};
    for (auto& node : nodes_) {
      std::sort(node->targets.begin(), node->targets.end());
      node->targets.erase(std::unique(node->targets.begin(), node->targets.end()), node->targets.end());
      for (const std::size_t target : node->targets) {
        if (nodes_[target] == node) continue;
        EdgeOptions options;
        options.overflow = kPolicies[pick(kPolicies.size())];
        options.capacity = std::uint64_t{1} << pick(3);
        system_->connect(node->name, nodes_[target]->name, options);
      }
    }
  }

  void pass_on(KernelContext& context, Node& node, const Token& token) {
    note_progress();
    if (token.hops == 0 && token.fails != 0) throw std::runtime_error("as it was told");
    Address to = host_of(context);
    if (token.hops != 0) {
      const std::size_t target = node.targets[mixed(token.id * 64 + token.hops) % node.targets.size()];
      to = any_instance(Address{nodes_[target]->address});
    }
    const Token next{token.id, token.hops == 0 ? 0 : token.hops - 1, token.fails};
    const auto priority = static_cast<std::uint8_t>(token.id % kPriorityCount);
    const Status status = send(context, to, next, {.priority = priority});
    if (status == Status::kOk) return;
    if (status != Status::kFull && status != Status::kClosed) ++wrong_;
    ++refused_;
  }

  std::shared_ptr<Kernel> current(const Node& node) { return system_->find(Address{node.address}); }

  void inject(std::uint64_t injector, std::uint64_t seed, std::uint64_t share) {
    std::mt19937_64 random(seed);
    for (std::uint64_t i = 0; i < share; ++i) {
      const std::shared_ptr<Kernel> kernel = current(*nodes_[random() % nodes_.size()]);
      if (!kernel) continue;
      const Token token{injector << 40 | i, static_cast<std::uint32_t>(random() % 24), random() % 64 == 0};
      const auto priority = static_cast<std::uint8_t>(random() % kPriorityCount);
      ++injected_;
      if (send(*kernel, token, 20ms, {.priority = priority}) != Status::kOk) --injected_;
    }
  }

  bool receive_some() {
    std::vector<std::shared_ptr<Kernel>> all;
    {
      const std::lock_guard lock(mutex_);
      all = launched_;
    }
    bool any = false;
    for (const auto& kernel : all) {
      while (const auto token = receive<Token>(*kernel, 0s)) {
        any = true;
        ++received_;
        note_progress();
      }
    }
    return any;
  }
  void receive_all() {
    while (!done_) {
      if (!receive_some()) std::this_thread::sleep_for(20us);
    }
  }
  void drain() {
    while (receive_some()) continue;
  }

  void disturb(std::uint64_t times) {
    for (; times > 0; --times) {
      Node& node = *nodes_[pick(nodes_.size())];
      const std::shared_ptr<Kernel> kernel = current(node);
      const auto until = [] { return deadline_after(60s); };
      const std::uint64_t what = pick(4);
      if (what == 0) {
        kernel->deactivate(until(), [] {});
        std::this_thread::sleep_for(std::chrono::microseconds(pick(500)));
        system_.activate(*kernel, 60s);
      } else if (what == 1) {
        const Checkpoint made = kernel->snapshot(until(), [] {});
        if (decode(encode(made)).messages.size() != made.messages.size()) ++wrong_;
      } else if (what == 2) {
        kernel->terminate(until(), [] {});
        launch(node);
        system_.activate(*current(node), 60s);
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(pick(300)));
      }
    }
  }

  std::uint64_t accounted() {
    return received_ + refused_ + system_->totals().inboxes.dropped + system_->dead_letters().stats().total;
  }

  Tally verdict(const std::vector<std::string>& hung) {
    const RuntimeTotals totals = system_->totals();
    const RingStats all = totals.all();
    const bool conserved = all.accepted == all.delivered + all.dropped + all.dead_lettered + all.in_flight;
    Tally tally;
    tally.messages = all.accepted;
    tally.lost = injected_ > accounted() ? injected_ - accounted() : 0;
    tally.duplicated = accounted() > injected_ ? accounted() - injected_ : 0;
    tally.corrupt = wrong_ + hung.size() + (conserved ? 0 : 1) + (all.in_flight == 0 ? 0 : 1);
    if (!tally.clean()) dump();
    return tally;
  }

  static void print(const char* what, const RingStats& stats) {
    std::printf("  %-12s accepted %llu = delivered %llu + dropped %llu + dead %llu + in flight %llu\n", what,
                static_cast<unsigned long long>(stats.accepted), static_cast<unsigned long long>(stats.delivered),
                static_cast<unsigned long long>(stats.dropped), static_cast<unsigned long long>(stats.dead_lettered),
                static_cast<unsigned long long>(stats.in_flight));
  }
  static void print(const Kernel& kernel) {
    const KernelTelemetry telemetry = kernel.telemetry();
    std::printf("%s: %s%s, %u instances, processed %llu, failed %llu, left over %llu, restarts %llu\n",
                kernel.name().c_str(), to_string(kernel.state()), kernel.busy() ? " (busy)" : "", kernel.instances(),
                static_cast<unsigned long long>(telemetry.processed), static_cast<unsigned long long>(telemetry.failed),
                static_cast<unsigned long long>(telemetry.left_over),
                static_cast<unsigned long long>(telemetry.restarts));
    for (std::uint32_t i = 0; i < kernel.instances(); ++i) print("inbox", kernel.telemetry(i).inbox);
    print("outbox", telemetry.outbox);
  }
  static void print(Edge& edge) {
    const EdgeStats stats = edge.stats();
    std::printf("%s -> %s: policy %d, capacity %llu, blocked %llu times\n", edge.from().c_str(), edge.to().c_str(),
                static_cast<int>(edge.options().overflow), static_cast<unsigned long long>(edge.options().capacity),
                static_cast<unsigned long long>(stats.times_blocked));
    print("edge", stats.ring);
  }
  void print_sums() {
    const RuntimeTotals totals = system_->totals();
    const DeadLetterStats dead = system_->dead_letters().stats();
    print("all inboxes", totals.inboxes);
    print("all outboxes", totals.outboxes);
    for (std::size_t i = 0; i < dead.by_reason.size(); ++i) {
      if (dead.by_reason[i] == 0) continue;
      std::printf("  dead: %s %llu\n", to_string(static_cast<DeadLetterReason>(i)),
                  static_cast<unsigned long long>(dead.by_reason[i]));
    }
    std::printf("injected %llu; received %llu, refused %llu, dropped %llu, dead %llu; wrong %llu\n",
                static_cast<unsigned long long>(injected_), static_cast<unsigned long long>(received_),
                static_cast<unsigned long long>(refused_), static_cast<unsigned long long>(totals.inboxes.dropped),
                static_cast<unsigned long long>(dead.total), static_cast<unsigned long long>(wrong_));
    std::fflush(stdout);
  }

  std::mt19937_64 random_;
  std::uint64_t tokens_;
  ActorSystem system_{{.workers = 2, .dead_letters = 64}};
  std::vector<std::unique_ptr<Node>> nodes_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<Kernel>> launched_;  // mutex_
  std::atomic<std::uint64_t> injected_{0}, received_{0}, refused_{0}, wrong_{0};
  std::atomic<bool> done_{false};
};

std::atomic<Graph*> running{nullptr};

}  // namespace

void dump_graph() {
  if (Graph* graph = running.load()) graph->dump();
}

Tally graph(std::uint64_t seed, std::uint64_t tokens) {
  Graph one(seed, tokens);
  running = &one;
  const Tally tally = one.run();
  running = nullptr;
  if (!tally.clean()) std::printf("graph of --seed %llu\n", static_cast<unsigned long long>(seed));
  return tally;
}

}  // namespace rk::stress
