"""Right code with defaults for fields that are descriptors to a type checker."""

from __future__ import annotations

import pyringkernel as rk


@rk.message
class Defaults:
    x: rk.f32
    name: rk.Bytes[16] = rk.field(default=b"none")
    data: rk.Array[rk.f32, 2] = rk.field(default=(0.0, 1.0))
    more: rk.Vec[rk.f32, 2] = rk.field(default=[])
    z: rk.u32 = 4
    ref: rk.Ref[rk.f32] = rk.field(default=None)


defaults = Defaults(x=2)
all_given = Defaults(2, b"x", [1, 2], [3], 4)
name: bytes = defaults.name
