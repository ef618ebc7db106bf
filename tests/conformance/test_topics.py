"""Topics: who gets what was published, in which order, and what becomes of it when there is no room."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
from actors import Number, Text, Unknown, recorder, sink

import pyringkernel as rk
from pyringkernel.errors import (
    CapacityError,
    InvalidArgumentError,
    ReceiveTimeoutError,
    TopicError,
    WrongMessageError,
)

if TYPE_CHECKING:
    pass
from topics_parts import waiting

W = 60.0  # a wait that only a hang uses up


# -- host subscribers


def test_what_is_published_is_received(rt: rk.Runtime) -> None:
    sub = rt.subscribe("prices/gold")
    assert rt.publish("prices/gold", Number(7)) == 1
    assert sub.receive(timeout=W) == Number(7)
    assert sub.try_receive() is None
    with pytest.raises(ReceiveTimeoutError, match="prices/gold"):
        sub.receive(timeout=0.01)


def test_a_topic_without_subscribers_reaches_nobody(rt: rk.Runtime) -> None:
    assert rt.publish("prices/gold", Number(7)) == 0
    assert rt.subscribe("prices/gold").try_receive() is None
    assert len(rt.dead_letters) == 0


def test_every_subscriber_gets_a_copy_of_its_own(rt: rk.Runtime) -> None:
    subs = [rt.subscribe(pattern) for pattern in ("a/b", "a/b", "a/*", "#", "*/b", "a/#")]
    message = Number(1)
    assert rt.publish("a/b", message) == len(subs)
    message.n = 2
    assert [waiting(sub) for sub in subs] == [[1]] * len(subs)


def test_a_message_of_a_subscription_tells_who_sent_it_and_when(rt: rk.Runtime) -> None:
    sub = rt.subscribe("t")
    before = rt.tick()
    sent = Number(1)
    rt.publish("t", sent)
    rt.publish("t", sent)
    first, second = sub.receive(timeout=W), sub.receive(timeout=W)
    assert first.header.message_id < second.header.message_id == sent.header.message_id
    assert before < first.header.timestamp < second.header.timestamp


def test_a_message_that_was_received_outlives_its_subscription(rt: rk.Runtime) -> None:
    sub = rt.subscribe("t", capacity=2)
    rt.publish("t", Text(b"kept"))
    kept = sub.receive(timeout=W)
    for n in range(10):
        rt.publish("t", Number(n))
        sub.receive(timeout=W)
    sub.close()
    del sub
    gc.collect()
    assert kept.text.rstrip(b"\0") == b"kept"


def test_classes_are_mixed_in_one_subscription(rt: rk.Runtime) -> None:
    sub = rt.subscribe("#")
    sent = [Number(1), Text(b"x"), Unknown(), Number(2)]
    for message in sent:
        rt.publish("t", message)
    assert [sub.receive(timeout=W) for _ in sent] == sent


# -- patterns

MATCHES = [
    ("a", "a", True),
    ("a", "b", False),
    ("a", "a/b", False),
    ("a/b", "a", False),
    ("*", "a", True),
    ("*", "a/b", False),
    ("*/*", "a/b", True),
    ("*/*", "a", False),
    ("a/*/c", "a/b/c", True),
    ("a/*/c", "a/b/b/c", False),
    ("a/*/c", "a/c", False),
    ("#", "a", True),
    ("#", "a/b/c", True),
    ("a/#", "a/b", True),
    ("a/#", "a/b/c/d", True),
    ("a/#", "a", False),
    ("a/#", "ab/c", False),
    ("*/#", "a", False),
    ("*/#", "a/b", True),
    ("A", "a", False),
    ("a b/ö", "a b/ö", True),
    ("?", "a", False),
    ("?", "?", True),
    ("[a]/$x.y", "[a]/$x.y", True),
]


@pytest.mark.parametrize(("pattern", "topic", "matches"), MATCHES)
def test_wildcards_stand_for_levels(rt: rk.Runtime, pattern: str, topic: str, matches: bool) -> None:
    rt.publish(topic, Number(1), retain=True)
    sub = rt.subscribe(pattern)
    assert waiting(sub) == [1] * matches, "retained before"
    assert rt.publish(topic, Number(2)) == matches
    assert waiting(sub) == [2] * matches


def test_a_pattern_of_many_wildcards_gets_each_message_once(rt: rk.Runtime) -> None:
    topic = "/".join("a" * 60)
    subs = [rt.subscribe("/".join(["*", "a"] * k + ["#"])) for k in range(30)]
    assert rt.publish(topic, Number(1)) == 30
    assert all(waiting(sub) == [1] for sub in subs)


BAD: list[Any] = ["", "/", "/a", "a/", "a//b", "a\0b", "\ud800", "a" * 1025, "ö" * 513, None, 5, b"a", ["a"]]
BAD_PATTERN = ["#/a", "a/#/b", "a*", "*a/b", "a#", "a/b#", "**", "##", "*#"]
BAD_TOPIC = ["*", "#", "a/*", "a/#", "a*"]


@pytest.mark.parametrize("pattern", BAD + BAD_PATTERN, ids=ascii)
def test_a_malformed_pattern_is_refused(rt: rk.Runtime, pattern: Any) -> None:
    with pytest.raises(TopicError) as caught:
        rt.subscribe(pattern)
    assert isinstance(caught.value, ValueError)
    assert "pattern" in str(caught.value)


@pytest.mark.parametrize("topic", BAD + BAD_TOPIC, ids=ascii)
def test_a_malformed_topic_is_refused(rt: rk.Runtime, topic: Any) -> None:
    sub = rt.subscribe("#")
    with pytest.raises(TopicError, match="topic"):
        rt.publish(topic, Number(1))
    assert sub.stats().accepted == 0
    assert rt.topics() == []


def test_a_handler_that_publishes_to_a_malformed_topic_gets_the_error(rt: rk.Runtime) -> None:
    errors: list[BaseException] = []

    @rk.kernel(compiled=False)
    def bad(ctx: rk.Context, msg: Number) -> Number:
        for topic in ("a//b", "a/#", ""):
            try:
                ctx.publish(topic, msg)
            except TopicError as error:
                errors.append(error)
        return msg

    assert rt.launch(bad).call(Number(1), timeout=W) == Number(1)
    assert len(errors) == 3
    assert "level 2 is empty" in str(errors[0])


def test_errors_say_what_was_found_and_what_is_needed(rt: rk.Runtime) -> None:
    with pytest.raises(TopicError, match=r"'a\*/b'.*level 1.*a level of its own"):
        rt.subscribe("a*/b")
    with pytest.raises(TopicError, match=r"1025 bytes.*1024"):
        rt.subscribe("a" * 1025)
    with pytest.raises(TopicError, match=r"found int, need a str"):
        rt.publish(5, Number(1))  # type: ignore[arg-type]


def test_the_longest_topic_is_a_topic(rt: rk.Runtime) -> None:
    for topic in ("a" * 1024, "/".join("a" * 512), "ö" * 512):
        sub = rt.subscribe(topic)
        assert rt.publish(topic, Number(1)) == 1
        assert waiting(sub) == [1]


# -- wrong arguments


@pytest.mark.parametrize("wrong", [None, 5, b"x", Number], ids=repr)
def test_only_messages_can_be_published(rt: rk.Runtime, wrong: Any) -> None:
    with pytest.raises(WrongMessageError, match="need a message"):
        rt.publish("t", wrong)


@pytest.mark.parametrize("capacity", [0, -1, 3, 1000, 2**48, "8", 2.0, None, True], ids=repr)
def test_a_capacity_that_cannot_be_is_refused(rt: rk.Runtime, capacity: Any) -> None:
    with pytest.raises((CapacityError, InvalidArgumentError), match="power of two"):
        rt.subscribe("t", capacity=capacity)
    assert rt.publish("t", Number(1)) == 0


@pytest.mark.parametrize("size", [0, -1, 2**31, "8", 1.0, None], ids=repr)
def test_a_message_size_that_cannot_be_is_refused(rt: rk.Runtime, size: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="max_message_size"):
        rt.subscribe("t", max_message_size=size)


def test_an_unknown_policy_is_refused(rt: rk.Runtime) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'wait'.*drop_newest"):
        rt.subscribe("t", overflow="wait")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["sink", 5, sink, object()], ids=repr)
def test_a_subscriber_is_a_kernel(rt: rk.Runtime, wrong: Any) -> None:
    rt.launch(sink)
    with pytest.raises(InvalidArgumentError, match="need a kernel"):
        rt.subscribe("t", wrong)


def test_a_kernel_of_another_runtime_is_no_subscriber(rt: rk.Runtime, backend: str) -> None:
    with rk.Runtime(backend=backend) as other:
        kernel = other.launch(sink)
        with pytest.raises(InvalidArgumentError, match="another runtime"):
            rt.subscribe("t", kernel)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1"], ids=repr)
def test_a_timeout_that_cannot_be_is_refused(rt: rk.Runtime, timeout: Any) -> None:
    sub = rt.subscribe("t")
    for use in (
        lambda: rt.publish("t", Number(1), timeout=timeout),
        lambda: sub.receive(timeout),
        lambda: sub.receive_many(timeout=timeout),
    ):
        with pytest.raises(InvalidArgumentError, match="timeout"):
            use()
    assert sub.stats().accepted == 0


# -- retained messages


def test_a_retained_message_waits_for_new_subscribers(rt: rk.Runtime) -> None:
    rt.publish("a", Number(1), retain=True)
    rt.publish("a", Number(2))
    assert waiting(rt.subscribe("a")) == [1]
    assert waiting(rt.subscribe("#")) == [1]


def test_the_last_retained_message_of_a_topic_counts(rt: rk.Runtime) -> None:
    early = rt.subscribe("a")
    for n in range(3):
        rt.publish("a", Number(n), retain=True)
    assert waiting(early) == [0, 1, 2]
    assert waiting(rt.subscribe("a")) == [2]


def test_retained_messages_come_oldest_first(rt: rk.Runtime) -> None:
    names = [f"t/{(7 * k) % 64}" for k in range(64)]
    for n, name in enumerate(names):
        rt.publish(name, Number(n), retain=True)
    rt.publish(names[0], Number(64), retain=True)  # the oldest is the newest now
    assert waiting(rt.subscribe("t/*")) == list(range(1, 65))
    assert waiting(rt.subscribe("#", capacity=64)) == list(range(1, 65))


def test_a_cleared_topic_has_nothing_retained(rt: rk.Runtime) -> None:
    rt.publish("a", Number(1), retain=True)
    rt.publish("b", Number(2), retain=True)
    assert rt.clear_retained("a") is True
    assert rt.clear_retained("a") is False
    assert rt.clear_retained("never") is False
    assert waiting(rt.subscribe("#")) == [2]
    assert [(one.topic, one.retained) for one in rt.topics()] == [("a", False), ("b", True)]


def test_topics_are_counted(rt: rk.Runtime) -> None:
    for n in range(5):
        rt.publish("a", Number(n))
    rt.publish("b/c", Number(1), retain=True)
    assert rt.topics() == [rk.TopicInfo("a", 5, False), rk.TopicInfo("b/c", 1, True)]


def test_retained_messages_that_find_no_room_are_dead_letters_with_their_content(rt: rk.Runtime) -> None:
    for n in range(5):
        rt.publish(f"t/{n}", Number(n), retain=True)
    sub = rt.subscribe("t/#", capacity=2)
    assert waiting(sub) == [0, 1]
    assert sub.stats().dead_lettered == 3
    assert [one.message for one in rt.dead_letters.browse()] == [Number(2), Number(3), Number(4)]


def test_a_kernel_that_subscribes_gets_what_is_retained(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen))
    rt.publish("a", Number(3), retain=True)
    rt.subscribe("a", kernel)
    kernel.terminate()
    assert seen == [3]


def test_who_subscribes_while_others_retain_gets_each_message_at_most_once(rt: rk.Runtime, threads: Any) -> None:
    done = []

    def publish() -> None:
        for n in range(2000):
            rt.publish("a", Number(n), retain=True)
        done.append(True)

    publisher = threads.start(publish)
    heard: list[list[int]] = []
    while not done:
        with rt.subscribe("a", capacity=4096) as sub:
            sub.receive(timeout=W)  # retained or published: something comes
            heard.append(waiting(sub))
    publisher.join()
    for numbers in heard:
        assert numbers == sorted(set(numbers)), "twice, or out of order"
    assert waiting(rt.subscribe("a")) == [1999]
