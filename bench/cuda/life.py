"""G9 and G11: beginning, pausing, failing, hanging, ending. All of it as the device acknowledges it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from typing import Any

import numpy as np
from batches import totals_of
from bounded import RESIDENT
from figures import Figure, percentiles
from gpu import HERE
from handlers import Block64, blocks, make_echo, make_fragile, make_sink
from setting import WAIT_S, Setting, WrongError, now

import pyringkernel as rk


def block(check: int) -> Any:
    return Block64(seq=0, check=check, words=[0] * 13)


def figure(id: str, seconds: list[float], scale: float = 1e6, **more: Any) -> Figure:
    tails = percentiles(np.asarray(seconds) * scale)
    return Figure(id, tails["p50"], tails, {"samples": len(seconds), **more.pop("counts", {})}, **more)


def created(setting: Setting) -> list[Figure]:
    """A kernel each time: compiled before, launched as a grid, answered once, terminated."""
    made, ended, wrong = [], [], 0
    handler = make_echo(setting.threads)
    with setting.runtime() as rt:
        for n in range(setting.count(50, 3)):
            begin = now()
            kernel = rt.launch(handler, name=f"echo{n}")
            made.append(now() - begin)
            (row,) = blocks(64, 1, n)
            wrong += kernel.call(Block64.from_payload(row.tobytes()), timeout=WAIT_S).check != row["check"]
            begin = now()
            kernel.terminate(timeout=WAIT_S)
            ended.append(now() - begin)
    note = "a kernel is a grid of its own: this is a cooperative launch and its memory, not a message"
    counts = {"received": len(made), "wrong": wrong}
    return [
        figure("G9 create", made[1:], note=note, counts=counts),
        figure("G9 destroy", ended[1:], note="terminate() of an idle kernel; its grid leaves the device"),
    ]


def paused(setting: Setting) -> list[Figure]:
    pauses, resumes = [], []
    with setting.runtime() as rt:
        kernel = rt.launch(make_echo(setting.threads))
        for _ in range(setting.count(2_000, 10)):
            begin = now()
            kernel.deactivate(timeout=WAIT_S)
            between = now()
            kernel.activate(timeout=WAIT_S)
            resumes.append(now() - between)
            pauses.append(between - begin)
    return [figure("G9 pause", pauses), figure("G9 resume", resumes)]


def restarted(setting: Setting) -> list[Figure]:
    """A failing message and a good one behind it, until the good one is answered by the new instance."""
    times, wrong = [], 0
    with setting.runtime(dead_letters=16) as rt:
        chief = rt.supervisor(intensity=1_000_000, period=1.0)
        kernel = rt.launch(make_fragile(), supervisor=chief)
        bad, good = block(1), block(0)
        kernel.call(good, timeout=WAIT_S)
        for _ in range(setting.count(2_000, 5)):
            begin = now()
            kernel.send(bad)
            reply = kernel.call(good, timeout=WAIT_S)
            times.append(now() - begin)
            wrong += reply.seq != 1  # the state began anew: it is the first that this one has handled
        restarts = kernel.restarts
    counts = {"restarts": restarts, "wrong": wrong, "lost": max(0, len(times) - restarts)}
    return [figure("G9 restart", times, counts=counts, note="the good message's own round trip is part of it")]


def drained(setting: Setting) -> list[Figure]:
    """terminate() right behind a batch. What it takes beyond handling the batch: the same batch without the end."""
    many = 16 if setting.double else 256
    rows, extra, handled = blocks(64, many), [], 0
    repetitions = setting.count(50, 2)
    with setting.runtime() as rt:
        for n in range(repetitions):
            kernel = rt.launch(make_sink(64, setting.threads), name=f"sink{n}", capacity=1024)
            begin = now()
            kernel.send_many(rows, timeout=WAIT_S)
            totals_of(kernel)
            alone = now() - begin
            begin = now()
            kernel.send_many(rows, timeout=WAIT_S)
            kernel.terminate(timeout=WAIT_S)
            extra.append(max(0.0, now() - begin - alone))
            handled += kernel.telemetry().processed - 1
    counts = {"received": handled, "lost": 2 * many * repetitions - handled}
    return [figure("G11 drain", extra, counts=counts, note=f"beyond what {many} messages and an answer take")]


def stuck(setting: Setting) -> list[Figure]:
    """A handler that never ends, a watchdog of 50 ms, and a healthy kernel that must be answered afterwards."""
    noticed, again, wrong = [], [], 0
    with setting.runtime() as rt:
        healthy = rt.launch(make_echo(setting.threads), name="healthy")
        (row,) = blocks(64, 1)
        good = Block64.from_payload(row.tobytes())
        for n in range(setting.count(10, 1)):
            kernel = rt.launch(make_fragile(), name=f"fragile{n}", watchdog=0.05)
            kernel.call(block(0), timeout=WAIT_S)
            begin = now()
            with contextlib.suppress(rk.KernelHungError, rk.HandlerError):
                kernel.call(block(2), timeout=WAIT_S)
                wrong += 1  # it cannot have been answered
            noticed.append(now() - begin)
            wrong += healthy.call(good, timeout=WAIT_S).check != row["check"]
            with contextlib.suppress(rk.RingKernelError):
                kernel.call(block(0), timeout=WAIT_S)
            again.append(now() - begin - noticed[-1])
            with contextlib.suppress(rk.RingKernelError):
                kernel.terminate(timeout=WAIT_S)
            time.sleep(0.01)
    counts = {"wrong": wrong}
    return [
        figure("G11 stuck", noticed, 1e3, counts=counts, note="watchdog=0.05; the time is from the call to its error"),
        figure(
            "G11 again",
            again,
            1e3,
            counts=counts,
            note="the same kernel and another one answer; no process was restarted",
        ),
    ]


def killed(setting: Setting) -> list[Figure]:
    """A process with a resident kernel is killed: how long until it is gone, and a new runtime here is answered. Less
    what the same takes when nobody was killed."""
    handler, (row,) = make_echo(setting.threads), blocks(64, 1)
    message, times, wrong = Block64.from_payload(row.tobytes()), [], 0

    def answered() -> float:
        nonlocal wrong
        begin = now()
        with setting.runtime() as rt:
            wrong += rt.launch(handler).call(message, timeout=WAIT_S).check != row["check"]
            return now() - begin

    answered()  # compiles
    usual = min(answered() for _ in range(3))
    command = [sys.executable, str(HERE / "bounded.py"), "--part", "stay", "--messages", "2"]
    for _ in range(setting.count(5, 1)):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            seen = any(RESIDENT in line for line in iter(child.stdout.readline, ""))
            begin = now()
            child.kill()
            child.wait()
        if not seen:
            raise WrongError("the process that was to be killed ended by itself")
        gone = now() - begin
        times.append(max(0.0, gone + answered() - usual))
    return [figure("G11 host", times, 1e3, counts={"wrong": wrong}, note="beyond what a launch takes without it")]
