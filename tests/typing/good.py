"""Right code: both type checkers accept every line."""

from __future__ import annotations

import array

import numpy as np

import pyringkernel as rk


@rk.message
class Inner:
    a: rk.u8
    b: rk.f32 = 1.5


@rk.message(type_id=77)
class Tagged:
    n: rk.u64 = 0
    on: rk.boolean = True


@rk.message
class Scale:
    factor: rk.f32
    count: rk.u32
    ok: rk.boolean
    plain: bool
    data: rk.Array[rk.f32, 4]
    more: rk.Vec[rk.i16, 8]
    name: rk.Bytes[16]
    inner: Inner
    many: rk.Array[Inner, 2]


@rk.message
class Job:
    values: rk.Ref[rk.f32]
    counts: rk.Ref[rk.u32]


@rk.state
class Tally:
    seen: rk.u64
    total: rk.f32


m = Scale(
    factor=2.0,
    count=3,
    ok=True,
    plain=False,
    data=[1.0, 2.0, 3.0, 4.0],
    more=np.zeros(3, np.int16),
    name=b"abc",
    inner=Inner(a=1),
    many=[Inner(1), Inner(2, 0.5)],
)
tagged = Tagged()

# Arrays: anything array-like goes in, a NumPy array comes out.
m.data = np.ones(4, np.float32)
m.data = array.array("f", [1, 2, 3, 4])
m.data = (1, 2, 3, 4)
m.data = memoryview(b"0123456789abcdef").cast("f")
m.data[0] = 3.0
m.data[:] = 1.0
first: float = float(m.data[0])
total = m.data.sum()
doubled = m.data * 2
for value in m.data:
    print(value)
length: int = len(m.more)
m.more = []

# Bytes: anything with bytes goes in, bytes come out.
text: bytes = m.name
m.name = bytearray(b"x")
stripped: bytes = m.name.rstrip(b"\0")

# Scalars and nested messages.
factor: float = m.factor
count: int = m.count
ok: bool = m.ok
m.factor = 1
m.count = rk.u32(7)
m.inner.a = 4
inner: Inner = m.inner


# Handlers and runtimes.
@rk.kernel(compiled=False)
def scaler(ctx: rk.Context, msg: Scale) -> Scale:
    for i in range(ctx.thread_id(), 4, ctx.block_dim()):
        msg.data[i] = msg.data[i] * msg.factor
    return msg


@rk.kernel(compiled=False, id="tally", publishes_to=["audit"])
def tally(ctx: rk.Context, state: Tally, msg: Scale | Tagged) -> Tagged | None:
    state.seen += rk.u64(1)
    if isinstance(msg, Tagged):
        ctx.send("audit", msg)
        return None
    ctx.reply(Tagged(msg.count))
    return Tagged(n=int(state.seen))


# Handlers that are compiled, and what only they have.
@rk.device
def mean(values: rk.Array[rk.f32, 4]) -> rk.f32:
    total = 0.0
    for i in range(4):
        total += values[i]
    return total / 4.0


@rk.kernel
def compiled(ctx: rk.Context, state: Tally, msg: Scale | Tagged) -> Scale | None:
    if isinstance(msg, Tagged):
        state.seen += msg.n
        return None
    scratch = rk.zeros(rk.f32, 4)
    for i in range(4):
        scratch[i] = msg.data[i] * msg.factor
    state.total = mean(scratch) + mean(msg.data)
    msg.more.clear()
    msg.more.append(rk.i16(state.total))
    for i in range(len(msg.name)):
        if msg.name[i] == 97:
            msg.name[i] -= 32
    bits: rk.u32 = rk.bitcast(rk.u32, msg.factor)
    msg.count = rk.popcount(bits) + rk.u32(ctx.ballot(msg.ok))
    ctx.atomic_add(state.seen, 1)
    together = ctx.shared(rk.f32, 4)
    together[ctx.thread_id() % 4] = ctx.warp_reduce(msg.factor, "max")
    return msg


@rk.kernel(publishes_to=["audit"], checked=False, block_size=32)
def forwarding(ctx: rk.Context, msg: Tagged) -> None:
    ctx.send("audit", msg, priority=rk.Priority.HIGH, deadline=0.5)


@rk.device
def sum_of(values: rk.Ref[rk.f32]) -> rk.f32:
    found: rk.f32 = 0.0
    for value in values:
        found += value
    return found


@rk.kernel
def in_place(ctx: rk.Context, msg: Job) -> Job:
    for i in range(min(len(msg.values), len(msg.counts))):
        msg.values[i] += sum_of(msg.values) * 2.0
        ctx.atomic_add(msg.counts[i], 1)
    return Job(values=msg.values, counts=None)


handler: rk.CompiledHandler[[rk.Context, Tally, Scale | Tagged], Scale | None] = compiled
text_of: str = compiled.source("wgsl")
named: str = forwarding.id

with rk.Runtime(backend="auto", node_id=1) as rt:
    jitted: rk.Kernel = rt.launch(compiled, engine="vm")
    stepped: rk.Kernel = rt.launch(forwarding, compiled=False)
    kernel: rk.Kernel = rt.launch(scaler, capacity=1024, accepts=[Scale])
    reply: Scale = kernel.call(m, timeout=1.0)
    kernel.send(m)
    sent: bool = kernel.try_send(m)
    received: Scale = kernel.receive(timeout=1.0)
    batch: np.ndarray[tuple[int], np.dtype[np.void]] = kernel.receive_many(max=16)
    fitted: int = kernel.send_many(batch)
    resting: bool = kernel.state is rk.KernelState.DEACTIVATED
    accepted: int = kernel.stats().accepted
    stamp: rk.HlcTimestamp = rt.tick()
    later: bool = stamp < rt.now()
    print(scaler.__name__)

    # References to registered memory.
    buffer: rk.Buffer = rt.register(np.ones(3, np.float32), writable=True)
    job = Job(values=buffer, counts=None)
    job.values = buffer[1:2]
    part: rk.BufferRef = job.values
    whose: rk.Buffer | None = rt.buffer(job.values)
    of_part: int = len(part) + part.key + job.values.count
    with rt.register(bytearray(8)) as bytes_of:
        over: bool = bytes_of.released or bytes_of.in_use

# Rings and clocks.
with rk.MpscRing(256, dtype=Scale, overflow="drop_oldest", lanes=4) as ring:
    ring.push(m, timeout=None)
    pushed: bool = ring.try_push(m)
    got: Scale = ring.pop()
with rk.SpscRing(capacity=4, slot_size=64, layout="turn") as spsc:
    with spsc.claim() as slot:
        slot[:3] = b"abc"
    high: int = spsc.stats().high_water
clock = rk.HlcClock(node_id=3, max_drift=0.5)
clock.update(rk.HlcTimestamp.fromisoformat(clock.tick().isoformat()))
shard: rk.HlcShard = clock.shard()
try:
    pass
except rk.RingTimeoutError as error:
    as_builtin: TimeoutError = error
