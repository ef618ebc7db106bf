"""Wrong code: both type checkers find an error in exactly the lines that say so."""

from __future__ import annotations

import pyringkernel as rk


@rk.message
class Inner:
    a: rk.u8


@rk.message
class Scale:
    factor: rk.f32
    count: rk.u32
    data: rk.Array[rk.f32, 4]
    more: rk.Vec[rk.f32, 4]
    name: rk.Bytes[16]
    inner: Inner
    ok: rk.boolean = False


good = Scale(factor=2.0, count=3, data=[1.0], more=[], name=b"abc", inner=Inner(a=1))

# Wrong types.
Scale(factor="x", count=3, data=[1.0], more=[], name=b"abc", inner=Inner(a=1))  # E
Scale(factor=2.0, count=3.5, data=[1.0], more=[], name=b"abc", inner=Inner(a=1))  # E
Scale(factor=2.0, count=3, data=5, more=[], name=b"abc", inner=Inner(a=1))  # E
Scale(factor=2.0, count=3, data="abcd", more=[], name=b"abc", inner=Inner(a=1))  # E
Scale(factor=2.0, count=3, data=[1.0], more=1.5, name=b"abc", inner=Inner(a=1))  # E
Scale(factor=2.0, count=3, data=[1.0], more=[], name="abc", inner=Inner(a=1))  # E
Scale(factor=2.0, count=3, data=[1.0], more=[], name=b"abc", inner=5)  # E
Scale(factor=2.0, count=3, data=[1.0], more=[], name=b"abc", inner=Inner(a=1), ok="yes")  # E
Inner(a=None)  # E

# Missing, unknown and surplus fields.
Scale(factor=2.0, count=3, data=[1.0], more=[], name=b"abc")  # E
Scale()  # E
Scale(factor=2.0, count=3, data=[1.0], more=[], name=b"abc", inner=Inner(a=1), extra=5)  # E
Scale(2.0, 3, [1.0], [], b"abc", Inner(a=1), True, 9)  # E
Inner(1, a=2)  # E

# Reading and writing fields.
good.factor = "x"  # E
good.count = 1.5  # E
good.nothing = 5  # E
good.name = 5  # E
good.data = 3.0  # E
good.more = "abc"  # E
good.inner = 3  # E
wrong_text: str = good.factor  # E
wrong_number: int = good.name  # E
wrong_array: float = good.data  # E
print(good.nothing)  # E

# The rest of the API.
rk.Runtime(backend=5)  # E
rk.Runtime().launch(5, capacity="many")  # E
rk.SpscRing("4")  # E
rk.SpscRing(4, overflow="explode")  # E
rk.MpscRing(4, layout="flat")  # E
rk.HlcClock(node_id="a")  # E
rk.HlcTimestamp("now")  # E
rk.kernel(id=5)  # E
wrong_state: str = rk.Runtime().kernels  # E


# Compiled handlers.
@rk.message
class Job:
    values: rk.Ref[rk.f32]


Job(values=[1.0])  # E
Job(values=5)  # E
Job()  # E
job = Job(values=None)
job.values = "x"  # E
text: str = job.values.key  # E
rk.Runtime().register([1], writable=True).size = "x"  # E


@rk.state
class Tally:
    seen: rk.u64


@rk.device
def mean(values: rk.Array[rk.f32, 4]) -> rk.f32:
    total: rk.f32 = values[0] + values[3]
    return total / 2.0


@rk.kernel
def compiled(ctx: rk.Context, state: Tally, msg: Scale) -> Scale:
    state.seen += "x"  # E
    msg.factor = mean(msg.factor)  # E
    msg.more.push(1.0)  # E
    job.values[0] = "x"  # E
    job.values["0"] = 1.0  # E
    msg.name["0"] = 1  # E
    ctx.atomic_add("seen", 1)  # E
    ctx.warp_reduce(msg.factor, "mean")  # E
    return Inner(a=1)  # E


compiled.source(5)  # E
compiled(1, 2)  # E
compiled.launch()  # E
rk.kernel(compiled="yes")  # E
rk.kernel(checked=3)  # E
rk.Runtime().launch(compiled, engine=5)  # E
