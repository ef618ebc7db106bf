"""Dead letters that are sent again, and many of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from actors import Number, Tally, Text, Values, either, odd_only, recorder, sink, tally

import pyringkernel as rk
from pyringkernel import DeadLetterReason
from pyringkernel.errors import HandlerError

if TYPE_CHECKING:
    from collections.abc import Callable
from dead_letters_parts import consistent, held, leave

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
