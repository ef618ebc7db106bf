"""Machine code made by LLVM computes what the interpreter computes, for every operation and type at the edges."""

from __future__ import annotations

import ctypes
import math
import struct
from typing import Any

import numpy as np
import pytest
import scalar_programs as sp
from harness import run_interpreter, run_native
from llvm_running import agree, build, plain_target, run
from scalar_programs import at, const, function, program

pytest.importorskip("llvmlite")

from pyringkernel.compiler import ir, llvm
from pyringkernel.compiler.ir import BinaryOp, Local, Root, Term, Type

I64, F32, MESSAGE, STATE = Type.I64, Type.F32, Root.MESSAGE, Root.STATE


# -- operations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [False, True], ids=["host", "plain"])
@pytest.mark.parametrize("kind", list(Type), ids=lambda kind: kind.text)
def test_every_exact_operation_agrees_with_the_interpreter_at_the_edges(kind: Type, plain: bool) -> None:
    a, b = ir.Load(kind, at(MESSAGE, 0)), ir.Load(kind, at(MESSAGE, 8))
    results = sp.replying(sp.exact_of(kind, a, b))
    messages = [(0, sp.pack(kind, x).ljust(8, b"\0") + sp.pack(kind, y).ljust(8, b"\0")) for x, y in sp.pairs_of(kind)]
    got = run(results.program, messages, plain_target() if plain else None)
    want = run_interpreter(results.program, messages)
    _assert_results(results, sp.pairs_of(kind), want.replies, got.replies)


@pytest.mark.parametrize("kind", list(Type), ids=lambda kind: kind.text)
def test_what_llvm_computes_while_compiling_is_what_the_interpreter_computes(kind: Type) -> None:
    pairs = sp.pairs_of(kind)
    pairs = pairs[:: max(len(pairs) // 40, 1)]
    named = [
        (f"{name} of {x} and {y}", node)
        for x, y in pairs
        for name, node in sp.exact_of(kind, const(kind, x), const(kind, y))
    ]
    results = sp.replying(named)
    got = run(results.program, [(0, bytes(16))])
    want = run_interpreter(results.program, [(0, bytes(16))])
    _assert_results(results, [(0, 0)], want.replies, got.replies)


def _assert_results(results: sp.Results, pairs: list[Any], want: list[bytes], got: list[bytes]) -> None:
    assert len(got) == len(want) == len(pairs)
    for pair, one, other in zip(pairs, want, got, strict=True):
        if one == other:
            continue
        for index, (kind, name) in enumerate(zip(results.kinds, results.names, strict=True)):
            left, right = (struct.unpack_from("<" + sp.CODES[kind], data, 8 * index)[0] for data in (one, other))
            both_nan = left != left and right != right
            equal = one[8 * index : 8 * index + 8] == other[8 * index : 8 * index + 8]
            assert both_nan or equal, f"{name} of {pair}: {left!r}, not {right!r}"


def libm(name: str, kind: Type, count: int) -> Any:
    found = ctypes.CDLL(None)[name + ("f" if kind is F32 else "")]
    real = ctypes.c_float if kind is F32 else ctypes.c_double
    found.restype, found.argtypes = real, [real] * count
    return found


@pytest.mark.parametrize("kind", [F32, Type.F64], ids=lambda kind: kind.text)
@pytest.mark.parametrize("constants", [False, True], ids=["loaded", "constant"])
def test_functions_of_real_numbers_are_those_of_the_c_library_to_the_bit(kind: Type, constants: bool) -> None:
    values = [0.0, -0.0, 0.1, 0.5, 1.0, 2.0, 3.0, -1.5, 10.25, 1e-30, 700.0, -700.0, math.inf, -math.inf]
    values = [struct.unpack("<" + sp.CODES[kind], sp.pack(kind, value))[0] for value in values]
    for x, y in [(x, y) for x in values for y in (0.5, -0.5, 2.0, 3.0, 0.0)]:
        a, b = const(kind, x), const(kind, y)
        if not constants:
            a, b = ir.Load(kind, at(MESSAGE, 0)), ir.Load(kind, at(MESSAGE, 8))
        named: list[tuple[str, ir.Expr]] = [(op.value, ir.Unary(kind, op, a)) for op in sp.ELEMENTARY]
        named += [(op.value, ir.Binary(kind, op, a, b)) for op in sp.ELEMENTARY_PAIRS]
        # LLVM knows pow(x, 0.5), pow(x, 2.0) and pow(2.0, x) under other names, and would use those.
        named.append(("pow", ir.Binary(kind, BinaryOp.POW, const(kind, 2.0), a)))
        named += [("pow", ir.Binary(kind, BinaryOp.POW, a, const(kind, exponent))) for exponent in (0.5, 2.0, -1.0)]
        if constants and (x, y) not in [(0.1, 0.5), (10.25, -0.5), (-1.5, 2.0)]:
            continue
        results = sp.replying(named)
        native = _cached(kind, results) if not constants else build(results.program)
        payload = sp.pack(kind, x).ljust(8, b"\0") + sp.pack(kind, y).ljust(8, b"\0")
        reply = run_native(native.entries, results.program, [(0, payload)]).replies[0]
        operands = [(x,)] * len(sp.ELEMENTARY) + [(x, y)] * 3 + [(2.0, x), (x, 0.5), (x, 2.0), (x, -1.0)]
        for index, ((name, _), given) in enumerate(zip(named, operands, strict=True)):
            want = libm(name, kind, len(given))(*given)
            got = struct.unpack_from("<" + sp.CODES[kind], reply, 8 * index)[0]
            assert (want != want and got != got) or sp.pack(kind, want) == sp.pack(kind, got), (name, given, want, got)


_built: dict[Type, llvm.NativeProgram] = {}


def _cached(kind: Type, results: sp.Results) -> llvm.NativeProgram:
    if kind not in _built:
        _built[kind] = build(results.program)
    return _built[kind]


@pytest.mark.parametrize("kind", sp.FLOATS, ids=lambda kind: kind.text)
def test_functions_of_real_numbers_are_within_ulps_of_the_interpreter(kind: Type) -> None:
    a, b = ir.Load(kind, at(MESSAGE, 0)), ir.Load(kind, at(MESSAGE, 8))
    named: list[tuple[str, ir.Expr]] = [(op.value, ir.Unary(kind, op, a)) for op in sp.ELEMENTARY]
    named += [(op.value, ir.Binary(kind, op, a, b)) for op in sp.ELEMENTARY_PAIRS]
    results = sp.replying(named)
    messages = [
        (0, sp.pack(kind, x).ljust(8, b"\0") + sp.pack(kind, y).ljust(8, b"\0"))
        for x in (0.0, 0.25, 1.0, -1.0, 2.5, 20.0, math.inf, math.nan)
        for y in (-2.0, 0.0, 0.5, 3.0)
    ]
    agree(results.program, messages, floats=results.floats, ulps=4)


def test_no_multiplication_is_contracted_with_an_addition() -> None:
    x, y, z = (ir.Load(F32, at(MESSAGE, offset)) for offset in (0, 4, 8))
    results = sp.replying([("a*b+c", ir.Binary(F32, BinaryOp.ADD, ir.Binary(F32, BinaryOp.MUL, x, y), z))])
    payload = struct.pack("<ffff", 1 + 2**-12, 1 + 2**-12, -1.0, 0.0)
    outcome = agree(results.program, [(0, payload)], floats=results.floats)
    assert struct.unpack_from("<f", outcome.replies[0])[0] == 2**-11  # contracted: 2**-11 + 2**-24
    assert "fma" not in build(results.program).assembly()


# -- f16 --------------------------------------------------------------------------------------------------------------


def converting(source: Type, target: Type, count: int) -> ir.Program:
    """state[i] = target(msg[i])"""
    index = Local(Type.U32, "i")
    value = ir.Cast(target, ir.Load(source, at(MESSAGE, 0, Term(index, source.size))))
    store = ir.Store(at(STATE, 0, Term(index, target.size)), value)
    loop = ir.For(index, const(Type.U32, 0), const(Type.U32, 1), const(Type.U32, count), (store,))
    return program(function(loop, locals_=(index,)), size=count * source.size, state_size=count * target.size)


def converted(values: Any, source: Type, target: Type, plain: bool) -> bytes:
    made = converting(source, target, len(values))
    state: bytes = run(made, [(0, values.tobytes())], plain_target() if plain else None).state
    return state


@pytest.mark.parametrize("plain", [False, True], ids=["host", "plain"])
def test_every_f16_becomes_the_right_f32_and_comes_back(plain: bool) -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    wide = np.frombuffer(converted(every, Type.F16, F32, plain), np.float32)
    np.testing.assert_array_equal(wide, every.view(np.float16).astype(np.float32))
    back = np.frombuffer(converted(wide, F32, Type.F16, plain), np.uint16)
    nan = np.isnan(wide)
    np.testing.assert_array_equal(back[~nan], every[~nan])
    assert np.isnan(back.view(np.float16)[nan]).all()


@pytest.mark.parametrize("plain", [False, True], ids=["host", "plain"])
@pytest.mark.parametrize("source", [F32, Type.F64], ids=lambda kind: kind.text)
def test_floats_become_f16_with_one_rounding(source: Type, plain: bool) -> None:
    every = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    middle = (every[1:] + every[:-1]) / 2  # ties
    dtype = np.float32 if source is F32 else np.float64
    ties = middle.astype(dtype)
    around = [ties, np.nextafter(ties, dtype(0)), np.nextafter(ties, dtype(np.inf)), every.astype(dtype)]
    large = np.array([65519.0, 65519.99, 65520.0, 65536.0, 1e30, np.inf, 2.0**-25, 2.0**-26], dtype)
    values = np.concatenate([*around, large, *(-part for part in around)])
    with np.errstate(over="ignore"):
        want = values.astype(np.float16)
    got = np.frombuffer(converted(values, source, Type.F16, plain), np.float16)
    np.testing.assert_array_equal(got.view(np.uint16), want.view(np.uint16))


@pytest.mark.parametrize("plain", [False, True], ids=["host", "plain"])
def test_integers_become_f16_with_one_rounding(plain: bool) -> None:
    values = np.concatenate([np.arange(-70000, 70000), np.array([1 << 62, -(1 << 62), 131071, (1 << 31) + 1])])
    want = [
        struct.unpack("<e", sp.pack(Type.F16, float(v)))[0] if abs(v) < 65520 else math.copysign(math.inf, v)
        for v in values
    ]
    got = np.frombuffer(converted(values, I64, Type.F16, plain), np.float16)
    np.testing.assert_array_equal(got, np.array(want, np.float16))
