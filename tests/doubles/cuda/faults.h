// What a thread of a grid takes from the double, and what happens to it when it does what a GPU would not forgive.
#pragma once

#include "blocks.h"

namespace rk_double {

// Bad accesses of device code are results from now on; those of the host go to whoever cared for them before.
void watch_faults();

// Runs one CUDA thread. The fault that it ended by; kOk also where its device died under it.
Result run_guarded(Device& device, Run kernel, const Thread& self, void** values);

}  // namespace rk_double
