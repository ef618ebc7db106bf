// Relacy (Vyukov's race detector) without its macros.
//
// It redefines new, malloc, assert, errno and the names of the memory orders for code that uses them directly; our code
// reaches it through a policy, so the real ones are put back.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <source_location>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#pragma push_macro("assert")
#pragma push_macro("errno")
#include <relacy/relacy.hpp>
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef VAR
#undef VAR_T
#undef TLS_T
#pragma pop_macro("errno")
#pragma pop_macro("assert")
