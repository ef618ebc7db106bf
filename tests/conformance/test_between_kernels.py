"""ctx.send: to oneself, to others, in rings of kernels; full, ended and unknown receivers; order and hops."""

from __future__ import annotations

import time
from typing import Any

import pytest
from actors import Gate, Hop, Number, Text, echo, recorder

import pyringkernel as rk
from pyringkernel.errors import (
    HandlerError,
    InvalidArgumentError,
    KernelTerminatedError,
    MessageTooLargeError,
    RingFullError,
    UnknownKernelError,
)

S = rk.KernelState
W = 60.0


def player(number: int, partner: str, seen: list[int]) -> Any:
    """Passes a hop on to its partner until none is left."""

    def play(ctx: rk.Context, msg: Hop) -> None:
        seen.append(msg.left)
        if msg.left:
            ctx.send(partner, Hop(msg.left - 1, [*msg.trail[-9:], number]))

    return play


def test_two_kernels_play_ping_pong(rt: rk.Runtime, until: Any) -> None:
    left: list[int] = []
    right: list[int] = []
    first = rt.launch(player(1, "right", left), name="left", publishes_to=["right"], autostart=False)
    second = rt.launch(player(2, "left", right), name="right", publishes_to=["left"], autostart=False)
    first.activate()
    second.activate()
    first.send(Hop(100, []))
    until(lambda: len(left) + len(right) == 101)
    assert left == list(range(100, -1, -2))
    assert right == list(range(99, 0, -2))


def test_a_message_walks_through_a_ring_of_kernels(rt: rk.Runtime, until: Any) -> None:
    seen: list[list[int]] = [[] for _ in range(5)]
    after = [f"k{(n + 1) % 5}" for n in range(5)]
    kernels = [
        rt.launch(player(n, after[n], seen[n]), name=f"k{n}", publishes_to=[after[n]], autostart=False)
        for n in range(5)
    ]
    for kernel in kernels:
        kernel.activate()
    kernels[0].send(Hop(49, []))
    until(lambda: sum(map(len, seen)) == 50)
    for n, one in enumerate(seen):
        assert one == list(range(49 - n, -1, -5))
    for kernel in kernels:
        kernel.terminate()
        s = kernel.stats()
        assert (s.accepted, s.delivered, s.in_flight) == (10, 10, 0)


def test_the_last_kernel_of_a_pipeline_answers_the_host(rt: rk.Runtime) -> None:
    def source(ctx: rk.Context, msg: Number) -> None:
        ctx.send("middle", Number(msg.n + 1))

    def middle(ctx: rk.Context, msg: Number) -> None:
        ctx.send("end", Text(b"%d" % (2 * msg.n)))

    def end(ctx: rk.Context, msg: Text) -> None:
        ended.append(msg.text.rstrip(b"\0"))

    ended: list[bytes] = []
    kernels = [rt.launch(end), rt.launch(middle, publishes_to=["end"]), rt.launch(source, publishes_to=["middle"])][
        ::-1
    ]
    for n in range(20):
        kernels[0].send(Number(n))
    for kernel in kernels:  # each drains into the next
        kernel.terminate(W)
    assert ended == [b"%d" % (2 * (n + 1)) for n in range(20)]


def test_a_kernel_sends_to_itself(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []

    def count_down(ctx: rk.Context, msg: Number) -> None:
        seen.append(msg.n)
        if msg.n:
            ctx.send("count_down", Number(msg.n - 1))

    rt.launch(count_down).send(Number(50))
    until(lambda: len(seen) == 51)
    assert seen == list(range(50, -1, -1))


def test_a_kernel_sends_by_handle_too(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []
    target = rt.launch(recorder(seen), name="target")

    def forward(ctx: rk.Context, msg: Number) -> None:
        ctx.send(target, msg)

    rt.launch(forward, publishes_to=["target"]).send(Number(7))
    until(lambda: seen == [7])


def test_a_handle_of_another_runtime_is_refused(rt: rk.Runtime, backend: str) -> None:
    """Its address would be read in the wrong runtime and reach another kernel."""
    seen: list[int] = []
    rt.launch(recorder(seen), name="wrong one")
    with rk.Runtime(backend=backend) as elsewhere:
        target = elsewhere.launch(recorder([]), name="target")

        def forward(ctx: rk.Context, msg: Number) -> Number:
            ctx.send(target, msg)
            return msg

        kernel = rt.launch(forward)
        with pytest.raises(HandlerError):
            kernel.call(Number(7), timeout=W)
    assert seen == []


def test_a_reply_goes_to_the_kernel_that_asked(rt: rk.Runtime, until: Any) -> None:
    seen: list[tuple[int, int]] = []

    def asker(ctx: rk.Context, msg: Number) -> None:
        if msg.header.hops == 0:
            ctx.send("answerer", Number(msg.n))
        else:
            seen.append((msg.n, msg.header.hops))

    def answerer(ctx: rk.Context, msg: Number) -> Number:
        return Number(msg.n * 10)

    rt.launch(answerer)
    kernel = rt.launch(asker, publishes_to=["answerer"])
    for n in range(5):
        kernel.send(Number(n))
    until(lambda: len(seen) == 5)
    assert [n for n, _ in seen] == [0, 10, 20, 30, 40]
    assert all(hops >= 1 for _, hops in seen)


def test_messages_of_one_sender_stay_in_order(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []
    rt.launch(recorder(seen), name="target", capacity=1024)

    def burst(ctx: rk.Context, msg: Number) -> None:
        for n in range(10):
            ctx.send("target", Number(10 * msg.n + n))

    kernel = rt.launch(burst, publishes_to=["target"])
    for n in range(50):
        kernel.send(Number(n))
    until(lambda: len(seen) == 500)
    assert seen == list(range(500))


def test_a_message_between_kernels_carries_its_sender_and_later_time(rt: rk.Runtime, until: Any) -> None:
    seen: list[tuple[int, int, int]] = []

    def last(ctx: rk.Context, msg: Number) -> None:
        seen.append((msg.header.source, msg.header.hlc, ctx.tick().time))

    def first(ctx: rk.Context, msg: Number) -> None:
        sent = ctx.tick().time
        ctx.send("last", msg)
        seen.append((0, msg.header.hlc, sent))

    rt.launch(last)
    kernel = rt.launch(first, publishes_to=["last"])
    for n in range(20):
        seen.clear()
        kernel.send(Number(n))
        until(lambda: len(seen) == 2)
        (_, request, sent), (source, stamp, received) = sorted(seen)
        assert source == kernel.address
        assert request < sent < stamp < received


def test_priority_travels_along(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []

    def last(ctx: rk.Context, msg: Number) -> None:
        seen.append(msg.header.priority)

    def first(ctx: rk.Context, msg: Number) -> None:
        urgent = Number(1)
        urgent.header.priority = rk.Priority.CRITICAL
        ctx.send("last", urgent)

    rt.launch(last)
    rt.launch(first, publishes_to=["last"]).send(Number(1))
    until(lambda: seen == [rk.Priority.CRITICAL])


# -- receivers that cannot


def caught_in(rt: rk.Runtime, target: str, message: Any = None) -> BaseException | None:
    """What ctx.send raises in a handler."""

    def forward(ctx: rk.Context, msg: Number) -> Number:
        ctx.send(target, message or msg)
        return msg

    kernel = rt.launch(forward, name="forward")
    with pytest.raises(HandlerError) as caught:
        kernel.call(Number(1), timeout=W)
    kernel.terminate()
    return caught.value.__cause__


def test_a_terminated_receiver_is_an_error_in_the_sender(rt: rk.Runtime) -> None:
    rt.launch(echo).terminate()
    assert isinstance(caught_in(rt, "echo"), (KernelTerminatedError, UnknownKernelError))


def test_a_full_receiver_is_an_error_in_the_sender_and_loses_nothing_else(rt: rk.Runtime) -> None:
    seen: list[int] = []
    target = rt.launch(recorder(seen), name="target", capacity=2, autostart=False)

    def fill(ctx: rk.Context, msg: Number) -> Number:
        sent = 0
        try:
            while True:
                ctx.send("target", Number(sent))
                sent += 1
        except RingFullError:
            return Number(sent)

    assert rt.launch(fill, publishes_to=["target"]).call(Number(1), timeout=W) == Number(2)
    target.activate()
    target.terminate()
    assert seen == [0, 1]


def test_sending_to_oneself_into_a_full_inbox_is_an_error_and_no_deadlock(rt: rk.Runtime) -> None:
    def flood(ctx: rk.Context, msg: Number) -> Number:
        sent = 0
        try:
            while msg.n == 0:
                ctx.send("flood", Number(1))
                sent += 1
        except RingFullError:
            pass
        return Number(sent)

    kernel = rt.launch(flood, capacity=4)
    assert 1 <= kernel.call(Number(0), timeout=W).n <= 8


def test_a_message_too_large_for_the_receiver_is_an_error_that_says_so(rt: rk.Runtime) -> None:
    @rk.message
    class Wide:
        data: rk.Array[rk.u8, 1000]

    def takes_both(ctx: rk.Context, msg: Number | Wide) -> None:
        return None

    rt.launch(takes_both, name="small", accepts=[Number, Wide], max_message_size=1000)
    assert caught_too_large(rt, Wide(bytes(1000))) is None
    rt.kernels["small"].terminate()

    rt.launch(lambda ctx, msg: None, name="small", accepts=[Number])
    assert caught_too_large(rt, Wide(bytes(1000))) is not None


def caught_too_large(rt: rk.Runtime, message: Any) -> BaseException | None:
    def forward(ctx: rk.Context, msg: Number) -> Number:
        ctx.send("small", message)
        return msg

    kernel = rt.launch(forward, name="forward", publishes_to=["small"])
    try:
        kernel.call(Number(1), timeout=W)
    except HandlerError as error:
        return error.__cause__
    finally:
        kernel.terminate()
    return None


def test_a_paused_receiver_gets_its_messages_when_it_wakes(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []
    target = rt.launch(recorder(seen), name="target")
    target.deactivate()

    def forward(ctx: rk.Context, msg: Number) -> Number:
        ctx.send("target", msg)
        return msg

    kernel = rt.launch(forward, publishes_to=["target"])
    for n in range(5):
        kernel.call(Number(n), timeout=W)
    assert seen == []
    target.activate()
    until(lambda: seen == [0, 1, 2, 3, 4])


def test_a_name_that_was_given_again_means_the_new_kernel(rt: rk.Runtime, until: Any) -> None:
    old: list[int] = []
    new: list[int] = []
    first = rt.launch(recorder(old), name="target")

    def forward(ctx: rk.Context, msg: Number) -> Number:
        ctx.send("target", msg)
        return msg

    kernel = rt.launch(forward, publishes_to=["target"])
    kernel.call(Number(1), timeout=W)
    until(lambda: old == [1])
    first.terminate()
    rt.launch(recorder(new), name="target")
    kernel.call(Number(2), timeout=W)
    until(lambda: new == [2])
    assert old == [1]


def test_the_handle_of_an_ended_kernel_does_not_reach_its_namesake(rt: rk.Runtime) -> None:
    new: list[int] = []
    first = rt.launch(recorder([]), name="target")
    first.terminate()
    rt.launch(recorder(new), name="target")

    def forward(ctx: rk.Context, msg: Number) -> Number:
        ctx.send(first, msg)
        return msg

    with pytest.raises(HandlerError) as caught:
        rt.launch(forward, publishes_to=["target"]).call(Number(1), timeout=W)
    assert isinstance(caught.value.__cause__, (KernelTerminatedError, UnknownKernelError))
    rt.close()
    assert new == []


def test_the_end_of_a_pipeline_sends_to_the_host(rt: rk.Runtime) -> None:
    def first(ctx: rk.Context, msg: Number) -> None:
        ctx.send("last", Number(msg.n + 1))

    def last(ctx: rk.Context, msg: Number) -> None:
        ctx.send("host", Text(b"%d" % msg.n))

    end = rt.launch(last)
    start = rt.launch(first, publishes_to=["last"])
    for n in range(20):
        start.send(Number(n))
    received = [end.receive(timeout=W) for _ in range(20)]
    assert received == [Text(b"%d" % (n + 1)) for n in range(20)]
    assert received[0].header.source == end.address


def test_no_kernel_is_named_host(rt: rk.Runtime) -> None:
    with pytest.raises(InvalidArgumentError, match="host"):
        rt.launch(echo, name="host")


def test_a_kernel_may_terminate_another_from_outside_its_handler(rt: rk.Runtime, gate: Gate, threads: Any) -> None:
    """Moves are the host's; a host thread may make them while handlers run."""
    kernel = rt.launch(gate, name="slow")
    kernel.send(Number(1))
    assert gate.entered.wait(W)
    ending = threads.start(kernel.terminate, W)
    other = rt.launch(echo)
    assert other.call(Number(3), timeout=W) == Number(3)
    gate.open.set()
    ending.result()
    assert kernel.state is S.TERMINATED


def test_closing_while_kernels_talk_to_each_other_ends(backend: str) -> None:
    def forever(partner: str) -> Any:
        def talk(ctx: rk.Context, msg: Number) -> None:
            try:
                ctx.send(partner, Number(msg.n + 1))
            except (KernelTerminatedError, RingFullError):
                pass

        return talk

    rt = rk.Runtime(backend=backend)
    a = rt.launch(forever("b"), name="a", publishes_to=["b"], autostart=False)
    b = rt.launch(forever("a"), name="b", publishes_to=["a"], autostart=False)
    a.activate()
    b.activate()
    for n in range(10):
        a.send(Number(n))
        b.send(Number(n))
    time.sleep(0.02)
    rt.close(timeout=W)
    for kernel in (a, b):
        assert kernel.state is S.TERMINATED
        s = kernel.stats()
        assert s.accepted == s.delivered + s.dead_lettered
        assert s.in_flight == 0


def test_too_large_is_also_a_value_error() -> None:
    assert issubclass(MessageTooLargeError, ValueError)
