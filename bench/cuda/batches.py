"""G3 and G4: batches from the host to kernels and back. What counts is what was received and found whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from figures import FAULTS, Figure
from handlers import SIZES, Ask, blocks, check_bases, checks_of_seqs, make_sink, make_spring
from setting import WAIT_S, Setting, now, rate, sized, undisturbed

CHUNK = 4096


def totals_of(kernel: Any) -> tuple[int, int, int]:
    """Received, wrong and reordered, of all instances: answered after everything that was sent before."""
    found = [kernel.call(Ask(0), instance=i, timeout=WAIT_S) for i in range(kernel.instances)]
    return sum(one.count for one in found), sum(one.wrong for one in found), sum(one.reordered for one in found)


MOST = {64: 4_000_000, 256: 1_000_000, 1024: 400_000}  # messages of a repetition; fewer where they take longer


def to_kernel(setting: Setting, size: int, instances: int) -> tuple[list[float], int, dict[str, int]]:
    """Seconds of each repetition, messages of each, and counts."""
    rows = blocks(size, min(setting.count(MOST[size], 256), 65536))
    repetitions = 2 if setting.double else 5
    sent = received = wrong = reordered = 0
    with setting.runtime() as rt:
        kernel = rt.launch(make_sink(size, setting.threads), instances=instances, capacity=16384)

        def once(count: int) -> float:
            nonlocal sent, received, wrong, reordered
            begin = now()
            with undisturbed():
                for at in range(0, count, len(rows)):
                    sent += kernel.send_many(rows[: count - at], timeout=WAIT_S)
                received, wrong, reordered = totals_of(kernel)
            return now() - begin

        count = sized(setting, MOST[size], 256, once)
        seconds = [once(count) for _ in range(repetitions)]
    counts = {"received": received, "wrong": wrong, "lost": sent - received}
    return seconds, count, counts | ({"reordered": reordered} if instances == 1 else {})


def from_kernel(setting: Setting, size: int, instances: int) -> tuple[list[float], int, dict[str, int]]:
    """Each instance sends a chunk for a message; two chunks of each are under way."""
    chunk = 16 if setting.double else CHUNK // instances
    orders = blocks(size, 1)
    orders["check"] = check_bases(orders["words"])
    orders["seq"] = chunk
    repetitions = 2 if setting.double else 5
    got, total = [], 0
    with setting.runtime() as rt:
        kernel = rt.launch(make_spring(size, setting.threads), instances=instances, capacity=4 * CHUNK)

        def once(count: int) -> float:
            nonlocal total
            chunks, received, ordered, parts = max(1, count // chunk), 0, 0, []
            begin = now()
            with undisturbed():
                while received < chunks * chunk:
                    while ordered < chunks and ordered * chunk - received < 2 * CHUNK:
                        kernel.send_many(orders, timeout=WAIT_S, instance=ordered % instances)
                        ordered += 1
                    part = kernel.receive_many(max=CHUNK, timeout=WAIT_S)
                    received += len(part)
                    parts.append(part)
            took = now() - begin
            got.append(np.concatenate(parts))
            total += chunks * chunk
            return took

        count = sized(setting, MOST[size], 64, once)
        seconds = [once(count) for _ in range(repetitions)]
    return seconds, max(1, count // chunk) * chunk, conserved(got, orders, instances, total)


def conserved(parts: list[Any], orders: Any, instances: int, wanted: int) -> dict[str, int]:
    """Every instance numbers its messages from 0: each number comes once from each, however they are mixed."""
    rows = np.concatenate(parts)
    base = check_bases(orders["words"])[0]
    whole = (rows["check"] == checks_of_seqs(rows["seq"], base)) & (rows["words"] == orders["words"][0]).all(axis=1)
    times_seen = np.bincount(rows["seq"].astype(np.int64))
    return {
        "received": len(rows),
        "wrong": int((~whole).sum()),
        "lost": max(0, wanted - len(rows)),
        "duplicated": int(np.maximum(times_seen - instances, 0).sum()),
    }


def group(setting: Setting) -> Iterator[Figure]:
    """The better of one instance and several; both are in the table."""
    for name, measure in (("G3", to_kernel), ("G4", from_kernel)):
        for size in SIZES:
            tried = []
            for instances in (1, 2) if setting.double else (1, 8):
                seconds, count, counts = measure(setting, size, instances)
                tried.append((instances, rate(f"{name} {size}", count, seconds, counts)))
            instances, best = max(tried, key=lambda one: one[1].value or 0.0)
            best.against = {f"{n} instances": one.tails for n, one in tried}
            best.note = f"{instances} instances; block of {setting.threads} threads"
            for other in (one for _, one in tried if one is not best):
                for key in FAULTS:
                    best.counts[key] = best.counts.get(key, 0) + other.counts.get(key, 0)
            yield best
