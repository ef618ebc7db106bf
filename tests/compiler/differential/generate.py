"""Random programs of the handler language, as source text, and what to run them on."""

from __future__ import annotations

from dataclasses import dataclass

from harness import Script

from pyringkernel.compiler import ir
from pyringkernel.compiler.ir import ErrorCode, Type

from . import statements, values
from .chooser import Chooser, RandomChooser, chance, pick, weighted
from .classes import Field, Struct, annotation, fill, make_struct
from .expressions import plain
from .scope import PLAIN, SCALARS, Device, Options, Root, Scope

HEAD = "import enum\nimport math\n\nimport pyringkernel as rk"


@dataclass(frozen=True)
class Case:
    """A program and its inputs: (class name, payload) in order, the state before, and the runtime's answers."""

    source: str
    marked: str  # with the types that literals become, see expressions.py
    handler: str
    inputs: tuple[tuple[str, bytes], ...]
    state: bytes | None
    script: Script
    classes: tuple[Struct, ...] = ()
    seed: int | None = None
    transcendental: bool = False
    program: ir.Program | None = None  # of ir_programs.py: there is no source


def generate(seed: int, options: Options | None = None) -> Case:
    """The program of a seed: always the same."""
    chooser = RandomChooser(seed)
    case = make(chooser, options or Options(transcendental=seed % 8 == 7, lines=60 if seed % 8 == 3 else 22))
    return Case(**{**case.__dict__, "seed": seed})


def make(chooser: Chooser, options: Options) -> Case:
    """A program that the chooser chooses."""
    palette = make_palette(chooser)
    structs, messages = make_classes(chooser, palette)
    constants, constant_lines = make_constants(chooser)
    devices, blocks = make_devices(chooser, options, palette, structs, messages, constants)
    scope = Scope(chooser, options, palette, structs, messages, devices, constants)
    scope.budget = chooser.integer(4, options.lines)
    handler, state = make_handler(scope)
    classes = [*structs, *messages, *([state] if state else []), *scope.seen]
    text = [HEAD, constant_lines, *(cls.source() for cls in classes), *blocks, handler]
    handled = scope.handled
    inputs = tuple(
        (cls.name, fill(chooser, cls)) for cls in (pick(chooser, handled) for _ in range(chooser.integer(1, 4)))
    )
    marked = "\n\n\n".join(part for part in text if part) + "\n"
    return Case(
        plain(marked),
        marked,
        scope.kernel,
        inputs,
        fill(chooser, state) if state else None,
        make_script(chooser),
        tuple(classes),
        transcendental=options.transcendental,
    )


def make_palette(chooser: Chooser) -> list[Type]:
    """The scalar types that a program uses: few, so that values meet."""
    kind = weighted(chooser, [(35, "plain"), (15, "wide"), (35, "some"), (15, "all")])
    if kind == "plain":
        return list(PLAIN)
    if kind == "wide":
        return [Type.BOOL, Type.I32, Type.U32, Type.F32, Type.I64, Type.U64]
    if kind == "all":
        return list(SCALARS)
    chosen = {Type.BOOL, pick(chooser, [Type.I32, Type.U32, Type.U8, Type.I64, Type.U64, Type.I16])}
    chosen |= {pick(chooser, SCALARS) for _ in range(4)}
    return [scalar for scalar in SCALARS if scalar in chosen]


def make_classes(chooser: Chooser, palette: list[Type]) -> tuple[list[Struct], list[Struct]]:
    """Nested classes and messages; sometimes the messages have a first field in common."""
    structs: list[Struct] = []
    for n in range(weighted(chooser, [(50, 0), (35, 1), (15, 2)])):
        structs.append(make_struct(chooser, f"P{n}", palette, structs, 3))
    shared = (Field("common", "one", pick(chooser, palette)),) if chance(chooser, 40) else ()
    count = weighted(chooser, [(45, 1), (35, 2), (20, 3)])
    return structs, [make_struct(chooser, f"M{n}", palette, structs, 5, shared) for n in range(count)]


def make_constants(chooser: Chooser) -> tuple[list[tuple[str, Type | None]], str]:
    """Names of the module and of an enum."""
    if not chance(chooser, 35):
        return [], ""
    small, real = chooser.integer(0, 9), values.literal(chooser, Type.F16, plain=True)
    lines = [
        f"LIMIT = {small}",
        f"SCALE = {float(real)!r}",
        "",
        "",
        "class Kind(enum.IntEnum):",
        "    OPEN = 1",
        "    SHUT = 2",
    ]
    return [("LIMIT", None), ("SCALE", Type.F32), ("Kind.OPEN", None), ("Kind.SHUT", None)], "\n".join(lines)


def make_devices(
    chooser: Chooser,
    options: Options,
    palette: list[Type],
    structs: list[Struct],
    messages: list[Struct],
    constants: list[tuple[str, Type | None]],
) -> tuple[list[Device], list[str]]:
    """Device functions; later ones may call earlier ones."""
    devices: list[Device] = []
    texts: list[str] = []
    for n in range(weighted(chooser, [(55, 0), (30, 1), (15, 2)])):
        scope = Scope(chooser, options, palette, structs, messages, list(devices), constants, is_device=True)
        scope.turns = 4  # it may be called in a loop
        scope.budget = chooser.integer(1, 7)
        scope.result = pick(chooser, palette) if chance(chooser, 85) else None
        device, text = make_device(scope, f"device_{n}")
        devices.append(device)
        texts.append(text)
    return devices, texts


def make_device(scope: Scope, name: str) -> tuple[Device, str]:
    """One of them."""
    parameters: list[tuple[str, str, Type | Struct, int]] = []
    for n in range(scope.chooser.integer(0, 3)):
        parameters.append((f"a{n}", *parameter(scope)))
    for given, shape, element, count in parameters:
        if shape == "one" and isinstance(element, Type):
            scope.declare(given, element)
        else:
            scope.roots.append(Root(given, shape, element, count))
    lines, leaves = statements.body(scope, 6)
    if not leaves and scope.result is not None:
        lines += statements.finish(scope)
    text = ", ".join(f"{given}: {annotation(shape, element, count)}" for given, shape, element, count in parameters)
    result = "None" if scope.result is None else annotation("one", scope.result, 1)
    head = ["@rk.device", f"def {name}({text}) -> {result}:"]
    cost = 1 + scope.spent // 4 + scope.names // 4
    return Device(name, tuple(parameters), scope.result, cost, scope.acts), "\n".join(
        [*head, *statements.indent(lines)]
    )


def parameter(scope: Scope) -> tuple[str, Type | Struct, int]:
    """A scalar, or something that a message has."""
    if scope.chance(60):
        return "one", pick(scope.chooser, scope.palette), 1
    classes = [*scope.structs, *scope.messages]
    found = [(f.shape, f.element, f.count) for cls in classes for f in cls.fields if f.shape != "one"]
    found += [("one", cls, 1) for cls in classes]
    return pick(scope.chooser, found)


def make_handler(scope: Scope) -> tuple[str, Struct | None]:
    """The handler's text, and its state's class."""
    chooser = scope.chooser
    handled = tuple(scope.messages[: chooser.integer(1, len(scope.messages))])
    scope.handled = handled
    state = None
    if chance(chooser, 80):
        plain = make_struct(chooser, "S", scope.palette, scope.structs, 6)
        state = Struct("S", plain.fields, "rk.state")
        scope.roots.append(Root("state", "one", state, atomic=True))
    if chance(chooser, 60):
        scope.fixed.add("msg")
    if chance(chooser, 60):
        scope.replies = tuple(scope.messages[chooser.integer(0, len(scope.messages) - 1) :])
    lines = []
    if chance(chooser, 15):
        scalar, count = pick(chooser, scope.palette), chooser.integer(1, 8)
        lines.append(f"sh = ctx.shared({annotation('one', scalar, 1)}, {count})")
        scope.roots.append(Root("sh", "array", scalar, count, atomic=True))
    made, leaves = statements.body(scope, 9)
    lines += made
    if not leaves:
        lines += show_locals(scope)
    if not leaves and scope.replies:
        lines += statements.finish(scope)
    parameters = "ctx, state: S, " if state else "ctx, "
    result = f" -> {' | '.join(cls.name for cls in scope.replies)} | None" if scope.replies else ""
    head = f"def {scope.kernel}({parameters}msg: {' | '.join(cls.name for cls in handled)}){result}:"
    scope.handled = handled
    return "\n".join(["@rk.kernel", head, *statements.indent(lines)]), state


def show_locals(scope: Scope) -> list[str]:
    """Sends what the locals are at the end, so that nothing is computed for nobody."""
    names = [name for name in scope.locals if name in scope.assigned]
    if not names or not chance(scope.chooser, 75):
        return []
    names = names[:6]
    scope.seen.append(Struct("Seen", tuple(Field(f"of_{name}", "one", scope.locals[name]) for name in names)))
    return [f'ctx.send("host", Seen({", ".join(f"of_{name}={name}" for name in names)}))']


def make_script(chooser: Chooser) -> Script:
    """Answers, mostly plain ones."""
    if not chance(chooser, 30):
        return Script()
    codes = (ErrorCode.SEND_FULL, ErrorCode.SEND_CLOSED, ErrorCode.SEND_TOO_LARGE)
    return Script(
        refuse={n: int(pick(chooser, codes)) for n in range(8) if chance(chooser, 30)},
        refuse_clock=frozenset(n for n in range(4) if chance(chooser, 50)),
        clock=pick(chooser, [0, 5, 2**63 - 8, 2**64 - 4000]),
        subscribers=chooser.integer(0, 3),
        terminating=chance(chooser, 50),
    )
