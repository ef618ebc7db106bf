// Drop the oldest (E1, E4, E7): each message is delivered whole or counted as dropped, once.
#include "model_ring.h"
#include "ringkernel/core/overwrite_ring.h"

namespace rk::model {
namespace {

template <std::uint64_t Capacity>
struct ModelOverwrite {
  using Word = ModelAtomics::Atomic<std::uint64_t>;

  RingLines<ModelAtomics> lines;
  std::array<Word, 2 * Capacity> words;
  OverwriteRing<ModelAtomics> ring{lines, reinterpret_cast<std::byte*>(words.data()), RuntimeShape(geometry())};

  ModelOverwrite() {
    PayloadWatch::forget_all();
    for (auto& word : words) word.watch_as_payload();
  }

  static RingGeometry geometry() {
    RingGeometry geometry{};
    geometry.capacity = Capacity;
    geometry.slot_size = 16;
    geometry.slot_stride = 2 * sizeof(Word);
    return geometry;
  }
};

template <std::uint64_t Capacity, std::uint64_t Messages>
struct Overwrite : rl::test_suite<Overwrite<Capacity, Messages>, 2> {
  Shared<ModelOverwrite<Capacity>> ring;
  std::uint64_t received = 0;

  void after() {
    const RingStats stats = ring->ring.stats();
    RL_ASSERT(stats.accepted == Messages && stats.in_flight == 0);
    RL_ASSERT(stats.delivered == received && stats.dropped == Messages - received);
  }

  void thread(unsigned index) { index == 0 ? produce() : consume(); }

  void produce() {
    for (std::uint64_t n = 1; n <= Messages; ++n) {
      const std::uint64_t message[2] = {n, ~n};
      RL_ASSERT(ring->ring.producer().try_push(message) == Status::kOk);
    }
    ring->ring.close();
  }

  void consume() {
    auto& consumer = ring->ring.consumer();
    for (std::uint64_t last = 0; !consumer.closed_and_drained();) {
      std::uint64_t message[2];
      const std::byte* copy = consumer.try_peek();
      if (copy == nullptr) {
        try_again_later();
        continue;
      }
      std::memcpy(message, copy, 16);
      consumer.release();
      RL_ASSERT(message[0] > last && message[0] <= Messages && message[1] == ~message[0]);
      last = message[0];
      ++received;
    }
  }
};

// What a third thread reads while messages are pushed, dropped and taken adds up, and never wraps around.
struct Bystander : rl::test_suite<Bystander, 3> {
  Shared<ModelOverwrite<1>> ring;

  void thread(unsigned index) {
    const std::uint64_t message[2] = {1, ~std::uint64_t{1}};
    if (index == 0) {
      for (int i = 0; i < 2; ++i) ring->ring.producer().try_push(message);
    } else if (index == 1) {
      ring->ring.consumer().try_peek();
    } else {
      check_stats(ring->ring.stats(), 2);
    }
  }
};

const Register<Overwrite<1, 2>> kOne("overwrite, one slot");
const Register<Overwrite<2, 3>> kTwo("overwrite, two slots");
const Register<Bystander> kBystander("overwrite, statistics seen by a third thread");

}  // namespace
}  // namespace rk::model
