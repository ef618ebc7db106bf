"""Loops of generated functions: they end, and soon."""

from __future__ import annotations

from collections.abc import Callable

from pyringkernel.compiler.ir import Type

from . import values
from .chooser import pick, weighted
from .classes import name_of
from .expressions import mark, place, typed, vecs
from .scope import MOST_TURNS, Scope

Lines = list[str]
Body = Callable[[Scope, int], "tuple[Lines, bool]"]
Indent = Callable[[Lines], Lines]


def for_loop(scope: Scope, body: Body, indent: Indent) -> Lines:
    """for name in range(...)"""
    text, scalar, turns, below = header(scope)
    old = [n for n, kind in scope.locals.items() if kind is scalar and n not in scope.fixed]
    name = pick(scope.chooser, old) if old and scope.chance(15) else scope.name("i")
    scope.locals[name] = scalar
    scope.loops += 1
    with scope.block(turns):
        scope.assigned.add(name)
        if below is not None:
            scope.small[name] = below
        else:
            scope.small.pop(name, None)
        made, _ = body(scope, 3)
    scope.loops -= 1
    scope.small.pop(name, None)
    return [f"for {name} in range({text}):", *indent(made)]


def header(scope: Scope) -> tuple[str, Type, int, int | None]:
    """Arguments of range(), the variable's type, the most turns, and what the variable stays below, from 0 on."""
    most = min(8, MOST_TURNS // scope.turns)
    kind = weighted(scope.chooser, [(45, "count"), (20, "constants"), (15, "length"), (15, "dynamic"), (5, "edge")])
    if kind == "length":
        found = [(r, p) for r, p in vecs(scope) if p.count <= most]
        if found:
            root, path = pick(scope.chooser, found)
            return f"len({place(scope, root, path, True)})", Type.U32, path.count, path.count
    if kind == "constants":
        start, step = scope.chooser.integer(-5, 5), pick(scope.chooser, [1, 2, 3, -1, -2])
        stop = start + step * scope.chooser.integer(-1, most)
        inside = start >= 0 and stop >= 0
        texts = (mark(Type.I32, str(one)) for one in (start, stop, step))
        return ", ".join(texts), Type.I32, most, max(start, stop) + 1 if inside else None
    if kind == "edge":
        return edge(scope)
    integers = [t for t in scope.palette if t.is_integer]
    scalar = pick(scope.chooser, integers)
    wide = {Type.I8: Type.I32, Type.I16: Type.I32, Type.U8: Type.U32, Type.U16: Type.U32}.get(scalar, scalar)
    if kind == "dynamic":
        last = f"({typed(scope, scalar, 2)} & {pick(scope.chooser, [3, 7]) if most >= 8 else 1})"
        if not scalar.is_signed:
            return f"{typed(scope, scalar, 1)} & 3, {last}, {typed(scope, scalar, 1)} & 3", wide, most, None
        first = f"({typed(scope, scalar, 1)} & 7) - {scope.chooser.integer(0, 4)}"
        return f"{first}, {last}, ({typed(scope, scalar, 1)} & 3) - {scope.chooser.integer(0, 2)}", wide, 12, None
    count = scope.chooser.integer(1, most)
    if scope.chance(50):
        return mark(Type.I32, str(count)), Type.I32, count, count
    if scope.chance(40) and scalar is wide:
        return f"{name_of(scalar)}({count})", scalar, count, count
    return f"{typed(scope, scalar, 2)} % {count + 1}", wide, count, count


def edge(scope: Scope) -> tuple[str, Type, int, int | None]:
    """From one end of a type to the other."""
    scalar = pick(scope.chooser, [t for t in scope.palette if t.is_integer and t.size >= 4] or [Type.I32])
    low, high = values.bounds(scalar)
    step = (high - low) // 5 + 1
    name = name_of(scalar)
    if scope.chance(50):
        return f"{name}({high - 5}), {name}({high}), {mark(scalar, str(scope.chooser.integer(1, 3)))}", scalar, 5, None
    if not scalar.is_signed or scope.chance(50):
        return f"{name}({low}), {name}({high}), {name}({min(step, high)})", scalar, 6, None
    return f"{name}({high}), {name}({low}), {name}({max(-step, low)})", scalar, 6, None


def while_loop(scope: Scope, body: Body, indent: Indent) -> Lines:
    """A loop with a counter that nothing else changes."""
    scalar = pick(scope.chooser, [t for t in scope.palette if t.is_integer])
    name, most = scope.name("n"), min(6, MOST_TURNS // scope.turns)
    turns = scope.chooser.integer(1, max(1, most))
    scope.declare(name, scalar)
    scope.fixed.add(name)
    scope.loops += 1
    outer = dict(scope.locals)
    typed_zero = mark(scalar, "0") if scalar is Type.I32 else f"{name_of(scalar)}(0)"
    lines = [f"{name} = {typed_zero}"]
    if scope.chance(25):
        with scope.block(turns):
            made, _ = body(scope, 3)
        lines += ["while True:", *indent([f"if {name} >= {turns}:", *indent(["break"]), f"{name} += 1", *made])]
    else:
        more = f" and {typed(scope, Type.BOOL, 2)}" if scope.chance(50) else ""
        with scope.block(turns):
            made, _ = body(scope, 3)
        if any(part in more for part in ("True", "False", "rk.")):
            scope.locals = outer  # it may be known that the body never runs
        lines += [f"while {name} < {turns}{more}:", *indent([f"{name} += 1", *made])]
    scope.loops -= 1
    return lines
