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
from ._core import Context, HlcClock, HlcShard, HlcTimestamp, Message, MessageHeader, Operation
from ._paths import get_cmake_dir, get_include
from .buffers import Buffer, BufferRef
from .checkpoint import Snapshot
from .compiled import CompiledHandler
from .dead_letters import DeadLetter, DeadLetterReason, DeadLetters, DeadLetterStats
from .device_functions import device
from .devices import Device
from .edges import Edge, EdgeStats
from .errors import *  # noqa: F403
from .handlers import kernel
from .intrinsics import bitcast, clz, ctz, popcount, zeros
from .kernels import Kernel, KernelState, Priority
from .messages import field, message, state
from .native import NativeHandler
from .registry import Registry, RegistryEvent, Watch
from .rings import MpscRing, RingStats, SpscRing
from .runtime import Runtime
from .scalars import Array, Bytes, Ref, Vec, boolean, f16, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64
from .supervision import SupervisionEvent, Supervisor
from .telemetry import KernelTelemetry, LatencyHistogram, RuntimeTelemetry
from .topics import Subscription, TopicInfo

__version__ = _core.version

__all__ = [
    "Array",
    "Buffer",
    "BufferRef",
    "Bytes",
    "CompiledHandler",
    "Context",
    "DeadLetter",
    "DeadLetterReason",
    "DeadLetterStats",
    "DeadLetters",
    "Device",
    "Edge",
    "EdgeStats",
    "HlcClock",
    "HlcShard",
    "HlcTimestamp",
    "Kernel",
    "KernelState",
    "KernelTelemetry",
    "LatencyHistogram",
    "Message",
    "MessageHeader",
    "MpscRing",
    "NativeHandler",
    "Operation",
    "Priority",
    "Ref",
    "Registry",
    "RegistryEvent",
    "RingStats",
    "Runtime",
    "RuntimeTelemetry",
    "Snapshot",
    "SpscRing",
    "Subscription",
    "SupervisionEvent",
    "Supervisor",
    "TopicInfo",
    "Vec",
    "Watch",
    "__version__",
    "bitcast",
    "boolean",
    "clz",
    "ctz",
    "device",
    "errors",
    "f16",
    "f32",
    "f64",
    "field",
    "get_cmake_dir",
    "get_include",
    "i8",
    "i16",
    "i32",
    "i64",
    "kernel",
    "message",
    "popcount",
    "state",
    "u8",
    "u16",
    "u32",
    "u64",
    "zeros",
]
__all__ += errors.__all__
