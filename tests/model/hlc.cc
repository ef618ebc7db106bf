// The hybrid logical clock (H1): relaxed, so everything rests on coherence and on what the caller synchronises.
#include "ringkernel/core/hlc.h"
#include "model.h"

namespace rk::model {
namespace {

// A wall clock that has stopped: all progress is the counter's.
struct Stopped {
  std::uint64_t now() const { return std::uint64_t{1} << 40; }
};

using Clock = HlcClock<ModelAtomics, Stopped>;

struct State {
  Stopped stopped;
  Clock clock{stopped, 1, 1000}, other{stopped, 2, 1000};
  ModelAtomics::Atomic<std::uint64_t> sent{0};
};

// Three threads stamp at once: no stamp twice, and each thread's own increase.
struct Unique : rl::test_suite<Unique, 3> {
  Shared<State> shared;
  std::uint64_t stamps[3][3] = {};

  void thread(unsigned index) {
    stamps[index][0] = shared->clock.tick().time;
    stamps[index][1] = shared->clock.tick_many(2).time;
    stamps[index][2] = stamps[index][1] + 1;
    RL_ASSERT(stamps[index][1] > stamps[index][0]);
  }

  void after() {
    std::uint64_t all[9];
    std::copy_n(&stamps[0][0], 9, all);
    std::sort(all, all + 9);
    RL_ASSERT(std::adjacent_find(all, all + 9) == all + 9);
    RL_ASSERT(shared->clock.last() == all[8]);
  }
};

// Whoever learned of a stamp stamps later: on the same clock by itself, on another clock after a merge.
struct Causality : rl::test_suite<Causality, 3> {
  Shared<State> shared;

  void thread(unsigned index) {
    State& s = *shared;
    if (index == 0) {
      s.sent.store_release(s.clock.tick_many(3).time + 2);
    } else if (const std::uint64_t learned = s.sent.load_acquire(); index == 1) {
      RL_ASSERT(s.clock.tick().time > learned);
    } else {
      RL_ASSERT(s.other.update(learned) == HlcUpdate::kMerged);
      RL_ASSERT(s.other.tick().time > learned);
    }
  }
};

// Merges and ticks on one word: neither undoes the other.
struct Merge : rl::test_suite<Merge, 3> {
  static constexpr std::uint64_t kRemote = (std::uint64_t{1} << 40) + 100;
  Shared<State> shared;

  void thread(unsigned index) {
    if (index == 2) {
      const std::uint64_t before = shared->clock.last();
      RL_ASSERT(shared->clock.tick().time > before);
    } else {
      const std::uint64_t remote = kRemote + index;
      RL_ASSERT(shared->clock.update(remote) == HlcUpdate::kMerged);
      RL_ASSERT(shared->clock.tick().time > remote);
    }
  }

  void after() { RL_ASSERT(shared->clock.last() > kRemote + 1); }
};

// A shard has one writer; its stamps are told from others' by its id, ordered with them by update().
struct Shards : rl::test_suite<Shards, 2> {
  Shared<State> shared;
  std::uint32_t ids[2] = {};

  void thread(unsigned index) {
    State& s = *shared;
    auto shard = s.clock.shard();
    ids[index] = shard.shard_id();
    const HlcTimestamp first = shard.tick();
    if (index == 0) {
      s.sent.store_release(first.time);
    } else if (const std::uint64_t learned = s.sent.load_acquire(); learned != 0) {
      RL_ASSERT(shard.update(learned) == HlcUpdate::kMerged);
      RL_ASSERT(shard.tick().time > learned);
    }
    RL_ASSERT(first < shard.tick());
  }

  void after() { RL_ASSERT(ids[0] != ids[1] && ids[0] != 0 && ids[1] != 0); }
};

// The owner stamps, a bystander looks: what it sees never goes back.
struct ShardSeen : rl::test_suite<ShardSeen, 2> {
  Shared<State> shared;
  HlcShard<ModelAtomics, Stopped> shard = shared->clock.shard();

  void thread(unsigned index) {
    if (index == 0) {
      for (int i = 0; i < 3; ++i) shard.tick();
    } else {
      std::uint64_t seen = 0;
      for (int i = 0; i < 3; ++i) {
        const std::uint64_t now = shard.last();
        RL_ASSERT(now >= seen);
        seen = now;
      }
    }
  }
};

const Register<Unique> kUnique("hlc, three threads stamp");
const Register<Causality> kCausality("hlc, causality");
const Register<Merge> kMerge("hlc, merges and ticks");
const Register<Shards> kShards("hlc, shards");
const Register<ShardSeen> kShardSeen("hlc, a shard seen by another thread");

}  // namespace
}  // namespace rk::model
