"""The text for CUDA and Metal: it compiles everywhere, and as a program of this machine does what the interpreter does."""

from __future__ import annotations

import functools
import random
import re
import struct
from typing import Any

import c_programs
import pytest
import scalar_programs as sp
import toolchains
from harness import Script, assert_same, run_interpreter, run_native
from programs import ANSWER, at, function, load, local, one, program, u32

from pyringkernel.compiler import ir
from pyringkernel.compiler.emit.c_names import Names, clean
from pyringkernel.compiler.emit.dialect_cuda import CUDA
from pyringkernel.compiler.emit.dialect_msl import MSL
from pyringkernel.compiler.emit.emit_c import emit_program
from pyringkernel.compiler.emit.emit_c_expressions import float_text
from pyringkernel.compiler.emit.targets import TARGETS, emit, refuse
from pyringkernel.compiler.features import features_of
from pyringkernel.compiler.ir import BinaryOp, Root, Type
from pyringkernel.compiler.verify import verify
from pyringkernel.errors import InvalidArgumentError, UnsupportedOnTargetError

ARCHES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
SAMPLE = 400  # pairs of operands where compilers that only differ in options are compared

needs_compiler = pytest.mark.skipif(not (toolchains.gcc or toolchains.clang), reason="no C++ compiler")
needs_gcc = pytest.mark.skipif(not toolchains.gcc, reason="no g++")
needs_clang = pytest.mark.skipif(not toolchains.clang, reason="no clang++")
needs_nvrtc = pytest.mark.skipif(toolchains.nvrtc() is None, reason="no NVRTC")
both = pytest.mark.parametrize("dialect", ["cuda", "msl"])


def kinds_of(dialect: str) -> list[Type]:
    return [kind for kind in Type if dialect == "cuda" or kind is not Type.F64]


def is_plain(node: Any) -> bool:
    """Without f64."""
    operand = getattr(node, "operand", node)
    return Type.F64 not in (node.type, operand.type)


def checked(made: ir.Program) -> ir.Program:
    """The program, with what it says of itself."""
    replies = {(stmt.type_id, stmt.size) for stmt in made.entries[0].function.body if isinstance(stmt, ir.Reply)}
    whole = ir.Program(**{**vars(made), "features": features_of(made), "replies": tuple(replies)})
    verify(whole)
    return whole


@functools.cache
def exact(kind: Type, dialect: str) -> sp.Results:
    a, b = (load(kind, Root.MESSAGE, offset) for offset in (0, 8))
    named = sp.exact_of(kind, a, b)
    results = sp.replying([pair for pair in named if dialect == "cuda" or is_plain(pair[1])])
    results.program = checked(results.program)
    return results


@functools.cache
def messages_of(kind: Type) -> list[tuple[int, bytes]]:
    return [(0, sp.pack(kind, a).ljust(8, b"\0") + sp.pack(kind, b).ljust(8, b"\0")) for a, b in sp.pairs_of(kind)]


@functools.cache
def expected(kind: Type, dialect: str) -> Any:
    return run_interpreter(exact(kind, dialect).program, messages_of(kind))


# -- as programs of this machine --------------------------------------------------------------------------------------


@needs_compiler
@both
def test_every_exact_operation_agrees_with_the_interpreter_at_the_edges(dialect: str) -> None:
    kinds = kinds_of(dialect)
    built = toolchains.build_host([exact(kind, dialect).program for kind in kinds], dialect)
    for kind, entries in zip(kinds, built, strict=True):
        results = exact(kind, dialect)
        got = run_native(entries, results.program, messages_of(kind))
        assert_same(expected(kind, dialect), got, results.floats)


@needs_gcc
@both
def test_no_operation_is_undefined_behaviour_of_cpp(dialect: str, capfd: pytest.CaptureFixture[str]) -> None:
    kinds = kinds_of(dialect)
    built = toolchains.build_host([exact(kind, dialect).program for kind in kinds], dialect, sanitize=True)
    for kind, entries in zip(kinds, built, strict=True):
        results, step = exact(kind, dialect), max(1, len(messages_of(kind)) // SAMPLE)
        some = messages_of(kind)[::step]
        assert_same(run_interpreter(results.program, some), run_native(entries, results.program, some), results.floats)
    assert "runtime error" not in capfd.readouterr().err


@needs_gcc
def test_the_sanitizer_would_have_told(capfd: pytest.CaptureFixture[str]) -> None:
    made = exact(Type.I32, "cuda").program
    text, exports = toolchains.host_text([made], CUDA)
    broken = text.replace("(i32)((u32)a + (u32)b)", "a + b")
    assert broken != text
    entries = toolchains.build_text(broken, exports, sanitize=True)[0]
    run_native(entries, made, [(0, struct.pack("<iIiI", 2**31 - 1, 0, 1, 0))])
    assert "signed integer overflow" in capfd.readouterr().err


@needs_compiler
@both
def test_constants_are_exactly_themselves(dialect: str) -> None:
    made = []
    for kind in kinds_of(dialect):
        values = sp.edges_of(kind)
        results = sp.replying([(repr(value), ir.Const(kind, value)) for value in values])
        made.append((checked(results.program), results.floats, values, kind))
    built = toolchains.build_host([item[0] for item in made], dialect)
    for (each, floats, values, kind), entries in zip(made, built, strict=True):
        got = run_native(entries, each, [(0, bytes(16))])
        assert_same(run_interpreter(each, [(0, bytes(16))]), got, floats)
        assert got.replies[0][: kind.size] == sp.pack(kind, values[0])


@needs_compiler
@both
def test_elementary_functions_are_the_right_ones(dialect: str) -> None:
    lacks = TARGETS[dialect].lacks
    values = [0.0, 0.25, 0.5, 0.9, 1.0, 1.5, 2.0, -0.5, 3.0]
    made = []
    for kind in (kind for kind in kinds_of(dialect) if kind.is_float):
        a, b = (load(kind, Root.MESSAGE, offset) for offset in (0, 8))
        named = [(op.value, ir.Unary(kind, op, a)) for op in sp.ELEMENTARY if op.value not in lacks]
        named += [(op.value, ir.Binary(kind, op, a, b)) for op in sp.ELEMENTARY_PAIRS if op.value not in lacks]
        results = sp.replying(named)
        messages = [
            (0, sp.pack(kind, x).ljust(8, b"\0") + sp.pack(kind, y).ljust(8, b"\0")) for x in values for y in values
        ]
        made.append((checked(results.program), results.floats, messages))
    built = toolchains.build_host([item[0] for item in made], dialect)
    for (each, floats, messages), entries in zip(made, built, strict=True):
        assert_same(run_interpreter(each, messages), run_native(entries, each, messages), floats, ulps=4)


@needs_compiler
def test_the_remainder_for_metal_is_exact_for_any_bits() -> None:
    chooser = random.Random(7)
    made = sp.replying(
        [("fmod", ir.Binary(Type.F32, BinaryOp.FMOD, *(load(Type.F32, Root.MESSAGE, n) for n in (0, 8))))]
    )
    ready = checked(made.program)
    entries = toolchains.build_host([ready], "msl")[0]
    bits = [(chooser.getrandbits(32), chooser.getrandbits(32)) for _ in range(1500)]
    bits += [(a, a ^ chooser.getrandbits(24)) for a, _ in bits[:500]]
    messages = [(0, struct.pack("<QQ", a, b)) for a, b in bits]
    assert_same(run_interpreter(ready, messages), run_native(entries, ready, messages), made.floats)


def test_the_programs_keep_the_rules() -> None:
    cases = [case.program for case in c_programs.cases()]
    for each in (
        *cases,
        *(c_programs.device(kind) for kind in Type if kind is not Type.BOOL),
        c_programs.endless(),
        c_programs.long_for(),
    ):
        verify(each)


@needs_compiler
@both
def test_statements_do_what_the_interpreter_does(dialect: str) -> None:
    cases = [case for case in c_programs.cases() if not case.program.features & TARGETS[dialect].lacks.keys()]
    assert len(cases) > 10
    built = toolchains.build_host([case.program for case in cases], dialect)
    for case, entries in zip(cases, built, strict=True):
        given = {"state": case.state, "script": case.script, "instance": 3, "kernel": 4}
        want = run_interpreter(case.program, case.messages, **given)
        got = run_native(entries, case.program, case.messages, **given)
        assert_same(want, got)


@needs_gcc
@both
def test_statements_are_not_undefined_behaviour(dialect: str, capfd: pytest.CaptureFixture[str]) -> None:
    cases = [case for case in c_programs.cases() if not case.program.features & TARGETS[dialect].lacks.keys()]
    built = toolchains.build_host([case.program for case in cases], dialect, sanitize=True)
    for case, entries in zip(cases, built, strict=True):
        run_native(entries, case.program, case.messages, state=case.state, script=case.script)
    assert "runtime error" not in capfd.readouterr().err


@needs_compiler
@both
def test_loops_end_when_they_are_cancelled(dialect: str) -> None:
    made = [c_programs.endless(), c_programs.long_for()]
    for each, entries in zip(made, toolchains.build_host(made, dialect), strict=True):
        message = [(0, bytes(16))]
        got = run_native(entries, each, message, cancelled=True)
        assert got.failed == ir.ErrorCode.CANCELLED
        assert_same(run_interpreter(each, message, fuel=0), got)


# -- by the compilers of the targets ----------------------------------------------------------------------------------


def everything(dialect: str) -> list[ir.Program]:
    """Programs that together have all that the dialect can print."""
    made = [exact(kind, dialect).program for kind in kinds_of(dialect)]
    made += [case.program for case in c_programs.cases()]
    made += [c_programs.device(kind) for kind in Type if kind is not Type.BOOL]
    return [each for each in made if not each.features & TARGETS[dialect].lacks.keys()]


@needs_nvrtc
@pytest.mark.parametrize("arch", ARCHES)
def test_cuda_compiles_to_machine_code(arch: str) -> None:
    for each in everything("cuda") if arch == "sm_90" else [c_programs.device(Type.F32), c_programs.cases()[0].program]:
        done = toolchains.compile_cuda(toolchains.cuda_kernel(each), arch)
        assert done.ok, done.log[:2000]
        assert done.cubin.startswith(b"\x7fELF")
        assert "error" not in done.log


@needs_nvrtc
def test_a_product_and_a_sum_are_not_contracted() -> None:
    kinds = (Type.F32, Type.F64)
    body = []
    for index, kind in enumerate(kinds):
        a, b = (load(kind, Root.MESSAGE, offset) for offset in (0, 8))
        value = ir.Binary(kind, BinaryOp.ADD, ir.Binary(kind, BinaryOp.MUL, a, b), a)
        body.append(ir.Store(at(Root.STATE, 8 * index), value))
    text = toolchains.cuda_kernel(one(body, state=16))
    ptx = toolchains.compile_cuda(text, "compute_80").ptx
    assert "mul.rn.f32" in ptx
    assert "mul.rn.f64" in ptx
    assert "fma" not in ptx
    contracted = toolchains.compile_cuda(text, "compute_80", ("--std=c++17", "-default-device")).ptx
    assert "fma.rn.f32" in contracted, "this test could not fail"


@needs_nvrtc
def test_divisions_and_roots_are_those_of_ieee() -> None:
    a = load(Type.F32, Root.MESSAGE, 0)
    root = ir.Unary(Type.F32, ir.UnaryOp.SQRT, a)
    made = one([ir.Store(at(Root.STATE, 0), ir.Binary(Type.F32, BinaryOp.TRUEDIV, a, root))], state=8)
    ptx = toolchains.compile_cuda(toolchains.cuda_kernel(made), "compute_80").ptx
    assert "div.rn.f32" in ptx
    assert "sqrt.rn.f32" in ptx
    assert ".ftz" not in ptx
    assert ".approx" not in ptx


@needs_nvrtc
def test_an_error_of_the_compiler_names_the_users_file_and_line() -> None:
    body = [ir.Store(at(Root.STATE, 0), u32(1), line=30), ir.Store(at(Root.STATE, 4), u32(2), line=33)]
    made = one(body, state=8, file="/home/user/my handlers.py", line=29)
    text = toolchains.cuda_kernel(made).replace("rk_store_u32(state + 4u, 2u)", "rk_store_u32(nowhere, 2u)")
    log = toolchains.compile_cuda(text, "sm_80").log
    assert re.search(r"/home/user/my handlers\.py\(33\): error: .*nowhere", log), log
    without = toolchains.cuda_kernel(made, lines=False)
    assert "my handlers" not in without


@needs_clang
def test_cuda_compiles_with_clang() -> None:
    for each in everything("cuda"):
        done = toolchains.check_cuda(toolchains.cuda_kernel(each))
        assert done.ok, done.log[:2000]


@needs_clang
def test_metal_keeps_address_spaces_apart() -> None:
    for each in everything("msl"):
        done = toolchains.check_msl(emit(each, "msl"))
        assert done.ok, done.log[:2000]


@needs_clang
def test_metal_text_that_mixes_address_spaces_is_found() -> None:
    made = c_programs.device(Type.F32)
    text = emit(made, "msl")
    broken = text.replace("threadgroup u8* shared", "device u8* shared", 1)
    assert broken != text
    done = toolchains.check_msl(broken)
    assert not done.ok
    assert "address space" in done.log or "no matching function" in done.log


# -- the text ---------------------------------------------------------------------------------------------------------


@both
def test_only_helpers_that_are_used_are_written(dialect: str) -> None:
    counter, items = local("counter", Type.U32), load(Type.I32, Root.MESSAGE, 0)
    made = one([ir.Store(at(Root.STATE, 0), ir.Binary(Type.I32, BinaryOp.FLOORDIV, items, items))], state=8)
    text = emit_program(made, toolchains.DIALECTS[dialect], lines=True, prelude=False)
    assert re.findall(r"^RK_INLINE \w+ (\w+)\(", text, re.M) == ["rk_neg_i32", "rk_floordiv_i32"]
    plain = one([ir.SetLocal(counter, u32(1))], locals=[counter])
    assert "RK_INLINE" not in emit_program(plain, toolchains.DIALECTS[dialect], lines=True, prelude=False)


def test_names_are_kept_unless_the_language_has_them() -> None:
    names = [local(name, Type.U32) for name in ("total", "int", "kernel", "threadIdx", "state", "größe", "a__b", "_X")]
    made = one([ir.SetLocal(name, u32(1)) for name in names], locals=names)
    cuda = emit_program(made, CUDA, lines=False, prelude=False)
    assert re.findall(r"^  (\S+) = 1u;", cuda, re.M) == [
        "total", "int_", "kernel", "threadIdx_", "state_", "gr_f6_df_e", "a_b", "v_X",
    ]  # fmt: skip
    assert "  kernel_ = 1u;" in emit_program(made, MSL, lines=False, prelude=False)


def test_different_names_stay_different() -> None:
    names = Names()
    given = [names.of(name) for name in ("a__b", "a_b", "a___b", "int", "int_", "rk_x", "v_rk_x", "_", "")]
    assert len(set(given)) == len(given)
    assert [names.of("a__b"), names.of("int_")] == [given[0], given[4]]
    assert all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in given)
    assert clean("rk_x") == "v_rk_x"


@needs_compiler
@both
def test_names_from_users_cannot_leave_their_comments_and_strings(dialect: str) -> None:
    odd = '*/ "\\\n#error\r?\u2028'
    body = [
        ir.Send(0, ANSWER, at(Root.MESSAGE, 0), 8, line=3),
        ir.Publish(None, 0, ANSWER, at(Root.MESSAGE, 0), 8, line=4),
    ]
    main = function("f" + odd, body, may_fail=True, file=odd)
    made = program([ir.Entry("E" + odd, 7, 16, False, main)], targets=(odd,), topics=(odd,))
    made = ir.Program(**{**vars(made), "name": odd})
    entries = toolchains.build_host([made], dialect)[0]
    assert_same(run_interpreter(made, [(0, bytes(16))]), run_native(entries, made, [(0, bytes(16))]))


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.1, Type.F64, "0.1"),
        (1.0, Type.F32, "1.0f"),
        (-0.0, Type.F32, "(-0.0f)"),
        (struct.unpack("<f", struct.pack("<f", 0.1))[0], Type.F32, "0.1f"),
        (float("inf"), Type.F32, "rk_f32_of_bits(0x7F800000u)"),
        (1.0, Type.F16, "rk_f16_of_bits(0x3C00u)"),
        (1e300, Type.F64, "1e+300"),
    ],
)
def test_floats_are_written_short_and_exact(value: float, kind: Type, text: str) -> None:
    assert float_text(value, kind) == text


# -- targets ----------------------------------------------------------------------------------------------------------


def test_what_a_target_lacks_is_refused_with_the_reason() -> None:
    made = one([ir.Store(at(Root.STATE, 0), load(Type.F64, Root.MESSAGE, 0))], state=8)
    with pytest.raises(UnsupportedOnTargetError, match=r"'made' cannot run on Metal: it uses f64: .*use rk\.f32"):
        emit(made, "msl")
    refuse(made, "cuda")


def test_all_that_is_lacking_is_told_at_once() -> None:
    add = ir.Atomic(None, ir.AtomicOp.ADD, Type.I64, at(Root.STATE, 0), ir.Const(Type.I64, 1))
    made = one([add, ir.Barrier(ir.Scope.GRID)], state=8)
    with pytest.raises(UnsupportedOnTargetError, match="atomics64: .*; sync_grid: "):
        refuse(made, "msl")


def test_an_unknown_target_is_told_with_those_that_are_known() -> None:
    with pytest.raises(InvalidArgumentError, match="'cude' is not one of cuda"):
        emit(one([]), "cude")


def test_a_deadline_needs_no_f64_on_metal_when_it_is_a_constant_or_narrower() -> None:
    def sending(deadline: ir.Expr) -> str:
        made = one([ir.Send(0, ANSWER, at(Root.MESSAGE, 0), 8, deadline=deadline)], may_fail=True)
        return emit_program(made, MSL, lines=False, prelude=False)

    assert "RK_DEFAULT_PRIORITY, (f32)0.5f)" in sending(ir.Const(Type.F64, 0.5))
    single = load(Type.F32, Root.MESSAGE, 0)
    assert "RK_DEFAULT_PRIORITY, rk_load_f32(message))" in sending(ir.Cast(Type.F64, single))
    with pytest.raises(UnsupportedOnTargetError, match="deadline"):
        sending(load(Type.F64, Root.MESSAGE, 0))


def test_scripts_answer_in_both_engines() -> None:
    """The services of the comparison do refuse: else the cases above would prove less than they seem to."""
    refused = [case for case in c_programs.cases() if isinstance(case.script, Script) and case.script.refuse]
    outcomes = [run_interpreter(case.program, case.messages, state=case.state, script=case.script) for case in refused]
    assert any(outcome.failed == ir.ErrorCode.SEND_FULL for outcome in outcomes)
