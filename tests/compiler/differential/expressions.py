"""Expressions: `typed` makes text that has a type, `operand` may make a literal where its partner has the type.

Where a literal or a narrower value becomes a type, the text says so in marks, «type|text», which `plain` takes away: the
language must find out by itself, and the reference (reference.py) need not.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pyringkernel.compiler.ir import Type

from . import values
from .chooser import pick, weighted
from .classes import Hole, Path, Struct, name_of
from .scope import SCALARS, Device, Root, Scope, holes

ATOMIC = (Type.I32, Type.U32, Type.I64, Type.U64)
EXACT = ("math.floor", "math.ceil", "math.trunc", "math.fabs", "math.sqrt", "abs")
TRANSCENDENTAL = (
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt"),
)
TEN_QUERIES = ("thread_id", "block_id", "block_dim", "grid_dim", "global_thread_id", "warp_id", "lane_id")
Maker = Callable[[Scope, Type, int], "str | None"]


def mark(scalar: Type, text: str) -> str:
    """Text that becomes this type without a cast."""
    return f"«{scalar.text}|{text}»"


def plain(text: str) -> str:
    """Without marks: a program."""
    return re.sub("«[a-z0-9]+\\|", "", text).replace("»", "")


def narrower(scope: Scope, scalar: Type) -> Type:
    """The type itself, or one of its kind that widens to it."""
    if not scope.chance(12):
        return scalar
    return pick(
        scope.chooser, [t for t in scope.palette if t.kind == scalar.kind and t.size <= scalar.size] or [scalar]
    )


def operand(scope: Scope, scalar: Type, depth: int) -> str:
    """For a place where another operand, a declaration or a parameter gives the type."""
    if scope.chance(25):
        named = [name for name, kind in scope.constants if fits(kind, scalar)]
        if named and scope.chance(20):
            return mark(scalar, pick(scope.chooser, named))
        text = values.literal(scope.chooser, scalar)
        return mark(scalar, f"({text})" if text.startswith("-") else text)
    source = narrower(scope, scalar)
    text = typed(scope, source, depth)
    return text if source is scalar else mark(scalar, text)


def fits(constant: Type | None, scalar: Type) -> bool:
    """Whether a module's constant (None: a small int) may become this type."""
    if constant is None:
        return scalar is not Type.BOOL
    return constant.is_float and scalar.is_float


def typed(scope: Scope, scalar: Type, depth: int) -> str:
    """An expression of exactly this type."""
    if depth <= 0 or scope.chance(22):
        return leaf(scope, scalar)
    for _ in range(4):
        text = weighted(scope.chooser, MAKERS[scalar.kind])(scope, scalar, depth - 1)
        if text is not None:
            return text
    return leaf(scope, scalar)


def pair(scope: Scope, scalar: Type, depth: int) -> tuple[str, str]:
    """Two operands, one of which has the type."""
    if scope.chance(25):
        right = typed(scope, scalar, depth)
        return operand(scope, scalar, depth), right
    return typed(scope, scalar, depth), operand(scope, scalar, depth)


# -- leaves -----------------------------------------------------------------------------------------------------------


def leaf(scope: Scope, scalar: Type) -> str:
    """A local, something in memory, or a literal."""
    if not scope.chance(15):
        found = variable(scope, scalar)
        if found is not None:
            return found
        other = variable(scope, pick(scope.chooser, scope.palette))
        if other is not None and scope.chance(60):
            return f"{name_of(scalar)}({other})"
    if scalar is Type.BOOL:
        return values.literal(scope.chooser, scalar)
    return f"{name_of(scalar)}({values.literal(scope.chooser, scalar)})"


def variable(scope: Scope, scalar: Type) -> str | None:
    """Nothing that is known before the program runs."""
    names = scope.readable(scalar)
    if names and scope.chance(55):
        return pick(scope.chooser, names)
    return load(scope, scalar) or (pick(scope.chooser, names) if names else None)


def load(scope: Scope, scalar: Type) -> str | None:
    """A scalar in memory."""
    found = [(r, p) for r, p in scope.paths() if p.shape == "one" and p.element is scalar and holes(p) <= 2]
    if not found:
        return None
    root, path = pick(scope.chooser, found)
    return place(scope, root, path)


def place(scope: Scope, root: Root, path: Path, inside: bool = False) -> str:
    """The path's text, with indices; `inside`: of which none is out of range."""
    text = root.text
    scope.nested += 1
    for part in path.parts:
        text += f"[{index(scope, part, text, inside)}]" if isinstance(part, Hole) else part
    scope.nested -= 1
    return text


def index(scope: Scope, hole: Hole, text: str, inside: bool) -> str:
    """An index into `text`: constant or not, mostly inside."""
    kinds = [(30, "constant"), (30, "loop"), (25, "modulo"), (0 if inside else 7, "any"), (6, "minus")]
    kind = weighted(scope.chooser, kinds)
    if kind == "minus" and not hole.is_vec:
        return str(-scope.chooser.integer(1, hole.count))
    if kind == "loop" and not inside:
        fitting = [name for name in scope.small if name in scope.assigned]
        if fitting:
            return pick(scope.chooser, fitting)
    integers = [t for t in scope.palette if t.is_integer and values.bounds(t)[1] > hole.count]
    if kind in ("modulo", "any") and integers:
        scalar = pick(scope.chooser, integers)
        if scope.nested == 1 and scope.chance(12):
            inner: str | None = typed(scope, scalar, 2)
            kind = "modulo"  # it may be a constant
            inside = True
        else:
            inner = variable(scope, scalar) if scope.nested < 3 else None
        if inner is None:
            return str(scope.chooser.integer(0, hole.count - 1))
        if scope.chance(25):
            inner = f"({inner} + {operand(scope, scalar, 1)})"
        if kind == "any":
            return inner
        return f"{inner} % {hole.count}" if not hole.is_vec or inside else f"{inner} % {hole.count + 1}"
    return str(scope.chooser.integer(0, hole.count - 1))


# -- operators --------------------------------------------------------------------------------------------------------


def arithmetic(scope: Scope, scalar: Type, depth: int) -> str | None:
    left, right = pair(scope, scalar, depth)
    operators = ["+", "-", "*", "/"] if scalar.is_float else ["+", "-", "*", "&", "|", "^"]
    return f"({left} {pick(scope.chooser, operators)} {right})"


def division(scope: Scope, scalar: Type, depth: int) -> str | None:
    left = typed(scope, scalar, depth)
    right = operand(scope, scalar, depth)
    return f"({left} {pick(scope.chooser, ['//', '%'])} {right})"


def shift(scope: Scope, scalar: Type, depth: int) -> str | None:
    left = typed(scope, scalar, depth)
    if scope.chance(60):
        right = str(scope.chooser.integer(0, scalar.bits - 1))
    else:
        right = typed(scope, pick(scope.chooser, [t for t in scope.palette if t.is_integer]), depth)
    return f"({left} {pick(scope.chooser, ['<<', '>>'])} {right})"


def power(scope: Scope, scalar: Type, depth: int) -> str | None:
    return f"({typed(scope, scalar, depth)} ** {scope.chooser.integer(0, 5)})"


def unary(scope: Scope, scalar: Type, depth: int) -> str | None:
    inner = typed(scope, scalar, depth)
    if scalar.is_float:
        return pick(scope.chooser, [f"(-{inner})", f"(+{inner})", *(f"{name}({inner})" for name in EXACT)])
    return pick(scope.chooser, [f"(-{inner})", f"(~{inner})", f"abs({inner})", f"(+{inner})"])


def extreme(scope: Scope, scalar: Type, depth: int) -> str | None:
    left, right = pair(scope, scalar, depth)
    more = f", {operand(scope, scalar, depth)}" if scope.chance(25) else ""
    return f"{pick(scope.chooser, ['min', 'max'])}({left}, {right}{more})"


def bits(scope: Scope, scalar: Type, depth: int) -> str | None:
    return (
        f"rk.{pick(scope.chooser, ['popcount', 'clz', 'ctz'])}({typed(scope, scalar, depth)})"
        if scalar.kind == "uint"
        else None
    )


def cast(scope: Scope, scalar: Type, depth: int) -> str | None:
    source = pick(scope.chooser, scope.palette)
    if scalar is Type.BOOL and scope.chance(50):
        return f"bool({typed(scope, source, depth)})"
    return f"{name_of(scalar)}({typed(scope, source, depth)})"


def bitcast(scope: Scope, scalar: Type, depth: int) -> str | None:
    """The bits of a NaN differ between machines, so a float that may be one is replaced first."""
    same = [t for t in scope.palette if t.size == scalar.size and t is not Type.BOOL and t is not scalar]
    if not same:
        return None
    source = pick(scope.chooser, same)
    if not source.is_float:
        return f"rk.bitcast({name_of(scalar)}, {typed(scope, source, depth)})"
    names = scope.readable(source)
    if not names or scalar.is_float:
        return None
    name = pick(scope.chooser, names)
    return f"rk.bitcast({name_of(scalar)}, {mark(source, '0.5')} if math.isnan({name}) else {name})"


def select(scope: Scope, scalar: Type, depth: int) -> str | None:
    if len(scope.handled) > 1 and scope.chance(40):
        return select_by_class(scope, scalar, depth)
    condition = typed(scope, Type.BOOL, depth)
    left, right = pair(scope, scalar, depth)
    return f"({left} if {condition} else {right})"


def select_by_class(scope: Scope, scalar: Type, depth: int) -> str:
    """Each side may use the message as what it is there."""
    classes = scope.handled
    scope.handled = classes[:1]
    left = typed(scope, scalar, depth)
    scope.handled = classes[1:]
    right = typed(scope, scalar, depth)
    scope.handled = classes
    return f"({left} if isinstance(msg, {classes[0].name}) else {right})"


def two_floats(scope: Scope, scalar: Type, depth: int) -> str | None:
    left, right = pair(scope, scalar, depth)
    if scope.chance(50):
        return f"math.fmod({left}, {right})"
    names = scope.readable(scalar)
    if not names:
        return None
    name = pick(scope.chooser, names)
    return f"math.copysign({left}, {mark(scalar, '1.0')} if math.isnan({name}) else {name})"


# -- bool -------------------------------------------------------------------------------------------------------------


def compare(scope: Scope, _: Type, depth: int) -> str | None:
    scalar = pick(scope.chooser, scope.palette)
    operators = ["==", "!="] if scalar is Type.BOOL else ["<", "<=", ">", ">=", "==", "!="]
    left, right = pair(scope, scalar, depth)
    text = f"{left} {pick(scope.chooser, operators)} {right}"
    if scalar is not Type.BOOL and scope.chance(12):
        text += f" {pick(scope.chooser, operators)} {typed(scope, scalar, depth)}"
    return f"({text})"


def logic(scope: Scope, _: Type, depth: int) -> str | None:
    left, right = typed(scope, Type.BOOL, depth), typed(scope, Type.BOOL, depth)
    return pick(
        scope.chooser,
        [f"({left} and {right})", f"({left} or {right})", f"(not {left})", f"({left} {'^&|'[len(left) % 3]} {right})"],
    )


def float_test(scope: Scope, _: Type, depth: int) -> str | None:
    floats = [t for t in scope.palette if t.is_float]
    if not floats:
        return None
    inner = typed(scope, pick(scope.chooser, floats), depth)
    return f"math.{pick(scope.chooser, ['isnan', 'isinf', 'isfinite'])}({inner})"


# -- calls ------------------------------------------------------------------------------------------------------------


def arguments(scope: Scope, device: Device, depth: int) -> str | None:
    """Text of fitting arguments."""
    texts = []
    for _, shape, element, count in device.parameters:
        if isinstance(element, Type) and shape == "one":
            texts.append(operand(scope, element, depth))
            continue
        found = [
            (root, path)
            for root, path in scope.paths()
            if (path.shape, path.element, path.count) == (shape, element, count)
            and (root.writable or not device.acts)
            and not any(isinstance(part, Hole) and part.is_vec for part in path.parts)
        ]
        if not found:
            return None
        root, path = pick(scope.chooser, found)
        texts.append(place(scope, root, path, inside=True))
    return ", ".join(texts)


def device_call(scope: Scope, scalar: Type, depth: int) -> str | None:
    fitting = [d for d in scope.devices if d.result is scalar and scope.turns * d.cost <= MOST_CALLS]
    if not fitting:
        return None
    device = pick(scope.chooser, fitting)
    texts = arguments(scope, device, depth)
    if texts is None:
        return None
    scope.spent += scope.turns * device.cost
    scope.acts = scope.acts or device.acts
    return f"{device.name}({texts})"


MOST_CALLS = 64


def atomic(scope: Scope, scalar: Type, depth: int) -> str | None:
    if scalar not in ATOMIC or scope.is_device:
        return None
    found = [(r, p) for r, p in scope.paths() if r.atomic and p.shape == "one" and p.element is scalar]
    if not found:
        return None
    scope.acts = True
    root, path = pick(scope.chooser, found)
    where = place(scope, root, path)
    op = pick(scope.chooser, ["add", "sub", "min", "max", "and", "or", "xor", "exchange", "cas"])
    expected = f"{operand(scope, scalar, depth)}, " if op == "cas" else ""
    return f"ctx.atomic_{op}({where}, {expected}{operand(scope, scalar, depth)})"


def query(scope: Scope, scalar: Type, depth: int) -> str | None:
    """What has a fixed type: U32, U64 or BOOL."""
    texts: list[str] = []
    if scalar is Type.U32:
        texts = [f"len({place(scope, r, p, True)})" for r, p in vecs(scope)][:4]
        if not scope.is_device:
            texts += [f"ctx.{name}()" for name in (*TEN_QUERIES, "kernel_id", "instance_id")]
            if scope.handled:
                texts += ["msg.header.payload_size", "msg.header.type_id"]
    elif scalar is Type.U8 and scope.handled:
        texts = ["msg.header.priority", "msg.header.flags", "msg.header.hops"]
    elif scalar is Type.U64 and not scope.is_device:
        texts = [
            "ctx.now().time",
            "ctx.tick().time",
            "ctx.pending()",
            "ctx.free_slots('host')",
            "ctx.free_slots('peer')",
        ]
        texts = texts if scope.options.services else []
        if scope.handled and (not texts or scope.chance(40)):
            names = ("message_id", "correlation_id", "source", "dest", "hlc", "timestamp.time", "deadline")
            texts += [f"msg.header.{name}" for name in names]
        texts += [f"{name}.time" for name in scope.stamps]
    elif scalar is Type.BOOL and not scope.is_device and scope.options.services:
        texts = ["ctx.is_terminating()", "(ctx.now() < ctx.tick())", "(ctx.tick() >= ctx.now())"]
        texts += [f"({name} {sign} ctx.now())" for name in scope.stamps for sign in ("<", ">=")]
        if scope.handled:
            texts.append("(msg.header.timestamp < ctx.tick())")
    return pick(scope.chooser, texts) if texts else None


def vecs(scope: Scope) -> list[tuple[Root, Path]]:
    """Every Vec that can be named."""
    return [
        (r, p)
        for r, p in scope.paths()
        if p.shape == "vec" and not any(isinstance(x, Hole) and x.is_vec for x in p.parts)
    ]


def warp(scope: Scope, scalar: Type, depth: int) -> str | None:
    if not scope.options.warp or scope.is_device or scope.turns > 1:
        return None
    if scalar is Type.BOOL:
        return f"ctx.{pick(scope.chooser, ['all', 'any'])}({typed(scope, Type.BOOL, depth)})"
    if scalar is Type.U64 and scope.chance(50):
        return f"ctx.ballot({typed(scope, Type.BOOL, depth)})"
    if scalar.size < 4:
        return None
    value = typed(scope, scalar, depth)
    if scope.chance(50):
        return f'ctx.warp_reduce({value}, "{pick(scope.chooser, ["add", "min", "max"])}")'
    name, lane = pick(scope.chooser, [("shuffle", 0), ("shuffle_up", 1), ("shuffle_down", 1), ("shuffle_xor", 0)])
    return f"ctx.{name}({value}, {lane})"


_SHARED: list[tuple[int, Maker]] = [(8, select), (10, device_call), (4, warp)]
_NUMBERS: list[tuple[int, Maker]] = [(30, arithmetic), (12, cast), (6, unary), (8, extreme), (7, bitcast)]
MAKERS: dict[str, list[tuple[int, Maker]]] = {
    "int": [*_NUMBERS, (10, division), (8, shift), (3, power), (9, atomic), *_SHARED],
    "uint": [*_NUMBERS, (10, division), (8, shift), (3, power), (6, bits), (9, atomic), (10, query), *_SHARED],
    "float": [*_NUMBERS, (6, two_floats), *_SHARED],
    "bool": [(50, compare), (20, logic), (6, float_test), (8, cast), (6, query), *_SHARED],
}
__all__ = [
    "SCALARS",
    "Struct",
    "arguments",
    "index",
    "leaf",
    "mark",
    "operand",
    "pair",
    "place",
    "plain",
    "typed",
    "vecs",
]
