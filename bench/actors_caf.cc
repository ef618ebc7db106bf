// CAF: event-based, dynamically typed actors; messages are moved, made with one allocation each, and never serialized.
// There is no one best scheduler, so each is a contender. A system lives for one cell: idle workers poll, and would
// disturb the others.
#include "actors_caf.h"

#include <caf/all.hpp>
#include <memory>
#include <string>
#include <vector>

#include "actor_load.h"

namespace {

struct Go {
  std::uint64_t count;  // of messages to be sent
};

}  // namespace

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rk::bench::Load)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(Go)

namespace rk::bench {
namespace {

struct Scheduler {
  const char* name;
  std::size_t threads;
  caf::atom_value policy;
};

const Scheduler kSchedulers[] = {
    {"1 thread", 1, caf::atom("stealing")},
    {"2 threads", 2, caf::atom("stealing")},
    {"2 threads sharing", 2, caf::atom("sharing")},
};

struct Configuration : caf::actor_system_config {
  explicit Configuration(const Scheduler& scheduler) {
    set("scheduler.policy", scheduler.policy);
    set("scheduler.max-threads", scheduler.threads);
    set("logger.verbosity", caf::atom("quiet"));
  }
};

class System {
 public:
  explicit System(const Scheduler& scheduler) : configuration_(scheduler) {
    const Placement placement(true);
    system_ = std::make_unique<caf::actor_system>(configuration_);
  }
  // Waits for the actors' end.
  ~System() {
    for (const auto& actor : actors_) caf::anon_send_exit(actor, caf::exit_reason::kill);
  }
  System(const System&) = delete;
  System& operator=(const System&) = delete;

  template <class Behave>
  caf::actor spawn(Behave&& behave) {
    actors_.push_back(system_->spawn(std::forward<Behave>(behave)));
    return actors_.back();
  }

 private:
  Configuration configuration_;
  std::unique_ptr<caf::actor_system> system_;
  std::vector<caf::actor> actors_;
};

Nanoseconds ping_pong(benchmark::State& state, const Scheduler& scheduler) {
  Game game;
  System system(scheduler);
  const caf::actor returner = system.spawn([](caf::event_based_actor* self) -> caf::behavior {
    return {[self](Load& ball) { self->send(caf::actor_cast<caf::actor>(self->current_sender()), std::move(ball)); }};
  });
  const caf::actor server = system.spawn([&game, returner](caf::event_based_actor* self) -> caf::behavior {
    return {[self, &game, returner](Go) { self->send(returner, game.serve()); },
            [self, &game, returner](Load& ball) {
              if (game.returned(ball)) self->send(returner, game.serve());
            }};
  });
  caf::anon_send(server, Go{});
  return game.wait(state);
}

// A mailbox has no bound, so a source need not pause; whether it is faster to do so is not obvious.
Nanoseconds fan_in(benchmark::State& state, const Scheduler& scheduler, std::uint64_t sources, std::uint64_t burst) {
  FanIn run(sources);
  System system(scheduler);
  const caf::actor sink = system.spawn(
      [&run](caf::event_based_actor*) -> caf::behavior { return {[&run](const Load& message) { run.see(message); }}; });
  std::vector<caf::actor> senders;
  for (std::uint64_t i = 0; i < sources; ++i) {
    auto source = std::make_shared<Source>(i);
    senders.push_back(system.spawn([&run, source, sink, burst](caf::event_based_actor* self) -> caf::behavior {
      return {[self, &run, source, sink, burst](Go go) {
        run.begin();
        source->add(go.count);
        for (std::uint64_t n = std::min(burst, source->left()); n > 0; --n, source->sent())
          self->send(sink, source->next());
        if (source->left() > 0) self->send(self, Go{0});
      }};
    }));
  }
  return run.measure(state, [&](std::uint64_t count) {
    for (const auto& sender : senders) caf::anon_send(sender, Go{count});
  });
}

}  // namespace

void add_caf_cells() {
  for (const Scheduler& scheduler : kSchedulers) {
    const std::string name = std::string("/CAF ") + scheduler.name;
    add_cell("ping-pong/64" + name, [&](benchmark::State& state) { return ping_pong(state, scheduler); });
    for (const auto& [what, sources] : {std::pair{"fan-in/8", 8u}, std::pair{"pipeline/2", 1u}}) {
      add_cell(what + name, [&scheduler, sources](benchmark::State& state) {
        return fan_in(state, scheduler, sources, ~std::uint64_t{0});
      });
      add_cell(what + name + ", in bursts",
               [&scheduler, sources](benchmark::State& state) { return fan_in(state, scheduler, sources, kBurst); });
    }
  }
}

}  // namespace rk::bench
