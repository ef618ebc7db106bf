"""Runs a program's source text as plain Python, on typed numbers: what the front end must mean, found without it.

The text is the generator's own, with marks (expressions.py); five constructs are rewritten first, because Python gives no
hook for them.
"""

from __future__ import annotations

import ast
import builtins
import math
import operator
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import HEADER, Outcome, Recorder, slot_of

from pyringkernel.compiler.ir import ErrorCode, Type
from pyringkernel.compiler.services import ANY_INSTANCE, DEFAULT_PRIORITY, Report

from .classes import CODES, Field, Struct
from .typed_memory import Elements, Object, Outside, classes_of, lost, read, write
from .typed_numbers import Counter, Number, bitcast, convert, count_bits, fmod, quiet, rounded

if TYPE_CHECKING:
    from pyringkernel.compiler.ir import Program

    from .generate import Case

_INPLACE: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Div": operator.truediv,
    "FloorDiv": operator.floordiv, "Mod": operator.mod, "BitAnd": operator.and_, "BitOr": operator.or_,
    "BitXor": operator.xor, "LShift": operator.lshift, "RShift": operator.rshift,
}  # fmt: skip


class _Rewrite(ast.NodeTransformer):
    """`a[i] += v` becomes rk_augment(a, i, "Add", lambda: v), so that the element is looked for once; the place of an
    atomic operation is given as (what it is in, index or name)."""

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        self.generic_visit(node)
        if not isinstance(node.target, ast.Subscript):
            return node
        later = ast.Lambda(ast.arguments([], [], None, [], [], None, []), node.value)
        parts = [node.target.value, node.target.slice, ast.Constant(type(node.op).__name__), later]
        return ast.Expr(ast.Call(ast.Name("rk_augment", ast.Load()), parts, []))

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr.startswith("atomic_"):
            place = node.args[0]
            assert isinstance(place, ast.Attribute | ast.Subscript)
            key = ast.Constant(place.attr) if isinstance(place, ast.Attribute) else place.slice
            node.args[0] = ast.Tuple([place.value, key], ast.Load())
        return node

    def visit_Assert(self, node: ast.Assert) -> Any:
        self.generic_visit(node)
        return ast.Expr(ast.Call(ast.Name("rk_assert", ast.Load()), [node.test], []))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        self.generic_visit(node)
        assert node.value is not None
        return ast.Assign([node.target], node.value)


def _functions(case: Case) -> dict[str, Any]:
    """The program's functions, with a language of their own around them."""
    text = re.sub("«([a-z0-9]+)\\|", r"rk_type_\1(", case.marked).replace("»", ")")
    tree = ast.parse(text)
    kept = []
    for node in tree.body:
        if isinstance(node, ast.Import) or (isinstance(node, ast.ClassDef) and node.name != "Kind"):
            continue
        if isinstance(node, ast.FunctionDef):
            node.decorator_list, node.returns = [], None
            for argument in node.args.args:
                argument.annotation = None
        kept.append(node)
    whole = ast.fix_missing_locations(_Rewrite().visit(ast.Module(kept, [])))
    space: dict[str, Any] = {f"rk_type_{t.text}": _converter(t) for t in Type}
    space.update({spec.name: classes_of(spec) for spec in case.classes})
    import enum

    space.update(
        rk=_Language(), math=_Math(), range=_range, len=_length, rk_augment=_augment, rk_assert=_assert, enum=enum
    )
    space["__builtins__"] = {**vars(builtins), "range": _range, "len": _length}
    exec(compile(whole, "<reference>", "exec"), space)
    return space


def _converter(scalar: Type) -> Callable[..., Any]:
    return lambda value=0: convert(scalar, value)


def _augment(inside: Any, index: Any, name: str, later: Callable[[], Any]) -> None:
    field = Field("", "one", inside.field.element)
    try:
        at = inside.address(index)
    except Outside:
        _INPLACE[name](lost(field), later())  # all of it but the store
        return
    old = read(inside.buffer, at, field)
    write(inside.buffer, at, field, _INPLACE[name](old, later()))


def _assert(condition: bool) -> None:
    if not condition:
        raise _Failed(int(ErrorCode.ASSERTION))


def _length(thing: Elements) -> Any:
    return Number(Type.U32, len(thing))


def _range(*given: Any) -> Iterator[Number]:
    low, high, step = (0, given[0], 1) if len(given) == 1 else (*given, 1)[:3]
    scalar = max((one.type for one in given), key=lambda one: one.size)
    if scalar.size < 4:
        scalar = Type.I32 if scalar.is_signed else Type.U32
    if int(step) == 0:
        Number.errors.count(ErrorCode.RANGE_STEP)
        return
    for value in range(int(low), int(high), int(step)):
        yield Number(scalar, value)


class _Language:
    """`rk`"""

    class Priority:
        """rk.Priority"""

        LOW, NORMAL, HIGH, CRITICAL = range(4)

    def __getattr__(self, name: str) -> Any:
        if name in ("popcount", "clz", "ctz"):
            return lambda value: count_bits(name, value)
        return _converter(Type.BOOL if name == "boolean" else Type[name.upper()])

    def bitcast(self, to: Any, value: Number) -> Number:
        """rk.bitcast"""
        return bitcast(to(0).type, value)

    def zeros(self, of: Any, count: int) -> Elements:
        """rk.zeros"""
        made = of(0)
        scalar = Type.BOOL if made is False else made.type
        return Elements(bytearray(count * scalar.size), 0, Field("", "array", scalar, count))


class _Math:
    """`math`, of typed floats."""

    pi, e, tau, inf, nan = math.pi, math.e, math.tau, math.inf, math.nan

    def __getattr__(self, name: str) -> Any:
        if name in ("isnan", "isinf", "isfinite"):
            return lambda x: getattr(math, name)(x.value)
        function = getattr(np, f"arc{name[1:]}" if name in ("asin", "acos", "atan") else name)

        def call(x: Number) -> Number:
            with np.errstate(all="ignore"):
                return Number(x.type, rounded(x.type, float(function(np.float64(x.value)))))

        return call

    def fmod(self, left: Any, right: Any) -> Number:
        """math.fmod"""
        return _two(fmod, left, right)

    def atan2(self, left: Any, right: Any) -> Number:
        """math.atan2"""
        return _two(lambda a, b: quiet(np.arctan2, a, b), left, right)

    def pow(self, left: Any, right: Any) -> Number:
        """math.pow"""
        return _two(lambda a, b: quiet(np.power, a, b), left, right)

    def hypot(self, left: Any, right: Any) -> Number:
        """math.hypot"""
        return _two(lambda a, b: quiet(np.hypot, a, b), left, right)

    def copysign(self, left: Any, right: Any) -> Number:
        """math.copysign"""
        return _two(math.copysign, left, right)


def _two(function: Callable[[float, float], float], left: Any, right: Any) -> Number:
    scalar = left.type if isinstance(left, Number) else right.type
    values = [one.value if isinstance(one, Number) else convert(scalar, one).value for one in (left, right)]
    return Number(scalar, rounded(scalar, function(*values)))


class _Failed(Exception):  # noqa: N818 - how a message that fails leaves its handler
    pass


class _Header:
    """msg.header"""

    def __init__(self, slot: bytes) -> None:
        names = (
            "version priority hops flags type_id payload_size crc message_id correlation_id source dest hlc deadline"
        )
        types = [Type.U8] * 4 + [Type.U32] * 3 + [Type.U64] * 6
        for name, scalar, value in zip(names.split(), types, HEADER.unpack(slot[:64]), strict=True):
            setattr(self, name, Number(scalar, value))
        self.timestamp = _Time(self.hlc.value)  # type: ignore[attr-defined]


class _Time:
    """A timestamp."""

    def __init__(self, time: int) -> None:
        self.time = Number(Type.U64, time)

    def __lt__(self, other: _Time) -> bool:
        return self.time < other.time

    def __ge__(self, other: _Time) -> bool:
        return self.time >= other.time


class _Context:
    """`ctx`, on a Recorder."""

    def __init__(self, recorder: Recorder, program: Program, types: dict[str, int]) -> None:
        self.recorder, self.program, self.types = recorder, program, types

    def __getattr__(self, name: str) -> Any:
        if name.startswith("atomic_"):
            return lambda place, *values: _atomic(name.removeprefix("atomic_"), place, values)
        if name in ("sync_threads", "sync_warp", "fence"):
            return lambda *_, **__: None
        known = {"block_dim": 1, "grid_dim": 1, "kernel_id": 21, "instance_id": 3}
        return lambda: Number(Type.U32, known.get(name, 0))

    def report_error(self, code: Number) -> None:
        Number.errors.count(code.value)

    def shared(self, of: Any, count: int) -> Elements:
        return _Language().zeros(of, count)

    def all(self, value: Any) -> Any:
        return value

    any = all

    def ballot(self, value: bool) -> Number:
        return Number(Type.U64, int(value))

    def shuffle(self, value: Any, _: Any) -> Any:
        return value

    shuffle_up = shuffle_down = shuffle_xor = warp_reduce = shuffle

    def now(self) -> _Time:
        return _Time(self.recorder.now())

    def tick(self) -> _Time:
        return _Time(self.recorder.tick())

    def update_clock(self, time: Any) -> None:
        if not self.recorder.update_clock((time.time if isinstance(time, _Time) else time).value):
            Number.errors.count(ErrorCode.CLOCK_SKEW)

    def pending(self) -> Number:
        return Number(Type.U64, self.recorder.pending())

    def free_slots(self, target: str) -> Number:
        return Number(Type.U64, self.recorder.free_slots(self.program.targets.index(target)))

    def is_terminating(self) -> bool:
        return self.recorder.is_terminating()

    def request_termination(self) -> None:
        self.recorder.request_termination()

    def _payload(self, message: Object) -> tuple[int, bytes]:
        size = message.spec.placed()[1]
        return self.types[message.spec.name], bytes(message.buffer[message.at : message.at + size])

    def reply(self, message: Object) -> None:
        self._end(self.recorder.reply(*self._payload(message)))

    def send(
        self, target: str, message: Object, instance: Any = None, priority: Any = None, deadline: Any = None
    ) -> None:
        at = ANY_INSTANCE if instance is None else int(instance)
        urgency = DEFAULT_PRIORITY if priority is None else min(int(priority), 3)
        limit = 0.0 if deadline is None else deadline.value
        limit = limit if limit > 0 else 0.0
        self._end(self.recorder.send(self.program.targets.index(target), *self._payload(message), at, urgency, limit))

    def publish(self, topic: str, message: Object, retain: bool = False) -> Number:
        type_id, payload = self._payload(message)
        return Number(Type.U32, self.recorder.publish(self.program.topics.index(topic), type_id, payload, retain))

    def _end(self, code: int) -> None:
        if code:
            raise _Failed(code)


def _atomic(op: str, place: tuple[Any, Any], values: tuple[Any, ...]) -> Any:
    inside, key = place
    if isinstance(inside, Object):
        field, offset = type(inside).rows[key]
        buffer, at = inside.buffer, inside.at + offset
    else:
        field = Field("", "one", inside.field.element)
        try:
            buffer, at = inside.buffer, inside.address(key)
        except Outside:
            return convert(field.element, 0)  # type: ignore[arg-type]
    old = read(buffer, at, field)
    value = values[-1]
    if op == "cas":
        new = value if old == values[0] else old
    elif op == "exchange":
        new = value
    else:
        names: dict[str, Callable[[Any, Any], Any]] = {"min": min, "max": max, "and": operator.and_, "or": operator.or_}
        new = names.get(op, getattr(operator, op, min))(old, value)
    write(buffer, at, field, new)
    return old


def run_reference(case: Case, program: Program, types: dict[str, int]) -> Outcome:
    """What the text means. Lines of reports are 0. `types`: type ids by class name."""
    functions = _functions(case)
    specs = {spec.name: spec for spec in case.classes}
    entries = {entry.message: n for n, entry in enumerate(program.entries)}
    memory, recorder = bytearray(case.state or b""), Recorder(case.script)
    reports = []
    for number, (name, payload) in enumerate(case.inputs):
        Number.errors = Counter()
        slot = slot_of(program, entries[name], payload, number)
        message = classes_of(specs[name])(bytearray(payload), 0)
        object.__setattr__(message, "header", _Header(slot))
        context = _Context(recorder, program, types)
        report = Report()
        try:
            given = [context, *([classes_of(specs["S"])(memory, 0)] if case.state is not None else []), message]
            result = functions[case.handler](*given)
            if result is not None:
                context.reply(result)
        except _Failed as failed:
            report.failed = failed.args[0]
        report.errors, report.last_error = Number.errors.errors, int(Number.errors.last)
        reports.append(report)
    return Outcome(bytes(memory), recorder.effects, reports)


__all__ = ["CODES", "Struct", "run_reference"]
