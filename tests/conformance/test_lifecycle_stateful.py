"""A kernel against a model of its life: any order of moves and messages, and nothing is lost or handled twice."""

from __future__ import annotations

from typing import Any

import pytest
from actors import Number
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import pyringkernel as rk
from pyringkernel.errors import InvalidStateTransition, KernelTerminatedError

S = rk.KernelState
CAPACITY = 8
MOVES = {
    (S.LAUNCHED, "activate"): S.ACTIVE,
    (S.DEACTIVATED, "activate"): S.ACTIVE,
    (S.ACTIVE, "deactivate"): S.DEACTIVATED,
    (S.LAUNCHED, "terminate"): S.TERMINATED,
    (S.ACTIVE, "terminate"): S.TERMINATED,
    (S.DEACTIVATED, "terminate"): S.TERMINATED,
}


class LifeMachine(RuleBasedStateMachine):
    backend: str

    @initialize(autostart=st.booleans())
    def launch(self, autostart: bool) -> None:
        self.seen: list[int] = []
        self.sent = 0
        self.waiting = 0  # sent while the kernel rests
        self.runtime = rk.Runtime(backend=self.backend)

        def handler(ctx: rk.Context, msg: Number) -> Number | None:
            self.seen.append(msg.n)
            return msg if ctx.is_terminating() is None else None

        self.kernel = self.runtime.launch(handler, capacity=CAPACITY, autostart=autostart)
        self.state = S.ACTIVE if autostart else S.LAUNCHED

    @rule(move=st.sampled_from(["activate", "deactivate", "terminate"]))
    def move(self, move: str) -> None:
        if (self.state, move) not in MOVES:
            with pytest.raises(InvalidStateTransition):
                getattr(self.kernel, move)(60)
            return
        was, self.state = self.state, MOVES[self.state, move]
        before = len(self.seen)
        getattr(self.kernel, move)(60)
        if self.state is S.ACTIVE:
            self.waiting = 0
        elif was is S.ACTIVE:
            self.rest(move)
        else:
            assert len(self.seen) == before

    def rest(self, move: str) -> None:
        """After a pause nothing is in hand; after the end nothing is left."""
        if move == "terminate":
            assert self.seen == list(range(self.sent))
        else:
            self.waiting = self.sent - len(self.seen)

    @rule(count=st.integers(1, 4))
    def send(self, count: int) -> None:
        for _ in range(count):
            message = Number(self.sent)
            if self.state is S.TERMINATED:
                with pytest.raises(KernelTerminatedError):
                    self.kernel.send(message)
            elif self.state is S.ACTIVE:
                self.kernel.send(message, timeout=60)
                self.sent += 1
            elif self.kernel.try_send(message):
                self.sent += 1
                self.waiting += 1
                assert self.waiting <= CAPACITY
            else:
                assert self.waiting == CAPACITY

    @precondition(lambda self: self.state in (S.LAUNCHED, S.DEACTIVATED))
    @rule()
    def look_at_a_resting_kernel(self) -> None:
        s = self.kernel.stats()
        assert s.in_flight == self.waiting == self.sent - len(self.seen)

    @invariant()
    def messages_are_handled_once_and_in_order(self) -> None:
        seen = list(self.seen)
        assert seen == list(range(len(seen)))

    @invariant()
    def counts_are_conserved(self) -> None:
        s = self.kernel.stats()
        assert s.accepted == self.sent
        assert s.accepted == s.delivered + s.dropped + s.dead_lettered + s.in_flight

    @invariant()
    def the_state_is_the_models(self) -> None:
        assert self.kernel.state is self.state

    def teardown(self) -> None:
        if not hasattr(self, "runtime"):
            return
        self.runtime.close(60)
        assert self.kernel.state is S.TERMINATED
        s = self.kernel.stats()
        assert (s.accepted, s.in_flight) == (self.sent, 0)
        assert s.delivered == len(self.seen)
        if self.state is S.ACTIVE:
            assert self.seen == list(range(self.sent))


def test_a_kernel_lives_as_its_model_does(backend: str) -> None:
    machine: Any = type("Machine", (LifeMachine,), {"backend": backend})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30))
