// One producer and one consumer that poll, in batches of changing length, in place and by copy.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <thread>

#include "ringkernel/core/spsc_ring.h"
#include "ringkernel/runtime/host_atomics.h"
#include "stress.h"

namespace rk::stress {
namespace {

constexpr std::uint64_t kCapacity = 32, kMaxBatch = 7;

template <std::uint32_t Layout>
struct Batches {
  using Ring = TypedSpscRing<Message, Layout, HostAtomics>;

  static Tally run(std::uint64_t count) {
    alignas(kRingLineBytes) std::array<std::byte, kRingSlotsOffset + kCapacity * 64> memory{};
    RingGeometry geometry;
    if (Ring::geometry(kCapacity, &geometry) != GeometryError::kNone) std::abort();
    if (geometry.total_bytes > memory.size()) std::abort();
    Ring ring(*create_ring<HostAtomics>(memory.data(), geometry));

    Ledger ledger;
    ledger.expect(0, count);
    std::thread producer([&] { produce(ring, count); });
    consume(ring, ledger);
    producer.join();
    return ledger.close(0);
  }

  static void produce(Ring& ring, std::uint64_t count) {
    for (std::uint64_t sent = 0; sent < count;) {
      std::array<Message, kMaxBatch> batch;
      const std::uint64_t size = std::min(count - sent, 1 + sent % kMaxBatch);
      for (std::uint64_t i = 0; i < size; ++i) batch[i] = Message::make(0, sent + i, 0);
      const std::uint64_t done = sent % 2 == 0 ? ring.push_many(batch.data(), size) : claim(ring, batch.data(), size);
      if (done == 0) std::this_thread::yield();
      sent += done;
    }
    ring.close();
  }

  static std::uint64_t claim(Ring& ring, const Message* batch, std::uint64_t size) {
    std::uint64_t claimed = 0;
    for (; claimed < size; ++claimed) {
      std::byte* slot = ring.try_claim(claimed);
      if (slot == nullptr) break;
      HostAtomics::copy_in(slot, batch + claimed, sizeof(Message));
    }
    if (claimed != 0) ring.publish(claimed);
    return claimed;
  }

  static void consume(Ring& ring, Ledger& ledger) {
    for (std::uint64_t round = 0;; ++round) {
      std::array<Message, kMaxBatch> batch;
      std::uint64_t got = 0;
      if (round % 2 == 0) {
        got = ring.pop_many(batch.data(), kMaxBatch);
      } else {
        ring.consumer().consume(
            [&](const std::byte* slot) { HostAtomics::copy_out(&batch[got++], slot, sizeof(Message)); }, kMaxBatch);
      }
      for (std::uint64_t i = 0; i < got; ++i) ledger.receive(batch[i]);
      if (got == 0 && ring.consumer().closed_and_drained()) return;
      if (got == 0) std::this_thread::yield();
    }
  }
};

}  // namespace

Tally batches_packed(std::uint64_t count) { return Batches<kLayoutPacked>::run(count); }
Tally batches_turn(std::uint64_t count) { return Batches<kLayoutTurn>::run(count); }

}  // namespace rk::stress
