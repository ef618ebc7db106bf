"""The debug engine: a program as Python code that has the lines of the user's file, so that breakpoints, steps and
coverage are in the handler's own text, and its locals have the names that they have there.

The code is built as a tree, never as text. Operations are those of ops.py and effects those of machine.py: the results
are the interpreter's. What the code calls for them has names that begin with `_rk_`.
"""

from __future__ import annotations

import ast
import contextlib
import types
from typing import TYPE_CHECKING, Any

from . import ir
from .machine import Machine
from .pyexpressions import Names
from .pystatements import function_tree
from .services import Failed, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ir import Function, Program
    from .services import Services


class PythonProgram:
    """A program (that `verify` accepts) as Python functions. Arguments and `run` as Interpreter's."""

    def __init__(self, program: Program, *, fuel: int | None = None, instance: int = 0, kernel: int = 0) -> None:
        self.program = program
        self.fuel = fuel
        self.instance = instance
        self.kernel = kernel
        names = Names()
        functions: dict[str, ir.Function] = {}
        for function in program.functions:
            functions[function.name] = function
            names.bind_function(function.name, _compiled(function, functions, names))
        self._entries = [_compiled(entry.function, functions, names) for entry in program.entries]

    def run(self, entry: int, state: bytearray, slot: bytes | bytearray | memoryview, services: Services) -> Report:
        """Handles one message: 64 bytes of header and the payload, with the entry of that index."""
        who = (self.fuel, self.instance, self.kernel)
        machine = Machine(self.program, self.program.entries[entry], state, slot, services, *who)
        with contextlib.suppress(Failed):
            self._entries[entry](machine)
        return machine.report


def _compiled(function: Function, functions: dict[str, Function], names: Names) -> Callable[..., Any]:
    """The function, in a module that consists of it."""
    file = function.file or f"<{function.name}>"
    module = ast.Module(body=[function_tree(function, functions, names)], type_ignores=[])
    code = compile(module, file, "exec", dont_inherit=True)
    body = next(constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return types.FunctionType(body, names.bound)
