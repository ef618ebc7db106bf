"""The allow-list as a whole: what is allowed passes, and neither size nor depth can harm the compiler."""

from __future__ import annotations

import linecache
import math  # noqa: F401 (a name of the handlers)
from typing import Any

import pytest

import pyringkernel as rk
from pyringkernel.compiler.diagnostics import Diagnostic, Diagnostics
from pyringkernel.compiler.source import FunctionSource
from pyringkernel.compiler.syntax import MOST_DEPTH, MOST_NODES, check_syntax
from pyringkernel.errors import TranslationError

ALLOWED = '''
def h(ctx, state, msg):
    """What it does."""
    a, b = msg.x, state.y[1]
    a, b = b, a
    c = d = 1
    x: rk.u32 = -1
    state.y[a + 1].z += 2
    msg.values = [1, 2, -3]
    msg.tag = b"abc"
    if a < b <= c and not d or x == 1:
        return None
    elif isinstance(msg, Ping) or isinstance(msg, (Ping, Pong)) or isinstance(msg, Ping | Pong):
        return Ping(1, x=2, values=[1, 2], tag=b"x")
    else:
        pass
    while True:
        if a: break
        continue
    for i in range(1, len(msg.values), 2):
        ctx.send("host", Ping(x=1), instance=None, priority=rk.Priority.HIGH)
    match msg:
        case Ping():
            pass
        case Pong() | Point():
            pass
    match a:
        case 1 | 2 if b > 3:
            pass
        case -5 | Color.RED | True:
            pass
        case _:
            pass
    assert a > 0, "a is positive"
    assert a
    y = (a if b else c) ** 2 // 3 % ~4 << 1 >> 2 & 3 | 4 ^ 5
    z = math.sqrt(y / 2.0)
    return
'''


def source(text: str, **names: Any) -> FunctionSource:
    file = f"<syntax {abs(hash(text))}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec", dont_inherit=True), names)
    return FunctionSource(names["h"])


def found(text: str, **names: Any) -> list[Diagnostic]:
    read = source(text, **names)
    diagnostics = Diagnostics(read.text)
    check_syntax(read, diagnostics)
    return list(diagnostics)


def test_all_of_the_language_is_allowed() -> None:
    assert found(ALLOWED) == []


def test_our_decorators_are_allowed_under_any_name() -> None:
    from functools import partial

    made = partial(rk.kernel, compiled=False)
    names: dict[str, Any] = {"kernel": rk.kernel, "made": made, "configured": rk.kernel(compiled=False)}
    for decorator in ("made", "configured", "kernel(compiled=False)", "rk.device", "rk.kernel(id='a', compiled=False)"):
        text = f"@{decorator}\ndef h(ctx, msg: M):\n    pass\n"
        assert found(text, rk=rk, M=_Note, **names) == [], decorator


@rk.message
class _Note:
    x: rk.u32


def test_a_decorator_of_a_local_name_is_taken_as_ours() -> None:
    mark = rk.kernel(compiled=False)

    @mark
    def handler(ctx: Any, msg: _Note) -> None:
        pass

    read = FunctionSource(handler)
    diagnostics = Diagnostics(read.text)
    check_syntax(read, diagnostics)
    assert list(diagnostics) == []


def test_a_user_function_with_the_name_of_a_builtin_is_not_refused_as_one() -> None:
    assert found("def print(x): pass\ndef h(ctx, msg):\n    print(1)\n") == []


DEEP = {
    "parentheses": lambda n: "    x = " + "-(-" * n + "1" + ")" * n,
    "sums": lambda n: "    x = " + "+".join("1" for _ in range(n)),
    "attributes": lambda n: "    x = msg" + ".x" * n,
    "elif": lambda n: "    if msg.x: pass\n" + "    elif msg.x: pass\n" * n,
    "calls": lambda n: "    x = " + "abs(" * n + "1" + ")" * n,
    "blocks": lambda n: (
        "\n".join("    " + " " * i + "if msg.x:" for i in range(n)) + "\n" + " " * (n + 5) + "x = -----1"
    ),
}
PARSED_DEPTH = {"blocks": 95, "calls": 120, "parentheses": 90}  # Python's own parser and compiler allow no more


@pytest.mark.parametrize("kind", DEEP)
def test_deep_nesting_is_refused_with_a_place(kind: str) -> None:
    text = "def h(ctx, msg):\n" + DEEP[kind](PARSED_DEPTH.get(kind, 900)) + "\n"
    with pytest.raises(TranslationError, match=f"this is nested more than {MOST_DEPTH} deep") as caught:
        found(text)
    assert caught.value.diagnostics[0].line >= 2


@pytest.mark.parametrize("kind", DEEP)
def test_reasonable_nesting_is_allowed(kind: str) -> None:
    assert found("def h(ctx, msg):\n" + DEEP[kind](15) + "\n") == []


def test_a_long_function_is_refused() -> None:
    text = "def h(ctx, msg):\n" + "    x = 1 + 2\n" * (MOST_NODES // 5)
    with pytest.raises(TranslationError, match=f"the function has more than {MOST_NODES} nodes"):
        found(text)


def test_a_long_function_below_the_limit_is_allowed() -> None:
    assert found("def h(ctx, msg):\n" + "    x = 1 + 2\n" * 1000) == []


def test_nesting_that_the_parser_refuses_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python can run it can parse, but for the stack that is left where it is asked."""

    def too_deep(*_: object) -> None:
        raise RecursionError

    read = source("def h(ctx, msg):\n    pass\n")
    monkeypatch.setattr("pyringkernel.compiler.source.ast.parse", too_deep)
    with pytest.raises(TranslationError, match="it is nested too deeply; split it into device functions"):
        FunctionSource(read.function)
