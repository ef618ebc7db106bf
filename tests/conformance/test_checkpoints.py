"""Checkpoints: a kernel goes on in another runtime; damaged, foreign and unfitting ones are refused before anything runs."""

from __future__ import annotations

import os
import pickle
import random
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from actors import Number, Tally, Text, double, echo, either, odd_only, recorder, sink, tally

import pyringkernel as rk
from pyringkernel.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointVersionError,
    ClockSkewError,
    InvalidArgumentError,
    InvalidStateTransition,
    KernelHungError,
    LayoutMismatchError,
    RingFullError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

W = 60.0
HEAD = 64


@pytest.fixture
def later(backend: str) -> Iterator[rk.Runtime]:
    """Another runtime, in which things go on."""
    with rk.Runtime(backend=backend, node_id=9) as runtime:
        yield runtime


def adds(ctx: rk.Context, state: Tally, msg: Number) -> None:
    state.seen += 1
    state.total += msg.n


def full_snapshot(rt: rk.Runtime) -> rk.Snapshot:
    """Two instances with state and messages."""
    kernel = rt.launch(tally, name="full", instances=2)
    for n in range(4):
        kernel.call(Number(n), timeout=W)
    kernel.deactivate()
    for n in range(6):
        kernel.send(Number(10 + n), priority=1 + n % 2)
    return kernel.snapshot()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def with_head(data: bytes, offset: int, value: bytes) -> bytes:
    """`data` with other bytes in its header, and the header's checksum made right."""
    head = data[:offset] + value + data[offset + len(value) : HEAD - 4]
    return head + struct.pack("<I", crc32c(head)) + data[HEAD:]


# -- going on


def test_state_messages_and_clock_go_on_in_a_new_runtime(rt: rk.Runtime, later: rk.Runtime) -> None:
    kernel = rt.launch(tally)
    for n in range(5):
        kernel.call(Number(n), timeout=W)
    kernel.deactivate()
    for n in range(10, 14):
        kernel.send(Number(n))
    snap = kernel.snapshot()
    assert (snap.kernel, snap.instances, snap.messages, snap.version) == ("tally", 1, 4, (1, 0))
    assert snap.layout == [("seen", "u64", 0), ("total", "u64", 8)]
    restored = later.launch(tally, restore=snap)
    assert restored.call(Number(0), timeout=W) == Number(10 + 10 + 11 + 12 + 13)
    restored.deactivate()
    assert restored.state_object == Tally(10, 56)
    assert later.now() > snap.hlc
    assert rt.now() >= snap.hlc


def test_the_first_kernel_is_not_disturbed(rt: rk.Runtime) -> None:
    kernel = rt.launch(tally)
    kernel.call(Number(1), timeout=W)
    assert kernel.snapshot().messages == 0
    assert kernel.state == rk.KernelState.ACTIVE
    assert kernel.call(Number(2), timeout=W) == Number(3)
    kernel.deactivate()
    kernel.send(Number(4))
    assert kernel.snapshot().messages == 1
    assert kernel.state == rk.KernelState.DEACTIVATED
    kernel.activate()
    assert kernel.call(Number(0), timeout=W) == Number(7), "the message that waited was not taken"


def test_messages_come_in_order_with_priority_deadline_and_id(rt: rk.Runtime, later: rk.Runtime, until: Any) -> None:
    seen: list[Any] = []

    def record(ctx: rk.Context, msg: Number) -> None:
        seen.append((msg.n, msg.header.priority, msg.header.message_id))

    kernel = rt.launch(record, autostart=False)
    for n in range(4):
        kernel.send(Number(n), message_id=1000 + n)
    kernel.send(Number(50), priority=3, message_id=7)
    kernel.send(Number(60), deadline=0.0)
    restored = later.launch(record, restore=kernel.snapshot())
    until(lambda: len(seen) == 5 and restored.telemetry().expired == 1)
    assert seen == [(50, 3, 7), (0, 1, 1000), (1, 1, 1001), (2, 1, 1002), (3, 1, 1003)]


def test_every_instance_keeps_its_own(rt: rk.Runtime, later: rk.Runtime) -> None:
    kernel = rt.launch(tally, instances=5)
    for n in range(5):
        kernel.call(Number(100 * n), timeout=W, instance=n)
    kernel.deactivate()
    for n in range(1, 5):
        for _ in range(n):
            kernel.send(Number(1), instance=n)
    snap = kernel.snapshot()
    assert (snap.instances, snap.messages) == (5, 10)
    restored = later.launch(tally, instances=5, restore=snap)
    assert [restored.call(Number(0), timeout=W, instance=n).n for n in range(5)] == [0, 101, 202, 303, 404]


def test_the_turn_of_the_instances_goes_on(rt: rk.Runtime, later: rk.Runtime) -> None:
    kernel = rt.launch(tally, instances=3)
    for n in range(4):
        kernel.call(Number(n), timeout=W)
    kernel.deactivate()
    restored = later.launch(tally, instances=3, restore=kernel.snapshot())
    restored.call(Number(1000), timeout=W)
    restored.deactivate()
    assert [state.total for state in restored.states] == [3, 1001, 2]


def test_more_messages_than_the_new_capacity_go_on(rt: rk.Runtime, later: rk.Runtime, until: Any) -> None:
    kernel, seen = rt.launch(sink, autostart=False), []
    for n in range(500):
        kernel.send(Number(n))
    restored = later.launch(recorder(seen), name="sink", capacity=4, restore=kernel.snapshot())
    until(lambda: len(seen) == 500)
    assert seen == list(range(500))
    assert restored.stats().accepted == 500


def test_a_kernel_without_state_and_messages_has_a_snapshot_too(rt: rk.Runtime, later: rk.Runtime) -> None:
    snap = rt.launch(echo).snapshot()
    assert (snap.messages, snap.layout) == (0, [])
    assert later.launch(echo, restore=snap).call(Number(5), timeout=W) == Number(5)


def test_a_snapshot_of_a_snapshot_is_the_same_state(rt: rk.Runtime, later: rk.Runtime) -> None:
    snap = full_snapshot(rt)
    again = later.launch(tally, name="full", instances=2, autostart=False, restore=snap).snapshot()
    assert (again.messages, again.instances, again.layout) == (snap.messages, snap.instances, snap.layout)
    assert again.hlc > snap.hlc
    with rk.Runtime() as third:
        kernel = third.launch(tally, name="other", instances=2, restore=again)
        assert sum(kernel.call(Number(0), timeout=W, instance=n).n for n in range(2)) == 6 + sum(range(10, 16))


def test_who_had_asked_is_not_answered_and_nobody_else_is_either(rt: rk.Runtime, later: rk.Runtime) -> None:
    """The first ids of two runtimes are alike: a reply to what was restored must not be taken for one to a new message."""
    kernel = rt.launch(double, autostart=False)
    for n in range(4):
        kernel.ask(Number(100 + n))
    restored = later.launch(double, autostart=False, restore=kernel.snapshot())
    asked = [restored.ask(Number(n)) for n in range(4)]
    restored.activate()
    assert [one.result(W).n for one in asked] == [0, 2, 4, 6]
    assert restored.call(Number(1), timeout=W) == Number(2)
    assert [restored.receive(W).n for _ in range(4)] == [200, 202, 204, 206], "they are for whoever receives"


def test_what_was_restored_is_no_duplicate_of_what_is_sent(rt: rk.Runtime, later: rk.Runtime, until: Any) -> None:
    kernel, seen = rt.launch(sink, autostart=False), []
    for n in range(3):
        kernel.send(Number(n))
    restored = later.launch(recorder(seen), name="sink", dedup=64, restore=kernel.snapshot())
    for n in range(3, 6):
        restored.send(Number(n))
    until(lambda: restored.telemetry().in_flight == 0)
    assert sorted(seen) == list(range(6))


def test_a_failed_or_terminated_kernel_shows_its_last_state(rt: rk.Runtime, later: rk.Runtime) -> None:
    kernel = rt.launch(tally)
    kernel.call(Number(5), timeout=W)
    kernel.terminate()
    snap = kernel.snapshot()
    assert snap.messages == 0
    assert later.launch(tally, restore=snap).call(Number(1), timeout=W) == Number(6)


def test_a_handler_that_does_not_return_is_an_error_and_the_kernel_goes_on(
    rt: rk.Runtime, gate: Any, until: Any
) -> None:
    kernel = rt.launch(gate, name="slow")
    kernel.send(Number(1))
    until(gate.entered.is_set)
    with pytest.raises(KernelHungError, match="'slow' did not return in time"):
        kernel.snapshot(timeout=0.02)
    gate.open.set()
    assert kernel.call(Number(2), timeout=W) == Number(2)
    assert kernel.snapshot().messages == 0


def test_a_hung_kernel_has_no_snapshot(rt: rk.Runtime, gate: Any, until: Any) -> None:
    kernel = rt.launch(gate, name="stuck", watchdog=0.02)
    kernel.send(Number(1))
    until(lambda: kernel.hung)
    with pytest.raises(InvalidStateTransition, match="'stuck' is Failed: a snapshot needs one that rests"):
        kernel.snapshot()


def test_a_supervised_kernel_begins_anew_after_a_restart(rt: rk.Runtime, later: rk.Runtime) -> None:
    """A restart goes back to the initial state; the snapshot is not it."""

    def fragile(ctx: rk.Context, state: Tally, msg: Number) -> Number:
        if msg.n == 13:
            raise ValueError
        state.total += msg.n
        return Number(state.total)

    kernel = rt.launch(fragile)
    kernel.call(Number(5), timeout=W)
    restored = later.launch(fragile, restore=kernel.snapshot(), supervisor=later.supervisor())
    assert restored.call(Number(1), timeout=W) == Number(6)
    with pytest.raises(rk.HandlerError):
        restored.call(Number(13), timeout=W)
    assert restored.call(Number(1), timeout=W) == Number(1)


# -- under load


def test_a_snapshot_of_a_busy_kernel_loses_nothing(rt: rk.Runtime, later: rk.Runtime, threads: Any, until: Any) -> None:
    """What a snapshot holds is, for each instance, a beginning of what was sent to it: handled first, then waiting."""
    kernel, stop = rt.launch(adds, instances=3, capacity=64), threading.Event()

    def sends(instance: int) -> int:
        n = 0
        while not stop.is_set():
            with suppress(RingFullError, rk.RingTimeoutError):
                kernel.send(Number(n + 1), timeout=1.0, instance=instance)
                n += 1
        return n

    sending = [threads.start(sends, n) for n in range(3)]
    snaps = []
    for _ in range(8):
        time.sleep(0.01)
        snaps.append(kernel.snapshot(W))
    stop.set()
    sent = [one.result() for one in sending]
    until(lambda: kernel.telemetry().in_flight == 0)
    kernel.deactivate()
    assert [state.seen for state in kernel.states] == sent, "the snapshots took nothing away"
    assert kernel.stats().accepted == sum(sent)
    for number, snap in enumerate(snaps):
        restored = later.launch(adds, name=f"r{number}", instances=3, restore=snap)
        until(lambda restored=restored: restored.telemetry().in_flight == 0)
        restored.deactivate()
        for state, most in zip(restored.states, sent, strict=True):
            assert state.total == state.seen * (state.seen + 1) // 2, "a number is missing, or there twice"
            assert state.seen <= most
    assert any(snap.messages for snap in snaps), "none was taken while messages waited"


def test_two_threads_snapshot_while_others_pause_and_resume(rt: rk.Runtime, threads: Any) -> None:
    kernel, stop = rt.launch(tally), threading.Event()

    def snaps(_: int) -> int:
        taken = 0
        while not stop.is_set():
            kernel.snapshot(W)
            taken += 1
        return taken

    def pauses() -> None:
        while not stop.is_set():
            with suppress(InvalidStateTransition):
                kernel.deactivate(W)
            with suppress(InvalidStateTransition):
                kernel.activate(W)

    running = [threads.start(snaps, 0), threads.start(snaps, 1), threads.start(pauses)]
    total = 0
    for n in range(200):
        total += n
        assert kernel.call(Number(n), timeout=W) == Number(total)
    stop.set()
    assert all(one.result() != 0 for one in running)


# -- bytes and files


def test_bytes_and_files_and_pickles_hold_the_same(rt: rk.Runtime, tmp_path: Path) -> None:
    snap, path = full_snapshot(rt), tmp_path / "kernel.ckpt"
    snap.save(path)
    assert path.read_bytes() == bytes(snap) == snap.to_bytes()
    for copy in (rk.Snapshot.load(path), rk.Snapshot.load(str(path)), rk.Snapshot.from_bytes(bytes(snap))):
        assert copy == snap
        assert hash(copy) == hash(snap)
        assert (copy.messages, copy.instances, copy.hlc, copy.layout) == (6, 2, snap.hlc, snap.layout)
    assert pickle.loads(pickle.dumps(snap)) == snap
    assert rk.Snapshot.from_bytes(memoryview(bytearray(bytes(snap)))) == snap  # type: ignore[arg-type]
    assert repr(snap) == f"<Snapshot of 'full' instances=2 messages=6 {len(bytes(snap))} bytes>"
    assert os.listdir(tmp_path) == ["kernel.ckpt"]


@pytest.mark.parametrize("how", ["snapshot", "path", "str"])
def test_launch_takes_a_snapshot_or_a_path(rt: rk.Runtime, later: rk.Runtime, tmp_path: Path, how: str) -> None:
    snap, path = full_snapshot(rt), tmp_path / "kernel.ckpt"
    snap.save(path)
    given: Any = {"snapshot": snap, "path": path, "str": str(path)}[how]
    kernel = later.launch(tally, instances=2, restore=given)
    assert sum(kernel.call(Number(0), timeout=W, instance=n).n for n in range(2)) == 6 + sum(range(10, 16))


@pytest.mark.parametrize("given", [b"RKCKPT", 5, True, ["a"]])
def test_launch_takes_nothing_else(rt: rk.Runtime, given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="restore: found .*, need a Snapshot or the path of one"):
        rt.launch(echo, restore=given)
    assert rt.kernels == {}


def test_a_file_that_is_not_there_is_an_oserror_with_its_path(rt: rk.Runtime, tmp_path: Path) -> None:
    missing = tmp_path / "no" / "such.ckpt"
    for use in (
        lambda: rk.Snapshot.load(missing),
        lambda: rt.launch(echo, restore=missing),
        lambda: rt.launch(echo).snapshot().save(missing),
    ):
        with pytest.raises(FileNotFoundError) as caught:
            use()
        assert str(tmp_path / "no") in str(caught.value)
    with pytest.raises(OSError, match="."):
        rk.Snapshot.load(tmp_path)
    with pytest.raises(InvalidArgumentError, match="from_bytes: found str, need bytes"):
        rk.Snapshot.from_bytes("text")  # type: ignore[arg-type]


def test_saving_replaces_the_old_file_and_leaves_no_other(rt: rk.Runtime, tmp_path: Path) -> None:
    kernel, path = rt.launch(tally), tmp_path / "kernel.ckpt"
    for n in range(1, 6):
        kernel.call(Number(n), timeout=W)
        kernel.snapshot().save(path)
        assert os.listdir(tmp_path) == ["kernel.ckpt"]
    with rk.Runtime() as other:
        assert other.launch(tally, restore=path).call(Number(0), timeout=W) == Number(15)


def test_readers_see_a_whole_file_while_it_is_replaced(rt: rk.Runtime, tmp_path: Path, threads: Any) -> None:
    kernel, path, stop = rt.launch(tally), tmp_path / "kernel.ckpt", threading.Event()
    kernel.snapshot().save(path)

    def reads() -> int:
        count = 0
        while not stop.is_set():
            assert rk.Snapshot.load(path).kernel == "tally"
            count += 1
        return count

    reading = threads.start(reads)
    for n in range(40):
        kernel.call(Number(n), timeout=W)
        kernel.snapshot().save(path)
    stop.set()
    assert reading.result() > 0


def test_a_full_disk_is_an_oserror_and_the_old_file_stays(run_script: Any, tmp_path: Path) -> None:
    code, out, errors = run_script(f"""
        import errno, resource
        @rk.state
        class Big:
            n: rk.u64
            room: rk.Array[rk.u8, 60000]
        def keeps(ctx: rk.Context, state: Big, msg: Ping) -> Ping:
            state.n += msg.n
            return Ping(state.n)
        rt = rk.Runtime(backend="cpu")
        kernel = rt.launch(keeps)
        path = os.path.join({str(tmp_path)!r}, "kernel.ckpt")
        kernel.call(Ping(5), timeout=60)
        kernel.snapshot().save(path)
        old = open(path, "rb").read()
        kernel.call(Ping(5), timeout=60)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        for _ in range(3):
            try:
                kernel.snapshot().save(path)
            except OSError as error:
                assert error.errno in (errno.EFBIG, errno.ENOSPC), error
                assert "kernel.ckpt" in str(error), error
            else:
                print("saved")
        assert open(path, "rb").read() == old
        assert os.listdir({str(tmp_path)!r}) == ["kernel.ckpt"], os.listdir({str(tmp_path)!r})
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        kernel.snapshot().save(path)
        rt.close()
        with rk.Runtime() as rt:
            print(rt.launch(keeps, restore=path).call(Ping(0), timeout=60).n)
    """)
    assert (code, out, errors) == (0, "10\n", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_is_a_permission_error(rt: rk.Runtime, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        rt.launch(echo).snapshot().save(tmp_path / "kernel.ckpt")
    tmp_path.chmod(0o700)


# -- damage


def test_every_truncation_is_noticed(rt: rk.Runtime) -> None:
    whole = bytes(full_snapshot(rt))
    for size in range(len(whole)):
        with pytest.raises(CheckpointCorruptError):
            rk.Snapshot.from_bytes(whole[:size])
    with pytest.raises(CheckpointCorruptError):
        rk.Snapshot.from_bytes(whole + b"\0")


def test_every_flipped_bit_is_noticed(rt: rk.Runtime) -> None:
    whole, dice = bytes(full_snapshot(rt)), random.Random(20)
    places = {*range(8 * HEAD), *(dice.randrange(8 * len(whole)) for _ in range(1500))}
    for place in places:
        bad = bytearray(whole)
        bad[place // 8] ^= 1 << place % 8
        with pytest.raises(CheckpointError):
            rk.Snapshot.from_bytes(bytes(bad))


def test_random_damage_never_launches_anything(rt: rk.Runtime, later: rk.Runtime, tmp_path: Path) -> None:
    whole, dice, path = bytes(full_snapshot(rt)), random.Random(21), tmp_path / "bad.ckpt"
    for _ in range(50):
        bad = bytearray(whole)
        start = dice.randrange(len(bad))
        piece = dice.randbytes(dice.randrange(1, 40))
        bad[start : start + len(piece)] = piece
        path.write_bytes(bad)
        if bytes(bad) == whole:
            continue
        with pytest.raises(CheckpointError):
            later.launch(tally, instances=2, restore=path)
    assert later.kernels == {}
    assert later.launch(tally, instances=2, restore=rk.Snapshot.from_bytes(whole)).instances == 2, "the name is free"


@pytest.mark.parametrize(
    "foreign", [b"", b"\0", b"RKCKPT\r\n", b"RKCKPT\n\n" + bytes(200), b"\x89PNG\r\n\x1a\n" + bytes(500), bytes(4096)]
)
def test_foreign_bytes_are_told(foreign: bytes) -> None:
    with pytest.raises(CheckpointCorruptError) as caught:
        rk.Snapshot.from_bytes(foreign)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value)


def test_a_newer_version_is_told_from_damage(rt: rk.Runtime) -> None:
    whole = bytes(full_snapshot(rt))
    assert struct.unpack_from("<HHI", whole, 8) == (1, 0, HEAD)
    assert with_head(whole, 8, struct.pack("<H", 1)) == whole, "the checksum is the documented one"
    with pytest.raises(CheckpointVersionError, match="2") as caught:
        rk.Snapshot.from_bytes(with_head(whole, 8, struct.pack("<H", 2)))
    assert isinstance(caught.value, CheckpointError)
    minor = rk.Snapshot.from_bytes(with_head(whole, 10, struct.pack("<H", 7)))
    assert (minor.version, minor.messages) == ((1, 7), 6), "a later minor version only adds"


def test_a_checkpoint_of_the_far_future_is_refused(rt: rk.Runtime, backend: str) -> None:
    snap = full_snapshot(rt)
    ahead = rk.HlcTimestamp(snap.hlc.time + (3600 << 32), 1)
    with rk.Runtime(backend=backend, max_drift=7200.0) as fast:
        kernel = fast.launch(stamps_clock(ahead))
        kernel.call(Number(1), timeout=W)
        future = kernel.snapshot()
    with rk.Runtime(backend=backend) as slow:
        with pytest.raises(ClockSkewError, match="further ahead"):
            slow.launch(stamps_clock(ahead), restore=future)
        assert slow.kernels == {}


def stamps_clock(ahead: Any) -> Any:
    def stamps(ctx: rk.Context, msg: Number) -> Number:
        ctx.update_clock(ahead)
        return msg

    return stamps


# -- layouts


def handler_of(state: type[Any]) -> Any:
    def takes(ctx: rk.Context, kept: Any, msg: Number) -> None:
        return None

    takes.__annotations__ = {"ctx": rk.Context, "kept": state, "msg": Number, "return": None}
    return takes


def state_of(name: str = "Kept", /, **fields: Any) -> type[Any]:
    return rk.state(type(name, (), {"__annotations__": fields}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seen": rk.u64, "total": rk.f32}, r"field 'total': found u64 at 8, need f32 at 8"),
        ({"seen": rk.u32, "total": rk.u64}, r"field 'seen': found u64 at 0, need u32 at 0"),
        ({"total": rk.u64, "seen": rk.u64}, r"field 'total': found another order of fields, need it as number 1"),
        ({"seen": rk.u64, "sum": rk.u64}, r"field 'sum'"),
        ({"seen": rk.u64}, r"field 'total'"),
        ({"seen": rk.u64, "total": rk.u64, "more": rk.u8}, r"field 'more'"),
        ({"seen": rk.u64, "total": rk.Array[rk.u64, 2]}, r"field 'total'"),
    ],
)
def test_a_changed_state_is_refused_by_the_name_of_its_field(
    rt: rk.Runtime, later: rk.Runtime, fields: dict[str, Any], message: str
) -> None:
    snap = rt.launch(handler_of(Tally), name="k").snapshot()
    with pytest.raises(LayoutMismatchError, match=message) as caught:
        later.launch(handler_of(state_of(**fields)), name="k", restore=snap)
    assert "k" in str(caught.value)
    assert later.kernels == {}
    assert later.registry.find("k") is None


def test_a_renamed_class_of_the_same_fields_fits(rt: rk.Runtime, later: rk.Runtime) -> None:
    kernel = rt.launch(tally)
    kernel.call(Number(5), timeout=W)
    twin = state_of("Twin", seen=rk.u64, total=rk.u64)
    assert later.launch(handler_of(twin), name="k", restore=kernel.snapshot()).state_object.total == 5


def test_state_where_there_was_none_and_none_where_there_was_some_are_refused(
    rt: rk.Runtime, later: rk.Runtime
) -> None:
    without, having = rt.launch(double).snapshot(), rt.launch(tally).snapshot()
    for handler, snap in ((tally, without), (double, having)):
        with pytest.raises(LayoutMismatchError, match="state of kernel"):
            later.launch(handler, restore=snap)
    assert later.kernels == {}


@pytest.mark.parametrize("instances", [1, 3])
def test_another_number_of_instances_is_refused(rt: rk.Runtime, later: rk.Runtime, instances: int) -> None:
    with pytest.raises(LayoutMismatchError, match=f"the checkpoint has 2 instances, the launch asks for {instances}"):
        later.launch(tally, instances=instances, restore=full_snapshot(rt))
    assert later.kernels == {}


def test_waiting_messages_need_a_handler_that_takes_them(rt: rk.Runtime, later: rk.Runtime, until: Any) -> None:
    kernel = rt.launch(either, autostart=False)
    kernel.send(Number(1))
    kernel.send(Text(b"a"))
    snap = kernel.snapshot()
    with pytest.raises(LayoutMismatchError, match="holds messages of Text, which kernel 'echo' does not accept"):
        later.launch(echo, restore=snap)
    kernel = later.launch(either, restore=snap)
    assert {type(kernel.receive(W)) for _ in range(2)} == {Number, Text}


def test_a_name_that_is_taken_is_refused_and_nothing_is_left_behind(rt: rk.Runtime) -> None:
    kernel = rt.launch(odd_only)
    snap = kernel.snapshot()
    with pytest.raises(rk.KernelExistsError):
        rt.launch(odd_only, restore=snap)
    assert kernel.call(Number(1), timeout=W) == Number(1)
    assert rt.launch(odd_only, name="second", restore=snap).call(Number(3), timeout=W) == Number(3)
