// MSL text as host C++. Comes before the prelude.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#define rk_call rk_host_call
#include "ringkernel/compiled.h"
#undef rk_call
#undef RK_ANY_INSTANCE
#undef RK_DEFAULT_PRIORITY
#undef RK_FAIL_CANCELLED

#define RK_ONE_MEMORY
#define RK_POLL_EVERY 1u
#define __METAL_VERSION__ 320
