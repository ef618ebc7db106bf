"""What is too large or too deep."""

from __future__ import annotations

import pyringkernel as rk

from rejected.common import Data, Ping


def local_array_too_large(ctx, msg: Data):
    # error 9: objects that are made in the handler: 1048584 bytes in all, the most is 1048576
    # hint: keep what is large in the state
    a = rk.zeros(rk.f64, 131_073)


def local_arrays_too_large_together(ctx, msg: Data):
    a = rk.zeros(rk.u8, 600_000)
    # error 9: objects that are made in the handler: 1200000 bytes in all, the most is 1048576
    # hint: keep what is large in the state
    b = rk.zeros(rk.u8, 600_000)


def shared_array_too_large(ctx, msg: Data):
    # error 9: ctx.shared(): 1048584 bytes in all, the most is 1048576
    # hint: keep what is large in the state
    a = ctx.shared(rk.f64, 131_073)


def too_deep(ctx, msg: Ping):
    # error 106: this is nested more than 100 deep
    # hint: split the function into device functions
    x = ---------------------------------------------------------------------------------------------------1  # fmt: skip


def too_many_terms(ctx, msg: Ping):
    # error 9: this is nested more than 100 deep
    # hint: split the function into device functions
    x = 1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1  # fmt: skip
