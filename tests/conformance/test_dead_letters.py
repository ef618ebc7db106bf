"""Dead letters: every message that nobody handled is there, says why, and can be sent again."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from actors import Gate, Number, Text, odd_only, recorder, sink

import pyringkernel as rk
from pyringkernel import DeadLetterReason
from pyringkernel.errors import DeadlineExpiredError, HandlerError, InvalidArgumentError, KernelHungError

if TYPE_CHECKING:
    from collections.abc import Callable
from dead_letters_parts import consistent, held, leave

W = 60.0  # a wait that only a hang uses up


# -- each reason


def test_a_message_whose_handler_raised(rt: rk.Runtime) -> None:
    kernel = rt.launch(odd_only)
    before = rt.tick()
    request = Number(4)
    with pytest.raises(HandlerError):
        kernel.call(request, timeout=W)
    after = rt.tick()
    (letter,) = rt.dead_letters.browse()
    assert letter.reason is DeadLetterReason.HANDLER_FAILED
    assert letter.message == Number(4)
    assert letter.kernel == "odd_only"
    assert "4 is even" in letter.error
    assert "ValueError" in letter.error
    assert letter.message_id == request.header.message_id
    assert letter.priority == rk.Priority.NORMAL
    assert letter.type_id == Number.type_id
    assert letter.dest == kernel.address
    assert len(letter.payload) == Number.dtype.itemsize
    assert not letter.truncated
    assert before.time < letter.hlc.time < after.time


def test_a_message_that_expired(rt: rk.Runtime, gate: Gate) -> None:
    kernel = rt.launch(gate, name="gate")
    kernel.send(Number(0))
    gate.entered.wait(W)
    operation = kernel.ask(Number(1), deadline=0.0)
    kernel.send(Number(2), deadline=1e-9, priority=rk.Priority.HIGH)
    gate.open.set()
    with pytest.raises(DeadlineExpiredError):
        operation.result(W)
    kernel.terminate()
    assert gate.handled == [0]
    letters = rt.dead_letters.browse()
    assert sorted(one.message.n for one in letters) == [1, 2]
    assert {one.reason for one in letters} == {DeadLetterReason.EXPIRED}
    assert {one.priority for one in letters} == {rk.Priority.NORMAL, rk.Priority.HIGH}


def test_messages_that_were_left_over_at_the_end(rt: rk.Runtime) -> None:
    leave(rt, 1, 2, 3)
    assert held(rt) == [1, 2, 3]
    assert {one.reason for one in rt.dead_letters.browse()} == {DeadLetterReason.TERMINATED}


def test_messages_of_a_kernel_that_failed(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    kernel = rt.launch(odd_only, autostart=False, max_failures=0)
    for n in (1, 2, 3, 4):
        kernel.send(Number(n))
    kernel.activate()
    until(lambda: kernel.state is rk.KernelState.FAILED)
    until(lambda: len(rt.dead_letters) == 3)
    reasons = [one.reason for one in rt.dead_letters.browse()]
    assert reasons == [DeadLetterReason.HANDLER_FAILED] + 2 * [DeadLetterReason.TERMINATED]
    assert held(rt) == [2, 3, 4]


def test_a_message_of_a_class_that_the_subscriber_does_not_take(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    rt.subscribe("t", rt.launch(sink))
    rt.publish("t", Text(b"x"))
    until(lambda: len(rt.dead_letters) == 1)
    (letter,) = rt.dead_letters.browse()
    assert letter.reason is DeadLetterReason.WRONG_TYPE
    assert letter.message == Text(b"x")


def test_a_message_for_a_subscriber_that_is_full(rt: rk.Runtime) -> None:
    rt.subscribe("full/*", capacity=1)
    kernel = rt.launch(sink, autostart=False)
    rt.subscribe("full/2", kernel, capacity=1)
    for n in (1, 2, 2):
        rt.publish(f"full/{n}", Number(n))
    letters = rt.dead_letters.browse()
    assert {one.reason for one in letters} == {DeadLetterReason.SUBSCRIBER_FULL}
    assert sorted(one.kernel for one in letters) == ["full/*", "full/*", "sink"]
    assert held(rt) == [2, 2, 2]


def test_a_message_that_waited_for_room_until_its_sender_ended(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    @rk.kernel(compiled=False, publishes_to=["slow"])
    def source(ctx: rk.Context, msg: Number) -> None:
        for n in range(msg.n):
            ctx.send("slow", Number(n))

    slow = rt.launch(sink, name="slow", autostart=False)
    kernel = rt.launch(source)
    edge = rt.connect(kernel, slow, overflow="block", capacity=2)
    kernel.send(Number(5))
    until(lambda: edge.stats().blocked)
    with suppress(KernelHungError):  # on a busy machine it may not end in time, but it ends
        kernel.terminate(timeout=0.1)
    until(lambda: len(rt.dead_letters) == 3)
    assert [one.reason for one in rt.dead_letters.browse()] == [DeadLetterReason.BACKPRESSURE] * 3
    assert held(rt) == [2, 3, 4]
    slow.activate()
    slow.terminate()
    assert slow.stats().delivered == 2


def test_a_message_that_waited_for_room_of_a_receiver_that_ended(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    @rk.kernel(compiled=False, publishes_to=["slow"])
    def source(ctx: rk.Context, msg: Number) -> None:
        for n in range(msg.n):
            ctx.send("slow", Number(n))

    slow = rt.launch(sink, name="slow", autostart=False)
    kernel = rt.launch(source)
    edge = rt.connect(kernel, slow, overflow="block", capacity=2)
    kernel.send(Number(5))
    until(lambda: edge.stats().blocked)
    slow.terminate()
    until(lambda: len(rt.dead_letters) == 5)
    assert held(rt, reason=DeadLetterReason.TERMINATED) == [0, 1]
    assert held(rt, reason=DeadLetterReason.UNDELIVERABLE) == [2, 3, 4]
    assert kernel.state is rk.KernelState.ACTIVE


def test_a_message_behind_a_handler_that_hangs(rt: rk.Runtime, until: Callable[..., Any], gate: Gate) -> None:
    kernel = rt.launch(gate, name="stuck", watchdog=0.02)
    kernel.send(Number(0))
    gate.entered.wait(W)
    for n in (1, 2):
        kernel.send(Number(n))
    until(lambda: kernel.hung)
    gate.open.set()
    until(lambda: len(rt.dead_letters.browse(kernel="stuck")) >= 3)
    letters = rt.dead_letters.browse(kernel="stuck")
    assert {one.reason for one in letters} == {DeadLetterReason.HUNG}
    assert [one.message for one in letters if one.payload] == [Number(1), Number(2)]


def test_the_letter_of_the_message_in_a_hung_handler_is_not_sent_again(
    rt: rk.Runtime, until: Callable[..., Any], gate: Gate
) -> None:
    kernel = rt.launch(gate, name="stuck", watchdog=0.02)
    request = Number(77)
    kernel.send(request)
    until(lambda: len(rt.dead_letters))
    (letter,) = rt.dead_letters.browse()
    assert (letter.reason, letter.message_id) == (DeadLetterReason.HUNG, request.header.message_id)
    assert letter.message is None, "the handler has it; what it holds is not known here"
    seen: list[int] = []
    other = rt.launch(recorder(seen))
    assert rt.dead_letters.replay(to=other) == 0
    assert len(rt.dead_letters) == 1
    gate.open.set()
    other.terminate()
    assert seen == []


# -- looking


def test_browse_filters(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    leave(rt, 1, 2, name="a")
    leave(rt, 3, name="b")
    kernel = rt.launch(odd_only)
    for n in (4, 6):
        kernel.send(Number(n))
    until(lambda: len(rt.dead_letters) == 5)
    assert held(rt) == [1, 2, 3, 4, 6]
    assert held(rt, kernel="a") == [1, 2]
    assert held(rt, kernel=kernel) == [4, 6]
    assert held(rt, reason=DeadLetterReason.TERMINATED) == [1, 2, 3]
    assert held(rt, reason=DeadLetterReason.TERMINATED, kernel="b") == [3]
    assert held(rt, reason=DeadLetterReason.HUNG) == []
    assert held(rt, kernel="nobody") == []
    assert held(rt, max=2) == [1, 2]
    assert held(rt, max=1, kernel="b") == [3]
    assert held(rt, max=0) == []
    assert len(rt.dead_letters) == 5


def test_wrong_arguments_are_refused(rt: rk.Runtime) -> None:
    letters = rt.dead_letters
    for wrong in (-1, 1.0, "1", True):
        for use in (letters.browse, letters.drain):
            with pytest.raises(InvalidArgumentError, match="max: found"):
                use(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=r"reason: found 'lost', need one of .*expired"):
        letters.browse(reason="lost")  # type: ignore[arg-type]
    for kernel in (5, sink):
        with pytest.raises(InvalidArgumentError, match="kernel: found"):
            letters.browse(kernel=kernel)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="to: found"):
            letters.replay(to=kernel)  # type: ignore[arg-type]
    for given in (5, [5], ["a"]):
        with pytest.raises(InvalidArgumentError, match="letters: found"):
            letters.replay(given)  # type: ignore[arg-type]


def test_a_letter_is_a_copy(rt: rk.Runtime) -> None:
    leave(rt, 1)
    (first,) = rt.dead_letters.browse()
    first.message.n = 99
    assert first.message == Number(1)
    (second,) = rt.dead_letters.drain()
    assert first == second
    with pytest.raises(AttributeError):
        first.reason = DeadLetterReason.HUNG  # type: ignore[misc]


def test_letters_can_be_read_when_the_runtime_is_closed(backend: str) -> None:
    with rk.Runtime(backend=backend) as rt:
        kernel = rt.launch(sink, autostart=False)
        kernel.send(Number(5))
    assert held(rt) == [5]
    assert rt.dead_letters.replay() == 0
    assert [one.message for one in rt.dead_letters.drain()] == [Number(5)]


def test_what_is_kept_says_so(rt: rk.Runtime) -> None:
    leave(rt, 1, 2)
    assert repr(rt.dead_letters) == "<DeadLetters kept=2 of 2>"
    rt.dead_letters.drain(1)
    assert repr(rt.dead_letters) == "<DeadLetters kept=1 of 2>"


def test_the_text_of_an_error_is_cut(rt: rk.Runtime) -> None:
    @rk.kernel(compiled=False)
    def wordy(ctx: rk.Context, msg: Number) -> None:
        raise ValueError("ö€🙂" * 10_000)

    with pytest.raises(HandlerError):
        rt.launch(wordy).call(Number(1), timeout=W)
    (letter,) = rt.dead_letters.browse()
    assert 100 < len(letter.error.encode()) <= 512
    assert "ö€🙂" in letter.error


@pytest.mark.parametrize("hostile", ["\ud800", "\0", ""], ids=ascii)
def test_an_error_of_any_text_makes_a_letter(rt: rk.Runtime, hostile: str) -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            return hostile

    @rk.kernel(compiled=False)
    def odd(ctx: rk.Context, msg: Number) -> None:
        raise OddError

    with pytest.raises(HandlerError):
        rt.launch(odd).call(Number(1), timeout=W)
    assert held(rt) == [1]
    assert isinstance(rt.dead_letters.browse()[0].error, str)


def test_an_exception_that_cannot_be_printed_makes_a_letter(rt: rk.Runtime) -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even that")

    @rk.kernel(compiled=False)
    def hostile(ctx: rk.Context, msg: Number) -> None:
        raise HostileError

    kernel = rt.launch(hostile)
    with pytest.raises(HandlerError):
        kernel.call(Number(1), timeout=W)
    assert held(rt) == [1]
    assert kernel.state is rk.KernelState.ACTIVE


# -- the ring


def test_the_oldest_letters_make_room(backend: str) -> None:
    with rk.Runtime(backend=backend, dead_letters=4) as rt:
        leave(rt, *range(10))
        assert held(rt) == [6, 7, 8, 9]
        stats = rt.dead_letters.stats()
        assert (stats.total, stats.kept, stats.overwritten, stats.taken) == (10, 4, 6, 0)
        assert [one.sequence for one in rt.dead_letters.browse()] == [7, 8, 9, 10]
        assert consistent(rt)


def test_nothing_is_kept_but_all_is_counted(backend: str) -> None:
    with rk.Runtime(backend=backend, dead_letters=0) as rt:
        leave(rt, *range(10))
        stats = rt.dead_letters.stats()
        assert (stats.total, stats.kept, stats.overwritten) == (10, 0, 10)
        assert rt.dead_letters.browse() == rt.dead_letters.drain() == []
        assert rt.dead_letters.replay() == 0
        assert consistent(rt)


@pytest.mark.parametrize("wrong", [-1, 2**32, 1.5, "8", None, True], ids=repr)
def test_a_number_of_letters_that_cannot_be_is_refused(backend: str, wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="dead_letters: found"):
        rk.Runtime(backend=backend, dead_letters=wrong).close()


def test_drain_takes_the_oldest(rt: rk.Runtime) -> None:
    leave(rt, 1, 2, 3)
    assert [one.message.n for one in rt.dead_letters.drain(2)] == [1, 2]
    assert held(rt) == [3]
    assert [one.message.n for one in rt.dead_letters.drain()] == [3]
    assert rt.dead_letters.drain() == []
    stats = rt.dead_letters.stats()
    assert (stats.total, stats.kept, stats.taken) == (3, 0, 3)
    assert consistent(rt)
