"""Edges between kernels: who may send to whom, what a full one does, credits, marks, and cycles that never stand still."""

from __future__ import annotations

from typing import Any

import pytest
from actors import Number, echo, recorder, sink
from edges_parts import W, balanced, burst, cause_in, forward, paused_pair

import pyringkernel as rk
from pyringkernel.errors import (
    CapacityError,
    EdgeExistsError,
    InvalidArgumentError,
    RingFullError,
    RingMemoryError,
    UndeclaredTargetError,
    UnknownKernelError,
)

S = rk.KernelState


POLICIES = ["fail", "block", "drop_newest", "drop_oldest"]


# -- who may send to whom


def test_a_target_that_was_not_declared_is_refused_in_the_handler(rt: rk.Runtime) -> None:
    seen: list[int] = []
    rt.launch(recorder(seen), name="target")
    kernel = rt.launch(forward("target"))
    error = cause_in(kernel)
    assert isinstance(error, UndeclaredTargetError)
    assert isinstance(error, LookupError)
    for word in ("'target'", "publishes_to", "connect"):  # what was found, and what to do
        assert word in str(error)
    assert seen == []
    assert rt.edges == []


def test_a_refused_send_may_be_caught_and_the_edge_made_later(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []
    rt.launch(recorder(seen), name="target")

    def attempt(ctx: rk.Context, msg: Number) -> Number:
        try:
            ctx.send("target", msg)
        except UndeclaredTargetError:
            return Number(0)
        return Number(1)

    kernel = rt.launch(attempt)
    assert kernel.call(Number(5), timeout=W).n == 0
    rt.connect(kernel, "target")
    assert kernel.call(Number(6), timeout=W).n == 1
    until(lambda: seen == [6])


@pytest.mark.parametrize("how", ["decorator", "launch", "connect"])
@pytest.mark.parametrize("by", ["name", "handle"])
def test_a_target_can_be_declared_in_three_ways(rt: rk.Runtime, how: str, by: str, until: Any) -> None:
    seen: list[int] = []
    target = rt.launch(recorder(seen), name="target")
    handler = forward("target" if by == "name" else target)
    if how == "decorator":
        handler = rk.kernel(publishes_to=["target"], compiled=False)(handler)
    kernel = rt.launch(handler, publishes_to=["target"] if how == "launch" else [])
    if how == "connect":
        rt.connect("pass_on" if by == "name" else kernel, "target" if by == "name" else target)
    kernel.call(Number(3), timeout=W)
    until(lambda: seen == [3])
    assert [(e.source, e.target, e.overflow) for e in rt.edges] == [("pass_on", "target", "fail")]


def test_the_targets_of_decorator_and_launch_add_up(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []
    rt.launch(recorder(seen), name="a")
    rt.launch(recorder(seen), name="b")

    @rk.kernel(compiled=False, publishes_to=["a"])
    def both(ctx: rk.Context, msg: Number) -> None:
        ctx.send("a", msg)
        ctx.send("b", msg)

    rt.launch(both, publishes_to=["b", "a"]).send(Number(1))
    until(lambda: seen == [1, 1])


def test_an_edge_leads_one_way(rt: rk.Runtime) -> None:
    back = rt.launch(forward("there"), name="back", autostart=False)
    there = rt.launch(forward("back"), name="there", autostart=False)
    rt.connect(back, there)
    back.activate()
    there.activate()
    assert isinstance(cause_in(there), UndeclaredTargetError)


def test_an_edge_of_another_kernel_does_not_help(rt: rk.Runtime) -> None:
    rt.launch(sink)
    rt.launch(forward("sink"), name="friend", publishes_to=["sink"])
    assert isinstance(cause_in(rt.launch(forward("sink"), name="stranger")), UndeclaredTargetError)


def test_a_reply_needs_no_edge(rt: rk.Runtime, until: Any) -> None:
    answers: list[int] = []

    def asker(ctx: rk.Context, msg: Number) -> None:
        if msg.n < 100:
            ctx.send("answerer", Number(msg.n + 100))
        else:
            answers.append(msg.n)

    rt.launch(echo, name="answerer")
    rt.launch(asker, publishes_to=["answerer"]).send(Number(7))
    until(lambda: answers == [107])
    assert [(e.source, e.target) for e in rt.edges] == [("asker", "answerer")]


def test_activating_a_kernel_whose_target_was_not_launched_says_so_and_leaves_nothing_behind(rt: rk.Runtime) -> None:
    with pytest.raises(UnknownKernelError, match="'pass_on'.*'nowhere'.*autostart=False"):
        rt.launch(forward("nowhere"), publishes_to=["nowhere"])
    assert rt.kernels == {}
    assert rt.registry.find("pass_on") is None
    rt.launch(sink, name="nowhere")
    rt.launch(forward("nowhere"), publishes_to=["nowhere"]).call(Number(1), timeout=W)  # the name is free


def test_a_kernel_that_could_not_be_activated_can_be_later(rt: rk.Runtime) -> None:
    kernel = rt.launch(forward("later"), publishes_to=["later"], autostart=False)
    with pytest.raises(UnknownKernelError):
        kernel.activate()
    assert kernel.state is S.LAUNCHED
    rt.launch(sink, name="later")
    kernel.activate()
    assert kernel.call(Number(1), timeout=W) == Number(1)


def test_the_host_may_be_declared_and_need_not_be(rt: rk.Runtime) -> None:
    for targets in ([], ["host"]):
        kernel = rt.launch(forward("host"), publishes_to=targets)
        assert kernel.call(Number(4), timeout=W) == Number(4)
        assert kernel.receive(timeout=W) == Number(4)
        kernel.terminate()


@pytest.mark.parametrize("targets", ["target", [5], [None], [b"target"], [sink]], ids=repr)
def test_targets_that_are_no_names_are_refused(rt: rk.Runtime, targets: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="publishes_to"):
        rt.launch(echo, publishes_to=targets)
    assert rt.kernels == {}


# -- connect()


@pytest.mark.parametrize(("source", "target"), [("nobody", "sink"), ("echo", "nobody"), ("", "sink"), ("echo", "")])
def test_connecting_what_is_not_there_names_it(rt: rk.Runtime, source: str, target: str) -> None:
    rt.launch(echo)
    rt.launch(sink)
    with pytest.raises(UnknownKernelError, match="nobody|''"):
        rt.connect(source, target)
    assert rt.edges == []


@pytest.mark.parametrize("end", ["source", "target"])
@pytest.mark.parametrize("wrong", [5, None, b"echo", ["echo"]], ids=repr)
def test_connecting_what_is_no_kernel_is_a_typed_error(rt: rk.Runtime, end: str, wrong: Any) -> None:
    rt.launch(echo)
    ends: dict[str, Any] = {"source": "echo", "target": "echo", end: wrong}
    with pytest.raises((InvalidArgumentError, UnknownKernelError, TypeError)):
        rt.connect(ends["source"], ends["target"])


def test_a_kernel_of_another_runtime_cannot_be_connected(rt: rk.Runtime, backend: str) -> None:
    """Also when a namesake of it is here."""
    rt.launch(echo)
    rt.launch(sink)
    with rk.Runtime(backend=backend) as elsewhere:
        foreign = elsewhere.launch(sink)
        with pytest.raises((InvalidArgumentError, UnknownKernelError)):
            rt.connect("echo", foreign)
        with pytest.raises((InvalidArgumentError, UnknownKernelError)):
            rt.connect(foreign, "echo")
    assert rt.edges == []


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"overflow": "explode"}, InvalidArgumentError, "explode.*block"),
        ({"overflow": ""}, InvalidArgumentError, "fail"),
        ({"capacity": 3}, CapacityError, "3.*power of two"),
        ({"capacity": 0}, (CapacityError, InvalidArgumentError), "capacity"),
        ({"capacity": -4}, (CapacityError, InvalidArgumentError), "capacity"),
        ({"capacity": 2**60}, (CapacityError, InvalidArgumentError), "capacity"),
        ({"capacity": 8, "high_water": 9}, InvalidArgumentError, "high_water=9"),
        ({"capacity": 8, "high_water": 4, "low_water": 4}, InvalidArgumentError, "low_water=4"),
        ({"high_water": -1}, InvalidArgumentError, "high_water"),
        ({"low_water": -1}, InvalidArgumentError, "low_water"),
    ],
    ids=str,
)
def test_options_of_an_edge_that_cannot_be_are_refused(rt: rk.Runtime, options: Any, error: Any, says: str) -> None:
    rt.launch(echo)
    rt.launch(sink)
    with pytest.raises(error, match=says):
        rt.connect("echo", "sink", **options)
    assert rt.edges == []


@pytest.mark.parametrize(
    "options", [{"capacity": "8"}, {"capacity": 8.0}, {"overflow": None}, {"high_water": "2"}], ids=str
)
def test_options_of_an_edge_of_the_wrong_type_are_typed_errors(rt: rk.Runtime, options: Any) -> None:
    rt.launch(echo)
    rt.launch(sink)
    with pytest.raises((InvalidArgumentError, CapacityError, TypeError)):
        rt.connect("echo", "sink", **options)
    assert rt.edges == []


def test_an_edge_can_be_connected_anew_until_it_was_used(rt: rk.Runtime) -> None:
    source = rt.launch(burst("sink"), name="source")
    rt.launch(sink)
    rt.connect(source, "sink", overflow="block")
    assert rt.connect(source, "sink", overflow="drop_newest", capacity=2).overflow == "drop_newest"
    assert len(rt.edges) == 1
    source.call(Number(1), timeout=W)
    with pytest.raises(EdgeExistsError, match="'source'.*'sink'"):
        rt.connect(source, "sink", overflow="fail")
    assert [e.overflow for e in rt.edges] == ["drop_newest"]


def test_connecting_overrules_what_was_declared(rt: rk.Runtime) -> None:
    target = rt.launch(recorder([]), name="target", autostart=False)
    source = rt.launch(burst("target"), name="source", publishes_to=["target"])
    edge = rt.connect(source, target, overflow="drop_newest", capacity=2)
    assert source.call(Number(5), timeout=W).n == 5
    assert edge.stats().dropped == 3


def test_what_an_edge_is_can_be_read(rt: rk.Runtime) -> None:
    rt.launch(echo)
    rt.launch(sink, capacity=64)
    edge = rt.connect("echo", "sink")
    assert (edge.source, edge.target, edge.overflow, edge.congested) == ("echo", "sink", "fail", False)
    assert 0 < edge.low_water < edge.high_water <= 64
    s = edge.stats()
    assert (s.accepted, s.in_flight, s.lanes, s.blocked, s.credits, s.capacity) == (0, 0, 0, 0, 0, 0)
    assert "'echo' -> 'sink'" in repr(edge)
    with pytest.raises(AttributeError):
        edge.overflow = "block"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        s.accepted = 1  # type: ignore[misc]


# -- policies


def test_fail_raises_ring_full_and_loses_nothing_that_was_taken(rt: rk.Runtime, until: Any) -> None:
    seen, source, target, edge = paused_pair(rt, "fail")
    assert source.call(Number(9), timeout=W).n == 4
    s = edge.stats()
    assert (s.accepted, s.dropped, s.in_flight, s.credits, s.blocked) == (4, 0, 4, 0, 0)
    target.activate()
    until(lambda: seen == [0, 1, 2, 3])


def test_a_full_edge_that_nobody_catches_fails_the_message_in_hand(rt: rk.Runtime) -> None:
    rt.launch(sink, autostart=False)
    source = rt.launch(forward("sink"))
    rt.connect(source, "sink", capacity=1)
    source.call(Number(1), timeout=W)
    error = cause_in(source)
    assert isinstance(error, RingFullError)
    assert isinstance(error, BufferError)
    assert source.stats().dead_lettered == 1


def test_drop_newest_keeps_the_first(rt: rk.Runtime, until: Any) -> None:
    seen, source, target, edge = paused_pair(rt, "drop_newest")
    assert source.call(Number(10), timeout=W).n == 10
    s = edge.stats()
    assert (s.accepted, s.dropped, s.in_flight, s.blocked) == (10, 6, 4, 0)
    target.activate()
    until(lambda: seen == [0, 1, 2, 3])
    target.terminate()
    s = target.stats()
    assert (s.accepted, s.delivered, s.dropped, s.in_flight) == (10, 4, 6, 0)


def test_drop_oldest_keeps_the_last(rt: rk.Runtime, until: Any) -> None:
    seen, source, target, edge = paused_pair(rt, "drop_oldest")
    assert source.call(Number(10), timeout=W).n == 10
    s = edge.stats()
    assert s.accepted == 10
    assert balanced(s)
    assert s.in_flight <= 4
    target.activate()
    until(lambda: seen[-1:] == [9])
    assert seen == list(range(10 - len(seen), 10))
    assert len(seen) in (3, 4)
    target.terminate()
    s = target.stats()
    assert (s.accepted, s.delivered, s.dropped, s.in_flight) == (10, len(seen), 10 - len(seen), 0)


def test_the_smallest_ring_that_drops_the_oldest_keeps_the_last_message(rt: rk.Runtime, until: Any) -> None:
    seen, source, target, _ = paused_pair(rt, "drop_oldest", capacity=1)
    assert source.call(Number(10), timeout=W).n == 10
    target.activate()
    until(lambda: seen == [9])


@pytest.mark.parametrize("overflow", POLICIES)
@pytest.mark.parametrize("capacity", [2**34, 2**40, 2**47])
def test_an_edge_that_memory_cannot_hold_is_refused(rt: rk.Runtime, overflow: Any, capacity: int) -> None:
    rt.launch(sink)
    source = rt.launch(forward("sink"))
    with pytest.raises(RingMemoryError, match=f"{capacity}.*smaller capacity"):
        rt.connect(source, "sink", overflow=overflow, capacity=capacity)
    assert rt.edges == []


@pytest.mark.parametrize("size", [2**24, 2**30])
def test_an_edge_to_a_successor_with_huge_messages_is_an_error_in_the_sender(rt: rk.Runtime, size: int) -> None:
    """What was possible for the kernel that was connected is not for the one that took its place."""
    first = rt.launch(sink)
    source = rt.launch(forward("sink"))
    rt.connect(source, first, capacity=2**20)
    first.terminate()
    rt.launch(sink, capacity=1, max_message_size=size)
    for _ in range(3):
        assert isinstance(cause_in(source), RingMemoryError)
    assert source.state is S.ACTIVE


def test_block_delivers_everything_in_order(rt: rk.Runtime, until: Any) -> None:
    seen, source, target, edge = paused_pair(rt, "block")
    assert source.call(Number(16), timeout=W).n == 16  # 4 in the ring, 12 beside it
    s = edge.stats()
    assert (s.accepted, s.in_flight, s.credits, s.dropped) == (4, 4, 0, 0)
    assert s.blocked >= 1
    target.activate()
    until(lambda: len(seen) == 16)
    assert seen == list(range(16))
    assert balanced(edge.stats())


def test_block_holds_as_many_messages_beside_the_ring_as_the_sender_has_capacity(rt: rk.Runtime, until: Any) -> None:
    seen, source, target, _ = paused_pair(rt, "block")
    assert source.call(Number(1000), timeout=W).n == 4 + 16
    target.activate()
    until(lambda: len(seen) == 20)
    assert seen == list(range(20))


def test_a_sender_that_waits_handles_nothing_more_until_there_is_room(rt: rk.Runtime, until: Any) -> None:
    handled: list[int] = []
    seen: list[int] = []

    def send(ctx: rk.Context, msg: Number) -> None:
        handled.append(msg.n)
        for n in range(3):
            ctx.send("target", Number(3 * msg.n + n))

    target = rt.launch(recorder(seen), name="target", autostart=False)
    source = rt.launch(send, name="source")
    edge = rt.connect(source, target, overflow="block", capacity=1)
    for n in range(5):
        source.send(Number(n))
    until(lambda: edge.stats().blocked >= 1 and not source.busy)
    assert handled == [0]
    assert source.stats().in_flight == 4
    source.deactivate(W)  # one that waits can be paused
    source.activate(W)
    assert handled == [0]
    target.activate()
    until(lambda: len(seen) == 15)
    assert seen == list(range(15))
    assert handled == list(range(5))


@pytest.mark.parametrize("overflow", POLICIES)
def test_a_mixed_stream_stays_in_order_under_every_policy(rt: rk.Runtime, overflow: str) -> None:
    """A tiny ring, a receiver that is paused and woken in between."""
    seen: list[int] = []
    refused = 0
    target = rt.launch(recorder(seen), name="target")

    def send(ctx: rk.Context, msg: Number) -> None:
        nonlocal refused
        for n in range(7):
            try:
                ctx.send("target", Number(7 * msg.n + n))
            except RingFullError:
                refused += 1

    source = rt.launch(send, name="source", capacity=256)
    edge = rt.connect(source, target, overflow=overflow, capacity=4)  # type: ignore[arg-type]
    for n in range(100):
        source.send(Number(n), timeout=W)
        if n % 20 == 0:
            target.deactivate(W)
        if n % 20 == 10:
            target.activate(W)
    source.terminate(W)
    target.terminate(W)
    assert seen == sorted(set(seen))
    s = edge.stats()
    assert s.accepted == 700 - refused == len(seen) + s.dropped
    assert balanced(s)
    assert balanced(target.stats())
    if overflow == "block":
        assert seen == list(range(700))


@pytest.mark.parametrize("overflow", POLICIES)
def test_the_edges_of_one_kernel_do_not_disturb_each_other(rt: rk.Runtime, overflow: str, until: Any) -> None:
    seen: list[int] = []
    rt.launch(sink, autostart=False)
    rt.launch(recorder(seen), name="open")

    def send(ctx: rk.Context, msg: Number) -> None:
        for _ in range(8):
            try:
                ctx.send("sink", msg)
            except RingFullError:
                pass
        ctx.send("open", msg)

    source = rt.launch(send, name="source", publishes_to=["open"], capacity=64)
    rt.connect(source, "sink", overflow=overflow, capacity=2)  # type: ignore[arg-type]
    source.send(Number(1))
    until(lambda: seen == [1])
