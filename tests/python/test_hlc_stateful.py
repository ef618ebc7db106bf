"""Two clocks that stamp, exchange stamps and live through jumps of their wall clocks: order is never lost."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import pyringkernel as rk
from pyringkernel.errors import ClockSkewError

NS = 10**9
START = 1_770_000_000 * NS
DRIFT = 0.5


def ntp(ns: int) -> int:
    return ns // NS << 32 | (ns % NS << 32) // NS


class Node:
    """A clock, its wall clock, and the largest stamp it has made or learned of."""

    def __init__(self, node_id: int) -> None:
        self.clock = rk.HlcClock(node_id, DRIFT)
        self.shard = self.clock.shard()
        self.wall = START
        self.last = 0
        self.last_of_shard = 0
        self.set_wall(START)

    def set_wall(self, ns: int) -> None:
        self.wall = ns
        self.clock.set_manual_time(ns)

    def physical(self) -> int:
        return ntp(self.wall) & ~15


class ClocksMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.nodes = [Node(1), Node(2)]
        self.stamps: set[tuple[int, int, int]] = set()

    def note(self, stamp: rk.HlcTimestamp) -> None:
        key = (stamp.time, stamp.node_id, stamp.shard_id)
        assert key not in self.stamps, "a stamp was given twice"
        self.stamps.add(key)

    which = st.integers(0, 1)

    @rule(n=which)
    def tick(self, n: int) -> None:
        node = self.nodes[n]
        stamp = node.clock.tick()
        assert stamp.time == max(node.physical(), node.last + 1)
        node.last = stamp.time
        self.note(stamp)

    @rule(n=which)
    def tick_shard(self, n: int) -> None:
        node = self.nodes[n]
        stamp = node.shard.tick()
        assert stamp.time == max(node.physical(), node.last_of_shard + 1)
        node.last_of_shard = stamp.time
        self.note(stamp)

    @rule(n=which, by=st.integers(-2 * NS, 2 * NS))
    def move_the_wall_clock(self, n: int, by: int) -> None:
        self.nodes[n].set_wall(self.nodes[n].wall + by)

    @rule(n=which)
    def send_to_the_other(self, n: int) -> None:
        sender, receiver = self.nodes[n], self.nodes[1 - n]
        stamp = sender.clock.tick()
        sender.last = stamp.time
        self.note(stamp)
        self.receive(receiver, stamp)

    @rule(n=which, ahead=st.integers(-(2**33), 2**33))
    def receive_a_made_up_stamp(self, n: int, ahead: int) -> None:
        node = self.nodes[n]
        self.receive(node, rk.HlcTimestamp(node.physical() + ahead, 99))

    def receive(self, node: Node, stamp: rk.HlcTimestamp) -> None:
        refused = stamp.time > node.last and stamp.time - node.physical() > int(DRIFT * 2**32)
        try:
            node.clock.update(stamp)
        except ClockSkewError:
            assert refused
        else:
            assert not refused
            node.last = max(node.last, stamp.time)

    @invariant()
    def now_is_never_behind(self) -> None:
        for node in self.nodes:
            assert node.clock.now().time == max(node.physical(), node.last)


ClocksMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
TestClocks = ClocksMachine.TestCase
