"""A field read, a field written, an instance turned into bytes: ours against what else holds typed records."""

from __future__ import annotations

import ctypes
import struct

import numpy as np

import pyringkernel as rk
from timing import Candidate, loop, main


@rk.message
class Tick(rk.Message):
    id: rk.u32
    venue: rk.u16
    live: bool
    price: rk.f64
    volume: rk.u64
    spread: rk.f32


class CTick(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint32),
        ("venue", ctypes.c_uint16),
        ("live", ctypes.c_bool),
        ("price", ctypes.c_double),
        ("volume", ctypes.c_uint64),
        ("spread", ctypes.c_float),
    )


class SlotsTick:
    __slots__ = ("id", "live", "price", "spread", "venue", "volume")


VALUES = {"id": 123456, "venue": 7, "live": True, "price": 101.25, "volume": 10**12, "spread": 0.5}
PACK = struct.Struct("<IH?xdQf4x").pack


def objects() -> dict[str, tuple[object, str, dict[str, object]]]:
    """name -> instance, the statement that makes bytes of it as `x`, and the names that it needs."""
    record = np.zeros((), Tick.dtype).reshape(1).view(np.recarray)[0]
    plain = SlotsTick()
    for name, value in VALUES.items():
        setattr(record, name, value)
        setattr(plain, name, value)
    made: dict[str, tuple[object, str, dict[str, object]]] = {
        "pyringkernel": (Tick(**VALUES), "x.__bytes__()", {}),
        "ctypes.Structure": (CTick(**VALUES), "bytes(x)", {}),
        "numpy record": (record, "x.tobytes()", {}),
        "slots + struct.pack": (plain, "pack(x.id, x.venue, x.live, x.price, x.volume, x.spread)", {"pack": PACK}),
    }
    try:
        import msgspec

        fields = [(n, type(v)) for n, v in VALUES.items()]
        tick = msgspec.defstruct("MsgspecTick", fields)(**VALUES)
        made["msgspec"] = (tick, "encode(x)", {"encode": msgspec.msgpack.Encoder().encode})
    except ImportError:
        print("msgspec is not installed: left out")
    return made


def build(quick: bool) -> list[Candidate]:
    count = 20_000 if quick else 200_000
    out = []
    for name, (instance, to_bytes, names) in objects().items():
        ours = name == "pyringkernel"
        scope = {"x": instance, **names}
        for scenario, statement in (
            ("field read", "x.price"),
            ("field write", "x.price = 2.5"),
            ("to bytes", to_bytes),
            ("read, write, to bytes", f"x.price; x.price = 2.5; {to_bytes}"),
        ):
            out.append(Candidate(scenario, name, loop(statement, scope), count, ours))
    ring = rk.SpscRing(1024, dtype=Tick)
    raw = rk.SpscRing(1024, Tick.wire_size)
    tick = objects()["pyringkernel"][0]
    out.append(
        Candidate(
            "into a ring and out",
            "pyringkernel message",
            loop("push(x); pop()", {"push": ring.push, "pop": ring.pop, "x": tick}),
            count,
            True,
        )
    )
    ctick = objects()["ctypes.Structure"][0]
    out.append(
        Candidate(
            "into a ring and out",
            "ctypes.Structure, as bytes",
            loop(
                "push(x); make(pop())", {"push": raw.push, "pop": raw.pop, "x": ctick, "make": CTick.from_buffer_copy}
            ),
            count,
        )
    )
    return out


if __name__ == "__main__":
    main(build)
