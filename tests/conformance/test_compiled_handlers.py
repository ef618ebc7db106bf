"""What @rk.kernel makes of a function, and the ways to launch it."""

from __future__ import annotations

import copy
import gc
import importlib.util
import linecache
import pickle
import re
import sys
import threading
import weakref
from typing import Any

import pytest
from actors import Number, Tally, Text, tally

import pyringkernel as rk

W = 60.0
TARGETS = ["ir", "bytecode", "llvm", "cuda", "msl", "wgsl"]
HAS_LLVM = importlib.util.find_spec("llvmlite") is not None


@rk.kernel
def shout(ctx: rk.Context, msg: Number | Text) -> Number | None:
    if isinstance(msg, Number):
        return Number(msg.n + 1)
    return None


@rk.kernel(id="steps", compiled=True)
def in_steps(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    first = msg.n * 3
    second = first + 1
    for _ in range(2):
        second += state.total
    state.total = second
    return Number(second)


# -- the object


def test_it_is_still_the_function(rt: rk.Runtime) -> None:
    assert shout(None, Number(4)) == Number(5)  # type: ignore[arg-type]
    assert shout(ctx=None, msg=Text(b"x")) is None  # type: ignore[arg-type]
    state = Tally(0, 5)
    assert in_steps(None, state, Number(1)) == Number(14)  # type: ignore[arg-type]
    assert state == Tally(0, 14)
    assert (shout.__name__, shout.__module__, shout.__doc__) == ("shout", __name__, None)
    assert (in_steps.id, in_steps.state, in_steps.accepts, in_steps.replies) == ("steps", Tally, (Number,), (Number,))
    assert (shout.state, shout.accepts) == (None, (Number, Text))


def test_its_repr_says_what_it_takes_and_gives() -> None:
    assert repr(shout) == "<CompiledHandler 'shout': (Number | Text) -> Number>"
    assert repr(in_steps) == "<CompiledHandler 'steps': (Tally, Number) -> Number>"

    @rk.kernel
    def quiet(ctx: rk.Context, msg: Number) -> None:
        return None

    assert repr(quiet) == "<CompiledHandler 'quiet': (Number) -> None>"


def test_it_cannot_be_pickled_or_copied() -> None:
    for use in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"compiled handler .*cannot be pickled; import its module"):
            use(shout)


@pytest.mark.parametrize("target", TARGETS)
def test_its_text_for_each_target(target: str) -> None:
    if target == "llvm" and not HAS_LLVM:
        with pytest.raises(rk.UnsupportedError, match="llvmlite"):
            shout.source(target)
        return
    text = shout.source(target)
    assert text == shout.source(target)
    assert text != in_steps.source(target)
    assert len(text.splitlines()) > 5
    words = {
        "bytecode": "REPLY",
        "cuda": "rk_handle_Number",
        "msl": "rk_handle_Number",
        "wgsl": "fn ",
        "llvm": "define",
    }
    assert words.get(target, "shout") in text


def test_a_target_that_does_not_exist_is_refused() -> None:
    with pytest.raises(rk.InvalidArgumentError, match=r"target: found 'fortran', need one of ir, bytecode, llvm, "):
        shout.source("fortran")


def test_a_target_that_lacks_something_says_what() -> None:
    @rk.message
    class Wide:
        x: rk.f64 = 0.0

    @rk.kernel
    def half(ctx: rk.Context, msg: Wide) -> Wide:
        return Wide(msg.x / 2.0)

    assert "double" in half.source("cuda")
    for target in ("msl", "wgsl"):
        with pytest.raises(rk.UnsupportedOnTargetError, match="f64"):
            half.source(target)


# -- launching


def test_one_handler_is_launched_as_often_as_one_likes(rt: rk.Runtime, engine: Any) -> None:
    kernels = [rt.launch(tally, name=f"k{n}", **engine) for n in range(3)]
    assert [kernel.call(Number(n), timeout=W).n for n, kernel in enumerate(kernels)] == [0, 1, 2]
    assert [kernel.call(Number(10), timeout=W).n for kernel in kernels] == [10, 11, 12]
    kernels[1].terminate()
    again = rt.launch(tally, name="k1", **engine)
    assert again.call(Number(7), timeout=W) == Number(7)


def test_one_handler_runs_in_two_runtimes_and_after_them(backend: str, engine: Any) -> None:
    with rk.Runtime(backend=backend) as first, rk.Runtime(backend=backend) as second:
        kernels = [one.launch(tally, **engine) for one in (first, second)]
        assert [kernel.call(Number(2), timeout=W).n for kernel in kernels] == [2, 2]
        first.close()
        assert kernels[1].call(Number(2), timeout=W) == Number(4)
    with rk.Runtime(backend=backend) as third:
        assert third.launch(tally, **engine).call(Number(9), timeout=W) == Number(9)


def test_all_engines_run_one_handler_side_by_side(rt: rk.Runtime) -> None:
    ways: list[dict[str, Any]] = [{}, {"engine": "auto"}, {"engine": "vm"}, {"compiled": False}]
    ways += [{"engine": "llvm"}] if HAS_LLVM else []
    kernels = [rt.launch(in_steps, name=f"k{n}", **way) for n, way in enumerate(ways)]
    for n in range(5):
        assert len({kernel.call(Number(n), timeout=W).n for kernel in kernels}) == 1


def test_engines_that_cannot_be_are_refused(rt: rk.Runtime) -> None:
    with pytest.raises(rk.InvalidArgumentError, match=r"engine: found 'turbo', need one of auto, .*llvm, vm"):
        rt.launch(tally, engine="turbo")
    with pytest.raises(rk.InvalidArgumentError, match=r"engine: found 'vm' with compiled=False"):
        rt.launch(tally, engine="vm", compiled=False)

    @rk.kernel(compiled=False)
    def python(ctx: rk.Context, msg: Number) -> Number:
        return msg

    for engine in ("vm", "llvm", "turbo"):
        with pytest.raises(rk.InvalidArgumentError, match=f"engine: found '{engine}'; only compiled handlers"):
            rt.launch(python, engine=engine)
    assert list(rt.kernels) == []
    assert rt.launch(python).call(Number(3), timeout=W) == Number(3)


def test_llvm_without_llvmlite_is_refused_and_auto_takes_the_other(
    rt: rk.Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    @rk.kernel
    def fresh(ctx: rk.Context, msg: Number) -> Number:
        return Number(msg.n + 3)

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "llvmlite" else find(name, *more)
    )
    with pytest.raises(rk.UnsupportedError, match=r"needs llvmlite: pip install 'pyringkernel\[jit\]'"):
        rt.launch(fresh, engine="llvm")
    assert rt.launch(fresh).call(Number(4), timeout=W) == Number(7)
    assert fresh.engine().name == "vm"


def test_threads_that_launch_at_once_compile_once(rt: rk.Runtime, machine: Any, threads: Any) -> None:
    @rk.kernel
    def shared(ctx: rk.Context, state: Tally, msg: Number) -> Number:
        state.total += msg.n
        return Number(state.total)

    def launch(n: int) -> Any:
        kernel = rt.launch(shared, name=f"k{n}", **machine)
        assert [kernel.call(Number(n), timeout=W).n for _ in range(3)] == [n, 2 * n, 3 * n]
        return shared.engine(machine["engine"])

    assert len(set(map(id, threads.run_all(8, launch)))) == 1


def test_a_kernel_keeps_its_code_and_nothing_else_does(backend: str, engine: Any) -> None:
    def made() -> Any:
        @rk.kernel
        def passing(ctx: rk.Context, msg: Number) -> Number:
            return Number(msg.n + 5)

        return passing

    handler = made()
    seen = weakref.ref(handler)
    with rk.Runtime(backend=backend) as rt:
        kernel = rt.launch(handler, **engine)
        del handler
        gc.collect()
        assert kernel.call(Number(1), timeout=W) == Number(6)
    del kernel, rt
    gc.collect()
    assert seen() is None


def test_other_classes_are_refused_before_they_are_sent(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(tally, **engine)
    with pytest.raises(rk.WrongMessageError):
        kernel.send(Text(b"x"))
    with pytest.raises(rk.InvalidArgumentError, match="state: found Number"):
        rt.launch(tally, name="other", state=Number(), **engine)
    with pytest.raises(rk.InvalidArgumentError, match="max_message_size: found 4"):
        rt.launch(tally, name="other", max_message_size=4, **engine)


def test_a_message_that_is_only_sent_makes_room_for_itself(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(grow, **engine)
    kernel.send(Number(7))
    assert kernel.receive(timeout=W).data[99] == 7


@rk.message
class Large:
    data: rk.Array[rk.u64, 100]


@rk.kernel
def grow(ctx: rk.Context, msg: Number) -> None:
    made = Large(data=rk.zeros(rk.u64, 100))
    made.data[99] = msg.n
    ctx.send("host", made)


# -- for a debugger


def traced(rt: rk.Runtime, handler: Any, message: Any) -> tuple[list[tuple[str, str, dict[str, Any]]], Any]:
    """Each line of this file that the handler executed, with its locals, and the answer."""
    seen: list[tuple[str, str, dict[str, Any]]] = []
    lock = threading.Lock()

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != __file__:
            return None
        if event == "line":
            text = linecache.getline(__file__, frame.f_lineno).strip()
            named = {name: value for name, value in frame.f_locals.items() if not name.startswith("_")}
            with lock:
                seen.append((frame.f_code.co_name, text, named))
        return trace

    threading.settrace(trace)
    try:
        kernel = rt.launch(handler, compiled=False)
        answer = kernel.call(message, timeout=W)
    finally:
        threading.settrace(None)  # type: ignore[arg-type]
    return [one for one in seen if one[0].startswith(handler.__name__)], answer


@pytest.mark.skipif(sys.gettrace() is not None, reason="another tracer is on")
def test_a_debugger_steps_through_the_lines_of_the_handler(backend: str) -> None:
    with rk.Runtime(backend=backend) as rt:  # its threads begin when there is something to run
        steps, answer = traced(rt, in_steps, Number(5))
    assert answer == Number(16)
    lines = [text for _, text, _ in steps]
    expected = ["first = msg.n * 3", "second = first + 1", "for _ in range(2):", "second += state.total"]
    positions = [lines.index(one) for one in expected]
    assert positions == sorted(positions)
    assert lines[-1] == "return Number(second)"
    assert lines.count("second += state.total") == 2
    assert [named["first"] for _, text, named in steps if text == "second = first + 1"] == [15]
    assert [named["second"] for _, text, named in steps if text == "state.total = second"] == [16]


def test_a_handler_that_cannot_be_compiled_says_every_reason_and_where() -> None:
    with pytest.raises(rk.TranslationError) as caught:

        @rk.kernel
        def wrong(ctx: rk.Context, msg: Number) -> Number:
            half = msg.n / 2
            return Number(half) if msg.n else Number(0)

    error = caught.value
    assert isinstance(error, rk.HandlerSignatureError)
    assert len(error.diagnostics) >= 2
    shown = str(error)
    for text in ("half = msg.n / 2", "return Number(half) if msg.n else Number(0)"):
        line = next(i for i, one in enumerate(linecache.getlines(__file__), 1) if one.strip() == text)
        assert re.search(rf"{re.escape(__file__)}:{line}:\d+: error: ", shown)
        assert text in shown
    assert "hint: " in shown
