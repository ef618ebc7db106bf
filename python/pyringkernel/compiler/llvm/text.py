"""Writing LLVM's textual form: values, blocks, constants, and the few declarations that a module needs.

The text is built by hand because that is an order of magnitude faster than building it from objects, and the compile
time of a small handler is then LLVM's alone.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from ..ir import Root, Type

if TYPE_CHECKING:
    from ..ir import Const

# f16 travels as its bits: half exists in LLVM, but on a CPU without conversions of its own it means calls of a library
# that is not there. llvm_half.py has the conversions.
TYPES = {
    Type.BOOL: "i1", Type.I8: "i8", Type.I16: "i16", Type.I32: "i32", Type.I64: "i64",
    Type.U8: "i8", Type.U16: "i16", Type.U32: "i32", Type.U64: "i64",
    Type.F16: "i16", Type.F32: "float", Type.F64: "double",
}  # fmt: skip

ROOTS = {
    Root.STATE: "%state", Root.MESSAGE: "%message", Root.HEADER: "%header",
    Root.FRAME: "%frame", Root.SHARED: "%shared",
}  # fmt: skip

# !0 marks loads of what never changes during a call, !1 branches that are almost never taken.
METADATA = '!0 = !{}\n!1 = !{!"branch_weights", i32 1, i32 100000}\n'

# !4: the memories of a handler, !5: the buffers that references lead to.
BUFFER_METADATA = """!2 = distinct !{!2}
!3 = distinct !{!3, !2}
!4 = !{!3}
!5 = !{!6}
!6 = distinct !{!6, !2}
"""


def zero(kind: Type) -> str:
    """The zero of a type."""
    return {"i1": "false", "float": "0.0", "double": "0.0"}.get(TYPES[kind], "0")


def constant(node: Const) -> str:
    """A constant's text."""
    kind, value = node.type, node.value
    if kind is Type.BOOL:
        return "true" if value else "false"
    if not kind.is_float:
        half = 1 << (kind.bits - 1)
        return str((int(value) + half) % (2 * half) - half)
    if kind is Type.F16:
        return str(struct.unpack("<h", struct.pack("<e", value))[0])
    bits: int = struct.unpack("<Q", struct.pack("<d", value))[0]
    if value != value:
        bits = bits & (1 << 63) | 0x7FF8 << 48  # a payload might not fit into a float
    return f"0x{bits:016X}"  # that of a double, for float too


def identifier(index: int, name: str) -> str:
    """A unique and harmless name that is still of use to a reader."""
    return f"_{index}.{re.sub('[^A-Za-z0-9_]', '_', name)[:40]}"


class Module:
    """What functions share: declarations, each once, and helpers that are written into the module when used."""

    def __init__(self, native_half: bool, has_buffers: bool = False) -> None:
        self.native_half = native_half
        self.has_buffers = has_buffers
        self.declarations: dict[str, str] = {}
        self.functions: list[str] = []

    def declare(self, name: str, text: str) -> None:
        """`text` is written once, however often it is asked for."""
        self.declarations.setdefault(name, text)

    def text(self) -> str:
        """The whole module, but for triple and data layout."""
        return "\n".join(
            [*self.declarations.values(), *self.functions, METADATA + (BUFFER_METADATA if self.has_buffers else "")]
        )


class Writer:
    """The blocks of one function. `prologue` becomes its first block."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.prologue: list[str] = []
        self.lines: list[str] = []
        self.open = False  # whether the current block still needs its end
        self._values = 0
        self._labels = 0

    def value(self, operation: str) -> str:
        """A new name for what `operation` gives."""
        self._values += 1
        name = f"%v{self._values}"
        self.lines.append(f"  {name} = {operation}")
        return name

    def effect(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {text}")

    def intrinsic(self, name: str, result: str, *arguments: tuple[str, str]) -> str:
        """A call of one of LLVM's own functions. `arguments`: (type, value)."""
        self.module.declare(name, f"declare {result} @{name}({', '.join(kind for kind, _ in arguments)})")
        call = f"call {result} @{name}({', '.join(f'{kind} {value}' for kind, value in arguments)})"
        if result != "void":
            return self.value(call)
        self.effect(call)
        return ""

    def fixed(self, name: str, text: str) -> str:
        """A value computed once, when the function begins. Equal names mean equal values."""
        line = f"  %{name} = {text}"
        if line not in self.prologue:
            self.prologue.append(line)
        return f"%{name}"

    def variable(self, name: str, kind: str) -> str:
        """Memory for a local variable; LLVM makes a value of it."""
        return self.fixed(name, f"alloca {kind}")

    # -- control flow

    def label(self, hint: str) -> str:
        """A new label, for a block to come."""
        self._labels += 1
        return f"{hint}{self._labels}"

    def begin(self, label: str) -> None:
        """Ends the current block by going on to `label`, and starts that one."""
        if self.open:
            self.jump(label)
        self.lines.append(f"{label}:")
        self.open = True

    def jump(self, label: str) -> None:
        """The end of a block."""
        self.effect(f"br label %{label}")
        self.open = False

    def branch(self, condition: str, then: str, otherwise: str, *, rare: bool = False) -> None:
        """The end of a block. `rare`: `then` is almost never taken."""
        self.effect(f"br i1 {condition}, label %{then}, label %{otherwise}{', !prof !1' if rare else ''}")
        self.open = False

    def end(self, text: str) -> None:
        """The end of a block by a `ret`."""
        self.effect(text)
        self.open = False

    def function(self, head: str) -> str:
        """The text of the whole function."""
        return "\n".join([f"{head} {{", "entry:", *self.prologue, "  br label %begin", *self.lines, "}\n"])
