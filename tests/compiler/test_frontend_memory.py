"""Fields, elements, objects and device functions: what is where, and that indices stay inside."""

# ruff: noqa: B007, F841, RET503 (the handlers here are read by the compiler, many are wrong on purpose)

from __future__ import annotations

from typing import Any

import pytest
from frontend_run import count, program_of, run, statements

import pyringkernel as rk
from pyringkernel.compiler import ir
from pyringkernel.compiler.ir import ErrorCode, Root
from pyringkernel.errors import TranslationError


@rk.message
class Pos:
    x: rk.f32 = 0.0
    y: rk.f32 = 0.0


@rk.message
class Row:
    id: rk.u32
    pos: Pos
    cells: rk.Array[rk.i16, 4]
    tail: rk.Vec[rk.u8, 3]


@rk.message
class Data:
    i: rk.i32 = 0
    n: rk.u64 = 0
    data: rk.Array[rk.f32, 8] = rk.field(default=[0.0] * 8)
    vec: rk.Vec[rk.u32, 4] = rk.field(default=[])
    tag: rk.Bytes[6] = b""
    pos: Pos = Pos()


@rk.message
class Padded:
    a: rk.u8 = 3
    b: rk.u64 = 0
    pos: Pos = Pos(x=1.5)
    v: rk.Vec[rk.u16, 3] = rk.field(default=[7, 8])


@rk.state
class Table:
    rows: rk.Array[Row, 3]
    log: rk.Vec[rk.u32, 4]
    best: Pos
    hits: rk.u32
    total: rk.i64


def table(**fields: Any) -> Any:
    from pyringkernel import _core

    made = _core.zeroed(Table)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def messages(function: Any) -> list[str]:
    with pytest.raises(TranslationError) as error:
        program_of(function)
    return [one.message for one in error.value.diagnostics]


# -- elements


def test_a_dynamic_index_outside_is_counted() -> None:
    def h(ctx, msg: Data) -> Data:
        msg.pos.x = msg.data[msg.i]
        msg.data[msg.i] = 5.0
        msg.data[msg.n] += 1.0
        return msg

    out = run(h, Data(i=3, n=2, data=[1, 2, 3, 4, 5, 6, 7, 8]))
    assert (list(out.reply.data), out.reply.pos.x) == ([1, 2, 4, 5, 5, 6, 7, 8], 4.0)
    assert out.report.errors == 0
    out = run(h, Data(i=-1, n=8, data=[1, 2, 3, 4, 5, 6, 7, 8]))
    assert (list(out.reply.data), out.reply.pos.x) == ([1, 2, 3, 4, 5, 6, 7, 8], 0.0)
    assert (out.report.errors, out.report.last_error) == (3, ErrorCode.INDEX)
    assert run(h, Data(i=8, n=2**40)).report.errors == 3


def test_the_right_side_is_evaluated_even_when_the_index_is_outside() -> None:
    @rk.device
    def hit(state: Table) -> rk.f32:
        state.hits += 1
        return 1.0

    def h(ctx, state: Table, msg: Data) -> Data:
        msg.data[msg.i] = hit(state)
        msg.data[msg.i] += hit(state)
        return msg

    out = run(h, Data(i=100), table())
    assert (out.state.hits, out.report.errors) == (2, 2)
    assert run(h, Data(i=1), table()).reply.data[1] == 2.0


def test_constant_indices_are_checked_when_compiled() -> None:
    def h(ctx, msg: Data) -> Data:
        msg.data[0] = msg.data[-1]
        msg.data[rk.u32(2)] = 9.0
        msg.tag[-2] = 65
        return msg

    got = run(h, Data(data=[1, 2, 3, 4, 5, 6, 7, 8])).reply
    assert (got.data[0], got.data[2], got.tag) == (8.0, 9.0, b"\0\0\0\0A\0")
    assert count(h, ir.If) == 0

    def bad(ctx, msg: Data) -> Data:
        msg.data[8] = 1.0
        msg.data[-9] = 1.0
        msg.vec[-1] = 2
        msg.data[1.0] = 1.0
        return msg

    assert messages(bad) == [
        "index 8 is outside of rk.Array[rk.f32, 8]",
        "index -9 is outside of rk.Array[rk.f32, 8]",
        "index -1 of rk.Vec[rk.u32, 4]: its length varies",
        "an index of 1.0: integers only",
    ]


def test_the_length_of_a_vec_bounds_its_elements() -> None:
    def h(ctx, msg: Data) -> Data:
        msg.vec[msg.i] = 9
        msg.i = rk.i32(len(msg.vec)) + len(msg.data) + len(msg.tag)
        return msg

    out = run(h, Data(i=1, vec=[1, 2]))
    assert (list(out.reply.vec), out.reply.i) == ([1, 9], 16)
    assert run(h, Data(i=2, vec=[1, 2])).report.last_error == ErrorCode.INDEX


def test_a_length_that_a_sender_made_too_large_is_cut() -> None:
    def h(ctx, msg: Data) -> Data:
        msg.i = rk.i32(len(msg.vec))
        msg.vec[4] = 1 if False else 2
        return msg

    assert messages(h) == ["index 4 is outside of rk.Vec[rk.u32, 4]"]

    def good(ctx, msg: Data) -> Data:
        msg.i = rk.i32(len(msg.vec))
        msg.vec.append(1)
        ctx.report_error(rk.u32(msg.i))
        return Data(vec=msg.vec)

    message = Data(vec=[1, 2, 3, 4])
    bytes_ = bytearray(message.to_bytes())
    offset = 64 + next(row.offset for row in Data.layout.rows if row.name == "vec")
    bytes_[offset : offset + 4] = b"\xff\xff\xff\xff"
    program = program_of(good)
    from frontend_run import Services

    from pyringkernel.compiler.interpreter import Interpreter

    services = Services()
    report = Interpreter(program).run(0, bytearray(), bytes(bytes_), services)
    assert (report.errors, report.last_error) == (2, 4)
    assert list(services.effects[0][1].vec) == [1, 2, 3, 4]


@pytest.mark.parametrize("checks", [0, 1])
def test_what_is_proved_needs_no_check(checks: int) -> None:
    def proved(ctx, msg: Data) -> Data:
        for i in range(8):
            msg.data[i] = 1.0
        for i in range(1, 7):
            msg.data[i + 1] = msg.data[i - 1]
        for k in range(ctx.thread_id(), 8, ctx.block_dim()):
            msg.data[k] = 2.0
        for k in range(len(msg.vec)):
            msg.vec[k] += 1
        for k in range(len(msg.data)):
            msg.data[k] += 1.0
        msg.data[rk.u32(msg.i) % 8] = 1.0
        msg.data[msg.i & 7] = 1.0
        for i in range(7, -1, -1):
            msg.data[i] += 0.5
        return msg

    def not_proved(ctx, msg: Data) -> Data:
        for i in range(9):
            msg.data[i] = 1.0
        for i in range(8):
            i = i * 2
            msg.data[i] = 1.0
        for k in range(len(msg.vec)):
            msg.vec.append(3)
            msg.vec[k] = 1
        return msg

    def index_checks(function: Any) -> int:
        found = [one for one in statements(function) if isinstance(one, ir.CountError)]
        return sum(isinstance(one.code, ir.Const) and one.code.value == ErrorCode.INDEX for one in found)

    if checks:
        assert index_checks(not_proved) == 3
        assert run(not_proved, Data()).report.errors == 1 + 4
    else:
        assert index_checks(proved) == 0
        assert run(proved, Data(vec=[1, 2])).report.errors == 0


def test_unchecked_handlers_have_no_index_checks() -> None:
    def h(ctx, msg: Data) -> Data:
        msg.data[msg.i] = 1.0
        msg.vec[msg.i] += 1
        return msg

    assert count(h, ir.If, checked=False) == 0
    assert not program_of(h, checked=False).checked


def test_structs_in_arrays_and_arrays_in_structs() -> None:
    def h(ctx, state: Table, msg: Data) -> None:
        state.rows[msg.i].cells[msg.i + 1] = 7
        state.rows[msg.i].pos = msg.pos
        state.best = state.rows[msg.i].pos
        row = state.rows[msg.i]
        row.id += 5
        row.tail.append(9)
        row.tail[0] += 1
        state.hits = rk.u32(row.cells[2]) + len(row.tail)

    out = run(h, Data(i=1, pos=Pos(x=2.0, y=3.0)), table())
    row = out.state.rows[1]
    assert (row["id"], list(row["cells"]), row["pos"]["y"]) == (5, [0, 0, 7, 0], 3.0)
    assert (out.state.best.x, out.state.hits, out.report.errors) == (2.0, 8, 0)


def test_an_index_outside_counts_once_for_each_access() -> None:
    def h(ctx, state: Table, msg: Data) -> None:
        state.rows[msg.i].cells[msg.i] = 7
        state.rows[msg.i].pos = msg.pos
        state.rows[msg.i].tail[msg.i] += 1
        state.best = state.rows[msg.i].pos
        row = state.rows[msg.i]
        row.id += 5
        row.tail.append(9)

    before = table(best=Pos(x=9.0, y=9.0))
    out = run(h, Data(i=3), before)
    assert out.report.errors == 5
    assert out.state.best.x == 0.0
    assert not any(bytes(out.state.rows.tobytes()))


def test_an_index_is_that_of_the_time_of_naming() -> None:
    def h(ctx, state: Table, msg: Data) -> None:
        i = 1
        row = state.rows[i]
        i = 2
        row.id = 6

    assert [row["id"] for row in run(h, Data(), table()).state.rows] == [0, 6, 0]


# -- vectors and whole arrays


def test_append_and_clear() -> None:
    def h(ctx, state: Table, msg: Data) -> None:
        state.log.clear()
        for i in range(msg.i):
            state.log.append(rk.u32(i) * 2)

    out = run(h, Data(i=3), table(log=[9, 9, 9, 9]))
    assert (list(out.state.log), out.report.errors) == ([0, 2, 4], 0)
    out = run(h, Data(i=6), table())
    assert (list(out.state.log), out.report.errors, out.report.last_error) == ([0, 2, 4, 6], 2, ErrorCode.VEC_FULL)


def test_arrays_are_assigned_as_a_whole() -> None:
    def h(ctx, state: Table, msg: Data) -> Data:
        out = Data(data=msg.data, vec=state.log)
        out.data = [msg.data[1], 2, 3, 4, 5, 6, 7, msg.data[0]]
        msg.data = [msg.data[1], msg.data[0], 0, 0, 0, 0, 0, 0]
        state.log = [1, 2]
        out.tag = b"abc"
        out.pos.x = msg.data[0] * 10 + msg.data[1]
        return out

    out = run(h, Data(data=[8, 9, 0, 0, 0, 0, 0, 0], tag=b"zzzzzz"), table(log=[5, 6, 7]))
    got = out.reply
    assert list(got.data) == [9, 2, 3, 4, 5, 6, 7, 8]
    assert (list(got.vec), got.tag, got.pos.x, list(out.state.log)) == ([5, 6, 7], b"abc\0\0\0", 98.0, [1, 2])


def test_what_does_not_fit_an_array() -> None:
    def h(ctx, state: Table, msg: Data) -> None:
        msg.data = [1, 2]
        msg.data = msg.vec
        msg.vec = [1, 2, 3, 4, 5]
        msg.tag = b"much too long"
        msg.pos = msg.data
        msg.data = 3
        state.best = msg.data[0]

    assert messages(h) == [
        "msg.data: found 2 elements, need 8",
        "msg.data: found rk.Vec[rk.u32, 4], need rk.Array[rk.f32, 8]",
        "msg.vec: found 5 elements, need up to 4",
        "msg.tag: found 13 bytes, need up to 6",
        "msg.pos: found rk.Array[rk.f32, 8], need Pos",
        "msg.data: found 3, need rk.Array[rk.f32, 8]",
        "state.best: found rk.f32, need Pos",
    ]


# -- objects


def test_constructors_take_defaults_and_zero_the_padding() -> None:
    def h(ctx, msg: Data) -> Padded:
        for i in range(2):
            made = Padded(b=rk.u64(i))
            made.v.append(9)
        return made

    out = run(h, Data())
    assert out.reply.to_bytes()[64:] == Padded(b=1, v=[7, 8, 9]).to_bytes()[64:]


@rk.message
class Long:
    n: rk.u8 = 1
    ones: rk.Array[rk.f32, 100] = rk.field(default=[1.5] * 100)
    some: rk.Array[rk.u16, 40] = rk.field(default=[0] * 39 + [6])


def test_long_defaults_are_stored_in_a_loop() -> None:
    def h(ctx, msg: Data) -> Long:
        return Long(n=2)

    assert run(h, Data()).reply.to_bytes()[64:] == Long(n=2).to_bytes()[64:]
    assert (count(h, ir.For), count(h, ir.Store)) == (1, 3)


def test_objects_have_storage_of_their_own() -> None:
    def h(ctx, msg: Data) -> Pos:
        a = Pos(1.0, 2.0)
        b = Pos(x=a.y, y=a.x)
        for i in range(3):
            a = Pos(a.y, a.x + 1)
        c = a.x * 1000 + a.y * 100 + b.x * 10 + b.y
        return Pos(x=c)

    x, y = 1.0, 2.0
    for _ in range(3):
        x, y = y, x + 1
    assert run(h, Data()).reply.x == x * 1000 + y * 100 + 2 * 10 + 1


def test_a_full_constructor_needs_no_zeroing() -> None:
    def h(ctx, msg: Data) -> Pos:
        return Pos(x=msg.pos.y, y=msg.pos.x)

    assert count(h, ir.Zero) == 0
    assert run(h, Data(pos=Pos(1.0, 2.0))).reply.x == 2.0


def test_second_names_and_missing_fields_are_refused() -> None:
    def h(ctx, state: Table, msg: Data) -> None:
        a = Pos(x=1.0)
        b = a
        c = state.best
        c = msg.pos
        msg = a
        d = Row(id=1)
        e = Pos(z=1.0)
        f = Pos(1, 2, 3)

    assert messages(h) == [
        "a cannot have a second name",
        "c is another name of something, which it stays",
        "msg is a parameter, which stays what it is",
        "Row: need values for the fields pos, cells, tail",
        "Pos has no field 'z'",
        "Pos has 2 fields, found 3 arguments",
    ]


def test_local_and_shared_arrays() -> None:
    def h(ctx, state: Table, msg: Data) -> Data:
        shared = ctx.shared(rk.u32, 4)
        for i in range(2):
            local = rk.zeros(rk.f32, 8)
            local[msg.i] += 1.0
            shared[1] += 1
        state.hits = shared[1]
        msg.data = local
        return msg

    out = run(h, Data(i=2), table())
    assert (list(out.reply.data), out.state.hits) == ([0, 0, 1, 0, 0, 0, 0, 0], 2)
    program = program_of(h)
    assert (program.shared_size, program.frame_size) == (16, 32)
    assert "shared" in program.features


# -- device functions


@rk.device
def scaled(v: rk.Array[rk.f32, 8], by: rk.f32) -> rk.f32:
    total: rk.f32 = 0.0
    for i in range(len(v)):
        v[i] *= by
        total += v[i]
    return total


@rk.device
def move(pos: Pos, dx: rk.f32) -> None:
    if dx == 0.0:
        return
    pos.x += dx


@rk.device
def checked_half(n: rk.i32) -> rk.i32:
    assert n % 2 == 0
    return n // 2


@rk.device
def quarter(n: rk.i32) -> rk.i32:
    n = checked_half(n)
    return checked_half(n)


def test_device_functions_take_references() -> None:
    def h(ctx, state: Table, msg: Data) -> Data:
        local = rk.zeros(rk.f32, 8)
        local[0] = 4.0
        msg.pos.y = scaled(msg.data, by=2) + scaled(local, 0.5)
        move(msg.pos, 1.0)
        move(state.best, 2.0)
        move(state.rows[msg.i].pos, 3.0)
        move(pos=state.rows[msg.i + 2].pos, dx=3.0)
        return msg

    out = run(h, Data(i=1, data=[1, 2, 0, 0, 0, 0, 0, 0]), table())
    assert (out.reply.pos.y, list(out.reply.data)[:2], out.reply.pos.x) == (8.0, [2.0, 4.0], 1.0)
    assert (out.state.best.x, out.state.rows[1]["pos"]["x"]) == (2.0, 3.0)
    assert (out.report.errors, out.report.last_error) == (1, ErrorCode.INDEX)
    program = program_of(h)
    assert [one.name for one in program.functions] == ["scaled", "scaled_2", "move", "move_2"]
    assert program.entries[0].writes_message


def test_a_message_that_is_only_read_is_not_copied() -> None:
    def h(ctx, state: Table, msg: Data) -> None:
        move(state.best, msg.pos.x)

    assert not program_of(h).entries[0].writes_message


def test_a_failure_in_a_device_function_ends_the_message() -> None:
    def h(ctx, state: Table, msg: Data) -> None:
        state.total = 1
        state.total = quarter(msg.i)

    assert run(h, Data(i=12), table()).state.total == 3
    out = run(h, Data(i=6), table())
    assert (out.state.total, out.report.failed) == (1, ErrorCode.ASSERTION)
    program = program_of(h)
    assert [one.name for one in program.functions] == ["checked_half", "quarter"]
    assert all(one.may_fail for one in program.functions)


@rk.device
def ping(n: rk.i32) -> rk.i32:
    return pong(n - 1)


@rk.device
def pong(n: rk.i32) -> rk.i32:
    return ping(n)


@rk.device
def endless(n: rk.i32) -> rk.i32:
    if n > 0:
        return 1


def test_refused_device_functions() -> None:
    def h(ctx, msg: Data) -> None:
        a = ping(1)
        b = endless(2)
        c = endless(2)
        d = quarter(msg.n)
        e = scaled(msg.vec, 1.0)
        f = quarter()

    assert sorted(messages(h)) == sorted(
        [
            "recursion: ping calls pong calls ping",
            "endless may end without a result",
            "n: found rk.u64, need rk.i32",
            "v: found rk.Vec[rk.u32, 4], need rk.Array[rk.f32, 8]",
            "quarter: n is missing",
        ]
    )


def test_places_of_structs_are_constant_offsets() -> None:
    def h(ctx, state: Table, msg: Data) -> None:
        state.rows[1].pos.y = 1.0

    [store] = [one for one in statements(h) if isinstance(one, ir.Store)]
    rows = {row.name: row for row in Table.layout.rows}
    inner = {row.name: row for row in Row.layout.rows}
    assert store.place == ir.Place(Root.STATE, rows["rows"].offset + Row.layout.size + inner["pos"].offset + 4)


def test_a_device_function_without_a_text_is_told_at_its_call() -> None:
    names: dict[str, Any] = {"rk": rk}
    exec("def hidden(x: rk.i32) -> rk.i32:\n    return x\n", names)
    hidden = rk.device(names["hidden"])

    @rk.device
    def odd(x: [1]) -> {}:
        return x

    def h(ctx, msg: Data) -> None:
        a = hidden(1)
        b = odd(1)

    with pytest.raises(TranslationError) as error:
        program_of(h)
    assert {one.line - h.__code__.co_firstlineno for one in error.value.diagnostics} == {1, -3}
