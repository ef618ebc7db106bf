// One field list per shared struct makes the struct, its frozen layout and (through the bindings) its NumPy dtype.
//
// A list is a macro `RK_FOO_FIELDS(F)` that calls `F(Struct, type, name, offset)` once a field, in order of offset.
// RK_DEFINE_ABI_STRUCT turns it into a struct and a wall of static_asserts: compiling the header is the layout test.
// Changing a line of a list means a new kAbiMajor (kAbiMinor when a reserved field gets a meaning); see version.h.
#pragma once

#include "ringkernel/abi/types.h"

#define RK_ABI_MEMBER(S, type, name, offset) type name;
#define RK_ABI_CHECK(S, type, name, offset) \
  static_assert(RK_OFFSETOF(S, name) == (offset), #S "." #name " moved: bump kAbiMajor");

#define RK_DEFINE_ABI_STRUCT(S, size, FIELDS)                               \
  struct alignas((size) < 128 ? (size) : 128) S {                           \
    FIELDS(RK_ABI_MEMBER)                                                   \
  };                                                                        \
  static_assert(sizeof(S) == (size), #S " changed size: bump kAbiMajor");   \
  FIELDS(RK_ABI_CHECK)
