// Ping-pong of 56 bytes over two rings, against one line that both sides write in turn.
//
//   round trip/56/<contender>    median in ns; p99 and p99.9 as counters
#include <string>

#include "round_trip.h"
#include "spsc_queues.h"
#include "support.h"

namespace rk::bench {
namespace {

template <std::size_t Bytes>
void add_cells_of() {
  using T = Message<Bytes>;
  const auto add = [&]<class Queue>(Spin spin) {
    add_cell("round trip/" + std::to_string(Bytes) + "/" + name_of<Queue>(spin),
             [spin](benchmark::State& state) { return round_trip<T, Queue>(state, spin); });
  };
  add.template operator()<RkSpsc<T, kLayoutTurn, Wait::kLatency>>(Spin::kBare);
  add.template operator()<RkSpsc<T, kLayoutTurn, Wait::kLatency>>(Spin::kPause);
  add.template operator()<RkSpsc<T, kLayoutPacked, Wait::kLatency>>(Spin::kBare);
  for_each_spsc_peer<T>(add);
}

void add_cells() {
  add_cells_of<56>();
  add_cells_of<256>();
}

}  // namespace
}  // namespace rk::bench

int main(int argc, char** argv) { return rk::bench::run(argc, argv, rk::bench::add_cells); }
