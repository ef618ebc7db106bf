"""The hybrid logical clock: stamps as values, and clocks that never go back, repeat or believe nonsense."""

from __future__ import annotations

import copy
import datetime
import itertools
import pickle
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import pyringkernel as rk
from pyringkernel.errors import ClockSkewError, InvalidArgumentError, RingKernelError

NS = 10**9
NOW_NS = 1_770_000_000 * NS  # some day in 2026
words = st.integers(0, 2**64 - 1)
ids = st.integers(0, 2**32 - 1)
stamps = st.builds(rk.HlcTimestamp, words, ids, ids)


def manual(ns: int = NOW_NS, **options: Any) -> rk.HlcClock:
    clock = rk.HlcClock(**options)
    clock.set_manual_time(ns)
    return clock


def ntp(ns: int) -> int:
    return ns // NS << 32 | (ns % NS << 32) // NS


# -- stamps


@given(words, ids, ids)
@example(0, 0, 0)
@example(2**64 - 1, 2**32 - 1, 2**32 - 1)
def test_a_stamp_keeps_its_parts(time: int, node: int, shard: int) -> None:
    stamp = rk.HlcTimestamp(time, node_id=node, shard_id=shard)
    assert (stamp.time, stamp.node_id, stamp.shard_id) == (time, node, shard)
    assert stamp.logical == time & 15
    physical = time - stamp.logical
    assert stamp.physical_ns == (physical >> 32) * NS + ((physical & 0xFFFFFFFF) * NS >> 32)


def test_node_and_shard_are_0_unless_given() -> None:
    assert rk.HlcTimestamp(5) == rk.HlcTimestamp(5, 0, 0) == rk.HlcTimestamp(time=5)


@pytest.mark.parametrize(
    "args", [(-1,), (2**64,), (0, -1), (0, 2**32), (0, 0, 2**32), (1.5,), ("1",), (None,), ()], ids=repr
)
def test_a_stamp_of_impossible_parts_is_refused(args: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, RingKernelError)):
        rk.HlcTimestamp(*args)


@pytest.mark.parametrize("name", ["time", "node_id", "shard_id", "physical_ns", "logical"])
def test_a_stamp_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(rk.HlcTimestamp(1), name, 2)


@given(stamps, stamps)
def test_stamps_are_ordered_by_time_then_node_then_shard(a: rk.HlcTimestamp, b: rk.HlcTimestamp) -> None:
    left, right = (a.time, a.node_id, a.shard_id), (b.time, b.node_id, b.shard_id)
    assert [a < b, a <= b, a > b, a >= b, a == b, a != b] == [
        left < right,
        left <= right,
        left > right,
        left >= right,
        left == right,
        left != right,
    ]
    assert (hash(a) == hash(b)) >= (left == right)


@given(words, ids, ids)
def test_equal_stamps_are_one_key(time: int, node: int, shard: int) -> None:
    one, other = rk.HlcTimestamp(time, node, shard), rk.HlcTimestamp(time, node, shard)
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other}) == 1


@given(st.lists(stamps))
def test_stamps_sort(many: list[rk.HlcTimestamp]) -> None:
    assert [(s.time, s.node_id, s.shard_id) for s in sorted(many)] == sorted(
        (s.time, s.node_id, s.shard_id) for s in many
    )


@pytest.mark.parametrize("other", [0, None, "x", (0, 0, 0)], ids=repr)
def test_a_stamp_compares_with_stamps_only(other: Any) -> None:
    stamp = rk.HlcTimestamp(0)
    assert stamp != other
    assert not stamp == other
    for compare in (lambda: stamp < other, lambda: stamp <= other, lambda: stamp > other, lambda: stamp >= other):
        with pytest.raises(TypeError):
            compare()


@given(stamps)
def test_pickles_and_copies_are_equal(stamp: rk.HlcTimestamp) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(stamp, protocol)) == stamp
    assert copy.copy(stamp) == copy.deepcopy(stamp) == stamp


@given(stamps)
@example(rk.HlcTimestamp(2**64 - 1, 2**32 - 1, 2**32 - 1))
@example(rk.HlcTimestamp(0))
@example(rk.HlcTimestamp(2**64 - 16))
@example(rk.HlcTimestamp(15))
def test_the_iso_text_of_any_stamp_reads_back_exactly(stamp: rk.HlcTimestamp) -> None:
    text = stamp.isoformat()
    assert rk.HlcTimestamp.fromisoformat(text) == stamp
    assert str(stamp) == text
    assert repr(stamp) == f"<HlcTimestamp {text}>"


@given(stamps)
def test_the_iso_text_begins_with_the_time_that_datetime_shows(stamp: rk.HlcTimestamp) -> None:
    whole = datetime.datetime.fromtimestamp(stamp.physical_ns // NS, datetime.timezone.utc)
    expected = (
        f"{whole:%Y-%m-%dT%H:%M:%S}.{stamp.physical_ns % NS:09}Z/{stamp.logical}/{stamp.node_id}.{stamp.shard_id}"
    )
    assert stamp.isoformat() == expected


def test_an_iso_text_looks_like_this() -> None:
    stamp = rk.HlcTimestamp(ntp(NOW_NS) | 3, 7, 2)
    assert stamp.isoformat() == "2026-02-02T02:40:00.000000000Z/3/7.2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "2026-02-02",
        "2026-02-02T02:40:00.000000000Z",
        "2026-02-02T02:40:00.000000000Z/3/7",
        "2026-02-02T02:40:00Z/3/7.2",
        "2026-02-02T02:40:00.000000000Z/16/7.2",
        "2026-02-02T02:40:00.000000000Z/-1/7.2",
        "2026-02-02T02:40:00.000000001Z/3/7.2",
        "2026-13-02T02:40:00.000000000Z/3/7.2",
        "2026-02-30T02:40:00.000000000Z/3/7.2",
        "2026-02-02T25:40:00.000000000Z/3/7.2",
        "1969-12-31T23:59:59.000000000Z/0/0.0",
        "2106-02-07T06:28:16.000000000Z/0/0.0",
        "9999-01-01T00:00:00.000000000Z/0/0.0",
        " 2026-02-02T02:40:00.000000000Z/3/7.2",
        "2026-02-02T02:40:00.000000000Z/3/7.2 ",
        "2026-02-02T02:40:00.000000000Z/3/7.2\0",
        "2026-02-02T02:40:00.000000000Z/03/7.2",
        "2026-02-02T02:40:00.000000000Z/3/4294967296.2",
        "2026-2-2T2:40:0.0Z/3/7.2",
    ],
    ids=repr,
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="found '"):
        rk.HlcTimestamp.fromisoformat(text)


@given(st.text(alphabet="0123456789-:.TZ/ +x\0", max_size=45))
def test_random_text_never_crashes(text: str) -> None:
    try:
        assert rk.HlcTimestamp.fromisoformat(text).isoformat() == text
    except InvalidArgumentError:
        pass


@pytest.mark.parametrize("wrong", [None, 5, b"2026", []], ids=repr)
def test_what_is_no_text_is_a_type_error(wrong: Any) -> None:
    with pytest.raises((TypeError, InvalidArgumentError)):
        rk.HlcTimestamp.fromisoformat(wrong)


# -- clocks


@pytest.mark.parametrize("node", [-1, 2**32, 2**70, 1.5, "1", None], ids=repr)
def test_a_node_id_outside_32_bits_is_refused(node: Any) -> None:
    with pytest.raises((InvalidArgumentError, TypeError)):
        rk.HlcClock(node_id=node)


@pytest.mark.parametrize("drift", [-1, -0.001, float("nan"), float("inf"), 5e9, "1", None], ids=repr)
def test_a_drift_that_cannot_be_is_refused(drift: Any) -> None:
    with pytest.raises((InvalidArgumentError, TypeError)):
        rk.HlcClock(max_drift=drift)


def test_a_clock_shows_what_it_was_made_with() -> None:
    clock = rk.HlcClock(node_id=2**32 - 1, max_drift=4e9)
    assert (clock.node_id, clock.max_drift) == (2**32 - 1, 4e9)
    assert rk.HlcClock().max_drift == 0.5
    assert clock.tick().node_id == 2**32 - 1
    assert clock.tick().shard_id == 0


def test_a_clock_shows_the_time_of_the_host() -> None:
    clock = rk.HlcClock()
    before = time.time_ns()
    shown = clock.now().physical_ns
    after = time.time_ns()
    assert before - NS // 10 <= shown <= after + NS // 10
    clock.set_manual_time(0)
    clock.set_manual_time(None)
    assert clock.now().physical_ns >= shown


def test_ticks_are_strictly_increasing_and_follow_the_wall_clock() -> None:
    clock = rk.HlcClock()
    ticks = [clock.tick() for _ in range(2000)]
    assert all(a < b for a, b in itertools.pairwise(ticks))
    assert ticks[0].physical_ns <= clock.now().physical_ns


def test_now_stamps_nothing() -> None:
    clock = manual()
    assert clock.now() == clock.now()
    tick = clock.tick()
    assert clock.now() == tick
    assert clock.tick() > tick


def test_a_standing_wall_clock_counts_in_the_logical_part_and_runs_over_into_time() -> None:
    clock = manual()
    ticks = [clock.tick() for _ in range(40)]
    assert [t.time for t in ticks] == list(range(ntp(NOW_NS), ntp(NOW_NS) + 40))
    assert [t.logical for t in ticks] == [n % 16 for n in range(40)]


def test_a_wall_clock_that_goes_back_does_not_take_the_clock_along() -> None:
    clock = manual()
    last = clock.tick()
    for back in (1, NS, 3600 * NS, NOW_NS):
        clock.set_manual_time(NOW_NS - back)
        assert clock.now() >= last
        tick = clock.tick()
        assert tick.time == last.time + 1
        last = tick
    clock.set_manual_time(NOW_NS + NS)
    assert clock.tick().physical_ns == NOW_NS + NS


@pytest.mark.parametrize("ns", [-1, 2**64, 2**63, 2**32 * NS, 1.5, "1"], ids=repr)
def test_a_manual_time_that_cannot_be_stamped_is_refused(ns: Any) -> None:
    clock = manual()
    with pytest.raises((InvalidArgumentError, TypeError)):
        clock.set_manual_time(ns)
    assert clock.now().physical_ns == NOW_NS


def test_an_update_moves_the_clock_behind_the_remote_stamp() -> None:
    clock = manual(node_id=1)
    remote = rk.HlcTimestamp(ntp(NOW_NS + NS // 4), 2)
    clock.update(remote)
    assert clock.tick() > remote
    assert clock.tick().node_id == 1


def test_an_old_stamp_changes_nothing() -> None:
    clock = manual()
    tick = clock.tick()
    for remote in (rk.HlcTimestamp(0), rk.HlcTimestamp(tick.time - 1), tick):
        clock.update(remote)
        assert clock.now() == tick


@pytest.mark.parametrize("ahead", [NS // 2 + NS // 1000, NS, 3600 * NS, 2**31 * NS])
def test_a_stamp_too_far_ahead_is_refused_and_the_clock_is_unchanged(ahead: int) -> None:
    clock = manual()
    tick = clock.tick()
    with pytest.raises(ClockSkewError, match=r"node 9 is .* s ahead .*allowed are 0\.5.*unchanged"):
        clock.update(rk.HlcTimestamp(ntp(NOW_NS + ahead), 9))
    assert clock.now() == tick
    assert clock.tick().time == tick.time + 1


def test_a_stamp_just_within_the_drift_is_merged() -> None:
    for drift in (0.0, 0.5, 10.0):
        clock = manual(max_drift=drift)
        limit = rk.HlcTimestamp(clock.now().time + int(drift * 2**32), 9)
        clock.update(limit)
        assert clock.now().time == limit.time
        with pytest.raises(ClockSkewError):
            clock.update(rk.HlcTimestamp(limit.time + 1, 9))


@pytest.mark.parametrize("word", [2**64 - 1, 2**64 - 2**36, 2**64 - 2**36 + 1])
def test_the_end_of_time_is_refused_even_when_every_drift_is_allowed(word: int) -> None:
    clock = manual((2**32 - 20) * NS, max_drift=4e9)
    tick = clock.tick()
    with pytest.raises(ClockSkewError):
        clock.update(rk.HlcTimestamp(word, 9))
    assert clock.now() == tick


def test_two_clocks_left_at_their_default_node_id_do_not_believe_each_other_blindly() -> None:
    clock, other = manual(), manual(NOW_NS + 3600 * NS)
    with pytest.raises(ClockSkewError):
        clock.update(other.tick())
    assert clock.now().physical_ns == NOW_NS


def test_the_drift_is_measured_against_the_wall_clock_and_not_against_earlier_stamps() -> None:
    clock = manual()
    clock.update(rk.HlcTimestamp(ntp(NOW_NS + 4 * NS // 10), 9))
    with pytest.raises(ClockSkewError):
        clock.update(rk.HlcTimestamp(ntp(NOW_NS + 8 * NS // 10), 9))


def test_what_is_no_stamp_cannot_be_merged() -> None:
    for wrong in (None, 5, "2026", (1, 2, 3)):
        with pytest.raises(TypeError):
            rk.HlcClock().update(wrong)


# -- threads and shards


def test_ticks_of_four_threads_are_unique_and_increase_in_each(threads: Any) -> None:
    clock = rk.HlcClock()
    ticks = threads.run_all(4, lambda _: [clock.tick().time for _ in range(3000)])
    assert all(a < b for one in ticks for a, b in itertools.pairwise(one))
    assert len({t for one in ticks for t in one}) == 12_000


def test_ticks_and_updates_of_threads_only_move_forward(threads: Any) -> None:
    clock = manual()

    def work(n: int) -> list[int]:
        seen = []
        for step in range(500):
            clock.update(rk.HlcTimestamp(ntp(NOW_NS) + 100 * step + n))
            seen.append(clock.tick().time)
        return seen

    seen = threads.run_all(4, work)
    assert all(a < b for one in seen for a, b in itertools.pairwise(one))
    assert all(one[step] > ntp(NOW_NS) + 100 * step + n for n, one in enumerate(seen) for step in range(500))
    assert len({t for one in seen for t in one}) == 2000


def test_shards_have_ids_of_their_own_and_keep_their_clock() -> None:
    clock = manual(node_id=6)
    shards = [clock.shard() for _ in range(5)]
    assert [shard.shard_id for shard in shards] == [1, 2, 3, 4, 5]
    del clock
    for shard in shards:
        tick = shard.tick()
        assert (tick.node_id, tick.shard_id, tick.physical_ns) == (6, shard.shard_id, NOW_NS)


def test_a_shard_starts_behind_what_its_clock_stamped() -> None:
    clock = manual()
    for _ in range(20):
        last = clock.tick()
    assert clock.shard().tick() > last


def test_shards_are_ordered_with_their_clock_by_merging() -> None:
    clock = manual()
    shard = clock.shard()
    for _ in range(10):
        stamp = shard.tick()
        clock.update(stamp)
        answer = clock.tick()
        assert answer > stamp
        shard.update(answer)
        assert shard.tick() > answer
    with pytest.raises(ClockSkewError):
        shard.update(rk.HlcTimestamp(ntp(NOW_NS + NS), 9))


def test_a_shard_may_merge_its_clock_after_the_wall_clock_went_back() -> None:
    clock = manual(node_id=6)
    shard = clock.shard()
    tick = clock.tick()
    clock.set_manual_time(NOW_NS - 3600 * NS)
    shard.update(tick)
    assert shard.tick() > tick


def test_stamps_of_shards_in_threads_are_unique(threads: Any) -> None:
    clock = rk.HlcClock()

    def work(_: int) -> list[rk.HlcTimestamp]:
        shard = clock.shard()
        return [shard.tick() for _ in range(2000)]

    ticks = threads.run_all(4, work)
    assert all(a < b for one in ticks for a, b in itertools.pairwise(one))
    assert len({t for one in ticks for t in one}) == 8000


def test_a_clock_and_a_shard_cannot_be_pickled_or_copied() -> None:
    clock = rk.HlcClock()
    for thing in (clock, clock.shard()):
        for how in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError):
                how(thing)


def test_a_shard_is_made_by_its_clock_only() -> None:
    with pytest.raises(TypeError):
        rk.HlcShard()


def test_objects_made_without_init_are_errors_to_use_and_no_crash(run_script: Any) -> None:
    code, out, errors = run_script("""
        for cls in (rk.HlcClock, rk.HlcShard, rk.HlcTimestamp, rk.Context):
            thing = cls.__new__(cls)
            for name in dir(cls):
                if name.startswith("__"):
                    continue
                try:
                    attribute = getattr(thing, name)
                    if callable(attribute):
                        attribute()
                except Exception:
                    continue
        print("alive")
    """)
    assert (code, out.strip()) == (0, "alive"), errors
