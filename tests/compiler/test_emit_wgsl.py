"""The text for WebGPU: naga takes all of it, and on a Vulkan adapter it does what the interpreter does."""

from __future__ import annotations

import functools
import random
import struct
from typing import Any

import c_programs
import pytest
import scalar_programs as sp
import wgsl_runner
from comparing import ulps_between
from differential import ir_programs
from differential.chooser import RandomChooser
from programs import ANSWER, at, const, entry, function, load, local, one, program, u32
from wgsl_runner import Case, compare, needed_device, run_reference, run_wgsl

from pyringkernel.compiler import ir, ops
from pyringkernel.compiler.emit import wgsl_probe
from pyringkernel.compiler.emit.emit_wgsl import emit_wgsl, entry_point
from pyringkernel.compiler.emit.targets import emit
from pyringkernel.compiler.emit.wgsl_abi import Field, call_words, pack_call
from pyringkernel.compiler.features import features_of
from pyringkernel.compiler.ir import AtomicOp, BinaryOp, ErrorCode, Root, Scope, Type, UnaryOp, WarpOp
from pyringkernel.errors import UnsupportedOnTargetError

STATE, MESSAGE, FRAME, SHARED = Root.STATE, Root.MESSAGE, Root.FRAME, Root.SHARED
KINDS = [kind for kind in Type if kind is not Type.F64]
PLAIN: dict[str, bool] = {"int64": False, "f16": False}
NATIVE: dict[str, bool] = {"int64": True, "f16": True}

needs_adapter = pytest.mark.skipif(
    wgsl_runner.device() is None, reason="no Vulkan adapter, or no wgpu package (Debian: mesa-vulkan-drivers)"
)
ways = pytest.mark.parametrize("way", [PLAIN, NATIVE], ids=["emulated", "native"])


def able(way: dict[str, bool]) -> None:
    """Skips what this adapter has not."""
    lacking = [name for name, wanted in way.items() if wanted and not needed_device().options[name]]
    if lacking:
        pytest.skip(f"the adapter has no {', '.join(lacking)}")


def with_features(made: ir.Program) -> ir.Program:
    return ir.Program(**{**vars(made), "features": features_of(made)})


def is_plain(node: Any) -> bool:
    """Without f64."""
    return Type.F64 not in (node.type, getattr(node, "operand", node).type)


@functools.cache
def exact(kind: Type) -> sp.Results:
    a, b = load(kind, MESSAGE, 0), load(kind, MESSAGE, 8)
    results = sp.replying([pair for pair in sp.exact_of(kind, a, b) if is_plain(pair[1])])
    results.program = with_features(results.program)
    return results


def one_each(payloads: list[bytes], count: int = 8) -> list[Case]:
    """Cases of so many messages."""
    return [Case([(0, payload) for payload in payloads[n : n + count]]) for n in range(0, len(payloads), count)]


# -- operations ---------------------------------------------------------------------------------------------------------


@needs_adapter
@ways
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.text)
def test_every_exact_operation_gives_the_bits_of_the_interpreter(kind: Type, way: dict[str, bool]) -> None:
    able(way)
    pairs = sp.pairs_of(kind)
    chosen = pairs if len(pairs) <= 600 else random.Random(7).sample(pairs, 600)
    payloads = [sp.pack(kind, a).ljust(8, b"\0") + sp.pack(kind, b).ljust(8, b"\0") for a, b in chosen]
    results = exact(kind)
    assert not compare(results.program, one_each(payloads), results.floats, **way)


@needs_adapter
@ways
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.text)
def test_operations_on_constants_are_no_errors_of_the_text(kind: Type, way: dict[str, bool]) -> None:
    """WGSL calculates constants at compile time, and refuses what wraps, divides by 0 or is infinite."""
    able(way)
    edges = sp.edges_of(kind)
    pairs = random.Random(3).sample([(a, b) for a in edges for b in edges], min(9, len(edges) ** 2))
    for n, (a, b) in enumerate(pairs):
        named = [pair for pair in sp.exact_of(kind, const(kind, a), const(kind, b)) if is_plain(pair[1])]
        results = sp.replying(named)
        made = with_features(results.program)
        if n:  # compilers of drivers take long for so much text
            assert needed_device().module(emit_wgsl(made, **way)) is not None
        else:
            assert not compare(made, [Case([(0, bytes(16))])], results.floats, **way)


def f32s(count: int, seed: int) -> list[float]:
    """All sizes, with most of them where functions do something."""
    chosen = random.Random(seed)
    found = [value for value in sp.edges_of(Type.F32) if isinstance(value, float)]
    round_to = ops.round_to(Type.F32)
    while len(found) < count:
        found.append(struct.unpack("<f", chosen.getrandbits(32).to_bytes(4, "little"))[0])
        found += [round_to(chosen.uniform(-2, 2)), round_to(chosen.uniform(-110, 110))]
        found.append(round_to(2.0 ** chosen.uniform(-30, 12)))
    return found[:count]


LANES = 64


def mapped(node: ir.Expr, kind: Type, inputs: list[list[Any]], **way: bool) -> list[bytes]:
    """The values of an expression on load(kind, MESSAGE, 8 * LANES * operand, (i, 8)), LANES with each message."""
    i = local("i", Type.U32)
    store = ir.Store(at(STATE, 0, (i, 8)), node)
    loop = ir.For(i, u32(0), u32(1), u32(LANES), (store,))
    made = one([loop], locals=[i], may_fail=True, size=8 * LANES * len(inputs), state=8 * LANES)
    cases = []
    for n in range(0, len(inputs[0]), LANES):
        columns = [b"".join(sp.pack(kind, v).ljust(8, b"\0") for v in column[n : n + LANES]) for column in inputs]
        cases.append(Case([(0, b"".join(column.ljust(8 * LANES, b"\0") for column in columns))]))
    size = node.type.size
    found = [ran.state[8 * n : 8 * n + size] for ran in run_wgsl(made, cases, **way) for n in range(LANES)]
    return found[: len(inputs[0])]


def operands(kind: Type, count: int) -> list[ir.Expr]:
    return [load(kind, MESSAGE, 8 * LANES * n, (local("i", Type.U32), 8)) for n in range(count)]


def worst(kind: Type, wanted: Any, inputs: list[list[Any]], found: list[bytes]) -> tuple[int, Any]:
    """The largest distance in ulps, and the operands that it is at."""
    return max(
        (ulps_between(kind, sp.pack(kind, wanted(*given)), got), given)
        for given, got in zip(zip(*inputs, strict=True), found, strict=True)
    )


@needs_adapter
@pytest.mark.parametrize("op", sp.ELEMENTARY, ids=lambda op: op.value)
def test_functions_of_one_number_are_within_4_ulps(op: UnaryOp) -> None:
    inputs = [f32s(3000, 11)]
    found = mapped(ir.Unary(Type.F32, op, *operands(Type.F32, 1)), Type.F32, inputs)
    assert worst(Type.F32, ops.unary(op, Type.F32), inputs, found)[0] <= 4


@needs_adapter
@pytest.mark.parametrize("op", [*sp.ELEMENTARY_PAIRS, BinaryOp.FMOD], ids=lambda op: op.value)
def test_functions_of_two_numbers_are_within_2_ulps(op: BinaryOp) -> None:
    edges = sp.pairs_of(Type.F32)
    left, right = f32s(2000, 12), f32s(2000, 13)
    random.Random(1).shuffle(right)
    powers = [(abs(a), b) for a, b in zip(left, right, strict=True)] if op is BinaryOp.POW else []
    pairs = [*edges, *zip(left, right, strict=True), *powers]
    inputs: list[list[Any]] = [[a for a, _ in pairs], [b for _, b in pairs]]
    found = mapped(ir.Binary(Type.F32, op, *operands(Type.F32, 2)), Type.F32, inputs)
    most, given = worst(Type.F32, ops.binary(op, Type.F32), inputs, found)
    assert most <= (0 if op is BinaryOp.FMOD else 2), given


@needs_adapter
@ways
def test_every_f16_is_loaded_stored_and_rounded_exactly(way: dict[str, bool]) -> None:
    able(way)
    every = [struct.unpack("<e", n.to_bytes(2, "little"))[0] for n in range(1 << 16)]
    (a,) = operands(Type.F16, 1)
    assert worst(Type.F32, float, [every], mapped(ir.Cast(Type.F32, a), Type.F16, [every], **way))[0] == 0
    root = ir.Unary(Type.F16, UnaryOp.SQRT, a)
    assert worst(Type.F16, ops.unary(UnaryOp.SQRT, Type.F16), [every], mapped(root, Type.F16, [every], **way))[0] == 0
    halves = f32s(6000, 5)
    halves += [
        struct.unpack("<f", struct.pack("<I", n << 12 | m))[0] for n in range(0x38000) for m in (0, 1) if not n % 37
    ]
    node = ir.Cast(Type.F16, operands(Type.F32, 1)[0])
    found = mapped(node, Type.F32, [halves], **way)
    assert worst(Type.F16, ops.cast(Type.F32, Type.F16), [halves], found)[0] == 0


@needs_adapter
def test_a_compiler_that_believes_in_no_nans_cannot_simplify() -> None:
    """Each of these is rewritten by Mesa, where it can see it."""
    kind, op = Type.F32, ir.Binary
    a, b, c = (load(kind, MESSAGE, 4 * n) for n in range(3))
    product = op(kind, BinaryOp.MUL, a, b)
    named: list[tuple[str, ir.Expr]] = [
        ("x - x", op(kind, BinaryOp.SUB, a, a)),
        ("x * 0", op(kind, BinaryOp.MUL, a, const(kind, 0.0))),
        ("x + 0", op(kind, BinaryOp.ADD, a, const(kind, 0.0))),
        ("0 - x", op(kind, BinaryOp.SUB, const(kind, 0.0), a)),
        ("-0 + x", op(kind, BinaryOp.ADD, const(kind, -0.0), a)),
        ("a + b - a", op(kind, BinaryOp.SUB, op(kind, BinaryOp.ADD, a, b), a)),
        ("a * b + c", op(kind, BinaryOp.ADD, product, c)),
        ("a * b + a * c", op(kind, BinaryOp.ADD, product, op(kind, BinaryOp.MUL, a, c))),
        ("x == x", ir.Compare(ir.CompareOp.EQ, op(kind, BinaryOp.SUB, a, a), op(kind, BinaryOp.SUB, a, a))),
        ("not x < y", ir.Unary(Type.BOOL, UnaryOp.NOT, ir.Compare(ir.CompareOp.LT, a, b))),
    ]
    results = sp.replying(named)
    chosen = random.Random(4)
    values = [0.0, -0.0, -1.0, float("inf"), float("nan"), 1e8, 3e38, 1e-38, 0.1, 1.1, 1 / 3]
    payloads = [struct.pack("<4f", *(chosen.choice(values) for _ in range(4))) for _ in range(300)]
    assert not compare(with_features(results.program), one_each(payloads), results.floats)


# -- statements ---------------------------------------------------------------------------------------------------------


@needs_adapter
@ways
@pytest.mark.parametrize("n", range(len(c_programs.cases())))
def test_programs_by_hand_do_what_the_interpreter_does(n: int, way: dict[str, bool]) -> None:
    able(way)
    given = c_programs.cases()[n]
    cases = [Case(given.messages, given.state), *(Case([message], given.state) for message in given.messages)]
    assert not compare(given.program, cases, **way)


@needs_adapter
@ways
@pytest.mark.parametrize("first", range(0, 80, 20))
def test_random_programs_do_what_the_interpreter_does(first: int, way: dict[str, bool]) -> None:
    able(way)
    ran = 0
    for seed in range(first, first + 20):
        made, messages, state = ir_programs.make_program(RandomChooser(seed))
        if "f64" in made.features:
            continue
        floats = {"state": ir_programs.FLOATS, ir_programs.ANSWER: ir_programs.FLOATS}
        found = compare(made, [Case(messages, state)], floats, **way)
        assert not found, f"seed {seed}: {found}"
        ran += 1
    assert ran > 8


@needs_adapter
def test_a_loop_ends_when_its_fuel_does() -> None:
    fuel = 200
    for made in (c_programs.endless(), c_programs.long_for()):
        cases = [Case([(0, bytes(16)), (0, bytes(16))], fuel=fuel)]
        assert not compare(made, cases)
        (ran,) = run_wgsl(made, cases)
        assert [report.failed for report in ran.reports] == [ErrorCode.CANCELLED] * 2


@needs_adapter
@pytest.mark.parametrize("fuel", range(8))
def test_each_way_back_costs_one(fuel: int) -> None:
    given = [(0, struct.pack("<iIiI", n, n, 0, 0)) for n in (0, 2, 5)]
    for made in (c_programs.loops(), c_programs.nested_for()):
        assert not compare(made, [Case([message], fuel=fuel) for message in given])


@needs_adapter
@pytest.mark.parametrize("room", [0, 13, 14, 15, 27, 28, 100])
def test_a_reply_without_room_fails_its_message_alone(room: int) -> None:
    """Two replies of 8 bytes, 14 words each; then a third message that counts an error."""
    reply = ir.Reply(ANSWER, at(MESSAGE, 0), 8, line=3)
    made = one([reply, ir.Store(at(STATE, 0), u32(1)), reply], state=8, may_fail=True)
    cases = [Case([(0, bytes(range(16))), (0, bytes(range(1, 17)))], effects_words=room)]
    assert not compare(made, cases)
    (ran,) = run_wgsl(made, cases)
    assert ran.failed == (0 if room >= 56 else ErrorCode.SEND_FULL)


@needs_adapter
def test_a_publication_without_room_reaches_nobody_and_fails() -> None:
    got = local("got", Type.U32)
    publish = ir.Publish(got, 0, ANSWER, at(MESSAGE, 0), 8, line=4)
    made = one([publish, ir.Store(at(STATE, 0), got)], locals=[got], state=8)
    (ran,) = run_wgsl(made, [Case([(0, bytes(16))], state=b"\1" * 8, effects_words=13)])
    assert (ran.failed, ran.fail_line, ran.state[:4], ran.effects) == (ErrorCode.SEND_FULL, 4, bytes(4), [])


@needs_adapter
def test_the_instances_of_a_dispatch_do_not_meet() -> None:
    made = c_programs.copies()
    chosen = random.Random(9)
    cases = [
        Case([(0, chosen.randbytes(16)) for _ in range(chosen.randint(1, 4))], chosen.randbytes(made.state_size))
        for _ in range(200)
    ]
    assert not compare(made, cases)


@needs_adapter
def test_a_constant_deadline_needs_no_f64() -> None:
    sends = [ir.Send(1, ANSWER, at(MESSAGE, 0), 8, deadline=const(Type.F64, value)) for value in (0.1, -1.0, 1e300)]
    assert not compare(one(sends, may_fail=True), [Case([(0, bytes(range(16)))])])


# -- the text -----------------------------------------------------------------------------------------------------------


@needs_adapter
@ways
def test_naga_takes_every_program(way: dict[str, bool]) -> None:
    able(way)
    made = [exact(kind).program for kind in KINDS] + [case.program for case in c_programs.cases()]
    seeds = [ir_programs.make_program(RandomChooser(seed))[0] for seed in range(1000, 1150)]
    made += [each for each in seeds if "f64" not in each.features]
    for each in made:
        for lines in (True, False):
            assert needed_device().module(emit_wgsl(each, **way, lines=lines)) is not None


@needs_adapter
def test_any_name_may_be_a_local_or_a_function() -> None:
    names = [
        "loop",
        "fn",
        "var",
        "f32",
        "min",
        "select",
        "rk_zero",
        "_",
        "__a",
        "größe",
        "a b",
        "a_b",
        "$1",
        "state",
        "switch",
    ]
    locals_ = [local(name) for name in names]
    x = local("x")
    identity = [function(name, [ir.Return(x)], parameters=[x], result=Type.I32) for name in names]
    body: list[ir.Stmt] = [
        ir.Call(variable, name, (const(Type.I32, n),))
        for n, (variable, name) in enumerate(zip(locals_, names, strict=True))
    ]
    body += [ir.Store(at(STATE, 4 * n), variable) for n, variable in enumerate(locals_)]
    made = program([entry(function("handle", body, locals=locals_))], identity, state=64)
    (ran,) = run_wgsl(made, [Case([(0, bytes(16))])])
    assert ran.state[: 4 * len(names)] == struct.pack(f"<{len(names)}i", *range(len(names)))


def test_comments_name_the_file_and_line() -> None:
    body = [ir.Store(at(STATE, 0), u32(1), line=12), ir.Store(at(STATE, 4), u32(1), line=13)]
    made = one(body, state=8, file="/somewhere/han\ndlers.py", line=10)
    text = emit_wgsl(made)
    assert [line.strip() for line in text.splitlines() if "handlers.py" in line] == [
        "// handlers.py:10, handle",
        "// handlers.py:12",
        "// handlers.py:13",
    ]
    assert "handlers.py" not in emit_wgsl(made, lines=False)


def test_only_what_is_needed_is_in_the_text() -> None:
    text = emit_wgsl(one([ir.Store(at(STATE, 0), load(Type.U32, MESSAGE, 0))], state=8))
    assert "rk_state_set32" in text
    assert not any(name in text for name in ("rk_sin", "rk_divmod", "rk_effects", "rk_frame", "enable"))


@pytest.mark.parametrize(
    ("body", "threads", "feature"),
    [
        ([ir.Store(at(STATE, 0), load(Type.F64, MESSAGE, 0))], 1, "f64"),
        ([ir.Barrier(Scope.GRID)], 1, "sync_grid"),
        ([ir.Barrier(Scope.WARP)], 32, "warp"),
        ([ir.Warp(None, WarpOp.ALL, const(Type.BOOL, True))], 32, "warp"),
        ([ir.Atomic(None, AtomicOp.ADD, Type.U64, at(STATE, 0), const(Type.U64, 1))], 32, "atomics64"),
        ([ir.Fence(Scope.BLOCK)], 32, "fence"),
    ],
)
def test_what_an_adapter_lacks_is_refused_by_its_name(body: list[ir.Stmt], threads: int, feature: str) -> None:
    with pytest.raises(UnsupportedOnTargetError, match=feature):
        emit(one(body, state=8, block_size=threads), "wgsl")


def test_call_records_have_their_fields_where_the_device_looks() -> None:
    made = one([], targets=("a", "b"), topics=("t",))
    data = pack_call(made, {Field.NOW: 1 << 40, Field.COUNT: 3}, {1: (1 << 33) + 2}, {0: 9})
    words = struct.unpack(f"<{call_words(made)}I", data)
    assert len(words) == Field.END + 5
    assert (words[Field.COUNT], words[Field.NOW], words[Field.NOW + 1]) == (3, 0, 1 << 8)
    assert words[Field.END :] == (0, 0, 2, 2, 9)


# -- the adapter --------------------------------------------------------------------------------------------------------


@needs_adapter
def test_the_probe_tells_what_an_adapter_does() -> None:
    on = needed_device()
    data = on.run_alone(wgsl_probe.TEXT, "probe", wgsl_probe.INPUT)
    found = wgsl_probe.findings(data)
    assert found["ieee"]
    assert found["subnormals"]  # so that the tests above compare what they say
    assert found["long_loops"] == (not on.description.startswith("Mesa 22."))


@needs_adapter
def test_the_reference_is_no_copy_of_the_device() -> None:
    """The comparison finds a difference of one bit."""
    made = one([ir.Store(at(STATE, 0), load(Type.U32, MESSAGE, 0))], state=8)
    case = Case([(0, bytes(range(16)))])
    other = one([ir.Store(at(STATE, 0), ir.Unary(Type.U32, UnaryOp.INVERT, load(Type.U32, MESSAGE, 0)))], state=8)
    assert run_wgsl(made, [case])[0].state == run_reference(made, case).state
    assert run_wgsl(other, [case])[0].state != run_reference(made, case).state
    assert entry_point(0) in emit_wgsl(made)
