"""Right code with the optional base class, which shows type checkers what a message can do."""

from __future__ import annotations

import pyringkernel as rk


@rk.message
class Reading(rk.Message):
    value: rk.f32
    unit: rk.u8 = 0

    def doubled(self) -> float:
        return self.value * 2


reading = Reading(2.5)
frame: bytes = reading.to_bytes()
back: Reading = Reading.from_bytes(frame)
twin: Reading = reading.copy()
payload: bytes = bytes(reading)
view = memoryview(reading)
reading.header.priority = rk.Priority.HIGH
sent: rk.HlcTimestamp = reading.header.timestamp
identity: int = Reading.type_id
size: int = Reading.wire_size
fields = Reading.dtype.names
twice: float = reading.doubled()
