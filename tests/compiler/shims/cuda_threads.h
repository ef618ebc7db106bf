// A block of CUDA threads as threads of this machine. A warp operation whose mask names a lane that does not take part
// waits for ever here too.
#pragma once
#include <atomic>
#include <barrier>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

namespace rk_shim {
struct Warp {
  explicit Warp(unsigned lanes_given) : lanes(lanes_given), mask(0xFFFFFFFFu >> (32 - lanes)), turn(lanes) {}
  unsigned lanes, mask;
  std::barrier<> turn;
  unsigned values[32] = {};
};
struct Block {
  explicit Block(unsigned threads) : turn(threads) {
    for (unsigned first = 0; first < threads; first += 32)
      warps.push_back(std::make_unique<Warp>(threads - first < 32 ? threads - first : 32));
  }
  std::barrier<> turn;
  std::atomic<unsigned> votes[2]{0, 0};
  std::vector<std::unique_ptr<Warp>> warps;
};
inline Block* block;
}  // namespace rk_shim

inline thread_local rk_shim::Index threadIdx{0};
inline thread_local unsigned rk_shim_barriers = 0;
inline rk_shim::Index blockIdx{2}, blockDim{1}, gridDim{3};

template <typename Read>
unsigned rk_shim_exchange(unsigned mask, unsigned value, Read read) {
  rk_shim::Warp& warp = *rk_shim::block->warps[threadIdx.x / 32];
  if (mask != warp.mask) std::abort();
  warp.values[threadIdx.x % 32] = value;
  warp.turn.arrive_and_wait();
  const unsigned result = read(warp);
  warp.turn.arrive_and_wait();
  return result;
}
inline unsigned __shfl_sync(unsigned mask, unsigned value, int lane) {
  return rk_shim_exchange(mask, value, [lane](rk_shim::Warp& warp) { return warp.values[lane]; });
}
inline unsigned __ballot_sync(unsigned mask, bool value) {
  return rk_shim_exchange(mask, value ? 1 : 0, [](rk_shim::Warp& warp) {
    unsigned votes = 0;
    for (unsigned lane = 0; lane < warp.lanes; ++lane) votes |= warp.values[lane] << lane;
    return votes;
  });
}
inline int __all_sync(unsigned mask, bool value) { return __ballot_sync(mask, value) == mask; }
inline int __any_sync(unsigned mask, bool value) { return __ballot_sync(mask, value) != 0; }
inline void __syncwarp(unsigned mask) { __ballot_sync(mask, false); }
inline int __syncthreads_and(int value) {
  std::atomic<unsigned>& votes = rk_shim::block->votes[rk_shim_barriers++ % 2];
  if (value == 0) votes.fetch_add(1);
  rk_shim::block->turn.arrive_and_wait();
  const bool all = votes.load() == 0;
  rk_shim::block->turn.arrive_and_wait();
  if (value == 0) votes.fetch_sub(1);
  return all;
}
