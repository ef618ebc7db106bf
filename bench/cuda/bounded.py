#!/usr/bin/env python3
"""A few messages through a resident kernel with short leases: what compute-sanitizer and profilers can follow."""

from __future__ import annotations

import os
import sys

from batches import totals_of
from handlers import Ball, Block64, blocks, make_echo, make_player, make_sink

import pyringkernel as rk

PATIENCE_S = 30.0
MESSAGES = 20


def echoes(rt: rk.Runtime) -> int:
    kernel = rt.launch(make_echo(2), instances=2)
    wrong = 0
    for row in blocks(64, MESSAGES):
        reply = kernel.call(Block64.from_payload(row.tobytes()), timeout=PATIENCE_S)
        wrong += int(reply.check != row["check"])
    return wrong


def batch(rt: rk.Runtime) -> int:
    kernel = rt.launch(make_sink(256, 2))
    kernel.send_many(blocks(256, MESSAGES), timeout=PATIENCE_S)
    received, wrong, reordered = totals_of(kernel)
    return wrong + reordered + abs(MESSAGES - received)


def game(rt: rk.Runtime) -> int:
    ping = rt.launch(make_player("ping", "pong"), autostart=False)
    pong = rt.launch(make_player("pong", "ping"), autostart=False)
    for player in (ping, pong):
        player.activate(timeout=PATIENCE_S)
    ping.send(Ball(left=MESSAGES, hits=0, words=[0] * 12))
    return int(ping.receive(timeout=PATIENCE_S).hits != MESSAGES + 1)


def main() -> int:
    backend = os.environ.get("RK_GPU_BACKEND", "cuda")
    options = {"lease": 0.05} if backend == "cuda" else {}
    wrong = 0
    for part in (echoes, batch, game):
        with rk.Runtime(backend=backend, **options) as rt:
            wrong += part(rt)
    print(f"{wrong} wrong")
    return int(wrong != 0)


if __name__ == "__main__":
    sys.exit(main())
