// The C++ Actor Framework in the actor scenarios.
#pragma once

namespace rk::bench {

void add_caf_cells();

}  // namespace rk::bench
