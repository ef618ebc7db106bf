"""RingKernel: Python functions as resident actors, and typed messages in microseconds.

import pyringkernel as rk

@rk.message
class Greeting:
    number: rk.u32

@rk.kernel
def echo(ctx: rk.Context, msg: Greeting) -> Greeting:
    return msg

with rk.Runtime() as rt:
    print(rt.launch(echo).call(Greeting(number=7)))
"""

from . import _core, errors
from ._core import Context, HlcClock, HlcShard, HlcTimestamp, Message, MessageHeader
from .errors import *  # noqa: F403
from .handlers import kernel
from .messages import field, message, state
from .rings import MpscRing, RingStats, SpscRing
from .runtime import Kernel, KernelState, Priority, Runtime
from .scalars import Array, Bytes, Vec, boolean, f16, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64

__version__ = _core.version

__all__ = [
    "Array",
    "Bytes",
    "Context",
    "HlcClock",
    "HlcShard",
    "HlcTimestamp",
    "Kernel",
    "KernelState",
    "Message",
    "MessageHeader",
    "MpscRing",
    "Priority",
    "RingStats",
    "Runtime",
    "SpscRing",
    "Vec",
    "__version__",
    "boolean",
    "errors",
    "f16",
    "f32",
    "f64",
    "field",
    "i8",
    "i16",
    "i32",
    "i64",
    "kernel",
    "message",
    "state",
    "u8",
    "u16",
    "u32",
    "u64",
]
__all__ += errors.__all__
