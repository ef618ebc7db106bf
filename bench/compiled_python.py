"""Compiled handlers: alone in a loop, behind batches from Python, behind calls, and what compiling costs."""

from __future__ import annotations

import ctypes
import inspect
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import pyringkernel as rk
from native_handler import BUILD, native_echo
from timing import Candidate, main

ELEMENTS = 1 << 20
SLOTS = 1024


@rk.message(type_id=7)
class Sample:
    kind: rk.u32
    dest: rk.u32
    amount: rk.i32
    value: rk.f32


@rk.state
class Tally:
    count: rk.u32
    sum: rk.i32
    mean: rk.f32


@rk.message
class Line(rk.Message):
    words: rk.Array[rk.u64, 8]


@rk.message
class Word(rk.Message):
    value: rk.u64


@rk.message
class Vector:
    factor: rk.f32
    x: rk.Array[rk.f32, ELEMENTS]


@rk.state
class Sum:
    y: rk.Array[rk.f32, ELEMENTS]


@rk.kernel(publishes_to=["next"])
def tally(ctx: rk.Context, state: Tally, msg: Sample) -> None:
    state.count += 1
    state.sum += msg.amount
    state.mean = state.mean * 0.9 + msg.value * 0.1
    if msg.kind == 1 and state.count & 1 == 0:
        ctx.send("next", Sample(kind=2, dest=msg.dest, amount=state.sum, value=state.mean))


@rk.kernel
def echo_line(ctx: rk.Context, msg: Line) -> Line:
    return msg


@rk.kernel
def echo_word(ctx: rk.Context, msg: Word) -> Word:
    return msg


@rk.kernel
def saxpy(ctx: rk.Context, state: Sum, msg: Vector) -> None:
    for i in range(ELEMENTS):
        state.y[i] = msg.factor * msg.x[i] + state.y[i]


# -- handlers alone ---------------------------------------------------------------------------------------------------


class Loop:
    """Slots of one message class, a state, and the loops of bench/compiled_loop.cc over them."""

    def __init__(self, rows: Any, state_bytes: int) -> None:
        self.library = ctypes.CDLL(str(BUILD / "bench" / "compiled_loop.so"))
        for function in (self.library.bench_run, self.library.bench_run_each):
            function.restype = ctypes.c_double
        self.count = len(rows)
        self.slots = np.zeros((self.count, (64 + rows.dtype.itemsize + 63) // 64 * 64), np.uint8)
        self.slots[:, 64 : 64 + rows.dtype.itemsize] = rows.view(np.uint8).reshape(self.count, -1)
        self.state = np.zeros(state_bytes + 64, np.uint8)
        self.state = self.state[-self.state.ctypes.data % 64 :]
        self.memory = np.zeros(1 << 18, np.uint8)

    def _arguments(self) -> list[Any]:
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (self.state, self.memory, self.slots)]
        return [*pointers, ctypes.c_uint64(self.slots.strides[0]), ctypes.c_uint32(self.count)]

    def engine(self, handler: Any, name: str) -> Callable[[int], float]:
        made = handler.engine(name)
        (run, program), given = made.entries[0], self._arguments()

        def measured(n: int) -> float:
            times = ctypes.c_uint64(n // self.count)
            took: float = self.library.bench_run(ctypes.c_void_p(run), ctypes.c_void_p(program), *given, times)
            return took

        return measured

    def each(self, function: Any) -> Callable[[int], float]:
        given = self._arguments()

        def measured(n: int) -> float:
            took: float = self.library.bench_run_each(function, *given, ctypes.c_uint64(n // self.count))
            return took

        return measured

    def numba(self) -> Callable[[int], float]:
        """The same handler by numba's @cfunc, with casts so that it computes in 32 bits."""
        import numba
        from numba import types

        sample = types.Record.make_c_struct(
            [("kind", types.uint32), ("dest", types.uint32), ("amount", types.int32), ("value", types.float32)]
        )
        state = types.Record.make_c_struct([("count", types.uint32), ("sum", types.int32), ("mean", types.float32)])
        prototype = ctypes.CFUNCTYPE(
            None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_int32, ctypes.c_float
        )
        send = ctypes.cast(self.library.bench_send, prototype)
        f32, i32, u32 = np.float32, np.int32, np.uint32

        @numba.cfunc(types.void(types.voidptr, types.CPointer(state), types.CPointer(sample)))
        def handler(call: Any, states: Any, messages: Any) -> None:
            s, m = numba.carray(states, 1)[0], numba.carray(messages, 1)[0]
            s.count = u32(s.count + 1)
            s.sum = i32(s.sum + m.amount)
            s.mean = s.mean * f32(0.9) + m.value * f32(0.1)
            if m.kind == 1 and s.count & 1 == 0:
                send(call, u32(2), m.dest, s.sum, s.mean)

        self.keep = (handler, send)
        return self.each(ctypes.c_void_p(handler.address))


def alone(quick: bool) -> list[Candidate]:
    rows = np.zeros(SLOTS, Sample.dtype)
    rows["kind"], rows["dest"], rows["amount"] = 1, np.arange(SLOTS), np.arange(SLOTS)
    rows["value"] = np.arange(SLOTS)
    loop = Loop(rows, 12)
    scenario, count = "handler alone", SLOTS * (100 if quick else 5000)
    found = [
        Candidate(scenario, "rk LLVM", loop.engine(tally, "llvm"), count, True),
        Candidate(scenario, "rk bytecode", loop.engine(tally, "vm"), count // 4, True),
        Candidate(scenario, "C++ -O2 through a pointer", loop.each(loop.library.bench_handler), count),
    ]
    try:
        found.append(Candidate(scenario, "numba.cfunc", loop.numba(), count))
    except ImportError:
        print("numba is not installed: left out")
    return found


def vectors(quick: bool) -> list[Candidate]:
    rows = np.zeros(1, Vector.dtype)
    rows["factor"], rows["x"] = 1e-6, np.linspace(0, 1, ELEMENTS, dtype=np.float32)
    loop = Loop(rows, 4 * ELEMENTS)
    x, y, t = rows["x"][0].copy(), np.zeros(ELEMENTS, np.float32), np.zeros(ELEMENTS, np.float32)
    factor = np.float32(1e-6)

    def repeated(statement: Callable[[], object]) -> Callable[[int], float]:
        def run(n: int) -> float:
            start = time.perf_counter()
            for _ in range(n):
                statement()
            return time.perf_counter() - start

        return run

    def in_place() -> None:
        np.multiply(x, factor, out=t)
        np.add(y, t, out=y)

    def plain() -> None:
        np.add(y, factor * x, out=y)

    scenario, count = "SAXPY of 2**20 floats", 10 if quick else 100
    return [
        Candidate(scenario, "rk LLVM", loop.engine(saxpy, "llvm"), count, True, "us", 1e6),
        Candidate(scenario, "NumPy, in place", repeated(in_place), count, False, "us", 1e6),
        Candidate(scenario, "NumPy, y += a * x", repeated(plain), count, False, "us", 1e6),
    ]


# -- through the runtime ----------------------------------------------------------------------------------------------


def streams(quick: bool) -> list[Candidate]:
    from native_python import OUTSTANDING, peers, through_kernel

    scenario, count = "Python, compiled, Python", 50_000 if quick else 1_000_000
    found = []
    for name, handler in (("llvm", echo_line), ("vm", echo_line), ("C", native_echo(Line))):
        engine = {} if name == "C" else {"engine": name}
        kernel = rk.Runtime().launch(handler, capacity=2 * OUTSTANDING, **engine)
        found.append(
            Candidate(scenario, f"send_many + receive_many, {name}", through_kernel(kernel), count, name != "C")
        )
    return found + [Candidate(scenario, p.name, p.run, p.count) for p in peers(count)]


def calls(quick: bool) -> list[Candidate]:
    def each(kernel: Any) -> Callable[[int], list[float]]:
        def run(n: int) -> list[float]:
            message, call, clock = Word(value=1), kernel.call, time.perf_counter
            times = []
            for _ in range(n):
                start = clock()
                call(message)
                times.append(clock() - start)
            return times

        return run

    count = 2_000 if quick else 20_000
    launched = [("llvm", echo_word), ("vm", echo_word), ("C", native_echo(Word))]
    return [
        Candidate(
            "call, compiled handler",
            f"Kernel.call, {name}",
            each(rk.Runtime().launch(handler, **({} if name == "C" else {"engine": name}))),
            count,
            name != "C",
        )
        for name, handler in launched
    ]


def build(quick: bool) -> list[Candidate]:
    return [*alone(quick), *vectors(quick), *streams(quick), *calls(quick)]


# -- compiling --------------------------------------------------------------------------------------------------------


def extra() -> list[dict[str, Any]]:
    """Milliseconds for the handler above: translation, machine code, and the same from the cache."""
    from pyringkernel.compiler.bytecode import encode
    from pyringkernel.compiler.cache import CompileCache
    from pyringkernel.compiler.frontend import translate
    from pyringkernel.compiler.llvm import compile_native

    function = inspect.unwrap(tally)
    program = translate(function, name="tally", publishes_to=["next"])

    def median(act: Callable[[], object]) -> float:
        times = []
        for _ in range(15):
            start = time.perf_counter()
            act()
            times.append(time.perf_counter() - start)
        return statistics.median(times) * 1e3

    with tempfile.TemporaryDirectory() as folder:
        cache = CompileCache(folder)
        compile_native(program, cache=cache)
        measured = {
            "translate": median(lambda: translate(function, name="tally", publishes_to=["next"])),
            "to bytecode": median(lambda: encode(program)),
            "to machine code": median(lambda: compile_native(program, cache=False)),
            "from the cache": median(lambda: compile_native(program, cache=cache)),
        }
    return [
        {"scenario": "compile", "name": name, "unit": "ms", "median": took, "iqr": 0.0, "ours": True}
        for name, took in measured.items()
    ]


if __name__ == "__main__":
    main(build, extra)
