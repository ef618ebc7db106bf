"""Handlers that cannot be compiled: exactly these errors, at these places, with these hints."""

from __future__ import annotations

import linecache
import sys
import traceback
from typing import Any

import pytest
from rejected import common
from rejected_cases import TOPICS, Case, cases, diagnostics

import pyringkernel as rk
from pyringkernel.compiler.frontend import translate

CASES = [case for topic in TOPICS for case in cases(topic)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.topic}-{case.name}")
def test_a_handler_is_refused_with_the_written_errors(case: Case) -> None:
    found = diagnostics(case.function)
    assert case.expected, "mark the line with `# error`"
    assert found == case.expected


def test_there_are_cases_for_every_topic() -> None:
    assert {case.topic for case in CASES} == set(TOPICS)
    assert len(CASES) >= 150


NO_HANDLERS = {
    "def h(ctx, msg): pass": "h: annotate the parameter 'msg' with a message class",
    "def h(ctx, msg: rk.u32): pass": "h: the parameter 'msg' is annotated rk.u32, need a class made by @rk.message",
    "def h(ctx, state: Ping, msg: Ping): pass": "h: the parameter 'state' is annotated",
    "def h(ctx, state, msg: Ping): pass": "h: annotate the parameter 'state' with a class made by @rk.state",
    "def h(ctx): pass": r"h\(ctx\): need \(ctx, message\) or \(ctx, state, message\)",
    "def h(ctx, state: Tally, msg: Ping, more: Ping): pass": r"need \(ctx, message\) or \(ctx, state, message\)",
    "def h(ctx, msg: Ping) -> rk.u32: pass": "h: the return value is annotated rk.u32, need a class made by @rk.message",
    "def h(ctx, msg: Missing): pass": "h: its annotations name what cannot be found",
}


def made(text: str) -> Any:
    file = f"<made {abs(hash(text))}>"
    text = "from __future__ import annotations\n" + text
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    names: dict[str, Any] = {"rk": rk, "Ping": common.Ping, "Tally": common.Tally}
    exec(compile(text, file, "exec"), names)
    return names["h"]


@pytest.mark.parametrize("text", NO_HANDLERS)
def test_what_is_no_handler_is_a_signature_error(text: str) -> None:
    with pytest.raises(rk.HandlerSignatureError, match=NO_HANDLERS[text]):
        translate(made(text))


def test_too_little_of_the_stack_is_an_error_of_ours() -> None:
    text = "def h(ctx, msg: Ping):\n    if msg.x == 0:\n        pass\n"
    function = made(text + "".join(f"    elif msg.x == {i}:\n        pass\n" for i in range(90)))
    translate(function)

    def below(frames: int) -> None:
        if frames:
            below(frames - 1)
        else:
            translate(function)

    used, frame = 0, sys._getframe()
    while frame.f_back is not None:
        used, frame = used + 1, frame.f_back
    with pytest.raises(rk.TranslationError, match="this is nested too deeply"):
        below(sys.getrecursionlimit() - used - 200)


def test_the_decorator_raises_the_errors_alone() -> None:
    function = made("def h(ctx, msg: Ping):\n    x = [i for i in range(3)]\n    y = msg.z\n")
    with pytest.raises(rk.TranslationError) as caught:
        rk.kernel(function)
    assert [d.message for d in caught.value.diagnostics] == [
        "a comprehension cannot be compiled",
        "Ping has no field 'z'",
    ]
    assert caught.value.__cause__ is None
    assert "During handling" not in "".join(traceback.format_exception(caught.value))
