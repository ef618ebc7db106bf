#!/usr/bin/env python3
"""A few messages through a resident kernel with short leases: what compute-sanitizer and profilers can follow."""

from __future__ import annotations

import argparse
import os
import sys
import time

from batches import totals_of
from handlers import Ball, Block64, blocks, make_echo, make_player, make_sink

import pyringkernel as rk

PATIENCE_S = 20.0


def echoes(rt: rk.Runtime, messages: int) -> int:
    kernel = rt.launch(make_echo(2), instances=2)
    wrong = 0
    for row in blocks(64, messages):
        reply = kernel.call(Block64.from_payload(row.tobytes()), timeout=PATIENCE_S)
        wrong += int(reply.check != row["check"])
    return wrong


def batch(rt: rk.Runtime, messages: int) -> int:
    kernel = rt.launch(make_sink(256, 2))
    kernel.send_many(blocks(256, messages), timeout=PATIENCE_S)
    received, wrong, reordered = totals_of(kernel)
    return wrong + reordered + abs(messages - received)


def game(rt: rk.Runtime, messages: int) -> int:
    ping = rt.launch(make_player("ping", "pong"), autostart=False)
    pong = rt.launch(make_player("pong", "ping"), autostart=False)
    for player in (ping, pong):
        player.activate(timeout=PATIENCE_S)
    ping.send(Ball(left=messages, hits=0, words=[0] * 12))
    return int(ping.receive(timeout=PATIENCE_S).hits != messages + 1)


def stay(rt: rk.Runtime, messages: int) -> int:
    """Resident until the process is killed."""
    wrong = echoes(rt, messages)
    print(RESIDENT, flush=True)
    time.sleep(PATIENCE_S * 3)
    return wrong


RESIDENT = "resident"
PARTS = {"echoes": echoes, "batch": batch, "game": game, "stay": stay}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20)
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=["echoes", "batch", "game"])
    given = parser.parse_args()
    backend = os.environ.get("RK_GPU_BACKEND", "cuda")
    options = {"lease": 0.05} if backend == "cuda" else {}
    wrong = 0
    for name in given.part:
        print(name, flush=True)  # which part a run that hangs was in
        with rk.Runtime(backend=backend, **options) as rt:
            wrong += PARTS[name](rt, given.messages)
    print(f"{wrong} wrong")
    return int(wrong != 0)


if __name__ == "__main__":
    sys.exit(main())
