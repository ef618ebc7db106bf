"""Random programs of the intermediate representation itself: what an emitter must do with what no front end makes.

State, message, frame and shared memory are laid out alike: for each type a region of SPAN elements, so that no bytes
are ever seen as another type (the bits of a NaN are a machine's own).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pyringkernel.compiler import ir
from pyringkernel.compiler.features import features_of
from pyringkernel.compiler.ir import BinaryOp, Const, Local, Place, Root, Term, Type, UnaryOp

from . import values
from .chooser import Chooser, RandomChooser, chance, pick, weighted
from .generate import Case, make_script
from .scope import PLAIN, SCALARS
from .typed_numbers import rounded

SPAN = 4
ORDER = sorted(SCALARS, key=lambda scalar: -scalar.size)
OFFSETS: dict[Type, int] = {}
for _scalar in ORDER:
    OFFSETS[_scalar] = sum(SPAN * other.size for other in ORDER[: ORDER.index(_scalar)])
REGION = sum(SPAN * scalar.size for scalar in ORDER)
SIZE = (REGION + 7) // 8 * 8
FLOATS = [(OFFSETS[t] + n * t.size, t) for t in ORDER if t.is_float for n in range(SPAN)]
ANSWER, ASKS = 0x7001, (0x6001, 0x6002)

EXACT_UNARY = {
    "bool": [UnaryOp.NOT],
    "int": [UnaryOp.NEG, UnaryOp.INVERT, UnaryOp.ABS],
    "uint": [UnaryOp.NEG, UnaryOp.INVERT, UnaryOp.ABS, UnaryOp.POPCOUNT, UnaryOp.CLZ, UnaryOp.CTZ],
    "float": [UnaryOp.NEG, UnaryOp.ABS, UnaryOp.FLOOR, UnaryOp.CEIL, UnaryOp.TRUNC, UnaryOp.SQRT],
}
_BITS = [BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR]
_ALL = [BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.MIN, BinaryOp.MAX]
_WHOLE = [*_ALL, *_BITS, BinaryOp.FLOORDIV, BinaryOp.MOD, BinaryOp.SHL, BinaryOp.SHR]
EXACT_BINARY = {
    "bool": _BITS,
    "int": _WHOLE,
    "uint": _WHOLE,
    "float": [*_ALL, BinaryOp.TRUEDIV, BinaryOp.FMOD, BinaryOp.COPYSIGN],
}
LANES = [ir.WarpOp.SHUFFLE, ir.WarpOp.SHUFFLE_UP, ir.WarpOp.SHUFFLE_DOWN, ir.WarpOp.SHUFFLE_XOR]
REDUCES = [ir.WarpOp.REDUCE_ADD, ir.WarpOp.REDUCE_MIN, ir.WarpOp.REDUCE_MAX]
PLAIN_QUERIES = [name for name in ir.QueryName if name is not ir.QueryName.FAILED]


@dataclass
class Maker:
    """One function while it is made."""

    chooser: Chooser
    palette: list[Type]
    functions: list[ir.Function]
    locals: list[Local] = field(default_factory=list)
    parameters: list[Local] = field(default_factory=list)
    result: Type | None = None
    fails: bool = False
    loops: int = 0
    turns: int = 1
    budget: int = 30
    line: int = 1
    hidden: list[Local] = field(default_factory=list)

    # -- expressions

    def const(self, scalar: Type) -> Const:
        if scalar is Type.BOOL:
            return Const(scalar, chance(self.chooser, 50))
        if scalar.is_integer:
            return Const(scalar, values.integer(self.chooser, scalar))
        if chance(self.chooser, 10):
            return Const(scalar, pick(self.chooser, [float("inf"), float("-inf"), float("nan")]))
        return Const(scalar, rounded(scalar, values.floating(self.chooser, scalar)))

    def local(self, scalar: Type) -> Local:
        found = [one for one in (*self.locals, *self.parameters) if one.type is scalar]
        if found and chance(self.chooser, 70):
            return pick(self.chooser, found)
        self.locals.append(Local(scalar, f"v{len(self.locals)}"))
        return self.locals[-1]

    def place(self, scalar: Type, root: Root | None = None) -> Place:
        root = root or pick(self.chooser, [Root.STATE, Root.MESSAGE, Root.FRAME, Root.SHARED])
        if chance(self.chooser, 50):
            return Place(root, OFFSETS[scalar] + scalar.size * self.chooser.integer(0, SPAN - 1))
        mask = Const(Type.U32, SPAN - 1)
        inside = ir.Binary(Type.U32, BinaryOp.AND, self.value(Type.U32, 1), mask)
        return Place(root, OFFSETS[scalar], (Term(inside, scalar.size),))

    def value(self, scalar: Type, depth: int) -> ir.Expr:
        kinds = [(20, "local"), (15, "load"), (8, "const")]
        if depth > 0:
            kinds += [(30, "binary"), (12, "unary"), (10, "cast"), (6, "select"), (5, "bitcast"), (3, "other")]
        kind = weighted(self.chooser, kinds)
        made = getattr(self, f"_{kind}")(scalar, depth - 1)
        assert isinstance(made, ir.Expr)
        return made

    def _local(self, scalar: Type, _: int) -> ir.Expr:
        return self.local(scalar)

    def _load(self, scalar: Type, _: int) -> ir.Expr:
        return ir.Load(scalar, self.place(scalar))

    def _const(self, scalar: Type, _: int) -> ir.Expr:
        return self.const(scalar)

    def _binary(self, scalar: Type, depth: int) -> ir.Expr:
        if scalar is Type.BOOL and chance(self.chooser, 75):
            kind = pick(self.chooser, self.palette)
            signs = list(ir.CompareOp) if kind is not Type.BOOL else [ir.CompareOp.EQ, ir.CompareOp.NE]
            return ir.Compare(pick(self.chooser, signs), self.value(kind, depth), self.value(kind, depth))
        op = pick(self.chooser, EXACT_BINARY[scalar.kind])
        left, right = self.value(scalar, depth), self.value(scalar, depth)
        if op is BinaryOp.COPYSIGN:
            right = self.number(right)
        return ir.Binary(scalar, op, left, right)

    def number(self, node: ir.Expr) -> ir.Expr:
        """Not a NaN."""
        return ir.Select(node.type, ir.Test(ir.TestOp.IS_NAN, node), Const(node.type, 0.5), node)

    def _unary(self, scalar: Type, depth: int) -> ir.Expr:
        floats = [one for one in self.palette if one.is_float]
        if scalar is Type.BOOL and floats and chance(self.chooser, 50):
            return ir.Test(pick(self.chooser, list(ir.TestOp)), self.value(pick(self.chooser, floats), depth))
        return ir.Unary(scalar, pick(self.chooser, EXACT_UNARY[scalar.kind]), self.value(scalar, depth))

    def _cast(self, scalar: Type, depth: int) -> ir.Expr:
        return ir.Cast(scalar, self.value(pick(self.chooser, self.palette), depth))

    def _select(self, scalar: Type, depth: int) -> ir.Expr:
        return ir.Select(scalar, self.value(Type.BOOL, depth), self.value(scalar, depth), self.value(scalar, depth))

    def _bitcast(self, scalar: Type, depth: int) -> ir.Expr:
        same = [one for one in self.palette if one.size == scalar.size and Type.BOOL not in (one, scalar)]
        if not same:
            return self._cast(scalar, depth)
        source = pick(self.chooser, same)
        node = self.value(source, depth)
        return ir.Bitcast(scalar, self.number(node) if source.is_float and not scalar.is_float else node)

    def _other(self, scalar: Type, depth: int) -> ir.Expr:
        if scalar is Type.U32 and chance(self.chooser, 50):
            return ir.Query(pick(self.chooser, PLAIN_QUERIES))
        if scalar in (Type.U32, Type.U64):
            wide = [t for t in self.palette if t.size == scalar.size and t.is_integer]
            kind = pick(self.chooser, wide or [scalar])
            return ir.TripCount(scalar, *(self.value(kind, depth) for _ in range(3)))
        if scalar is Type.U8:
            return ir.Load(scalar, Place(Root.HEADER, self.chooser.integer(0, 3)))
        return self._binary(scalar, depth)

    # -- statements

    def body(self, most: int) -> tuple[ir.Stmt, ...]:
        made: list[ir.Stmt] = []
        for _ in range(self.chooser.integer(min(most, 2), most)):
            if self.budget <= 0:
                break
            self.budget -= 1
            self.line += 1
            made += self.statement()
        return tuple(made)

    def statement(self) -> list[ir.Stmt]:
        kinds = [(25, "set"), (25, "store"), (6, "copy"), (2, "zero"), (12, "if"), (8, "for"), (4, "loop")]
        kinds += [
            (5, "call"),
            (3, "count"),
            (1, "fail"),
            (4, "send"),
            (4, "service"),
            (6, "atomic"),
            (4, "warp"),
            (2, "sync"),
            (3, "leave"),
        ]
        return list(getattr(self, f"_do_{weighted(self.chooser, kinds)}")())

    def _do_set(self) -> list[ir.Stmt]:
        scalar = pick(self.chooser, self.palette)
        value = self.value(scalar, 3)
        return [ir.SetLocal(self.local(scalar), value, self.line)]

    def _do_store(self) -> list[ir.Stmt]:
        scalar = pick(self.chooser, self.palette)
        return [ir.Store(self.place(scalar), self.value(scalar, 3), self.line)]

    def _do_copy(self) -> list[ir.Stmt]:
        scalar = pick(self.chooser, self.palette)
        count = self.chooser.integer(1, SPAN)

        def some() -> Place:
            root = pick(self.chooser, [Root.STATE, Root.MESSAGE, Root.FRAME, Root.SHARED])
            return Place(root, OFFSETS[scalar] + scalar.size * self.chooser.integer(0, SPAN - count))

        if chance(self.chooser, 20):
            root, other = some().root, some().root
            return [ir.Copy(Place(root, 0), Place(other, 0), SIZE, self.line)]
        return [ir.Copy(some(), some(), count * scalar.size, self.line)]

    def _do_zero(self) -> list[ir.Stmt]:
        scalar = pick(self.chooser, self.palette)
        return [
            ir.Zero(
                Place(self.place(scalar).root, OFFSETS[scalar]), scalar.size * self.chooser.integer(1, SPAN), self.line
            )
        ]

    def _do_if(self) -> list[ir.Stmt]:
        condition = self.value(Type.BOOL, 3)
        return [ir.If(condition, self.body(3), self.body(3) if chance(self.chooser, 50) else (), self.line)]

    def _do_for(self) -> list[ir.Stmt]:
        if self.turns > 16:
            return self._do_set()
        scalar = pick(self.chooser, [one for one in self.palette if one.is_integer])
        wide = [one for one in (Type.U32, Type.U64, Type.U8, Type.U16) if one in self.palette]
        count = pick(self.chooser, wide or [Type.U32])
        turns: ir.Expr = Const(count, self.chooser.integer(0, 5))
        if chance(self.chooser, 50):
            turns = ir.Binary(count, BinaryOp.AND, self.value(count, 2), Const(count, 3))
        start, step, variable = self.value(scalar, 2), self.value(scalar, 1), self.local(scalar)
        return [ir.For(variable, start, step, turns, self.inside(4), self.line)]

    def inside(self, turns: int) -> tuple[ir.Stmt, ...]:
        """A loop's body."""
        self.turns *= turns
        self.loops += 1
        self.fails = True
        made = self.body(3)
        self.loops -= 1
        self.turns //= turns
        return made

    def _do_loop(self) -> list[ir.Stmt]:
        if self.turns > 16:
            return self._do_store()
        counter = Local(Type.U32, f"n{len(self.hidden)}")
        self.hidden.append(counter)  # nothing else may assign to it
        most = Const(Type.U32, self.chooser.integer(0, 4))
        ends = ir.If(ir.Compare(ir.CompareOp.GE, counter, most), (ir.Break(self.line),))
        more = ir.SetLocal(counter, ir.Binary(Type.U32, BinaryOp.ADD, counter, Const(Type.U32, 1)), self.line)
        made = self.inside(4)
        return [ir.SetLocal(counter, Const(Type.U32, 0), self.line), ir.Loop((ends, more, *made), self.line)]

    def _do_call(self) -> list[ir.Stmt]:
        if not self.functions or self.turns > 8:
            return self._do_store()
        callee = pick(self.chooser, self.functions)
        arguments = tuple(self.value(one.type, 2) for one in callee.parameters)
        target = self.local(callee.result) if callee.result is not None and chance(self.chooser, 80) else None
        made: list[ir.Stmt] = [ir.Call(target, callee.name, arguments, self.line)]
        if callee.may_fail:
            self.fails = True
            made.append(ir.If(ir.Query(ir.QueryName.FAILED), (self.returns(),), (), self.line))
        return made

    def returns(self) -> ir.Return:
        """With a value where there is a result."""
        return ir.Return(None if self.result is None else self.value(self.result, 1), self.line)

    def _do_count(self) -> list[ir.Stmt]:
        return [ir.CountError(self.value(Type.U32, 2), self.line)]

    def _do_fail(self) -> list[ir.Stmt]:
        self.fails = True
        failing = ir.Fail(int(ir.ErrorCode.ASSERTION), self.line)
        rare = ir.Compare(ir.CompareOp.EQ, self.value(Type.U32, 1), Const(Type.U32, 7))
        return [ir.If(rare, (failing,), (), self.line)]

    def _do_send(self) -> list[ir.Stmt]:
        if self.turns > 4:
            return self._do_set()
        place = Place(pick(self.chooser, [Root.STATE, Root.MESSAGE, Root.FRAME, Root.SHARED]), 0)
        kind = pick(self.chooser, ["reply", "send", "publish"])
        if kind == "publish":
            target = self.local(Type.U32) if chance(self.chooser, 50) else None
            return [
                ir.Publish(target, self.chooser.integer(0, 1), ANSWER, place, SIZE, chance(self.chooser, 50), self.line)
            ]
        self.fails = True
        if kind == "reply":
            return [ir.Reply(ANSWER, place, SIZE, self.line)]
        more: dict[str, Any] = {}
        if chance(self.chooser, 30):
            more["instance"] = self.value(Type.U32, 1)
        if chance(self.chooser, 30):
            more["priority"] = self.value(Type.U32, 1)
        if chance(self.chooser, 30):
            wide = Type.F64 in self.palette
            more["deadline"] = (
                self.value(Type.F64, 1) if wide else Const(Type.F64, float(self.chooser.integer(-3, 9)) / 4)
            )
        return [ir.Send(self.chooser.integer(0, 1), ANSWER, place, SIZE, line=self.line, **more)]

    def _do_service(self) -> list[ir.Stmt]:
        wide = Type.U64 in self.palette
        service = pick(
            self.chooser, [one for one in ir.Service if wide or (one.result is not Type.U64 and not one.parameters)]
        )
        arguments: tuple[ir.Expr, ...] = tuple(self.value(one, 1) for one in service.parameters)
        if service is ir.Service.FREE_SLOTS:
            arguments = (Const(Type.U32, self.chooser.integer(0, 1)),)
        target = self.local(service.result) if service.result is not None and chance(self.chooser, 80) else None
        return [ir.CallService(target, service, arguments, self.line)]

    def _do_atomic(self) -> list[ir.Stmt]:
        able = [t for t in (Type.I32, Type.U32, Type.I64, Type.U64) if t in self.palette]
        scalar = pick(self.chooser, able or [Type.U32])
        op = pick(self.chooser, list(ir.AtomicOp))
        expected = self.value(scalar, 1) if op is ir.AtomicOp.CAS else None
        place = self.place(scalar, pick(self.chooser, [Root.STATE, Root.SHARED]))
        target = self.local(scalar) if chance(self.chooser, 70) else None
        return [ir.Atomic(target, op, scalar, place, self.value(scalar, 2), expected, self.line)]

    def _do_warp(self) -> list[ir.Stmt]:
        if self.turns > 1:
            return self._do_set()
        if chance(self.chooser, 30):
            op = pick(
                self.chooser, [ir.WarpOp.ALL, ir.WarpOp.ANY, *([ir.WarpOp.BALLOT] if Type.U64 in self.palette else [])]
            )
            result = Type.U64 if op is ir.WarpOp.BALLOT else Type.BOOL
            return [ir.Warp(self.local(result), op, self.value(Type.BOOL, 2), None, self.line)]
        scalar = pick(self.chooser, [one for one in self.palette if one is not Type.BOOL])
        op = pick(self.chooser, [*LANES, *REDUCES])
        lane = Const(Type.U32, 0) if op in LANES else None
        return [ir.Warp(self.local(scalar), op, self.value(scalar, 2), lane, self.line)]

    def _do_sync(self) -> list[ir.Stmt]:
        if chance(self.chooser, 50) or self.turns > 1:
            return [ir.Fence(pick(self.chooser, list(ir.Scope)), self.line)]
        return [ir.Barrier(pick(self.chooser, [ir.Scope.WARP, ir.Scope.BLOCK]), self.line)]

    def _do_leave(self) -> list[ir.Stmt]:
        kinds: list[ir.Stmt] = [self.returns()]
        if self.loops:
            kinds = [ir.Break(self.line), ir.Continue(self.line), self.returns()]
        return [ir.If(self.value(Type.BOOL, 2), (pick(self.chooser, kinds),), (), self.line)]

    def finish(self, name: str, first: tuple[ir.Stmt, ...] = ()) -> ir.Function:
        """The whole function."""
        body = (*first, *self.body(16))
        if self.result is not None:
            body = (*body, self.returns())
        return ir.Function(name, tuple(self.parameters), self.result, (*self.locals, *self.hidden), body, self.fails)


def make_program(chooser: Chooser) -> tuple[ir.Program, list[tuple[int, bytes]], bytes]:
    """A program, messages (entry, payload) and the state before."""
    palette = pick(chooser, [list(PLAIN), list(PLAIN), [*PLAIN, Type.I64, Type.U64], list(SCALARS), list(SCALARS)])
    palette = (
        palette
        if len(palette) < 12
        else sorted({*PLAIN, *(pick(chooser, SCALARS) for _ in range(5))}, key=SCALARS.index)
    )
    functions: list[ir.Function] = []
    for n in range(weighted(chooser, [(50, 0), (30, 1), (20, 2)])):
        maker = Maker(chooser, palette, list(functions), turns=4, budget=6)
        maker.result = pick(chooser, palette) if chance(chooser, 80) else None
        maker.parameters = [Local(pick(chooser, palette), f"a{k}") for k in range(chooser.integer(0, 3))]
        functions.append(maker.finish(f"f{n}"))
    entries = []
    clean = ir.Zero(Place(Root.FRAME, 0), SIZE)
    for n in range(chooser.integer(1, 2)):
        function = Maker(chooser, palette, functions).finish(f"entry{n}", (clean,))
        entries.append(ir.Entry(f"Ask{n}", ASKS[n], SIZE, True, function))
    rest: dict[str, Any] = {"state_size": SIZE, "frame_size": SIZE, "shared_size": SIZE, "replies": ((ANSWER, SIZE),)}
    rest |= {"targets": ("host", "peer"), "topics": ("news", "late")}
    made = ir.Program("random", tuple(entries), tuple(functions), features=frozenset(), **rest)
    made = ir.Program("random", tuple(entries), tuple(functions), features=features_of(made), **rest)
    messages = [(chooser.integer(0, len(entries) - 1), memory(chooser)) for _ in range(chooser.integer(1, 3))]
    return made, messages, memory(chooser)


def memory(chooser: Chooser) -> bytes:
    """Values for all regions."""
    data = b"".join(values.raw(chooser, scalar) for scalar in ORDER for _ in range(SPAN))
    return data.ljust(SIZE, b"\0")


def generate_ir(seed: int) -> Case:
    """Always the same."""
    chooser = RandomChooser(seed)
    program, messages, state = make_program(chooser)
    inputs = tuple((program.entries[entry].message, payload) for entry, payload in messages)
    return Case("", "", "", inputs, state, make_script(chooser), seed=seed, program=program)


__all__ = ["ANSWER", "FLOATS", "generate_ir", "make_program"]
