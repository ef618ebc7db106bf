"""Statements of generated functions, as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyringkernel.compiler.ir import Type

from . import loops, values
from .chooser import pick, weighted
from .classes import Field, Hole, Path, Struct, name_of
from .expressions import MOST_CALLS, TRANSCENDENTAL, arguments, index, mark, operand, place, typed, vecs
from .scope import MOST_TURNS, Root, Scope, holes

Lines = list[str]
Maker = Callable[[Scope], "Lines | None"]
DEPTH = 3
WHY = ', "why"'


def indent(lines: Lines) -> Lines:
    """One level deeper."""
    return [f"    {line}" for line in lines]


def body(scope: Scope, most: int) -> tuple[Lines, bool]:
    """At least one statement, and whether it ends by leaving (return, break, continue)."""
    lines: Lines = []
    for _ in range(scope.chooser.integer(1, max(1, most))):
        if scope.budget <= 0:
            break
        made = statement(scope)
        lines += made
        scope.budget -= len(made)
        if scope.chance(3 if scope.loops else 2):
            made = leave(scope)
            return lines + made, True
    return lines or ["pass"], False


def leave(scope: Scope) -> Lines:
    """Out of the loop, or of the function."""
    if scope.loops and scope.chance(75):
        return [pick(scope.chooser, ["break", "continue"])]
    return finish(scope)


def finish(scope: Scope) -> Lines:
    """A return."""
    if scope.is_device:
        return ["return"] if scope.result is None else [f"return {operand(scope, scope.result, 2)}"]
    if scope.replies and scope.turns <= 8:
        text = answer(scope, scope.replies)
        if text is not None:
            return [f"return {text}"]
    return [pick(scope.chooser, ["return", "return None"] if scope.replies else ["return"])]


def statement(scope: Scope) -> Lines:
    """One statement, with what is in it."""
    for _ in range(8):
        lines = weighted(scope.chooser, MAKERS)(scope)
        if lines is not None:
            return lines
    return assign_new(scope) or ["pass"]


# -- assignments ------------------------------------------------------------------------------------------------------


def assign_new(scope: Scope) -> Lines | None:
    scalar = pick(scope.chooser, scope.palette)
    name = scope.name("v")
    if scope.chance(15) and scalar is not Type.BOOL:
        literal = values.literal(scope.chooser, Type.I32 if scope.chance(60) else Type.F32)
        is_float = any(mark in literal for mark in (".", "e", "n")) and not literal.startswith("0x")
        is_float = is_float or literal.startswith(("math", "-math"))
        scope.declare(name, Type.F32 if is_float else Type.I32)
        return [f"{name} = {mark(scope.locals[name], literal)}"]
    if scope.chance(35):
        text = operand(scope, scalar, DEPTH)
        scope.declare(name, scalar)
        return [f"{name}: {name_of(scalar)} = {text}"]
    text = typed(scope, scalar, DEPTH)
    scope.declare(name, scalar)
    return [f"{name} = {text}"]


def targets(scope: Scope) -> list[tuple[str, Type]]:
    """Locals that may be assigned to."""
    return [(name, kind) for name, kind in scope.locals.items() if name not in scope.fixed]


def stamp(scope: Scope) -> Lines | None:
    if scope.is_device or not scope.options.services:
        return None
    name = scope.name("t")
    scope.stamps.append(name)
    return [f"{name} = {pick(scope.chooser, ['ctx.now()', 'ctx.tick()', 'msg.header.timestamp'])}"]


def assign_old(scope: Scope) -> Lines | None:
    found = targets(scope)
    if not found:
        return None
    name, scalar = pick(scope.chooser, found)
    text = operand(scope, scalar, DEPTH)
    scope.assigned.add(name)
    scope.small.pop(name, None)
    return [f"{name} = {text}"]


def writable(scope: Scope) -> list[tuple[Root, Path]]:
    """Everything in memory that may be written."""
    return [(root, path) for root, path in scope.paths() if root.writable and holes(path) <= 2]


def store(scope: Scope) -> Lines | None:
    found = [(r, p) for r, p in writable(scope) if p.shape == "one" and isinstance(p.element, Type)]
    if not found:
        return None
    root, path = pick(scope.chooser, found)
    assert isinstance(path.element, Type)
    scope.acts = True
    target = place(scope, root, path)
    if scope.chance(45):
        return [f"{target} {augmented(scope, path.element)}"]
    return [f"{target} = {operand(scope, path.element, DEPTH)}"]


def augment(scope: Scope) -> Lines | None:
    found = [(name, kind) for name, kind in targets(scope) if name in scope.assigned]
    if not found:
        return None
    name, scalar = pick(scope.chooser, found)
    text = augmented(scope, scalar)
    scope.small.pop(name, None)
    return [f"{name} {text}"]


def augmented(scope: Scope, scalar: Type) -> str:
    """Operator and right side."""
    if scalar is Type.BOOL:
        return f"{pick(scope.chooser, ['^=', '&=', '|='])} {typed(scope, scalar, 2)}"
    if scalar.is_float:
        return f"{pick(scope.chooser, ['+=', '-=', '*=', '/='])} {operand(scope, scalar, 2)}"
    op = pick(scope.chooser, ["+=", "-=", "*=", "//=", "%=", "^=", "&=", "|=", "<<=", ">>="])
    if op in ("<<=", ">>="):
        return f"{op} {scope.chooser.integer(0, scalar.bits - 1)}"
    return f"{op} {operand(scope, scalar, 2)}"


def assign_tuple(scope: Scope) -> Lines | None:
    found = [(name, kind) for name, kind in targets(scope) if name in scope.assigned]
    stores = [(r, p) for r, p in writable(scope) if p.shape == "one" and isinstance(p.element, Type) and holes(p) <= 1]
    places = [(place(scope, r, p), p.element) for r, p in stores]
    both = [*found, *places]
    if len(both) < 2:
        return None
    first = pick(scope.chooser, both)
    same = [one for one in both if one[1] is first[1] and one[0] != first[0]]
    if same and scope.chance(60):
        second = pick(scope.chooser, same)
        texts = [second[0], first[0]]
    else:
        second = pick(scope.chooser, both)
        texts = [operand(scope, kind, 2) for kind in (first[1], second[1]) if isinstance(kind, Type)]
    for name, _ in (first, second):
        scope.small.pop(name, None)
    scope.acts = True
    return [f"{first[0]}, {second[0]} = {', '.join(texts)}"]


def chained(scope: Scope) -> Lines | None:
    found = targets(scope)
    if not found:
        return None
    name, scalar = pick(scope.chooser, found)
    new = scope.name("v")
    text = typed(scope, scalar, 2)
    scope.declare(new, scalar)
    scope.declare(name, scalar)
    scope.small.pop(name, None)
    return [f"{new} = {name} = {text}"]


# -- aggregates -------------------------------------------------------------------------------------------------------


def copy(scope: Scope) -> Lines | None:
    """Assigns a struct, an array, a Vec or bytes."""
    found = [(r, p) for r, p in writable(scope) if not (p.shape == "one" and isinstance(p.element, Type)) and p.parts]
    if not found:
        return None
    root, path = pick(scope.chooser, found)
    value = aggregate(scope, path)
    if value is None:
        return None
    scope.acts = True
    return [f"{place(scope, root, path)} = {value}"]


def aggregate(scope: Scope, path: Path) -> str | None:
    """A value for a field of this shape."""
    if path.shape == "bytes" and scope.chance(40):
        return repr(bytes(97 + scope.chooser.integer(0, 9) for _ in range(scope.chooser.integer(0, path.count))))
    if path.shape in ("array", "vec") and isinstance(path.element, Type) and scope.chance(35):
        count = path.count if path.shape == "array" else scope.chooser.integer(1, path.count)
        return f"[{', '.join(operand(scope, path.element, 1) for _ in range(count))}]"
    if path.shape == "one" and isinstance(path.element, Struct) and scope.chance(25):
        return constructor(scope, path.element)
    found = [(r, p) for r, p in scope.paths() if can_assign(path, p) and (p.parts or not r.is_object)]
    if not found:
        return None
    return place(scope, *pick(scope.chooser, found), inside=not scope.chance(20))


def can_assign(target: Path, source: Path) -> bool:
    """Whether the language takes the one for the other."""
    if target.element != source.element:
        return False
    if target.shape == "vec":
        return source.shape in ("vec", "array") and source.count <= target.count
    return (target.shape, target.count) == (source.shape, source.count)


def constructor(scope: Scope, cls: Struct) -> str | None:
    """A call of a message class with what it needs, and more."""
    texts, positional = [], scope.chance(30)
    for field in cls.fields:
        if field.default is not None and scope.chance(50):
            positional = False
            continue
        if field.shape == "one" and isinstance(field.element, Type):
            value: str | None = operand(scope, field.element, 2)
        else:
            value = aggregate(scope, Path((), field.shape, field.element, field.count))
        if value is None and field.default is not None:
            positional = False
            continue
        if value is None:
            return None
        texts.append(value if positional else f"{field.name}={value}")
    return f"{cls.name}({', '.join(texts)})"


def new_object(scope: Scope) -> Lines | None:
    cls = pick(scope.chooser, [*scope.structs, *scope.messages])
    text = constructor(scope, cls)
    if text is None:
        return None
    name = scope.name("o")
    scope.roots.append(Root(name, "one", cls, is_object=True))
    return [f"{name} = {text}"]


def zeros(scope: Scope) -> Lines | None:
    scalar, count = pick(scope.chooser, scope.palette), scope.chooser.integer(1, 8)
    name = scope.name("z")
    scope.roots.append(Root(name, "array", scalar, count))
    return [f"{name} = rk.zeros({name_of(scalar)}, {count})"]


def alias(scope: Scope) -> Lines | None:
    found = [
        (root, path)
        for root, path in scope.paths()
        if not (path.shape == "one" and isinstance(path.element, Type))
        and not any(isinstance(part, Hole) and part.is_vec for part in path.parts)
        and (path.parts or root.text[0] in "mpa" or root.text == "state")  # what is made here has one name
    ]
    if not found:
        return None
    root, path = pick(scope.chooser, found)
    name = scope.name("p")
    text = place(scope, root, path, inside=not scope.chance(15))
    scope.roots.append(Root(name, path.shape, path.element, path.count, root.writable, root.atomic))
    return [f"{name} = {text}"]


def vec_change(scope: Scope) -> Lines | None:
    names = {root.text for root, _ in writable(scope)}
    found = [(r, p) for r, p in vecs(scope) if r.text in names]
    if not found:
        return None
    root, path = pick(scope.chooser, found)
    target = place(scope, root, path, inside=True)
    scope.acts = True
    if scope.chance(15):
        return [f"{target}.clear()"]
    if isinstance(path.element, Type):
        return [f"{target}.append({operand(scope, path.element, 2)})"]
    value = aggregate(scope, Path((), "one", path.element, 1))
    return None if value is None else [f"{target}.append({value})"]


# -- control ----------------------------------------------------------------------------------------------------------


def branch(scope: Scope) -> Lines | None:
    ends: list[set[str]] = []
    known = False

    def test() -> str:
        nonlocal known
        text = typed(scope, Type.BOOL, DEPTH)
        known = known or may_be_known(text)
        return text

    def add() -> None:
        before = dict(scope.locals)
        with scope.block() as gained:
            made, leaves = body(scope, 3)
        if known:
            scope.locals = before  # those of a branch that is never taken are no locals
        lines.extend(indent(made))
        if not leaves:
            ends.append(gained & scope.locals.keys())

    lines = [f"if {test()}:"]
    add()
    for _ in range(weighted(scope.chooser, [(70, 0), (22, 1), (8, 2)])):
        lines.append(f"elif {test()}:")
        add()
    if scope.chance(50):
        lines.append("else:")
        add()
        if ends:
            scope.assigned |= set.intersection(*ends)
        else:
            lines.append("")  # nothing gets here, but it is legal to go on
    return [line for line in lines if line]


def may_be_known(text: str) -> bool:
    """Whether a condition may be a constant."""
    return any(part in text for part in ("True", "False", "rk."))


def match(scope: Scope) -> Lines | None:
    before = dict(scope.locals)
    lines = match_of(scope)
    if may_be_known(lines[0]):
        scope.locals = before
    return lines


def match_of(scope: Scope) -> Lines:
    """The statement."""
    scalar = pick(scope.chooser, [t for t in scope.palette if not t.is_float])
    subject = typed(scope, scalar, 2)
    if scalar is Type.BOOL:
        lines = [f"match {subject}:"]
        for text in pick(scope.chooser, [["True", "False"], ["True", "_"], ["False"]]):
            with scope.block():
                lines += indent([f"case {text}:", *indent(body(scope, 2)[0])])
        return lines
    low, high = values.bounds(scalar)
    spread = scope.chance(70)
    lines = [f"match {subject} {'%' if scope.chance(80) else '&'} 4:" if spread else f"match {subject}:"]
    choices = list(range(4)) if spread else sorted({values.integer(scope.chooser, scalar) for _ in range(5)})
    choices = [one for one in choices if low <= one <= high]
    for _ in range(scope.chooser.integer(1, 3)):
        texts = [str(choices.pop(0)) for _ in range(min(len(choices), scope.chooser.integer(1, 2)))]
        if not texts:
            break
        guard = f" if {typed(scope, Type.BOOL, 1)}" if scope.chance(20) else ""
        before = dict(scope.locals)
        with scope.block():
            lines += indent([f"case {' | '.join(texts)}{guard}:", *indent(body(scope, 2)[0])])
        if may_be_known(guard):
            scope.locals = before
    if scope.constants and scope.chance(40):
        with scope.block():
            lines += indent(["case Kind.OPEN | Kind.SHUT:", *indent(body(scope, 2)[0])])
    if scope.chance(50):
        with scope.block():
            lines += indent(["case _:", *indent(body(scope, 2)[0])])
    return lines


@contextmanager
def narrowed(scope: Scope, classes: tuple[Struct, ...]) -> Iterator[None]:
    """Where `msg` is one of these."""
    before = dict(scope.locals)
    with scope.block():
        scope.handled = classes
        yield
    scope.locals = before  # for the other classes those are other locals


def dispatch(scope: Scope) -> Lines | None:
    """By class: isinstance() or match."""
    if len(scope.handled) < 2:
        return None
    first, *others = scope.handled
    rest = tuple(others)
    if scope.chance(40):
        lines = ["match msg:"]
        for cls in scope.handled:
            with narrowed(scope, (cls,)):
                lines += indent([f"case {cls.name}():", *indent(body(scope, 4)[0])])
        return lines
    lines = [f"if isinstance(msg, {first.name}):"]
    with narrowed(scope, (first,)):
        lines += indent(body(scope, 4)[0])
    if len(rest) == 1:
        lines.append("else:")
    else:
        names = ", ".join(cls.name for cls in rest)
        lines.append(
            pick(
                scope.chooser,
                [f"elif isinstance(msg, ({names})):", f"elif isinstance(msg, {names.replace(', ', ' | ')}):"],
            )
        )
    with narrowed(scope, rest):
        lines += indent(body(scope, 4)[0])
    return lines


def approximate(scope: Scope) -> Lines | None:
    """Sends transcendental functions of values that suit them. What differs by ulps goes nowhere else."""
    floats = [t for t in scope.palette if t.is_float]
    if not scope.options.transcendental or scope.is_device or scope.turns > 4 or not floats:
        return None
    fields, texts = [], []
    for n in range(4):
        scalar = pick(scope.chooser, floats)
        inner = f"{typed(scope, scalar, 2)}{pick(scope.chooser, ['', ' / 8', ' * 0.01'])}"
        if scope.chance(25):
            text = f"math.{pick(scope.chooser, ['atan2', 'pow', 'hypot'])}({inner}, {operand(scope, scalar, 1)})"
        elif scope.chance(10):
            text = f"({inner}) ** {operand(scope, scalar, 1)}"
        else:
            text = f"math.{pick(scope.chooser, TRANSCENDENTAL)}({inner})"
        fields.append(Field(f"f{n}", "one", scalar))
        texts.append(f"f{n}={text}")
    scope.seen.append(Struct(scope.name("Near"), tuple(fields)))
    return [f'ctx.send("host", {scope.seen[-1].name}({", ".join(texts)}))']


# -- ctx --------------------------------------------------------------------------------------------------------------


def answer(scope: Scope, classes: tuple[Struct, ...] | list[Struct]) -> str | None:
    """A message to send: an object, the message in hand, or a constructor."""
    objects = [root.text for root in scope.roots if root.is_object and root.element in classes]
    if len(scope.handled) == 1 and scope.handled[0] in classes:
        objects.append("msg")
    if objects and scope.chance(60):
        return pick(scope.chooser, objects)
    return constructor(scope, pick(scope.chooser, classes))


def send(scope: Scope) -> Lines | None:
    if scope.is_device or scope.turns > 4:
        return None
    text = answer(scope, scope.messages)
    if text is None:
        return None
    kind = weighted(scope.chooser, [(50, "send"), (25, "reply"), (25, "publish")])
    if kind == "reply":
        return [f"ctx.reply({text})"]
    if kind == "publish":
        retain = pick(scope.chooser, ["", ", retain=True"])
        call = f'ctx.publish("{pick(scope.chooser, ["news", "news/late"])}", {text}{retain})'
        if scope.chance(50):
            return [call]
        name = scope.name("v")
        scope.declare(name, Type.U32)
        return [f"{name} = {call}"]
    more = ""
    if scope.chance(20):
        more += f", instance={operand(scope, Type.U32, 1)}"
    if scope.chance(20):
        more += f", priority={pick(scope.chooser, ['rk.Priority.HIGH', '0', '3', typed(scope, Type.U32, 1)])}"
    if scope.chance(15):
        more += f", deadline={deadline(scope)}"
    return [f'ctx.send("{pick(scope.chooser, ["host", "peer", scope.kernel])}", {text}{more})']


def deadline(scope: Scope) -> str:
    """Seconds. As a constant one that f32 holds too, which is all that Metal has."""
    if Type.F64 in scope.palette and scope.chance(60):
        return typed(scope, Type.F64, 1)
    return mark(Type.F64, pick(scope.chooser, ["0.5", "2", "0", "(-1.5)", "3.25"]))


def act(scope: Scope) -> Lines | None:
    """A call for its effect."""
    if scope.is_device:
        return None
    kind = weighted(scope.chooser, [(35, "error"), (25, "assert"), (15, "sync"), (15, "clock"), (10, "stop")])
    if kind == "error":
        code = f"{typed(scope, Type.U32, 2)} & 0xFFFF" if scope.chance(70) else str(scope.chooser.integer(0, 99))
        return [f"ctx.report_error({mark(Type.U32, code)})"]
    if kind == "assert":
        condition = f"{typed(scope, Type.BOOL, 1)} or {typed(scope, Type.BOOL, 2)}"
        return [f"assert {condition}{pick(scope.chooser, ['', WHY])}"]
    if kind == "sync":
        if scope.turns > 1 or scope.loops:
            return None
        return [
            pick(
                scope.chooser,
                [
                    "ctx.sync_threads()",
                    "ctx.sync_warp()",
                    'ctx.fence("block")',
                    'ctx.fence(scope="system")',
                    'ctx.fence("grid")',
                ],
            )
        ]
    if not scope.options.services:
        return None
    if kind == "clock":
        return [
            f"ctx.update_clock({pick(scope.chooser, ['ctx.now()', 'ctx.tick()', typed(scope, Type.U64, 1), *scope.stamps])})"
        ]
    return ["ctx.request_termination()"]


def call(scope: Scope) -> Lines | None:
    fitting = [d for d in scope.devices if scope.turns * d.cost <= MOST_CALLS]
    if not fitting:
        return None
    device = pick(scope.chooser, fitting)
    texts = arguments(scope, device, 2)
    if texts is None:
        return None
    scope.spent += scope.turns * device.cost
    scope.acts = scope.acts or device.acts
    return [f"{device.name}({texts})"]


def for_loop(scope: Scope) -> Lines | None:
    return loops.for_loop(scope, body, indent) if scope.turns < MOST_TURNS else None


def while_loop(scope: Scope) -> Lines | None:
    return loops.while_loop(scope, body, indent) if scope.turns < MOST_TURNS else None


MAKERS: list[tuple[int, Maker]] = [
    (18, assign_new),
    (15, approximate),
    (10, assign_old),
    (3, stamp),
    (30, store),
    (9, augment),
    (4, assign_tuple),
    (2, chained),
    (10, copy),
    (5, new_object),
    (3, zeros),
    (4, alias),
    (6, vec_change),
    (15, branch),
    (5, match),
    (8, dispatch),
    (9, for_loop),
    (4, while_loop),
    (8, send),
    (6, act),
    (4, call),
]
__all__ = ["body", "finish", "indent", "index", "statement"]
