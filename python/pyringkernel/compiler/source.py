"""A Python function as text, syntax tree and names. Nothing of it is executed.

Names are looked up where Python would find them - closure, module, builtins - and only what cannot change what a
program means by being read is read: variables, members of modules and of enums, never a property or a `__getattr__`.
"""

from __future__ import annotations

import ast
import enum
import functools
import inspect
import tokenize
import types
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

from .. import _core, handlers
from ..errors import TranslationError
from .diagnostics import Diagnostic, SourceText

if TYPE_CHECKING:
    from collections.abc import Callable


class Missing(enum.Enum):
    """The type of MISSING."""

    MISSING = "missing"


MISSING = Missing.MISSING  # what a name stands for that nothing has


class Kind(enum.Enum):
    """What a value from outside of a handler is to the compiler."""

    CONSTANT = "a constant"  # bool, int, float or str; enum members and NumPy's floats as what they are of these
    MODULE = "a module"
    ENUM = "an enum"
    MESSAGE = "a message class"
    STATE = "a state class"
    SCALAR = "a scalar type"  # rk.u32
    SHAPE = "a shape"  # rk.Array[rk.f32, 8]
    DEVICE = "a device function"
    HANDLER = "a handler"
    FUNCTION = "a function"  # also builtins and classes that the compiler may know: compare by identity
    OTHER = "a value"


@dataclass(frozen=True)
class Known:
    """A classified value. `value` of a CONSTANT is exactly of type bool, int, float or str."""

    kind: Kind
    value: Any


def _constant(value: object) -> bool | int | float | str | None:
    """As a plain value of the four types, or None. The base classes' methods: an override is not called."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    return None


def classify(value: object) -> Known:
    """What a value is to the compiler."""
    kind = Kind.OTHER
    if isinstance(value, enum.Enum) and _constant(value) is None:
        value = value._value_
    constant = _constant(value)
    if constant is not None:
        return Known(Kind.CONSTANT, constant)
    if isinstance(value, types.ModuleType):
        kind = Kind.MODULE
    elif isinstance(value, enum.EnumMeta):
        kind = Kind.ENUM
    elif isinstance(value, type) and issubclass(value, _core.Message) and value is not _core.Message:
        kind = Kind.STATE if value.__dict__.get("__rk_state__") else Kind.MESSAGE
    elif isinstance(value, type) and "rk_index" in value.__dict__:
        kind = Kind.SCALAR
    elif hasattr(type(value), "rk_shape"):
        kind = Kind.SHAPE
    elif inspect.isfunction(value) and "__rk_device__" in value.__dict__:
        kind = Kind.DEVICE
    elif inspect.isfunction(value) and "__rk_kernel__" in value.__dict__:
        kind = Kind.HANDLER
    elif isinstance(value, type) or inspect.isroutine(value):
        kind = Kind.FUNCTION
    return Known(kind, value)


def attribute(value: object, name: str) -> object:
    """The member of a module, an enum, or a message class (`type_id` and the like); MISSING when there is none."""
    if isinstance(value, enum.EnumMeta):
        return value.__members__.get(name, MISSING)
    if isinstance(value, types.ModuleType):
        return vars(value).get(name, MISSING)
    if isinstance(value, type) and issubclass(value, _core.Message):
        return value.__dict__.get(name, MISSING)
    return MISSING


@dataclass(frozen=True)
class Parameter:
    """A parameter; `annotation` is evaluated, None when there is none. `node` is for diagnostics."""

    name: str
    annotation: Any
    node: ast.arg


class FunctionSource:
    """A function's text, syntax tree and names. Raises TranslationError when it has none that can be compiled.

    `node` has absolute lines, and columns as in the file. `check_syntax` of syntax.py comes before everything else.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = _plain_function(function)
        self.name: str = self.function.__name__
        self.text = _text_of(self.function)
        self.node = _parse(self.function, self.text)

    @functools.cached_property
    def annotations(self) -> dict[str, Any]:
        """Evaluated annotations by parameter, and "return". Raises HandlerSignatureError when a name is unknown."""
        return handlers._hints(self.function, self.name)

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The positional parameters, which are all that a function of the language may have."""
        args = self.node.args
        return tuple(Parameter(a.arg, self.annotations.get(a.arg), a) for a in [*args.posonlyargs, *args.args])

    @property
    def returns(self) -> Any:
        """The evaluated annotation of the result: None, type(None) or a type."""
        return self.annotations.get("return")

    def resolve(self, name: str) -> object:
        """What the name means outside of the function: closure, then module, then builtins; else MISSING."""
        code = self.function.__code__
        if name in code.co_freevars:
            cell = (self.function.__closure__ or ())[code.co_freevars.index(name)]
            try:
                return cast("object", cell.cell_contents)
            except ValueError:  # assigned later than the function was made
                return MISSING
        names = self.function.__globals__
        if name in names:
            return cast("object", names[name])
        builtins = names.get("__builtins__", {})
        return cast("object", (builtins if isinstance(builtins, dict) else vars(builtins)).get(name, MISSING))

    def resolve_path(self, node: ast.expr) -> object:
        """What a dotted name (`rk.Priority.HIGH`) means outside of the function; MISSING for everything else. Whether
        its first name is a local of the function is for the caller to know."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        value = self.resolve(node.id) if isinstance(node, ast.Name) else MISSING
        for part in reversed(parts):
            value = attribute(value, part)
        return value


def _refuse(name: str, why: str, hint: str, file: str = "", line: int = 0, source: str = "") -> NoReturn:
    """For what has no tree to point into."""
    found = Diagnostic(file, line, 1, line, len(source) + 1, why, hint, source)
    raise TranslationError(f"{name} cannot be compiled: {why}; {hint}", (found,)) from None


def _plain_function(function: Any) -> types.FunctionType:
    name = str(getattr(function, "__name__", type(function).__name__))
    if inspect.ismethod(function):
        _refuse(name, "it is a method", "compile a function of a module, and give it a state class for what it keeps")
    if not isinstance(function, types.FunctionType):
        _refuse(name, f"it is a {type(function).__name__}", "compile a function made with def")
    if "__wrapped__" in function.__dict__:
        _refuse(name, "another decorator wraps it", "compile the function itself; what the wrapper does would be lost")
    if function.__code__.co_name == "<lambda>":
        _refuse(name, "it is a lambda", "write a function with def")
    return function


def _text_of(function: types.FunctionType) -> SourceText:
    file, line = function.__code__.co_filename, function.__code__.co_firstlineno
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError, IndexError, SyntaxError, tokenize.TokenError):
        _refuse(
            function.__name__,
            f"its source is not available ({file}:{line})",
            "put the function into a file and import it; the compiler reads the text of functions",
            file,
            line,
        )
    return SourceText(file, tuple(lines), max(first, 1))


def _parse(function: types.FunctionType, text: SourceText) -> ast.FunctionDef:
    """The function's tree. Indented text is put below an `if`, not dedented: columns stay what they are."""
    indented = text.lines[0][:1].isspace()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python has told them when it compiled the file
            tree = ast.parse("if 1:\n" * indented + "".join(text.lines))
    except (SyntaxError, ValueError):
        tree = ast.Module([], [])
    except (RecursionError, MemoryError):
        _refuse(
            function.__name__,
            "it is nested too deeply",
            "split it into device functions",
            text.file,
            text.first_line,
            text.line(text.first_line),
        )
    body = tree.body[0].body if indented and tree.body and isinstance(tree.body[0], ast.If) else tree.body
    node = body[0] if body else None
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or not _is_of(node, function):
        _refuse(
            function.__name__,
            "its source does not match what is running",
            "the file has changed since it was imported; import it anew",
            text.file,
            text.first_line,
            text.line(text.first_line),
        )
    ast.increment_lineno(node, text.first_line - 1 - indented)
    return cast("ast.FunctionDef", node)  # an async def has the same fields, and check_syntax refuses it


def _is_of(node: ast.FunctionDef | ast.AsyncFunctionDef, function: types.FunctionType) -> bool:
    code, args = function.__code__, node.args
    names = [a.arg for a in [*args.posonlyargs, *args.args, *args.kwonlyargs]]
    return node.name == code.co_name and names == list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
