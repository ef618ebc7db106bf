// Kernels with C++ handlers: between each other against CAF, and with the host against what they are made of.
//
//   round trip/56/<contender>     host, kernel, host: median of ns; against two rings and two threads
//   ping-pong/64/<contender>      two actors: median of ns for a round trip
//   fan-in/8/<contender>          eight actors send to one: ns per message
//   pipeline/2/<contender>        one actor sends to another: ns per message
//   pipeline/3/<contender>        the host, an actor that passes on, and another: ns per message
//   wake/1/<contender>            ns from a send until the handler of a sleeping kernel runs, against a futex
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "actor_load.h"
#include "bells.h"
#include "kernels.h"
#include "round_trip.h"
#include "spsc_queues.h"
#include "support.h"

#if RK_BENCH_CAF
#include "actors_caf.h"
#endif

namespace rk::bench {
namespace {

// Longer than a worker looks for work before it sleeps.
constexpr Nanoseconds kUntilKernelSleeps = 400'000;

struct Echo final : Handler {
  Outcome handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) override {
    return context.reply(Outgoing{header.type_id, {payload, header.payload_size}, header.priority}) == Status::kOk
               ? Outcome::kHandled
               : Outcome::kFailed;
  }
};

struct Server final : Handler {
  explicit Server(Game& which) : game(which) {}
  Outcome handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) override {
    if (header.type_id == kGoType || game.returned(as<Load>(payload)))
      send_to(context, returner, kLoadType, game.serve());
    return Outcome::kHandled;
  }
  Game& game;
  Address returner{};
};

struct Returner final : Handler {
  Outcome handle(KernelContext& context, const MessageHeader&, const std::byte* payload) override {
    send_to(context, server, kLoadType, as<Load>(payload));
    return Outcome::kHandled;
  }
  Address server{};
};

struct Sender final : Handler {
  Sender(FanIn& which, std::uint64_t stream, Address to) : run(which), source(stream), sink(to) {}
  Outcome handle(KernelContext& context, const MessageHeader&, const std::byte* payload) override {
    run.begin();
    source.add(as<std::uint64_t>(payload));
    for (std::uint64_t n = std::min(kBurst, source.left()); n > 0; --n, source.sent()) {
      if (!send_to(context, sink, kLoadType, source.next())) break;
    }
    if (source.left() > 0) send_to(context, context.self(), kGoType, std::uint64_t{0});
    return Outcome::kHandled;
  }
  FanIn& run;
  Source source;
  Address sink;
};

struct Sink final : Handler {
  explicit Sink(FanIn& which) : run(which) {}
  Outcome handle(KernelContext&, const MessageHeader&, const std::byte* payload) override {
    run.see(as<Load>(payload));
    return Outcome::kHandled;
  }
  FanIn& run;
};

// Passes on; waits in its place when the next one is full.
struct Forward final : Handler {
  Outcome handle(KernelContext& context, const MessageHeader&, const std::byte* payload) override {
    while (!send_to(context, next, kLoadType, as<Load>(payload))) pause();
    return Outcome::kHandled;
  }
  Address next{};
};

struct Waker final : Handler {
  explicit Waker(std::atomic<std::uint64_t>& where) : awake(where) {}
  Outcome handle(KernelContext&, const MessageHeader&, const std::byte*) override {
    awake.store(ticks(), std::memory_order_release);
    return Outcome::kHandled;
  }
  std::atomic<std::uint64_t>& awake;
};

template <class T>
Nanoseconds host_round_trip(benchmark::State& state) {
  Workshop workshop(1);
  Port port(workshop.launch(std::make_shared<Echo>()));
  workshop.start();
  return sample_trips<T>(state, [&port](const T& message, const auto& take) {
    port.send(kLoadType, message);
    port.receive<T>(take);
  });
}

Nanoseconds ping_pong(benchmark::State& state, int workers) {
  Game game;
  const auto server = std::make_shared<Server>(game);
  const auto returner = std::make_shared<Returner>();
  Workshop workshop(workers);
  const auto serving = workshop.launch(server, 0), returning = workshop.launch(returner, workers - 1);
  server->returner = returning->address();
  returner->server = serving->address();
  workshop.connect(*serving, *returning);
  workshop.connect(*returning, *serving);
  workshop.start();
  Port(serving).send(kGoType, std::uint64_t{0});
  return game.wait(state);
}

// The sink has a worker of its own, if there are two.
Nanoseconds fan_in(benchmark::State& state, std::uint64_t sources, int workers) {
  FanIn run(sources);
  Workshop workshop(workers);
  const auto sink = workshop.launch(std::make_shared<Sink>(run), workers - 1);
  std::vector<Port> ports;
  for (std::uint64_t i = 0; i < sources; ++i) {
    const auto sender = workshop.launch(std::make_shared<Sender>(run, i, sink->address()), 0);
    workshop.connect(*sender, *sink);
    ports.emplace_back(sender);
  }
  workshop.start();
  return run.measure(state, [&ports](std::uint64_t count) {
    for (Port& port : ports) port.send(kGoType, count);
  });
}

Nanoseconds from_the_host(benchmark::State& state) {
  FanIn run(1);
  Source source(0);
  const auto forward = std::make_shared<Forward>();
  Workshop workshop(2);
  const auto sink = workshop.launch(std::make_shared<Sink>(run), 1), first = workshop.launch(forward, 0);
  forward->next = sink->address();
  workshop.connect(*first, *sink);
  workshop.start();
  Port port(first);
  return run.measure(state, [&](std::uint64_t count) {
    run.begin();
    for (source.add(count); source.left() > 0; source.sent()) port.send(kLoadType, source.next());
  });
}

Nanoseconds wake_kernel(benchmark::State& state) {
  std::atomic<std::uint64_t> awake{0};
  Workshop workshop(1);
  Port port(workshop.launch(std::make_shared<Waker>(awake)));
  workshop.start();
  return sample_wake_ups(state, kUntilKernelSleeps, awake, [&port] { port.send(kGoType, std::uint64_t{0}); });
}

template <std::size_t Bytes>
void add_rings() {
  using Queue = RkSpsc<Message<Bytes>, kLayoutTurn, Wait::kLatency>;
  add_cell("round trip/" + std::to_string(Bytes) + "/" + name_of<Queue>(Spin::kPause),
           [](benchmark::State& state) { return round_trip<Message<Bytes>, Queue>(state, Spin::kPause); });
}

void add_cells() {
  add_cell("round trip/56/rk kernel", host_round_trip<Message<56>>);
  add_rings<56>();
  add_rings<120>();  // as many bytes as the kernel's header and payload
  for (const int workers : {1, 2}) {
    const std::string name = workers == 1 ? "/rk 1 worker" : "/rk 2 workers";
    add_cell("ping-pong/64" + name, [workers](auto& state) { return ping_pong(state, workers); });
    add_cell("fan-in/8" + name, [workers](auto& state) { return fan_in(state, 8, workers); });
    add_cell("pipeline/2" + name, [workers](auto& state) { return fan_in(state, 1, workers); });
  }
  add_cell("pipeline/3/rk 2 workers", from_the_host);
  add_cell("wake/1/rk kernel", wake_kernel);
  add_cell("wake/1/futex", [](auto& state) { return wake_up<ByFutex>(state, kUntilKernelSleeps); });
#if RK_BENCH_CAF
  add_caf_cells();
#endif
}

}  // namespace
}  // namespace rk::bench

int main(int argc, char** argv) { return rk::bench::run(argc, argv, rk::bench::add_cells); }
