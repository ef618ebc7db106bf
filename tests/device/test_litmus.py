"""The orders and scopes of the device protocol, decided by exhaustion. As a script it prints the table."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from litmus.edges import ACCESSES, EDGES, MEETINGS, Weakening, weakenings
from litmus.model import HOST, Op, Place, Program, Thread, outcomes
from litmus.programs import LITMUS, Litmus
from litmus.report import bad_outcome, caught_by, programs_of, table

# -- the checker: programs whose outcomes are known -------------------------------------------------------------------

A, B = Place(block=0), Place(block=1)
SAME_BLOCK = Place(block=0)


def possible(
    *threads: Sequence[Op], places: Sequence[Place] = (A, B, Place(block=2), Place(block=3)), **wanted: int
) -> bool:
    """Registers are named apart, so that no thread has to be named."""
    program = Program([Thread(f"t{n}", places[n], ops) for n, ops in enumerate(threads)])
    return outcomes(program, lambda v: all(v[k] == x for key, x in wanted.items() for k in v if k.split(".")[1] == key))


def st(location: str, value: int = 1, order: str = "relaxed", scope: str = "gpu", depends: tuple[str, ...] = ()) -> Op:
    return Op("store", location, order, scope, value, depends=depends)


def ld(location: str, into: str, order: str = "relaxed", scope: str = "gpu") -> Op:
    return Op("load", location, order, scope, into=into)


def fence(order: str, scope: str = "gpu") -> Op:
    return Op("fence", "", order, scope)


@pytest.mark.parametrize(("release", "acquire", "scope", "places", "stale"), [
    ("release", "acquire", "gpu", (A, B), False),
    ("relaxed", "acquire", "gpu", (A, B), True),
    ("release", "relaxed", "gpu", (A, B), True),
    ("release", "acquire", "cta", (A, B), True),
    ("release", "acquire", "cta", (A, SAME_BLOCK), False),
    ("release", "acquire", "gpu", (A, HOST), True),
    ("release", "acquire", "sys", (A, HOST), False),
    ("weak", "acquire", "sys", (A, B), True),
    ("release", "acquire", "gpu", (A, Place("gpu1")), True),
])  # fmt: skip
def test_message_passing(release: str, acquire: str, scope: str, places: Sequence[Place], stale: bool) -> None:
    writer = [st("x", order="weak"), st("flag", order=release, scope=scope)]
    reader = [ld("flag", "flag", acquire, scope), ld("x", "x", "weak")]
    assert possible(writer, reader, places=places, flag=1, x=0) is stale
    assert possible(writer, reader, places=places, flag=1, x=1)


@pytest.mark.parametrize(("scope", "stale"), [("sys", False), ("gpu", True)])
def test_message_passing_by_fences(scope: str, stale: bool) -> None:
    writer = [st("x", order="weak"), fence("acq_rel", scope), st("flag", scope="sys")]
    reader = [ld("flag", "flag", scope="sys"), fence("acq_rel", "sys"), ld("x", "x", "weak")]
    assert possible(writer, reader, places=(A, HOST), flag=1, x=0) is stale


@pytest.mark.parametrize(("order", "possible_both"), [("sc", False), ("acq_rel", True)])
def test_store_buffering_needs_fence_sc(order: str, possible_both: bool) -> None:
    first = [st("x"), fence(order), ld("y", "a")]
    second = [st("y"), fence(order), ld("x", "b")]
    assert possible(first, second, a=0, b=0) is possible_both


def test_load_buffering_is_allowed_unless_the_stores_depend_on_the_loads() -> None:
    def both(*depends: str) -> bool:
        first = [ld("x", "a"), st("y", depends=tuple(d for d in depends if d == "a"))]
        second = [ld("y", "b"), st("x", depends=tuple(d for d in depends if d == "b"))]
        return possible(first, second, a=1, b=1)

    assert both()
    assert both("a")
    assert not both("a", "b")


@pytest.mark.parametrize(("order", "stale"), [("acquire", False), ("relaxed", True)])
def test_release_and_acquire_are_cumulative(order: str, stale: bool) -> None:
    first = [st("x", order="weak"), st("y", order="release")]
    second = [ld("y", "y", order), st("z", order="release")]
    third = [ld("z", "z", "acquire"), ld("x", "x", "weak")]
    assert possible(first, second, third, y=1, z=1, x=0) is stale


def test_independent_readers_may_disagree_without_fence_sc() -> None:
    def disagree(order: str) -> bool:
        def reader(first: str, then: str) -> list[Op]:
            return [
                ld(first, f"{first}1", "acquire"),
                *([fence(order)] if order else []),
                ld(then, f"{then}2", "acquire"),
            ]

        return possible([st("x")], [st("y")], reader("x", "y"), reader("y", "x"), x1=1, y2=0, y1=1, x2=0)

    assert disagree("")
    assert not disagree("sc")


def test_one_location_has_one_order_among_strong_accesses() -> None:
    assert not possible([st("x")], [ld("x", "a"), ld("x", "b")], a=1, b=0)
    assert possible([st("x")], [ld("x", "a", scope="cta"), ld("x", "b", scope="cta")], a=1, b=0)


@pytest.mark.parametrize(("scope", "twice"), [("gpu", False), ("cta", True)])
def test_atomics_are_atomic_within_their_scope(scope: str, twice: bool) -> None:
    def add(into: str) -> Op:
        return Op("add", "x", "relaxed", scope, 1, into)

    assert possible([add("a")], [add("b")], a=0, b=0) is twice
    assert possible([add("a")], [add("b")], a=0, b=1)


def test_a_release_is_seen_through_atomics_of_others() -> None:
    writer = [st("x", order="weak"), st("flag", order="release")]
    between = [Op("add", "flag", "relaxed", "gpu", 1, "old")]
    assert not possible(writer, between, [ld("flag", "flag", "acquire"), ld("x", "x", "weak")], old=1, flag=2, x=0)


# Orders that are stronger than the protocol needs, and why.
STRONGER = {
    "R4.piece: gpu -> cta",  # one block; the primitive is there for others
    "R4.all: gpu -> cta",
    "K1.poll: sys -> gpu",  # the prelude's poll serves any grid: the word may be one that the host writes
}

# -- the protocol -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("litmus", LITMUS, ids=lambda litmus: f"{litmus.edge}-{litmus.name}")
def test_the_bad_outcome_is_forbidden(litmus: Litmus) -> None:
    assert not bad_outcome(litmus)


@pytest.mark.parametrize("weakening", weakenings(), ids=str)
def test_every_weakening_is_caught(weakening: Weakening) -> None:
    assert bool(caught_by(weakening)) is (str(weakening) not in STRONGER)


def test_every_edge_has_a_program_and_every_access_is_in_one() -> None:
    assert {access.partition(".")[0] for access in programs_of()} == set(EDGES)
    assert [key for key, programs in programs_of().items() if not programs] == []
    assert set(programs_of()) == {*ACCESSES, *MEETINGS}


if __name__ == "__main__":
    print(table())
