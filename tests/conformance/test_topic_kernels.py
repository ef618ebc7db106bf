"""Topics and kernels: as subscribers, policies, and counts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from actors import Gate, Number, Text, either, recorder, sink

import pyringkernel as rk
from pyringkernel import DeadLetterReason
from pyringkernel.errors import (
    KernelTerminatedError,
    RuntimeClosedError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
from topics_parts import balanced, waiting

W = 60.0  # a wait that only a hang uses up


@rk.message
class Large:
    data: rk.Array[rk.u8, 2000]


# -- kernels as subscribers


def test_a_kernel_handles_what_is_published(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen))
    sub = rt.subscribe("n/*", kernel)
    for n in range(100):
        assert rt.publish(f"n/{n % 7}", Number(n)) == 1
    kernel.terminate()
    assert seen == list(range(100))
    assert kernel.stats().accepted == kernel.stats().delivered == 100
    assert sub.closed or sub.stats().delivered == 100


def test_a_kernel_may_subscribe_several_times(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen))
    subs = [rt.subscribe(pattern, kernel) for pattern in ("a/b", "a/*", "#", "#")]
    assert rt.publish("a/b", Number(1)) == 4
    subs[3].close()
    assert rt.publish("a/b", Number(2)) == 3
    kernel.terminate()
    assert sorted(seen) == [1] * 4 + [2] * 3


def test_published_and_sent_messages_share_an_inbox(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), autostart=False)
    rt.subscribe("t", kernel)
    for n in range(50):
        kernel.send(Number(n))
        rt.publish("t", Number(1000 + n))
    assert kernel.stats().in_flight == 100
    kernel.activate()
    kernel.terminate()
    assert [n for n in seen if n < 1000] == list(range(50))
    assert [n for n in seen if n >= 1000] == list(range(1000, 1050))


def test_instances_share_what_a_kernel_subscribed_to(rt: rk.Runtime) -> None:
    seen: list[tuple[int, int]] = []

    @rk.kernel(compiled=False)
    def part(ctx: rk.Context, msg: Number) -> None:
        seen.append((ctx.instance_id(), msg.n))

    kernel = rt.launch(part, instances=4)
    rt.subscribe("t", kernel)
    for n in range(100):
        assert rt.publish("t", Number(n)) == 1
    kernel.terminate()
    assert sorted(n for _, n in seen) == list(range(100))
    for index in range(4):
        mine = [n for i, n in seen if i == index]
        assert len(mine) == 25
        assert mine == sorted(mine)


def test_a_key_decides_also_for_published_messages(rt: rk.Runtime) -> None:
    homes: dict[int, set[int]] = {}

    @rk.kernel(compiled=False)
    def part(ctx: rk.Context, msg: Number) -> None:
        homes.setdefault(msg.n, set()).add(ctx.instance_id())

    kernel = rt.launch(part, instances=4, routing="key:n")
    rt.subscribe("t", kernel)
    for _ in range(5):
        for n in range(40):
            kernel.send(Number(n))
            rt.publish("t", Number(n))
    kernel.terminate()
    assert len(homes) == 40
    assert all(len(where) == 1 for where in homes.values())
    assert len(set.union(*homes.values())) == 4


def test_a_class_that_the_kernel_does_not_take_is_a_dead_letter(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), name="only_numbers")
    rt.subscribe("#", kernel)
    rt.publish("a", Text(b"no"))
    rt.publish("a", Number(1))
    until(lambda: seen == [1])
    (letter,) = rt.dead_letters.browse()
    assert letter.reason is DeadLetterReason.WRONG_TYPE
    assert letter.kernel == "only_numbers"
    assert letter.message == Text(b"no")
    assert kernel.state is rk.KernelState.ACTIVE
    assert kernel.stats().dead_lettered == 1


def test_any_number_of_wrong_classes_does_not_end_a_kernel(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    kernel = rt.launch(sink, max_failures=0)
    rt.subscribe("#", kernel)
    for _ in range(100):
        rt.publish("a", Text(b"no"))
    until(lambda: kernel.stats().dead_lettered == 100)
    assert kernel.state is rk.KernelState.ACTIVE


def test_the_subscription_of_a_kernel_is_not_read_by_the_host(rt: rk.Runtime) -> None:
    sub = rt.subscribe("t", rt.launch(sink))
    for use in (sub.receive, sub.try_receive, sub.receive_many, lambda: next(iter(sub))):
        with pytest.raises(UnsupportedError, match="'sink'"):
            use()


def test_the_subscription_of_a_kernel_that_ends_is_closed(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    kernel = rt.launch(sink)
    sub = rt.subscribe("t", kernel)
    kernel.terminate()
    assert rt.publish("t", Number(1)) == 0
    until(lambda: sub.closed)
    assert len(rt.dead_letters) == 0
    sub.close()


@pytest.mark.parametrize("how", ["request", "failure", "hang"])
def test_a_subscriber_that_ends_by_itself_gets_no_more(
    rt: rk.Runtime, until: Callable[..., Any], gate: Gate, how: str
) -> None:
    @rk.kernel(compiled=False)
    def ends(ctx: rk.Context, msg: Number) -> None:
        if how == "request":
            ctx.request_termination()
        elif how == "failure":
            raise ValueError("the end")
        else:
            gate(ctx, msg)

    kernel = rt.launch(ends, max_failures=0, watchdog=0.02)
    other = rt.subscribe("t")
    sub = rt.subscribe("t", kernel)
    rt.publish("t", Number(1))
    until(lambda: sub.closed)
    assert rt.publish("t", Number(2)) == 1
    assert waiting(other) == [1, 2]
    gate.open.set()


def test_a_kernel_that_has_ended_cannot_subscribe(rt: rk.Runtime) -> None:
    kernel = rt.launch(sink)
    kernel.terminate()
    with pytest.raises(KernelTerminatedError, match="sink"):
        rt.subscribe("t", kernel)
    assert rt.publish("t", Number(1)) == 0


def test_a_restarted_kernel_keeps_its_subscription(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    seen: list[int] = []

    @rk.kernel(compiled=False)
    def fragile(ctx: rk.Context, msg: Number) -> None:
        if msg.n == 2:
            raise ValueError("poison")
        seen.append(msg.n)

    kernel = rt.launch(fragile, supervisor=rt.supervisor())
    sub = rt.subscribe("t", kernel)
    for n in range(5):
        assert rt.publish("t", Number(n)) == 1
    until(lambda: seen == [0, 1, 3, 4])
    assert kernel.restarts == 1
    assert not sub.closed


# -- policies, and counts


def test_fail_makes_dead_letters_of_what_finds_no_room(rt: rk.Runtime) -> None:
    small, large = rt.subscribe("t", capacity=2), rt.subscribe("t", capacity=8)
    assert [rt.publish("t", Number(n)) for n in range(4)] == [2, 2, 1, 1]
    letters = rt.dead_letters.browse()
    assert [one.message for one in letters] == [Number(2), Number(3)]
    assert {one.reason for one in letters} == {DeadLetterReason.SUBSCRIBER_FULL}
    assert waiting(small) == [0, 1]
    assert waiting(large) == [0, 1, 2, 3]
    assert rt.publish("t", Number(4)) == 2, "there is room again"


def test_drop_newest_keeps_the_oldest(rt: rk.Runtime) -> None:
    sub = rt.subscribe("t", capacity=2, overflow="drop_newest")
    for n in range(5):
        rt.publish("t", Number(n))
    stats = sub.stats()
    assert (stats.accepted, stats.dropped, stats.in_flight) == (5, 3, 2)
    assert waiting(sub) == [0, 1]
    assert len(rt.dead_letters) == 0


def test_drop_oldest_keeps_the_newest(rt: rk.Runtime) -> None:
    sub = rt.subscribe("t", capacity=4, overflow="drop_oldest")
    for n in range(11):
        assert rt.publish("t", Number(n)) == 1
    assert waiting(sub) == [7, 8, 9, 10]
    stats = sub.stats()
    assert (stats.accepted, stats.dropped, stats.delivered, stats.in_flight) == (11, 7, 4, 0)
    assert len(rt.dead_letters) == 0


def test_block_waits_until_there_is_room(rt: rk.Runtime, threads: Any) -> None:
    sub = rt.subscribe("t", capacity=2, overflow="block")
    publisher = threads.start(lambda: [rt.publish("t", Number(n), timeout=W) for n in range(200)])
    assert [sub.receive(timeout=W).n for _ in range(200)] == list(range(200))
    assert publisher.result() == [1] * 200
    assert len(rt.dead_letters) == 0


def test_block_gives_up_in_time(rt: rk.Runtime) -> None:
    sub = rt.subscribe("t", capacity=1, overflow="block")
    assert rt.publish("t", Number(1)) == 1
    assert rt.publish("t", Number(2), timeout=0.01) == 0
    assert rt.publish("t", Number(3), timeout=0) == 0
    assert [one.message for one in rt.dead_letters.browse()] == [Number(2), Number(3)]
    assert waiting(sub) == [1]


def test_who_waits_for_a_subscription_wakes_when_it_is_closed(rt: rk.Runtime, threads: Any) -> None:
    sub = rt.subscribe("t", capacity=1, overflow="block")
    rt.publish("t", Number(1))
    publisher = threads.start(lambda: rt.publish("t", Number(2), timeout=None))
    sub.close()
    assert publisher.result() == 0
    assert waiting(sub) == [1]


def test_who_waits_for_a_subscription_wakes_when_the_runtime_is_closed(rt: rk.Runtime, threads: Any) -> None:
    rt.subscribe("t", capacity=1, overflow="block")
    rt.publish("t", Number(1))
    publisher = threads.start(lambda: rt.publish("t", Number(2), timeout=None))
    rt.close()
    assert publisher.error() is None or isinstance(publisher.error(), RuntimeClosedError)


def test_ctrl_c_ends_a_publish_that_waits(start_script: Callable[..., Any]) -> None:
    script = start_script("""
        with rk.Runtime() as rt:
            rt.subscribe("t", capacity=1, overflow="block")
            rt.publish("t", Ping())
            try:
                print("ready", flush=True)
                rt.publish("t", Ping(), timeout=None)
            except KeyboardInterrupt:
                print("interrupted", flush=True)
    """)
    script.wait_for("ready")
    time.sleep(0.1)  # it is inside publish() now; if not, the test shows nothing, but does not fail
    script.interrupt()
    code, out, errors = script.end()
    assert (code, out.strip()) == (0, "interrupted"), errors


def test_the_policies_of_subscribers_do_not_touch_each_other(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), autostart=False, capacity=64)
    subs = {
        "fail": rt.subscribe("t", capacity=2, overflow="fail"),
        "drop_newest": rt.subscribe("t", capacity=4, overflow="drop_newest"),
        "drop_oldest": rt.subscribe("#", capacity=8, overflow="drop_oldest"),
        "kernel": rt.subscribe("*", kernel, capacity=16, overflow="fail"),
        "roomy": rt.subscribe("t", capacity=32),
    }
    for n in range(20):
        rt.publish("t", Number(n))
    for sub in subs.values():
        assert balanced(sub.stats())
        assert sub.stats().accepted == 20
    assert subs["fail"].stats().dead_lettered == 18
    assert subs["drop_newest"].stats().dropped == 16
    assert subs["drop_oldest"].stats().dropped == 12
    assert subs["kernel"].stats().dead_lettered == 4
    assert subs["roomy"].stats().in_flight == 20
    assert waiting(subs["drop_newest"]) == [0, 1, 2, 3]
    assert waiting(subs["drop_oldest"]) == list(range(12, 20))
    kernel.activate()
    kernel.terminate()
    assert seen == list(range(16))


def test_a_message_that_is_too_large_is_a_dead_letter(rt: rk.Runtime) -> None:
    narrow = rt.subscribe("t", max_message_size=8)
    usual = rt.subscribe("t")
    wide = rt.subscribe("t", max_message_size=2000)
    kernel = rt.launch(either, autostart=False)
    rt.subscribe("t", kernel)
    assert rt.publish("t", Large(np.arange(2000) % 256)) == 1
    assert wide.receive(timeout=W).data[255] == 255
    letters = rt.dead_letters.browse()
    assert len(letters) == 3
    assert all("larger" in one.error and one.truncated and len(one.payload) == 1024 for one in letters)
    assert all(one.message is None for one in letters)
    assert [narrow.stats().dead_lettered, usual.stats().dead_lettered] == [1, 1]
    assert rt.publish("t", Number(1)) == 4
