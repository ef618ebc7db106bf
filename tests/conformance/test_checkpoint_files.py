"""Checkpoints as bytes and files: damage, and states of another layout."""

from __future__ import annotations

import os
import pickle
import random
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest
from actors import Number, Tally, Text, double, echo, either, odd_only, tally

import pyringkernel as rk
from pyringkernel.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointVersionError,
    ClockSkewError,
    InvalidArgumentError,
    LayoutMismatchError,
)

if TYPE_CHECKING:
    from pathlib import Path
from checkpoints_parts import W, full_snapshot

HEAD = 64


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
