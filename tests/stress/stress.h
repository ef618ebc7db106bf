// The parts of the stress program; each sends or makes about `count` messages or stamps and counts what went wrong.
#pragma once

#include "tally.h"

namespace rk::stress {

Tally many_producers_packed(std::uint64_t count, unsigned producers);
Tally many_producers_turn(std::uint64_t count, unsigned producers);
Tally many_producers_overwrite(std::uint64_t count, unsigned producers);
Tally batches_packed(std::uint64_t count);
Tally batches_turn(std::uint64_t count);
Tally stamps(std::uint64_t count);
Tally clock_readings(std::uint64_t count);

// One random graph of kernels, made by `seed`.
Tally graph(std::uint64_t seed, std::uint64_t tokens);
void dump_graph();  // of the one that runs: what is where

// Graphs for so long; then looks for what was left behind. False: something was.
bool soak(std::uint64_t seconds, std::uint64_t seed);

}  // namespace rk::stress
