"""A function's text, tree and names, read without running anything."""

from __future__ import annotations

import ast
import enum
import functools
import linecache
import math
from pathlib import Path
from typing import Any

import pytest

import pyringkernel as rk
from pyringkernel.compiler.source import MISSING, FunctionSource, Kind, attribute, classify
from pyringkernel.errors import TranslationError


@rk.message
class Note:
    x: rk.u32


@rk.state
class Sum:
    x: rk.u64


class Level(enum.IntEnum):
    LOW = 1


class Shade(enum.Enum):
    DARK = 7
    NAMED = "dark"
    PAIR = (1, 2)


class Word(str, enum.Enum):
    YES = "yes"


def made(text: str, name: str = "h", file: str | None = None, **names: Any) -> Any:
    """The function of a text that only linecache knows."""
    file = file or f"<made {abs(hash(text))}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), names)
    return names[name]


def test_nodes_have_the_lines_and_columns_of_the_file() -> None:
    source = FunctionSource(made("import math\n\n\ndef h(ctx, msg):\n    x = 1\n    return x\n"))
    assert [(n.lineno, n.col_offset) for n in source.node.body] == [(5, 4), (6, 4)]
    assert source.text.line(5) == "    x = 1"


def test_nested_functions_keep_their_columns() -> None:
    def inner(ctx: Any, msg: Note) -> None:
        """A text
        that is less indented."""
        if msg.x > 1:
            ctx.sync_threads()

    source = FunctionSource(inner)
    written = Path(__file__).read_text().splitlines()
    call = source.node.body[1].body[0]  # type: ignore[attr-defined]
    assert written[call.lineno - 1][call.col_offset :] == "ctx.sync_threads()"


def test_decorators_belong_to_the_text() -> None:
    source = FunctionSource(made("def d(f): return f\n\n@d\n@d\ndef h(ctx, msg):\n    pass\n"))
    assert source.text.first_line == 3
    assert source.node.lineno == 5
    assert [d.lineno for d in source.node.decorator_list] == [3, 4]


def test_indentation_by_tabs_is_read() -> None:
    source = FunctionSource(made("if True:\n\tdef h(ctx, msg):\n\t\tx = 1\n"))
    assert (source.node.body[0].lineno, source.node.body[0].col_offset) == (3, 2)


def test_parameters_have_evaluated_annotations() -> None:
    def inner(ctx: rk.Context, msg: Note | None) -> Note | None: ...

    source = FunctionSource(inner)
    assert [p.name for p in source.parameters] == ["ctx", "msg"]
    assert source.parameters[0].annotation is rk.Context
    assert source.returns == Note | None
    assert isinstance(source.parameters[1].node, ast.arg)


def test_a_parameter_without_annotation_has_none() -> None:
    assert FunctionSource(made("def h(ctx, msg): pass\n")).parameters[1].annotation is None


# -- names


def test_names_are_found_in_closure_module_and_builtins() -> None:
    limit = 3

    def inner() -> Any:
        return limit, Note, len, unknown  # type: ignore[name-defined] # noqa: F821

    source = FunctionSource(inner)
    assert source.resolve("limit") == 3
    assert source.resolve("Note") is Note
    assert source.resolve("len") is len
    assert source.resolve("unknown") is MISSING


def test_a_closure_variable_that_is_not_assigned_yet_is_missing() -> None:
    def inner() -> Any:
        return later

    assert FunctionSource(inner).resolve("later") is MISSING
    later = 1


def test_a_closure_hides_the_module_and_the_module_hides_builtins() -> None:
    Note = 5  # noqa: N806

    def inner() -> Any:
        return Note

    assert FunctionSource(inner).resolve("Note") == 5
    assert FunctionSource(made("len = 4\ndef h(): pass\n")).resolve("len") == 4


def path(source: FunctionSource, text: str) -> object:
    return source.resolve_path(ast.parse(text, mode="eval").body)


def test_dotted_names_are_resolved_without_running_code() -> None:
    def inner() -> Any: ...

    source = FunctionSource(inner)
    assert path(source, "math.pi") == math.pi
    assert path(source, "rk.Priority.HIGH") is rk.Priority.HIGH
    assert path(source, "Level.LOW") is Level.LOW
    assert path(source, "Note.type_id") == Note.type_id
    for text in ("math.nothing", "Level.HIGH", "nothing.x", "f().x", "(1).real", "Level.LOW.value"):
        assert path(source, text) is MISSING, text


def test_attributes_never_run_getattr_or_properties() -> None:
    class Trap:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError("was run")

        @property
        def value(self) -> Any:
            raise AssertionError("was run")

    assert attribute(Trap(), "anything") is MISSING
    assert attribute(Trap(), "value") is MISSING
    assert classify(Trap()).kind is Kind.OTHER


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (math, Kind.MODULE),
        (rk, Kind.MODULE),
        (Level, Kind.ENUM),
        (Note, Kind.MESSAGE),
        (Sum, Kind.STATE),
        (rk.u32, Kind.SCALAR),
        (rk.boolean, Kind.SCALAR),
        (rk.Array[rk.f32, 8], Kind.SHAPE),
        (len, Kind.FUNCTION),
        (int, Kind.FUNCTION),
        (math.sqrt, Kind.FUNCTION),
        (made, Kind.FUNCTION),
        (rk.Message, Kind.FUNCTION),
        ([1], Kind.OTHER),
        (None, Kind.OTHER),
        (1j, Kind.OTHER),
        (b"x", Kind.OTHER),
        (Shade.PAIR, Kind.OTHER),
    ],
)
def test_values_are_classified(value: object, kind: Kind) -> None:
    assert classify(value).kind is kind


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        (2**80, 2**80),
        (True, True),
        (1.5, 1.5),
        ("a", "a"),
        (Level.LOW, 1),
        (rk.Priority.HIGH, 2),
        (Shade.DARK, 7),
        (Shade.NAMED, "dark"),
        (Word.YES, "yes"),
    ],
)
def test_constants_become_plain(value: object, expected: object) -> None:
    found = classify(value)
    assert found.kind is Kind.CONSTANT
    assert found.value == expected
    assert type(found.value) is type(expected)


def test_numpy_floats_are_constants() -> None:
    import numpy as np

    assert type(classify(np.float64(1.5)).value) is float


def test_subclasses_of_numbers_do_not_run() -> None:
    class Odd(int):
        def __index__(self) -> int:
            raise AssertionError("was run")

        __int__ = __index__

    assert classify(Odd(4)).value == 4


def test_device_functions_and_handlers_are_classified() -> None:
    @rk.device
    def twice(x: rk.u32) -> rk.u32:
        return x * 2

    @rk.kernel(compiled=False)
    def handler(ctx: Any, msg: Note) -> None: ...

    assert classify(twice).kind is Kind.DEVICE
    assert classify(handler).kind is Kind.HANDLER
    assert twice(4) == 8


# -- what is no function


class Holder:
    def method(self, ctx: Any, msg: Note) -> None: ...

    def __call__(self, ctx: Any, msg: Note) -> None: ...


def wrapper(function: Any) -> Any:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return function(*args)

    return inner


@wrapper
def wrapped(ctx: Any, msg: Note) -> None: ...


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda ctx, msg: None, "<lambda> cannot be compiled: it is a lambda; write a function with def"),
        (Holder().method, "method cannot be compiled: it is a method; compile a function of a module"),
        (Holder(), "Holder cannot be compiled: it is a Holder; compile a function made with def"),
        (functools.partial(made, 1), "partial cannot be compiled: it is a partial;"),
        (len, "len cannot be compiled: it is a builtin_function_or_method;"),
        (wrapped, "wrapped cannot be compiled: another decorator wraps it; compile the function itself"),
    ],
)
def test_what_is_no_plain_function_is_refused(function: Any, text: str) -> None:
    with pytest.raises(TranslationError) as caught:
        FunctionSource(function)
    assert str(caught.value).startswith(text)
    assert len(caught.value.diagnostics) == 1


def test_without_source_the_error_says_to_use_a_file() -> None:
    names: dict[str, Any] = {}
    exec(compile("def h(ctx, msg): pass", "<nowhere>", "exec"), names)
    with pytest.raises(TranslationError, match=r"its source is not available \(<nowhere>:1\); put the function into a"):
        FunctionSource(names["h"])


def test_python_c_says_to_use_a_file(run_script: Any) -> None:
    code, out, errors = run_script(
        """
        from pyringkernel.compiler.source import FunctionSource
        names = {}
        exec("def h(ctx, msg): pass", names)
        try:
            FunctionSource(names["h"])
        except rk.TranslationError as error:
            assert "put the function into a file" in str(error), error
        else:
            raise AssertionError("not refused")
        """
    )
    assert (code, out, errors) == (0, "", "")


@pytest.mark.parametrize(
    "other",
    [
        "def other(ctx, msg):\n    pass\n",
        "def h(ctx, message):\n    pass\n",
        "class h:\n    pass\n",
        "# nothing\n",
        "def h(ctx, msg:\n",
    ],
)
def test_a_changed_file_is_noticed(other: str) -> None:
    function = made("def h(ctx, msg):\n    pass\n", file=f"<changed {abs(hash(other))}>")
    file = function.__code__.co_filename
    linecache.cache[file] = (len(other), None, other.splitlines(keepends=True), file)
    with pytest.raises(TranslationError, match="its source does not match what is running|is not available"):
        FunctionSource(function)


def test_reading_the_source_never_imports_numpy_or_the_compiler(run_script: Any) -> None:
    code, out, errors = run_script(
        """
        assert not any(name.startswith("pyringkernel.compiler") for name in sys.modules)
        import pyringkernel.compiler.syntax
        assert "numpy" not in sys.modules
        """
    )
    assert (code, out, errors) == (0, "", "")
