"""The layout of the shared structs, written down once: whoever changes a line changes the ABI (abi/version.h)."""

from __future__ import annotations

import numpy as np
import pytest

from pyringkernel import abi

# struct: size, then name -> (offset, bytes)
# fmt: off
CONTRACT: dict[str, tuple[int, dict[str, tuple[int, int]]]] = {
    "HlcTimestamp": (16, {"time": (0, 8), "node_id": (8, 4), "shard_id": (12, 4)}),
    "MessageHeader": (64, {
        "version": (0, 1), "priority": (1, 1), "hops": (2, 1), "flags": (3, 1), "type_id": (4, 4),
        "payload_size": (8, 4), "crc32c": (12, 4), "message_id": (16, 8), "correlation_id": (24, 8),
        "source": (32, 8), "dest": (40, 8), "hlc": (48, 8), "deadline": (56, 8),
    }),
    "ControlBlock": (128, {
        "magic": (0, 4), "abi_version": (4, 4), "kernel_id": (8, 8), "is_active": (16, 4),
        "should_terminate": (20, 4), "epoch": (24, 8), "lease_deadline": (32, 8), "inbox": (40, 8),
        "outbox": (48, 8), "host_reserved": (56, 8),
        "has_terminated": (64, 4), "state": (68, 4), "heartbeat": (72, 8), "messages_processed": (80, 8),
        "messages_in_flight": (88, 8), "error_count": (96, 4), "last_error": (100, 4), "hlc_state": (104, 8),
        "epoch_seen": (112, 8), "device_reserved": (120, 8),
    }),
    "TelemetryBlock": (64, {
        "messages_processed": (0, 8), "messages_dropped": (8, 8), "total_latency_ns": (16, 8),
        "min_latency_ns": (24, 8), "max_latency_ns": (32, 8), "inbox_depth": (40, 4), "outbox_depth": (44, 4),
        "last_error": (48, 4), "reserved0": (52, 4), "reserved1": (56, 8),
    }),
    "RingGeometry": (128, {
        "magic": (0, 4), "abi_version": (4, 4), "capacity": (8, 8), "slot_size": (16, 4), "slot_stride": (20, 4),
        "payload_offset": (24, 4), "layout": (28, 4), "slots_offset": (32, 8), "total_bytes": (40, 8),
        **{f"reserved{n}": (48 + 8 * n, 8) for n in range(10)},
    }),
}
# fmt: on


@pytest.mark.parametrize("name", CONTRACT)
def test_a_shared_struct_has_the_frozen_size_and_offsets(name: str) -> None:
    size, fields = CONTRACT[name]
    dtype = abi.dtype(name)
    assert dtype.itemsize == size
    assert dtype.names == tuple(fields)
    assert dtype.fields is not None
    found = {field: (dtype.fields[field][1], dtype.fields[field][0].itemsize) for field in dtype.names}
    assert found == fields


def test_every_shared_struct_is_in_the_contract() -> None:
    assert sorted(abi.names()) == sorted(CONTRACT)


@pytest.mark.parametrize("name", CONTRACT)
def test_fields_are_little_endian_unsigned_and_leave_no_gap(name: str) -> None:
    dtype = abi.dtype(name)
    assert dtype.fields is not None
    end = 0
    for field in dtype.names or ():
        kind, offset = dtype.fields[field][:2]
        assert kind.str in ("|u1", "<u2", "<u4", "<u8"), field
        assert offset == end, field
        assert offset % kind.itemsize == 0, field
        end = offset + kind.itemsize
    assert end == dtype.itemsize


def test_host_and_device_write_different_lines_of_the_control_block() -> None:
    fields = abi.dtype("ControlBlock").fields
    assert fields is not None
    device = [
        "has_terminated",
        "state",
        "heartbeat",
        "messages_processed",
        "messages_in_flight",
        "error_count",
        "last_error",
        "hlc_state",
        "epoch_seen",
        "device_reserved",
    ]
    assert {name for name in fields if fields[name][1] >= 64} == set(device)


def test_the_abi_version_is_1_0() -> None:
    assert abi.VERSION == (1, 0)


def test_an_unknown_struct_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        abi.dtype("Nothing")


def test_a_dtype_reads_the_header_of_a_real_frame() -> None:
    import pyringkernel as rk

    @rk.message(type_id=0x0A11CE)
    class LayoutProbe:
        x: rk.u16

    probe = LayoutProbe(x=7)
    probe.header.priority = 2
    probe.header.deadline = 0x1122334455667788
    header = np.frombuffer(probe.to_bytes(), abi.dtype("MessageHeader"), 1)[0]
    assert (header["version"], header["priority"], header["type_id"]) == (1, 2, 0x0A11CE)
    assert (header["payload_size"], header["deadline"]) == (2, 0x1122334455667788)
