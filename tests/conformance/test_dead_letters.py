"""Dead letters: every message that nobody handled is there, says why, and can be sent again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from actors import Gate, Number, Tally, Text, Values, either, odd_only, recorder, sink, tally

import pyringkernel as rk
from pyringkernel import DeadLetterReason
from pyringkernel.errors import DeadlineExpiredError, HandlerError, InvalidArgumentError, KernelHungError

if TYPE_CHECKING:
    from collections.abc import Callable

W = 60.0  # a wait that only a hang uses up


@rk.message
class Large:
    data: rk.Array[rk.u8, 2000]


@rk.kernel(compiled=False)
def picky(ctx: rk.Context, msg: Number | Text) -> None:
    raise ValueError(f"no: {type(msg).__name__}")


def numbers(*values: int) -> np.ndarray[Any, Any]:
    batch = np.zeros(len(values), Number.dtype)
    batch["n"] = values
    return batch


def leave(rt: rk.Runtime, *values: int, name: str = "quiet") -> None:
    """Makes dead letters of these numbers: a kernel that never ran ends with them."""
    kernel = rt.launch(sink, name=name, autostart=False)
    for n in values:
        kernel.send(Number(n))
    kernel.terminate()


def held(rt: rk.Runtime, **filters: Any) -> list[int]:
    return [one.message.n for one in rt.dead_letters.browse(**filters)]


def consistent(rt: rk.Runtime) -> bool:
    stats = rt.dead_letters.stats()
    totals = rt.telemetry().stats
    return (
        stats.total == stats.kept + stats.overwritten + stats.taken == sum(stats.by_reason.values())
        and stats.kept == len(rt.dead_letters)
        and totals.accepted == totals.delivered + totals.dropped + totals.dead_lettered + totals.in_flight
    )


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


# -- sending again


def test_replay_sends_to_where_they_were_bound(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    broken, seen = [True], []

    @rk.kernel(compiled=False)
    def mended(ctx: rk.Context, msg: Number) -> None:
        if broken:
            raise ValueError("not yet")
        seen.append(msg.n)

    kernel = rt.launch(mended, max_failures=64)
    for n in range(20):
        kernel.send(Number(n))
    until(lambda: len(rt.dead_letters) == 20)
    assert rt.dead_letters.replay() == 20
    until(lambda: rt.dead_letters.stats().total == 40)
    broken.clear()
    assert rt.dead_letters.replay() == 20
    kernel.terminate()
    assert seen == list(range(20))
    assert len(rt.dead_letters) == 0
    assert consistent(rt)


def test_replay_reaches_the_next_kernel_of_the_name(rt: rk.Runtime) -> None:
    seen: list[int] = []
    leave(rt, 1, 2, 3, name="worker")
    assert rt.dead_letters.replay() == 0
    assert held(rt) == [1, 2, 3]
    kernel = rt.launch(recorder(seen), name="worker")
    assert rt.dead_letters.replay() == 3
    kernel.terminate()
    assert seen == [1, 2, 3]


def test_replay_to_another_kernel(rt: rk.Runtime) -> None:
    leave(rt, 1, 2, 3)
    seen: list[int] = []
    other = rt.launch(recorder(seen))
    assert rt.dead_letters.replay(to=other) == 3
    other.terminate()
    assert seen == [1, 2, 3]


def test_replay_of_some(rt: rk.Runtime) -> None:
    seen: list[int] = []
    leave(rt, *range(6))
    other = rt.launch(recorder(seen))
    chosen = [one for one in rt.dead_letters.browse() if one.message.n % 2]
    assert rt.dead_letters.replay(chosen, to=other) == 3
    assert rt.dead_letters.replay(chosen, to=other) == 0, "they have left"
    assert rt.dead_letters.replay([], to=other) == 0
    assert rt.dead_letters.replay((one for one in rt.dead_letters.browse(max=1)), to=other) == 1
    other.terminate()
    assert seen == [1, 3, 5, 0]
    assert held(rt) == [2, 4]


def test_letters_that_find_no_room_stay(rt: rk.Runtime) -> None:
    leave(rt, *range(6))
    other = rt.launch(sink, name="small", capacity=4, autostart=False)
    assert rt.dead_letters.replay(to=other) == 4
    assert held(rt) == [4, 5]
    assert rt.dead_letters.replay(to=other) == 0
    assert consistent(rt)


def test_a_cut_letter_stays(rt: rk.Runtime) -> None:
    @rk.kernel(compiled=False)
    def wide(ctx: rk.Context, msg: Large) -> None: ...

    kernel = rt.launch(wide, autostart=False)
    kernel.send(Large(np.arange(2000) % 256))
    kernel.terminate()
    again = rt.launch(wide)
    assert rt.dead_letters.replay() == rt.dead_letters.replay(to=again) == 0
    (letter,) = rt.dead_letters.browse()
    assert letter.truncated
    assert letter.message is None
    assert letter.payload == bytes(n % 256 for n in range(1024))


def test_a_letter_that_is_too_large_for_the_kernel_stays(rt: rk.Runtime) -> None:
    @rk.kernel(compiled=False)
    def medium(ctx: rk.Context, msg: Values) -> None: ...

    kernel = rt.launch(medium, autostart=False)
    kernel.send(Values(1, np.zeros(64)))
    kernel.terminate()
    assert rt.dead_letters.replay(to=rt.launch(sink, max_message_size=8)) == 0
    assert len(rt.dead_letters) == 1


def test_a_kernel_is_not_sent_letters_of_a_class_that_it_does_not_take(rt: rk.Runtime) -> None:
    kernel = rt.launch(either, autostart=False)
    kernel.send(Text(b"x"))
    kernel.send(Number(1))
    kernel.terminate()
    seen: list[int] = []
    other = rt.launch(recorder(seen))
    rt.dead_letters.replay(to=other)
    other.terminate()
    assert seen == [1]
    (letter,) = rt.dead_letters.browse()
    assert (letter.message, letter.reason) == (Text(b"x"), DeadLetterReason.TERMINATED)
    assert other.error_count == 0


def test_a_replayed_message_has_no_deadline_any_more(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), autostart=False)
    kernel.send(Number(1), deadline=0.0)
    kernel.terminate()
    again = rt.launch(recorder(seen))
    assert rt.dead_letters.replay(to=again) == 1
    again.terminate()
    assert seen == [1]


def test_a_replayed_message_goes_to_the_instance_that_it_was_for(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    @rk.kernel(compiled=False)
    def fragile(ctx: rk.Context, state: Tally, msg: Number) -> None:
        if state.seen == 0:
            state.seen = 1
            raise ValueError("the first one")
        state.total += msg.n

    kernel = rt.launch(fragile, instances=4)
    for i in range(4):
        kernel.send(Number(10 + i), instance=i)
    until(lambda: len(rt.dead_letters) == 4)
    assert rt.dead_letters.replay() == 4
    kernel.terminate()
    assert [one.total for one in kernel.states] == [10, 11, 12, 13]


def test_a_replayed_message_keeps_its_priority(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), autostart=False)
    for n, priority in enumerate((rk.Priority.LOW, rk.Priority.CRITICAL, rk.Priority.NORMAL)):
        kernel.send(Number(n), priority=priority)
    kernel.terminate()
    seen.clear()
    again = rt.launch(recorder(seen), autostart=False)
    assert rt.dead_letters.replay(to=again) == 3
    again.activate()
    again.terminate()
    assert seen == [1, 2, 0]


def test_a_kernel_that_remembers_ids_takes_a_replayed_message(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    broken, seen = [True], []

    @rk.kernel(compiled=False)
    def mended(ctx: rk.Context, msg: Number) -> None:
        if broken:
            raise ValueError("not yet")
        seen.append(msg.n)

    kernel = rt.launch(mended, dedup=16)
    kernel.send(Number(1))
    until(lambda: len(rt.dead_letters) == 1)
    broken.clear()
    assert rt.dead_letters.replay() == 1
    kernel.terminate()
    assert seen == [1], "sent again on purpose, it is no duplicate"


def test_nobody_waits_for_the_reply_to_a_replayed_call(rt: rk.Runtime) -> None:
    kernel = rt.launch(odd_only)
    with pytest.raises(HandlerError):
        kernel.call(Number(2), timeout=W)
    again = rt.launch(tally)
    assert rt.dead_letters.replay(to=again) == 1
    assert again.receive(timeout=W) == Number(2)
    assert kernel.call(Number(3), timeout=W) == Number(3)


def test_what_a_host_subscriber_missed_goes_to_a_kernel_only_on_request(rt: rk.Runtime) -> None:
    seen: list[int] = []
    namesake = rt.launch(recorder(seen), name="t")
    sub = rt.subscribe("t", capacity=1)
    for n in range(3):
        rt.publish("t", Number(n))
    assert sub.stats().dead_lettered == 2
    assert rt.dead_letters.replay() == 0, "a subscription is not a kernel of the same name"
    assert held(rt) == [1, 2]
    assert rt.dead_letters.replay(to=namesake) == 2
    namesake.terminate()
    assert seen == [1, 2]


def test_what_a_kernel_missed_as_a_subscriber_is_replayed_to_it(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), autostart=False)
    rt.subscribe("t", kernel, capacity=1)
    for n in range(3):
        rt.publish("t", Number(n))
    assert rt.dead_letters.replay() == 2
    kernel.activate()
    kernel.terminate()
    assert sorted(seen) == [0, 1, 2]


def test_a_handler_may_replay(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    leave(rt, *range(10))
    seen: list[int] = []

    @rk.kernel(compiled=False)
    def medic(ctx: rk.Context, msg: Number) -> Number:
        return Number(rt.dead_letters.replay(to=patient))

    patient = rt.launch(recorder(seen))
    assert rt.launch(medic).call(Number(0), timeout=W) == Number(10)
    until(lambda: seen == list(range(10)))


# -- many


def test_each_letter_is_given_to_one(rt: rk.Runtime, threads: Any) -> None:
    seen: list[int] = []
    target = rt.launch(recorder(seen), capacity=4096)
    leave(rt, *range(1000))
    drained: list[int] = []

    def work(index: int) -> int:
        sent = 0
        while len(rt.dead_letters):
            if index % 2:
                drained.extend(one.message.n for one in rt.dead_letters.drain(7))
            else:
                sent += rt.dead_letters.replay(rt.dead_letters.browse(20), to=target)
        return sent

    sent = sum(threads.run_all(4, work))
    target.terminate()
    assert len(seen) == sent
    assert sorted(seen + drained) == list(range(1000))
    assert consistent(rt)


def test_letters_arrive_while_others_browse_and_drain(rt: rk.Runtime, threads: Any) -> None:
    done: list[int] = []

    def make(index: int) -> None:
        for k in range(10):
            leave(rt, *range(index * 1000 + k * 50, index * 1000 + k * 50 + 50), name=f"{index}/{k}")
        done.append(index)

    def read(index: int) -> list[int]:
        taken = []
        while len(done) < 2:
            for letter in rt.dead_letters.browse(kernel=f"{index % 2}/3"):
                assert letter.kernel == f"{index % 2}/3"
                assert letter.message.n // 1000 == index % 2
            sequences = [one.sequence for one in rt.dead_letters.browse()]
            assert sequences == sorted(set(sequences))
            taken += [one.message.n for one in rt.dead_letters.drain(30)]
        return taken

    parts = threads.run_all(4, lambda i: make(i) if i < 2 else read(i))
    taken = [n for part in parts if part for n in part] + [one.message.n for one in rt.dead_letters.drain()]
    stats = rt.dead_letters.stats()
    assert stats.total == 1000
    assert len(taken) == len(set(taken)) == 1000 - stats.overwritten
    assert consistent(rt)


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def test_a_million_dead_letters_take_no_more_memory_than_a_thousand(backend: str) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc/self/statm")
    rounds, each = 64, 16384
    with rk.Runtime(backend=backend, dead_letters=1024) as rt:
        batch = np.zeros(each, Number.dtype)
        resident = []
        for k in range(rounds):
            kernel = rt.launch(sink, capacity=each, max_message_size=8, autostart=False)
            batch["n"] = np.arange(k * each, (k + 1) * each)
            assert kernel.send_many(batch) == each
            kernel.terminate()
            del kernel
            resident.append(resident_mib())
        stats = rt.dead_letters.stats()
        assert stats.total == rounds * each > 1_000_000
        assert (stats.kept, stats.overwritten) == (1024, rounds * each - 1024)
        assert stats.by_reason[DeadLetterReason.TERMINATED] == rounds * each
        assert held(rt) == list(range(rounds * each - 1024, rounds * each))
        totals = rt.telemetry().stats
        assert totals.accepted == totals.dead_lettered == rounds * each
        assert consistent(rt)
        assert max(resident[8:]) - min(resident[:8]) < 32, f"MiB resident after each round: {resident}"


def test_everything_that_was_sent_is_accounted_for(rt: rk.Runtime, threads: Any, until: Callable[..., Any]) -> None:
    """Failures, expiry, wrong classes, full subscribers, left overs: all at once, and the sums are exact."""

    @rk.kernel(compiled=False)
    def flaky(ctx: rk.Context, msg: Number) -> Number | None:
        if msg.n % 5 == 0:
            raise ValueError("no")
        return msg if msg.n % 2 else None

    flaky_one = rt.launch(flaky, name="flaky", capacity=4096, supervisor=rt.supervisor(intensity=10**6))
    paused = rt.launch(sink, name="paused", capacity=4096, autostart=False)
    rt.subscribe("t", flaky_one, capacity=4096)
    small = rt.subscribe("t", capacity=16)

    def feed(index: int) -> None:
        for n in range(200):
            flaky_one.send(Number(n), deadline=0.0 if n % 7 == 0 else None)
            paused.send(Number(n))
            rt.publish("t", Text(b"x") if n % 10 == 0 else Number(n))

    threads.run_all(4, feed)
    until(lambda: flaky_one.stats().in_flight == 0)
    flaky_one.terminate()
    paused.terminate()
    stats = rt.dead_letters.stats()
    own = flaky_one.stats()
    assert own.accepted == 1600
    assert own.in_flight == 0
    by_reason = stats.by_reason
    assert by_reason[DeadLetterReason.TERMINATED] == 800
    assert by_reason[DeadLetterReason.WRONG_TYPE] == 80
    assert by_reason[DeadLetterReason.SUBSCRIBER_FULL] == small.stats().dead_lettered == 800 - 16
    failed_and_expired = by_reason[DeadLetterReason.HANDLER_FAILED] + by_reason[DeadLetterReason.EXPIRED]
    assert own.dead_lettered == failed_and_expired + 80
    assert flaky_one.telemetry().expired == by_reason[DeadLetterReason.EXPIRED]
    totals = rt.telemetry().stats
    assert totals.dead_lettered == stats.total
    assert consistent(rt)


def test_a_flood_of_failures_counts_each_one(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    kernel = rt.launch(picky, capacity=4096, supervisor=rt.supervisor(intensity=10**6))
    start = rt.tick().time
    assert kernel.send_many(numbers(*range(2000))) == 2000
    until(lambda: rt.dead_letters.stats().total == 2000)
    assert held(rt) == list(range(2000 - 1024, 2000))
    times = [one.hlc.time for one in rt.dead_letters.browse()]
    assert start < times[0]
    assert times == sorted(times)
    assert kernel.stats().dead_lettered == 2000
