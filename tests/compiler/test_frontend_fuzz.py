"""Whatever text a handler has, the front end gives a valid program or a TranslationError that points into the text.

Handlers are changed at random - expressions swapped, statements dropped, doubled and moved, operators, names and
numbers replaced - or made of random pieces of Python. conftest's watchdog ends a translation that does not end.
"""

from __future__ import annotations

import ast
import copy
import inspect
import itertools
import linecache
import math
import textwrap
import warnings
from typing import Any

import accepted_handlers
import pytest
import rejected.common
from hypothesis import given
from hypothesis import strategies as st
from rejected_cases import TOPICS, cases

import pyringkernel as rk
from pyringkernel.compiler import ir
from pyringkernel.compiler.frontend import translate
from pyringkernel.compiler.verify import verify
from pyringkernel.errors import TranslationError

NAMES = {
    **vars(rejected.common),
    **{name: value for name, value in vars(accepted_handlers).items() if not name.startswith("__")},
    "rk": rk,
    "math": math,
    "BIG": 10**1200,
    "GIANT": 10**5000,
    "NAN": math.nan,
}
FUTURE = "from __future__ import annotations\n"
_number = itertools.count()


def _points_into_the_text(error: TranslationError, file: str, lines: list[str]) -> None:
    assert str(error)
    assert error.diagnostics
    for one in error.diagnostics:
        assert one.message.strip()
        if one.file == file:
            assert one.source == lines[one.line - 1]
            assert 1 <= one.column <= len(one.source) + 1
            assert (one.line, one.column) < (one.end_line, one.end_column)


def translates_or_says_why(text: str) -> ir.Program | None:
    """Checks what is promised of every text. None: refused, or no Python."""
    file = f"<fuzz {next(_number)}>"
    text = FUTURE + text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(text, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names: dict[str, Any] = dict(NAMES)
    exec(code, names)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    try:
        program = translate(names["h"])
    except TranslationError as error:
        _points_into_the_text(error, file, text.splitlines())
        return None
    finally:
        del linecache.cache[file]
    verify(program)
    return program


def _tree(function: Any) -> ast.FunctionDef:
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(node, ast.FunctionDef)
    node.name = "h"
    node.decorator_list = []
    node.args.defaults = []
    return node


SEEDS = [_tree(one) for one in accepted_handlers.HANDLERS]
REFUSED = [
    _tree(case.function)
    for topic in TOPICS
    for case in cases(topic)
    if inspect.isfunction(case.function) and not inspect.iscoroutinefunction(case.function)
]


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_the_seeds_are_accepted(seed: int) -> None:
    assert translates_or_says_why(ast.unparse(SEEDS[seed])) is not None


_POOL = [n for tree in SEEDS + REFUSED for b in tree.body for n in ast.walk(b) if isinstance(n, ast.expr)]
_EXPRESSIONS = sorted({ast.unparse(n) for n in _POOL if not isinstance(n, (ast.Starred, ast.Slice))})
_STATEMENTS = sorted({ast.unparse(b) for tree in SEEDS + REFUSED for b in tree.body})
_OPERATORS = ast.operator.__subclasses__()
_COMPARISONS = ast.cmpop.__subclasses__()
_NUMBERS = st.sampled_from(
    [0, 1, -1, 7, 8, 64, 255, 2**31, 2**32, 2**63, 2**64, 0.0, 0.5, 1e300, math.inf, True, "a", b"a", None]
)


class _Change(ast.NodeTransformer):
    """Changes the node of a number, counted in the order of visiting."""

    def __init__(self, at: int, draw: Any) -> None:
        self.left = at
        self.draw = draw

    def visit(self, node: ast.AST) -> Any:
        self.left -= 1
        if self.left == 0:
            return self._changed(node)
        return self.generic_visit(node)

    def _changed(self, node: ast.AST) -> Any:
        draw = self.draw
        if isinstance(node, ast.operator):
            return draw(st.sampled_from(_OPERATORS))()
        if isinstance(node, ast.cmpop):
            return draw(st.sampled_from(_COMPARISONS))()
        if isinstance(node, ast.Constant) and draw(st.booleans()):
            return ast.Constant(draw(_NUMBERS))
        if isinstance(node, ast.Name) and draw(st.booleans()):
            return ast.Name(draw(st.sampled_from(["msg", "state", "ctx", "x", "i", "rk", "Ping", "total"])), node.ctx)
        if isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return ast.parse(draw(st.sampled_from(_EXPRESSIONS)), mode="eval").body
        if isinstance(node, ast.stmt):
            other = ast.parse(draw(st.sampled_from(_STATEMENTS))).body[0]
            return draw(st.sampled_from([[node, node], [ast.Pass()], [other], [other, node], [node, other]]))
        return node


@given(st.data())
def test_changed_handlers_translate_or_are_refused(data: st.DataObject) -> None:
    tree = copy.deepcopy(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        body = ast.Module(tree.body, [])
        at = data.draw(st.integers(2, max(2, sum(1 for _ in ast.walk(body)))))
        tree.body = copy.deepcopy(_Change(at, data.draw).visit(body).body) or [ast.Pass()]
    translates_or_says_why(ast.unparse(ast.fix_missing_locations(ast.Module([tree], []))))


# -- random Python

_LEAVES = [
    "0", "1", "-1", "2", "9", "255", "1 << 40", "2**64", "0.5", "1e999", "2j", "True", "None", "...", "'a'", "b'a'", "f'{x}'",
    "msg", "msg.x", "msg.u", "msg.i64", "msg.f", "msg.d", "msg.flag", "msg.values", "msg.items", "msg.pos", "msg.points",
    "msg.tag", "msg.header.hlc", "state", "state.count", "state.hist", "state.log", "ctx", "ctx.now()", "ctx.thread_id()",
    "x", "y", "z", "i", "LIMIT", "Color", "Color.RED", "Ping", "Ping(x=1)", "Pong(1)", "Point(1.0, 2.0)", "rk", "rk.u8",
    "math.pi", "math", "len", "clamp", "total", "print", "missing", "BIG", "GIANT", "NAN", "rk.zeros(rk.f32, 4)", "ctx.shared(rk.u32, 4)",
]  # fmt: skip
_SHAPES = [
    "({} + {})", "({} - {})", "({} * {})", "({} / {})", "({} // {})", "({} % {})", "({} ** {})", "({} << {})", "({} >> {})",
    "({} & {})", "({} | {})", "({} ^ {})", "({} @ {})", "(-{})", "(~{})", "(not {})", "({} and {})", "({} or {})",
    "({} if {} else {})", "({} < {})", "({} == {})", "({} <= {} < {})", "({} is {})", "({} in {})", "{}[{}]", "{}.x",
    "{}[{}:{}]", "abs({})", "min({}, {})", "max({}, {}, {})", "len({})", "bool({})", "rk.u32({})", "rk.f32({})", "rk.i64({})",
    "math.sqrt({})", "math.fmod({}, {})", "rk.popcount({})", "rk.bitcast({}, {})", "clamp({}, {}, {})", "total({})",
    "Ping(x={})", "Pong({}, {})", "isinstance({}, {})", "isinstance(msg, ({}, {}))", "[{}, {}]", "({}, {})", "{{{}: {}}}",
    "[{} for i in {}]", "(lambda x: {})", "(x := {})", "(*{}, {})", "({})({})", "ctx.send('host', {})", "ctx.ballot({})",
    "ctx.publish({}, {})", "ctx.atomic_add({}, {})", "ctx.atomic_cas({}, {}, {})", "ctx.shuffle({}, {})", "{}.append({})",
    "ctx.warp_reduce({}, 'add')", "ctx.update_clock({})", "ctx.report_error({})", "rk.zeros({}, {})", "(yield {})", "range({})",
]  # fmt: skip
_LINES = [
    "x = {}", "y = {}", "z = {}", "x: rk.u32 = {}", "y: rk.f32 = {}", "z: {} = {}", "x += {}", "y *= {}", "x = y = {}",
    "x, y = {}, {}", "x, y = {}", "{} = {}", "{} += {}", "msg.x = {}", "msg.values = {}", "msg.values[{}] = {}",
    "state.count = {}", "state.hist[{}] += {}", "msg.points[{}] = {}", "msg.pos = {}", "assert {}", "assert {}, 'why'", "return",
    "return {}", "pass", "break", "continue", "{}", "del x", "raise {}", "import os", "global x", "ctx.reply({})",
]  # fmt: skip
_BLOCKS = [
    "if {}:", "while {}:", "for i in range({}):", "for i in range({}, {}, {}):", "for x in {}:", "with {} as x:",
    "match {}:\n case {}:", "match msg:\n case Ping():", "match {}:\n case 1 | 2 if {}:", "try:\n x = 1\nfinally:", "def f(x):",
    "for i in range({}):\n  break\nelse:", "class C:",
]  # fmt: skip


def _filled(draw: Any, shape: str, depth: int) -> str:
    return shape.format(*(_expression(draw, depth) for _ in range(shape.count("{}"))))


def _expression(draw: Any, depth: int) -> str:
    if depth <= 0 or draw(st.integers(0, 2)) == 0:
        return draw(st.sampled_from(_LEAVES))
    return _filled(draw, draw(st.sampled_from(_SHAPES)), depth - 1)


def _block(draw: Any, depth: int) -> list[str]:
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        if depth and draw(st.integers(0, 3)) == 0:
            head = _filled(draw, draw(st.sampled_from(_BLOCKS)), 1).split("\n")
            last = head[-1]
            indent = " " * (len(last) - len(last.lstrip()) + 1)
            lines += head + [indent + line for line in _block(draw, depth - 1)]
            if draw(st.booleans()) and last.startswith("if"):
                lines += ["else:", *(" " + line for line in _block(draw, depth - 1))]
        else:
            lines.append(_filled(draw, draw(st.sampled_from(_LINES)), 2))
    return lines


@st.composite
def functions(draw: Any) -> str:
    head = draw(st.sampled_from(["ctx, msg: Data", "ctx, state: Tally, msg: Data", "ctx, msg: Ping | Pong"]))
    result = draw(st.sampled_from(["", " -> Ping", " -> Data | None"]))
    return f"def h({head}){result}:\n" + "\n".join("    " + line for line in _block(draw, 2)) + "\n"


@given(functions())
def test_random_functions_translate_or_are_refused(text: str) -> None:
    translates_or_says_why(text)
