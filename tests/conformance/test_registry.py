"""The registry: who is there, by name and by pattern, and who comes and goes."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from actors import Gate, Number, echo, odd_only, sink

import pyringkernel as rk
from pyringkernel.errors import InvalidArgumentError, KernelExistsError, KernelHungError, UnknownKernelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

W = 60.0  # a wait that only a hang uses up
UP, DOWN = "registered", "unregistered"


class Heard:
    """A callback that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.events.append(event)

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(event.kind, event.name) for event in self.events]


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What was given to sys.unraisablehook."""
    caught: list[BaseException] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: caught.append(args.exc_value))
    return caught


@rk.kernel(compiled=False)
def ends(ctx: rk.Context, msg: Number) -> None:
    ctx.request_termination()


def names(kernels: list[rk.Kernel]) -> list[str]:
    return [one.name for one in kernels]


# -- finding


def test_a_kernel_is_found_by_its_name(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo, name="über/ all.*")
    assert rt.registry.find("über/ all.*") is kernel
    for other in ("über", "über/ all.", "ÜBER/ all.*", "", "host", "echo"):
        assert rt.registry.find(other) is None


def test_a_kernel_is_found_in_every_state_that_is_not_the_end(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    kernel = rt.launch(echo, autostart=False)
    assert rt.registry.find("echo") is kernel
    kernel.activate()
    assert rt.registry.find("echo") is kernel
    kernel.deactivate()
    assert rt.registry.find("echo") is kernel
    kernel.terminate()
    until(lambda: rt.registry.find("echo") is None)


@pytest.mark.parametrize("how", ["request", "failure", "hang", "supervisor"])
def test_a_kernel_that_ends_by_itself_is_not_found(
    rt: rk.Runtime, until: Callable[..., Any], gate: Gate, how: str
) -> None:
    if how == "request":
        kernel = rt.launch(ends, name="k")
    elif how == "failure":
        kernel = rt.launch(odd_only, name="k", max_failures=0)
    elif how == "hang":
        kernel = rt.launch(gate, name="k", watchdog=0.02)
    else:
        kernel = rt.launch(odd_only, name="k", supervisor=rt.supervisor(intensity=0))
    assert rt.registry.find("k") is kernel
    kernel.send(Number(2))
    until(lambda: rt.registry.find("k") is None)
    assert rt.registry.lookup("*") == []
    assert rt.launch(echo, name="k").call(Number(1), timeout=W) == Number(1)


def test_a_kernel_that_its_supervisor_restarts_stays(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    heard = Heard()
    rt.registry.watch("*", heard)
    kernel = rt.launch(odd_only, supervisor=rt.supervisor())
    kernel.send(Number(2))
    until(lambda: kernel.restarts == 1)
    assert rt.registry.find("odd_only") is kernel
    assert heard.said == [(UP, "odd_only")]


def test_a_launch_that_fails_registers_nothing(rt: rk.Runtime) -> None:
    heard = Heard()
    rt.registry.watch("**", heard)
    rt.launch(echo, name="k")
    with pytest.raises(KernelExistsError):
        rt.launch(sink, name="k")
    with pytest.raises(InvalidArgumentError):
        rt.launch(sink, name="host")
    with pytest.raises(ValueError):
        rt.launch(sink, name="odd", capacity=3)
    assert heard.said == [(UP, "k")]
    assert names(rt.registry.lookup("**")) == ["k"]


def test_a_launch_that_cannot_be_activated_leaves_nothing_behind(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    heard = Heard()
    rt.registry.watch("**", heard)
    with pytest.raises(UnknownKernelError):
        rt.launch(sink, name="k", publishes_to=["nobody"])
    until(lambda: heard.said == [(UP, "k"), (DOWN, "k")])
    assert rt.registry.find("k") is None
    assert "k" not in rt.kernels
    rt.launch(sink, name="k")


NAMES = ["a", "ab", "a/b", "a/bc", "a/b/c", "b", "ä", "x*y", "x-y"]
LOOKUPS = {
    "a": ["a"],
    "*": ["a", "ab", "b", "x*y", "x-y", "ä"],
    "**": sorted(NAMES),
    "a*": ["a", "ab"],
    "a**": ["a", "a/b", "a/b/c", "a/bc", "ab"],
    "*b": ["ab", "b"],
    "**b": ["a/b", "ab", "b"],
    "a/*": ["a/b", "a/bc"],
    "a/**": ["a/b", "a/b/c", "a/bc"],
    "*/*": ["a/b", "a/bc"],
    "a/*/c": ["a/b/c"],
    "**c": ["a/b/c", "a/bc"],
    "?": ["a", "b", "ä"],
    "??": ["ab"],
    "a?b": [],
    "a/?": ["a/b"],
    "a/b?": ["a/bc"],
    "x*y": ["x*y", "x-y"],
    "x?y": ["x*y", "x-y"],
    "nobody": [],
    "a/": [],
    "/**": [],
    "*" * 40: sorted(NAMES),
}


@pytest.fixture(scope="module")
def populated() -> Iterator[rk.Runtime]:
    with rk.Runtime(backend="cpu") as runtime:
        for name in reversed(NAMES):
            runtime.launch(sink, name=name, autostart=False)
        yield runtime


@pytest.mark.parametrize(("pattern", "expected"), LOOKUPS.items())
def test_lookup_finds_names_by_pattern_in_order(populated: rk.Runtime, pattern: str, expected: list[str]) -> None:
    assert names(populated.registry.lookup(pattern)) == expected


@pytest.mark.parametrize("pattern", ["", "a\0", "a" * 5000, "\ud800", None, 5, b"a"], ids=lambda p: ascii(p)[:20])
def test_a_malformed_pattern_is_refused(rt: rk.Runtime, pattern: Any) -> None:
    rt.launch(sink)
    with pytest.raises(InvalidArgumentError, match="pattern"):
        rt.registry.lookup(pattern)
    with pytest.raises(InvalidArgumentError, match="pattern"):
        rt.registry.watch(pattern, Heard())


@pytest.mark.parametrize("name", [None, 5, b"sink", ["sink"]], ids=repr)
def test_a_name_is_text(rt: rk.Runtime, name: Any) -> None:
    rt.launch(sink)
    with pytest.raises(InvalidArgumentError, match="name: found"):
        rt.registry.find(name)


def test_a_pattern_that_makes_others_slow_does_not(rt: rk.Runtime) -> None:
    rt.launch(sink, name="a" * 1000)
    assert rt.registry.lookup("*a" * 500 + "b") == []
    assert len(rt.registry.lookup("**a" * 300)) == 1


# -- watching


def test_a_watcher_hears_of_what_matches(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    before = rt.launch(sink, name="work/0")
    heard = Heard()
    with rt.registry.watch("work/*", heard):
        one = rt.launch(sink, name="work/1")
        rt.launch(sink, name="other")
        rt.launch(sink, name="work/1/deep")
        one.terminate()
        before.terminate()
        until(lambda: len(heard.events) == 3)
    assert heard.said == [(UP, "work/1"), (DOWN, "work/1"), (DOWN, "work/0")]


def test_a_watcher_is_given_the_kernel(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    heard = Heard()
    rt.registry.watch("*", heard)
    kernel = rt.launch(sink)
    assert heard.events[0].kernel is kernel
    kernel.terminate()
    until(lambda: len(heard.events) == 2)
    assert heard.events[1].kernel is kernel


def test_a_watcher_finds_whom_it_hears_of(rt: rk.Runtime) -> None:
    found = []

    def look(event: Any) -> None:
        if event.kind == UP:
            found.append((rt.registry.find(event.name), rt.registry.lookup(event.name), rt.kernels.get(event.name)))

    rt.registry.watch("*", look)
    kernel = rt.launch(sink)
    assert found == [(kernel, [kernel], kernel)]


def test_a_watcher_may_send_to_whom_it_hears_of(rt: rk.Runtime) -> None:
    def greet(event: Any) -> None:
        if event.kind == UP:
            event.kernel.send(Number(7))

    rt.registry.watch("*", greet)
    assert rt.launch(echo).receive(timeout=W) == Number(7)


@pytest.mark.parametrize("how", ["terminate", "request", "failure", "hang", "supervisor", "close"])
def test_a_watcher_hears_of_every_end_once(rt: rk.Runtime, until: Callable[..., Any], gate: Gate, how: str) -> None:
    heard = Heard()
    rt.registry.watch("k", heard)
    handler: Any = {"request": ends, "hang": gate}.get(how, odd_only)
    options: Any = {
        "failure": {"max_failures": 0},
        "hang": {"watchdog": 0.02},
        "supervisor": {"supervisor": rt.supervisor(intensity=0)},
    }
    kernel = rt.launch(handler, name="k", **options.get(how, {}))
    if how == "terminate":
        kernel.terminate()
    elif how == "close":
        rt.close()
    else:
        kernel.send(Number(2))
    until(lambda: len(heard.events) == 2)
    gate.open.set()
    rt.close()
    assert heard.said == [(UP, "k"), (DOWN, "k")]


def test_a_name_that_is_used_again_is_another_kernel(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    heard = Heard()
    rt.registry.watch("k", heard)
    kernels = []
    for _ in range(20):
        kernels.append(rt.launch(sink, name="k"))
        assert rt.registry.find("k") is kernels[-1]
        kernels[-1].terminate()
    until(lambda: len(heard.events) == 40)
    assert heard.said == [(UP, "k"), (DOWN, "k")] * 20
    assert len({one.address for one in kernels}) == 20
    assert [event.kernel for event in heard.events if event.kind == UP] == kernels
    assert rt.registry.find("k") is None


def test_the_name_of_a_kernel_that_was_given_up_is_free(rt: rk.Runtime, until: Callable[..., Any], gate: Gate) -> None:
    heard = Heard()
    rt.registry.watch("k", heard)
    first = rt.launch(gate, name="k")
    first.send(Number(1))
    gate.entered.wait(W)
    with pytest.raises(KernelHungError):
        first.terminate(timeout=0.02)
    second = rt.launch(echo, name="k")
    assert rt.registry.find("k") is second
    gate.open.set()
    assert second.call(Number(1), timeout=W) == Number(1)
    assert rt.registry.find("k") is second, "the end of the first is not the end of the second"
    second.terminate()
    until(lambda: len(heard.events) == 4)
    assert heard.said == [(UP, "k"), (DOWN, "k")] * 2


def test_a_callback_that_raises_hurts_nobody(
    rt: rk.Runtime, until: Callable[..., Any], unraisable: list[BaseException]
) -> None:
    def raises(event: Any) -> None:
        raise ValueError(event.kind)

    heard = Heard()
    with rt.registry.watch("*", raises):
        rt.registry.watch("*", heard)
        kernel = rt.launch(echo)
        assert kernel.call(Number(1), timeout=W) == Number(1)
        kernel.terminate()
        until(lambda: len(heard.events) == 2)
        until(lambda: len(unraisable) == 2)
    assert [str(error) for error in unraisable] == [UP, DOWN]
    rt.launch(sink)
    assert len(heard.events) == 3


def test_a_closed_watch_hears_nothing(rt: rk.Runtime) -> None:
    heard = Heard()
    watch = rt.registry.watch("*", heard)
    rt.launch(sink, name="a")
    watch.close()
    watch.close()
    rt.launch(sink, name="b").terminate()
    assert heard.said == [(UP, "a")]


def test_a_watch_may_be_closed_in_its_own_callback(rt: rk.Runtime) -> None:
    said = []

    def once(event: Any) -> None:
        said.append(event.name)
        watch.close()

    watch = rt.registry.watch("*", once)
    rt.launch(sink, name="a")
    rt.launch(sink, name="b")
    watch.close()
    assert said == ["a"]


def test_a_watch_may_be_closed_in_the_callback_of_another(rt: rk.Runtime) -> None:
    heard = Heard()
    others: list[Any] = []
    rt.registry.watch("*", lambda event: others[0].close())
    others.append(rt.registry.watch("*", heard))
    rt.launch(sink, name="a")
    rt.launch(sink, name="b")
    assert len(heard.events) <= 1


def test_close_waits_for_a_callback_that_runs(rt: rk.Runtime, threads: Any, gate: Gate) -> None:
    left = []

    def slow(event: Any) -> None:
        gate.entered.set()
        gate.open.wait(W)
        left.append(event.name)

    watch = rt.registry.watch("*", slow)
    launching = threads.start(lambda: rt.launch(sink))
    gate.entered.wait(W)

    def close() -> int:
        watch.close()
        return len(left)

    closing = threads.start(close)
    gate.open.set()
    assert closing.result() == 1
    launching.join()


def test_a_callback_may_launch_and_terminate(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    def breed(event: Any) -> None:
        generation = int(event.name)
        if event.kind == UP and generation < 5:
            rt.launch(sink, name=str(generation + 1)).terminate()

    heard = Heard()
    rt.registry.watch("*", heard)
    rt.registry.watch("*", breed)
    rt.launch(sink, name="0")
    until(lambda: len(heard.events) == 11)
    assert sorted(heard.said) == sorted([(UP, str(n)) for n in range(6)] + [(DOWN, str(n)) for n in range(1, 6)])


def test_a_watch_in_a_callback_hears_of_the_next_one(rt: rk.Runtime) -> None:
    inner = Heard()
    opened: list[Any] = []

    def open_one(event: Any) -> None:
        if not opened:
            opened.append(rt.registry.watch("*", inner))

    rt.registry.watch("*", open_one)
    rt.launch(sink, name="a")
    rt.launch(sink, name="b")
    assert inner.said == [(UP, "b")]


def test_a_callback_must_be_callable(rt: rk.Runtime) -> None:
    for wrong in (None, 5, "print"):
        with pytest.raises(InvalidArgumentError, match="callback"):
            rt.registry.watch("*", wrong)  # type: ignore[arg-type]


def test_any_callable_will_do(rt: rk.Runtime) -> None:
    heard: list[Any] = []
    rt.registry.watch("*", heard.append)
    rt.registry.watch("*", Heard())
    rt.launch(sink)
    assert len(heard) == 1


def test_every_watcher_hears_the_same_story_of_a_name(rt: rk.Runtime, threads: Any, until: Callable[..., Any]) -> None:
    watchers = [Heard() for _ in range(3)]
    for heard in watchers:
        rt.registry.watch("w/*", heard)

    def churn(index: int) -> None:
        for _ in range(15):
            rt.launch(sink, name=f"w/{index}", capacity=2).terminate()

    threads.run_all(4, churn)
    for heard in watchers:
        until(lambda heard=heard: len(heard.events) == 120)
        for index in range(4):
            story = [event.kind for event in heard.events if event.name == f"w/{index}"]
            assert story == [UP, DOWN] * 15
    assert rt.registry.lookup("**") == []


def test_watches_may_come_and_go_while_kernels_do(rt: rk.Runtime, threads: Any) -> None:
    done = []

    def churn(index: int) -> None:
        for _ in range(20):
            rt.launch(sink, name=f"w/{index}", capacity=2).terminate()
        done.append(index)

    def visit(index: int) -> int:
        heard = 0
        while len(done) < 2:
            events = Heard()
            with rt.registry.watch(("w/*", "**")[index % 2], events):
                rt.registry.lookup("w/?")
                rt.registry.find("w/0")
            heard = len(events.events)
            assert len(events.events) == heard, "told after the close"
        return heard

    threads.run_all(4, lambda i: churn(i) if i < 2 else visit(i))


def test_a_forgotten_watch_does_not_keep_its_runtime(backend: str) -> None:
    runtime = rk.Runtime(backend=backend)
    runtime.registry.watch("*", print)
    runtime.launch(sink, name="k", autostart=False)
    runtime.close()
    gone = weakref.ref(runtime)
    del runtime
    gc.collect()
    assert gone() is None


def test_a_callback_that_leads_to_its_runtime_does_not_keep_it(backend: str) -> None:
    def watched() -> weakref.ref[rk.Runtime]:
        heard: list[Any] = []
        runtime = rk.Runtime(backend=backend)
        runtime.registry.watch("*", lambda event: heard.append((runtime, event)))
        runtime.launch(sink, name="k").terminate()
        runtime.close()
        assert len(heard) == 2
        return weakref.ref(runtime)

    gone = watched()
    for _ in range(2):
        gc.collect()
    assert gone() is None


def test_the_registry_of_a_closed_runtime_is_empty(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    heard = Heard()
    for n in range(5):
        rt.launch(sink, name=f"k{n}")
    rt.registry.watch("k?", heard)
    rt.close()
    until(lambda: len(heard.events) == 5)
    assert rt.registry.lookup("**") == []
    assert rt.registry.find("k1") is None


def test_the_registry_says_who_is_there(rt: rk.Runtime) -> None:
    rt.launch(sink, name="b")
    rt.launch(sink, name="a")
    assert repr(rt.registry) == "<Registry ['a', 'b']>"
