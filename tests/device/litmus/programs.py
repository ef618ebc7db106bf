"""One litmus program for each thing that an edge promises, with the outcome that must not be.

Values: 0 is the beginning, 1 the first message (record, command, lap), 2 the second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .edges import Text, load, store
from .model import HOST, Op, Place, Thread

ROUTER, INSTANCE, OTHER = Place(block=0), Place(block=1), Place(block=2)
NEXT_LEASE = Place(grid=1, block=1)
SECOND_KERNEL = Place(grid=9, block=1)

Values = dict[str, int]


@dataclass(frozen=True)
class Litmus:
    """rests_on: what it needs beyond the chapter (model.py): unit, depends, boundary."""

    edge: str
    name: str
    threads: Callable[[Text], Sequence[Thread]]
    bad: Callable[[Values], bool]
    rests_on: tuple[str, ...] = ()


LITMUS: list[Litmus] = []


def litmus(
    edge: str, bad: Callable[[Values], bool], rests_on: tuple[str, ...] = ()
) -> Callable[[Callable[[Text], Sequence[Thread]]], Callable[[Text], Sequence[Thread]]]:
    def add(threads: Callable[[Text], Sequence[Thread]]) -> Callable[[Text], Sequence[Thread]]:
        LITMUS.append(Litmus(edge, threads.__name__, threads, bad, rests_on))
        return threads

    return add


def thread(name: str, place: Place, *parts: list[Op]) -> Thread:
    return Thread(name, place, [op for part in parts for op in part])


def host_unit(t: Text, unit: str, value: int) -> list[Op]:
    return t.op("D1.host_data", f"{unit}.data", value) + t.op("D1.host_tag", f"{unit}.tag", value)


# -- rings across the bus ---------------------------------------------------------------------------------------------


@litmus("D1", lambda v: v["router.u.tag"] == 1 and v["router.u.data"] != 1, ("unit",))
def a_tag_of_this_lap_comes_with_its_bytes(t: Text) -> Sequence[Thread]:
    return thread("host", HOST, host_unit(t, "u", 1)), thread("router", ROUTER, t.op("D1.take", "u", into="u"))


@litmus("U1", lambda v: v["host.tag"] == 1 and v["host.data"] != 1, ("unit",))
def the_host_finds_the_bytes_with_the_tag(t: Text) -> Sequence[Thread]:
    return (
        thread("instance", INSTANCE, t.op("U1.put", "u", 1)),
        thread("host", HOST, t.op("U1.host_tag", "u.tag", into="tag"), t.op("U1.host_data", "u.data", into="data")),
    )


@litmus("U4", lambda v: v["host.tag"] == 1 and v["host.handled"] == 0, ("unit",))
def the_status_of_an_instance_that_ended_is_its_last(t: Text) -> Sequence[Thread]:
    return (
        thread("instance", INSTANCE, store("handled", 1), t.op("U4.fence"), t.op("U1.put", "u", 1)),
        thread("host", HOST, t.op("U1.host_tag", "u.tag", into="tag"), load("handled", "handled")),
    )


@litmus("D2", lambda v: v["router.u.tag"] == 1 and v["host.read"] == 1 and v["router.u.data"] == 2, ("unit",))
def a_down_slot_is_read_before_it_is_overwritten(t: Text) -> Sequence[Thread]:
    return (
        thread("host", HOST, host_unit(t, "u", 1), t.op("D2.host", "down_read", into="read"), host_unit(t, "u", 2)),
        thread("router", ROUTER, t.op("D1.take", "u", into="u"), t.op("D2.free", "down_read", 1)),
    )


@litmus("U2", lambda v: v["host.tag"] == v["router.read"] == v["instance.read"] == 1 and v["host.data"] == 2, ("unit",))
def an_up_slot_is_read_before_it_is_overwritten(t: Text) -> Sequence[Thread]:
    return (
        thread("before", OTHER, t.op("U1.put", "u", 1)),
        thread(
            "host",
            HOST,
            t.op("U1.host_tag", "u.tag", into="tag"),
            t.op("U1.host_data", "u.data", into="data"),
            t.op("U2.host", "host_line.up_read", 1),
        ),
        thread(
            "router", ROUTER, t.op("U2.renew", "host_line.up_read", into="read"), t.op("U2.pass", "grid.up_read", 1)
        ),
        thread("instance", INSTANCE, t.op("U2.look", "grid.up_read", into="read"), t.op("U1.put", "u", 2)),
    )


@litmus("D3", lambda v: v["router.u.tag"] == 1 and v["instance.turn"] == 1 and v["instance.buffer"] == 0, ("unit",))
def a_handler_sees_what_its_message_refers_to(t: Text) -> Sequence[Thread]:
    return (
        thread("host", HOST, store("buffer", 1), host_unit(t, "u", 1)),
        thread(
            "router",
            ROUTER,
            t.op("D1.take", "u", into="u"),
            t.op("D3.fence"),
            t.op("I1.publish", "turn", 1),
        ),
        thread("instance", INSTANCE, t.op("I1.look", "turn", into="turn"), load("buffer", "buffer")),
    )


@litmus("U5", lambda v: v["host.tag"] == 1 and v["host.buffer"] == 0)
def the_host_sees_what_a_handler_wrote_before_its_message(t: Text) -> Sequence[Thread]:
    return (
        thread("instance", INSTANCE, store("buffer", 1), t.op("U5.fence"), t.op("U1.put", "u", 1)),
        thread("host", HOST, t.op("U1.host_tag", "u.tag", into="tag"), load("buffer", "buffer")),
    )


@litmus("U3", lambda v: v["instance.ticket"] == v["other.ticket"])
def a_ticket_is_drawn_once(t: Text) -> Sequence[Thread]:
    return (
        thread("instance", INSTANCE, t.op("U3.ticket", "up_write", 1, into="ticket")),
        thread("other", OTHER, t.op("U3.ticket", "up_write", 1, into="ticket")),
    )


# -- commands ---------------------------------------------------------------------------------------------------------


@litmus("C1", lambda v: v["router.command"] == 1 and v["router.after"] == 0)
def a_command_comes_with_its_after(t: Text) -> Sequence[Thread]:
    return (
        thread("host", HOST, [Op("store", "after", "relaxed", value=1)], t.op("C1.host", "host_line.command", 1)),
        thread(
            "router", ROUTER, t.op("C1.read", "host_line.command", into="command"),
            [Op("load", "after", "relaxed", into="after")],
        ),
    )  # fmt: skip


@litmus("C2", lambda v: v["instance.command"] == 1 and v["instance.turn"] == 0)
def what_was_sent_before_a_command_is_there(t: Text) -> Sequence[Thread]:
    return (
        thread("router", ROUTER, t.op("I1.publish", "turn", 1), t.op("C2.pass", "work.command", 1)),
        thread(
            "instance",
            INSTANCE,
            t.op("C2.look", "work.command", into="command"),
            t.op("I1.look", "turn", into="turn"),
        ),
    )


@litmus("C3", lambda v: v["host.epoch"] == 1 and v["host.handled"] == 0)
def counters_are_as_new_as_the_epoch(t: Text) -> Sequence[Thread]:
    return (
        thread("instance", INSTANCE, store("handled", 1), t.op("C3.answer", "epoch_seen", 1)),
        thread("host", HOST, t.op("C3.host", "epoch_seen", into="epoch"), load("handled", "handled")),
    )


@litmus("C1", lambda v: v["instance.command"] == 1 and v["router.command"] == 1 and v["instance.prepared"] == 0)
def what_the_host_did_before_a_command_is_done(t: Text) -> Sequence[Thread]:
    return (
        thread("host", HOST, store("prepared", 1), t.op("C1.host", "host_line.command", 1)),
        thread(
            "router", ROUTER, t.op("C1.read", "host_line.command", into="command"), t.op("C2.pass", "work.command", 1)
        ),
        thread("instance", INSTANCE, t.op("C2.look", "work.command", into="command"), load("prepared", "prepared")),
    )


# -- messages on the device -------------------------------------------------------------------------------------------


@litmus("I1", lambda v: v["instance.turn"] == 1 and v["instance.payload"] == 0)
def a_turn_comes_with_its_message(t: Text) -> Sequence[Thread]:
    return (
        thread("router", ROUTER, store("payload", 1), t.op("I1.publish", "turn", 1)),
        thread("instance", INSTANCE, t.op("I1.look", "turn", into="turn"), load("payload", "payload")),
    )


@litmus("L1", lambda v: v["receiver.turn"] == 1 and v["receiver.payload"] == 0)
def a_message_of_another_kernel_is_whole(t: Text) -> Sequence[Thread]:
    return (
        thread("sender", SECOND_KERNEL, store("payload", 1), t.op("L1.publish", "turn", 1)),
        thread("receiver", INSTANCE, t.op("L1.look", "turn", into="turn"), load("payload", "payload")),
    )


@litmus("I1", lambda v: v["leader.turn"] == 1 and v["lane.payload"] == 0)
def all_threads_see_what_their_leader_took(t: Text) -> Sequence[Thread]:
    return (
        thread("router", ROUTER, store("payload", 1), t.op("I1.publish", "turn", 1)),
        thread("leader", INSTANCE, t.op("I1.look", "turn", into="turn"), t.meet("I1.barrier", "arrive")),
        thread("lane", INSTANCE, t.meet("I1.barrier", "await"), load("payload", "payload")),
    )


@litmus("I1", lambda v: v["instance.turn"] == 1 and v["instance.payload"] == 0)
def a_turn_comes_with_what_all_lanes_copied(t: Text) -> Sequence[Thread]:
    return (
        thread("lane", ROUTER, store("payload", 1), t.meet("I1.warp", "arrive")),
        thread("router", ROUTER, t.meet("I1.warp", "await"), t.op("I1.publish", "turn", 1)),
        thread("instance", INSTANCE, t.op("I1.look", "turn", into="turn"), load("payload", "payload")),
    )


@litmus(
    "I3", lambda v: v["host.taken"] == 1 and v["router.u.tag"] == 1 and v["instance.payload"] == 2, ("unit", "depends")
)
def an_inbox_slot_is_read_before_it_is_overwritten(t: Text) -> Sequence[Thread]:
    return (
        thread("instance", INSTANCE, load("payload", "payload"), t.op("I3.free", "taken", 1)),
        thread("host", HOST, t.op("I3.host", "taken", into="taken"), host_unit(t, "u", 1)),
        thread("router", ROUTER, t.op("D1.take", "u", into="u"), store("payload", 2, depends=("u.data", "u.tag"))),
    )


@litmus("L2", lambda v: v["sender.read"] == 1 and v["lane.payload"] == 2)
def a_slot_is_free_when_all_threads_have_read_it(t: Text) -> Sequence[Thread]:
    return (
        thread("lane", INSTANCE, load("payload", "payload"), t.meet("L2.barrier", "arrive")),
        thread("leader", INSTANCE, t.meet("L2.barrier", "await"), t.op("L2.free", "read", 1)),
        thread("sender", SECOND_KERNEL, t.op("L2.look", "read", into="read"), store("payload", 2)),
    )


@litmus("A1", lambda v: v["instance.answered"] == 1 and v["instance.value"] == 0)
def an_answer_comes_with_its_words(t: Text) -> Sequence[Thread]:
    return (
        thread("router", ROUTER, store("answer_value", 1), t.op("A1.publish", "answered", 1)),
        thread("instance", INSTANCE, t.op("A1.look", "answered", into="answered"), load("answer_value", "value")),
    )


@litmus(
    "A1",
    lambda v: v["host.tag"] == v["router.u.tag"] == 1 and v["instance.value"] == 2,
    ("unit", "depends"),
)
def an_answer_is_read_before_the_next_is_asked_for(t: Text) -> Sequence[Thread]:
    # The instance goes on by what the answer says, so its next request hangs on it; the host answers what was asked.
    ask = [Op(**{**vars(op), "depends": ("value",)}) for op in t.op("U1.put", "up", 1)]
    answer = [Op(**{**vars(op), "depends": ("tag",)}) for op in host_unit(t, "u", 1)]
    return (
        thread("instance", INSTANCE, load("answer_value", "value"), ask),
        thread("host", HOST, t.op("U1.host_tag", "up.tag", into="tag"), answer),
        thread("router", ROUTER, t.op("D1.take", "u", into="u"), store("answer_value", 2, depends=("u.tag",))),
    )


@litmus("B1", lambda v: v["last.bell"] + 1 != 2 and v["first.bell"] + 1 != 2)
def two_rings_are_counted_as_two(t: Text) -> Sequence[Thread]:
    return (
        thread("first", ROUTER, t.op("B1.ring", "doorbell", 1, into="bell")),
        thread("last", SECOND_KERNEL, t.op("B1.ring", "doorbell", 1, into="bell")),
    )


@litmus("B1", lambda v: v["instance.bell"] == 1 and v["instance.turn"] == 0)
def who_hears_the_bell_finds_the_message(t: Text) -> Sequence[Thread]:
    # Else it would look, find nothing, and remember the bell as heard.
    return (
        thread("sender", SECOND_KERNEL, t.op("L1.publish", "turn", 1), t.op("B1.ring", "doorbell", 1)),
        thread("instance", INSTANCE, t.op("B1.look", "doorbell", into="bell"), t.op("L1.look", "turn", into="turn")),
    )


@litmus("L2", lambda v: v["sender.read"] == 1 and v["receiver.payload"] == 2)
def a_link_slot_is_read_before_it_is_overwritten(t: Text) -> Sequence[Thread]:
    return (
        thread("receiver", INSTANCE, load("payload", "payload"), t.op("L2.free", "read", 1)),
        thread("sender", SECOND_KERNEL, t.op("L2.look", "read", into="read"), store("payload", 2)),
    )


@litmus(
    "E1",
    lambda v: v["router.u.tag"] == 1 and v["instance.state"] == 1 and 0 in (v["instance.ring"], v["instance.slots"]),
    ("unit",),
)
def a_way_leads_to_a_ring_that_is_ready(t: Text) -> Sequence[Thread]:
    return (
        thread("host", HOST, store("ring.slots", 1), host_unit(t, "u", 1)),
        thread(
            "router",
            ROUTER,
            t.op("D1.take", "u", into="u"),
            t.op("E1.fence"),
            store("entry.ring", 1, depends=("u.data",)),
            t.op("E1.publish", "entry.state", 1),
        ),
        thread(
            "instance",
            INSTANCE,
            t.op("E1.look", "entry.state", into="state"),
            load("entry.ring", "ring"),
            load("ring.slots", "slots"),
        ),
    )


@litmus("V1", lambda v: v["instance.verdict"] == 2 and v["instance.generation"] == 0)
def a_verdict_comes_with_its_generation(t: Text) -> Sequence[Thread]:
    return (
        thread("router", ROUTER, [Op("store", "generation", "relaxed", "gpu", 1)], t.op("V1.publish", "verdict", 2)),
        thread(
            "instance",
            INSTANCE,
            t.op("V1.look", "verdict", into="verdict"),
            [Op("load", "generation", "relaxed", "gpu", into="generation")],
        ),
    )


@litmus("C2", lambda v: v["instance.bell"] == 0 and v["instance.finish"] == 1 and v["instance.turn"] == 0)
def who_is_told_to_finish_has_its_last_message(t: Text) -> Sequence[Thread]:
    # The word may be seen before the bell is rung for it: another message rang it.
    return (
        thread(
            "router",
            ROUTER,
            t.op("I1.publish", "turn", 1),
            t.op("C2.pass", "finish", 1),
            t.op("B1.ring", "doorbell", 1),
        ),
        thread(
            "instance",
            INSTANCE,
            t.op("B1.look", "doorbell", into="bell"),
            t.op("C2.look", "finish", into="finish"),
            t.op("I1.look", "turn", into="turn"),
        ),
    )


@litmus(
    "E1", lambda v: v["host.epoch"] == 1 and v["router.u.tag"] == 1 and v["instance.ring"] == 2, ("unit", "depends")
)
def a_ring_is_taken_away_behind_an_answered_command(t: Text) -> Sequence[Thread]:
    return (
        thread("instance", INSTANCE, load("entry.ring", "ring"), t.op("C3.answer", "epoch_seen", 1)),
        thread("host", HOST, t.op("C3.host", "epoch_seen", into="epoch"), host_unit(t, "u", 1)),
        thread("router", ROUTER, t.op("D1.take", "u", into="u"), store("entry.ring", 2, depends=("u.data", "u.tag"))),
    )


@litmus("E2", lambda v: v["instance.ring"] == 1 and v["instance.slots"] == 0)
def a_ring_is_ready_when_it_is_named(t: Text) -> Sequence[Thread]:
    return (
        thread("router", ROUTER, store("ring.slots", 1), t.op("E2.publish", "links", 1)),
        thread("instance", INSTANCE, t.op("E2.look", "links", into="ring"), load("ring.slots", "slots")),
    )


@litmus("F1", lambda v: v["host.fault"] == 1 and v["host.detail"] == 0)
def a_fault_comes_with_its_detail(t: Text) -> Sequence[Thread]:
    return (
        thread("router", ROUTER, [Op("store", "detail", "relaxed", value=1)], t.op("F1.fault", "fault", 1)),
        thread("host", HOST, t.op("F1.host", "fault", into="fault"), [Op("load", "detail", "relaxed", into="detail")]),
    )


@litmus(
    "R4", lambda v: v["last.before"] == v["last.all"] - 1 == 1 and v["instance.turn"] == 1 and v["instance.piece"] == 0
)
def who_copies_last_publishes_all_pieces(t: Text) -> Sequence[Thread]:
    return (
        thread("first", ROUTER, store("piece", 1), t.op("R4.piece", "pieces", 1)),
        thread(
            "last",
            ROUTER,
            t.op("R4.piece", "pieces", 1, into="before"),
            t.op("R4.all", "pieces", into="all"),
            t.op("I1.publish", "turn", 1),
        ),
        thread("instance", INSTANCE, t.op("I1.look", "turn", into="turn"), load("piece", "piece")),
    )


@litmus("Y1", lambda v: v["second.gathered"] == 2 and v["second.state"] == 0)
def a_barrier_of_the_grid_orders_what_was_before(t: Text) -> Sequence[Thread]:
    return (
        thread("first", INSTANCE, store("state", 1), t.op("Y1.arrive", "gathered", 1)),
        thread("between", OTHER, t.op("Y1.arrive", "gathered", 1)),
        thread("second", Place(block=3), t.op("Y1.wait", "gathered", into="gathered"), load("state", "state")),
    )


# -- leases -----------------------------------------------------------------------------------------------------------


@litmus("G1", lambda v: v["instance.begun"] == 1 and v["instance.command"] == 0)
def a_lease_begins_with_what_was_sent_before_it(t: Text) -> Sequence[Thread]:
    return (
        thread("router", ROUTER, [Op("store", "command", "relaxed", "gpu", 1)], t.op("G1.publish", "begun", 1)),
        thread(
            "instance",
            INSTANCE,
            t.op("G1.look", "begun", into="begun"),
            [Op("load", "command", "relaxed", "gpu", into="command")],
        ),
    )


@litmus("G5", lambda v: v["router.left"] == 1 and v["host.ended"] == 1 and v["host.status"] == 0)
def after_a_lease_the_host_sees_all_of_it(t: Text) -> Sequence[Thread]:
    return (
        thread("instance", INSTANCE, store("status", 1), t.op("G3.leave", "left", 1)),
        thread("router", ROUTER, t.op("G3.count", "left", into="left"), t.op("G5.ended", "lease_ended", 1)),
        thread("host", HOST, t.op("G5.host", "lease_ended", into="ended"), load("status", "status")),
    )


@litmus("G6", lambda v: v["next.word"] == 0, ("boundary",))
def the_next_lease_finds_the_words_of_the_last(t: Text) -> Sequence[Thread]:
    return (
        thread("last", INSTANCE, store("word", 1), t.meet("G6.boundary", "arrive")),
        thread("next", NEXT_LEASE, t.meet("G6.boundary", "await"), load("word", "word")),
    )


@litmus("K1", lambda v: v["instance.first"] == 1 and v["instance.second"] == 0)
def a_cancelled_task_stays_cancelled(t: Text) -> Sequence[Thread]:
    return (
        thread("router", ROUTER, t.op("K1.cancel", "cancel", 1)),
        thread("instance", INSTANCE, t.op("K1.poll", "cancel", into="first"), t.op("K1.poll", "cancel", into="second")),
    )
