"""Programs as text in the C family: CUDA C++ and the Metal Shading Language.

The text is for reading too: it keeps the names of the user, maps lines to the user's file, and has one function for
each message class, rk_handle_<message>(call, state, header, message, shared).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pyringkernel.compiler import ir
from pyringkernel.compiler.emit.c_dialect import Dialect
from pyringkernel.compiler.emit.c_helpers import Helpers
from pyringkernel.compiler.emit.c_names import Names, commented
from pyringkernel.compiler.emit.emit_c_statements import Statements
from pyringkernel.compiler.ir import Root

_Roots = dict[Root, bool]  # which memories are used, and whether they are written
_GIVEN = (Root.STATE, Root.HEADER, Root.MESSAGE, Root.SHARED)  # what the caller of an entry passes


def _nodes(node: object) -> Iterator[object]:
    """The node and all below it."""
    yield node
    if isinstance(node, tuple):
        for item in node:
            yield from _nodes(item)
    elif dataclasses.is_dataclass(node):
        for field in dataclasses.fields(node):
            yield from _nodes(getattr(node, field.name))


def _roots(body: ir.Body, functions: dict[str, _Roots]) -> _Roots:
    """The memories that the body uses, in its calls too."""
    used: _Roots = {}
    for node in _nodes(body):
        match node:
            case ir.Place():
                used.setdefault(node.root, False)
            case ir.Call():
                for root, written in functions[node.function].items():
                    used[root] = used.get(root, False) or written
            case ir.Store() | ir.Atomic():
                used[node.place.root] = True
            case ir.Copy() | ir.Zero():
                used[node.target.root] = True
    used.pop(Root.BUFFER, None)  # reached by addresses
    return {root: used[root] for root in Root if root in used}


class _Program:
    """Prints one program."""

    def __init__(self, program: ir.Program, dialect: Dialect, lines: bool) -> None:
        self._program = program
        self._dialect = dialect
        self._lines = lines
        self._helpers = Helpers(dialect.call, dialect.long_suffix)
        self._names = Names()
        self._entry_names = [self._names.new(entry.message, "rk_handle_") for entry in program.entries]
        self._roots: dict[str, _Roots] = {}
        self._functions: dict[str, tuple[str, tuple[Root, ...]]] = {}

    def text(self) -> str:
        functions = [self._function(function) for function in self._program.functions]
        entries = [self._entry(*pair) for pair in zip(self._program.entries, self._entry_names, strict=True)]
        back = ['#line 1 "rk_dispatch"'] if self._lines else []
        parts = [
            self._head(),
            *self._helpers.texts.values(),
            *functions,
            *entries,
            "\n".join([*back, self._dispatch()]),
        ]
        return "\n\n".join(parts) + "\n"

    def _head(self) -> str:
        program = self._program
        lines = [f"Handler {commented(program.name)}.", *self._dialect.header]
        sizes = ", ".join(
            f"{name} = {value}u"
            for name, value in (
                ("RK_STATE_SIZE", program.state_size),
                ("RK_FRAME_SIZE", program.frame_size),
                ("RK_SHARED_SIZE", program.shared_size),
                ("RK_BLOCK_SIZE", program.block_size),
            )
        )
        return "\n".join([*(f"// {line}" for line in lines), f"enum : u32 {{ {sizes} }};"])

    def _statements(self, function: ir.Function) -> Statements:
        return Statements(self._program, function, self._dialect, self._helpers, self._functions, self._lines)

    def _function(self, function: ir.Function) -> str:
        roots = _roots(function.body, self._roots)
        self._roots[function.name] = roots
        name = self._names.new(function.name, "fn_")
        statements = self._statements(function)
        memories = [f"{self._dialect.pointer(root, written)} {root.value}" for root, written in roots.items()]
        parameters = ", ".join([f"{self._dialect.call} call", *memories, *statements.parameters()])
        result = "void" if function.result is None else function.result.text
        self._functions[function.name] = (name, tuple(roots))
        head = f"{self._dialect.function_prefix}{result} {name}({parameters}) {{"
        return "\n".join([f"// {commented(function.name)}", head, *statements.body(), "}"])

    def _entry(self, entry: ir.Entry, name: str) -> str:
        roots = _roots(entry.function.body, self._roots)
        memories = [f"{self._dialect.pointer(root, self._writable(root, entry))} {root.value}" for root in _GIVEN]
        parameters = ", ".join([f"{self._dialect.call} call", *memories])
        body = self._statements(entry.function).body()
        if Root.FRAME in roots:
            body.insert(
                0, f"  alignas(16) {self._dialect.spaces[Root.FRAME]}u8 frame[{max(self._program.frame_size, 1)}];"
            )
        comment = f"// {commented(entry.message)}: {entry.size} bytes"
        return "\n".join([comment, f"{self._dialect.entry_prefix}void {name}({parameters}) {{", *body, "}"])

    def _writable(self, root: Root, entry: ir.Entry) -> bool:
        return root in (Root.STATE, Root.SHARED) or (root is Root.MESSAGE and entry.writes_message)

    def _dispatch(self) -> str:
        d = self._dialect
        memories = [f"{d.pointer(root, root is not Root.HEADER)} {root.value}" for root in _GIVEN]
        writing = [f"type_id == 0x{e.type_id:08X}u" for e in self._program.entries if e.writes_message]
        accepted = [f"(type_id == 0x{e.type_id:08X}u && size == {e.size}u)" for e in self._program.entries]
        lines = [
            "// Whether the handler of these messages changes them: then it is given a copy.",
            f"{d.entry_prefix}bool rk_writes_message(u32 type_id) {{ return {' || '.join(writing) or 'false'}; }}",
            "",
            "// Whether there is a handler for messages of this class and size.",
            f"{d.entry_prefix}bool rk_accepts(u32 type_id, u32 size) {{ return {' || '.join(accepted) or 'false'}; }}",
            "",
            "// Handles the message; false for one of a class that this handler does not accept.",
            f"{d.entry_prefix}bool rk_dispatch({', '.join([f'{d.call} call', 'u32 type_id', *memories])}) {{",
            "  switch (type_id) {",
        ]
        arguments = ", ".join(["call", *(root.value for root in _GIVEN)])
        for entry, name in zip(self._program.entries, self._entry_names, strict=True):
            lines.append(f"    case 0x{entry.type_id:08X}u: {name}({arguments}); return true;")
        return "\n".join([*lines, "    default: return false;", "  }", "}"])


def emit_program(program: ir.Program, dialect: Dialect, *, lines: bool, prelude: bool) -> str:
    """The handlers, behind what they stand on; services and a kernel are to follow."""
    text = _Program(program, dialect, lines).text()
    return f"{dialect.prelude()}\n{text}" if prelude else text
