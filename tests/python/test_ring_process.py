"""Rings and the process: Ctrl-C, signal handlers, fork."""

from __future__ import annotations

import time
from typing import Any

import pytest

import pyringkernel as rk

RINGS = [rk.SpscRing, rk.MpscRing]
each_ring = pytest.mark.parametrize("cls", RINGS)
each_layout = pytest.mark.parametrize("layout", ["packed", "turn"])
each_wait = pytest.mark.parametrize("wait", ["latency", "balanced", "throughput"])


# -- Ctrl-C and fork


@pytest.mark.parametrize("cls", ["SpscRing", "MpscRing"])
@pytest.mark.parametrize(
    "wait",
    [
        "ring.pop()",
        "ring.pop(timeout=1000)",
        "ring.pop_many(timeout=None)",
        "ring.peek().__enter__()",
        "full.push(b'x')",
        "full.push(b'x', timeout=1000)",
        "full.push_many(rows)",
        "full.claim().__enter__()",
    ],
)
def test_ctrl_c_ends_a_wait(cls: str, wait: str, start_script: Any) -> None:
    script = start_script(f"""
        ring, full = rk.{cls}(2, 8), rk.{cls}(1, 8, overflow="block")
        full.push(b"first")
        if "rows" in {wait!r}:
            import numpy
            rows = numpy.zeros((2, 8), "u1")
        try:
            print("ready", flush=True)
            {wait}
        except KeyboardInterrupt:
            print("interrupted")
            ring.push(b"y")
            assert ring.pop() == b"y"
            assert full.pop() == b"first"
            full.push(b"again")
            print("usable")
    """)
    script.wait_for("ready")
    time.sleep(0.1)  # into the wait; a signal that comes before it would be answered as well
    script.interrupt()
    code, out, errors = script.end()
    assert (code, out.split(), errors) == (0, ["interrupted", "usable"], "")


def test_a_signal_handler_that_does_not_raise_lets_the_wait_go_on(start_script: Any) -> None:
    script = start_script("""
        ring = rk.SpscRing(2)
        def handler(number, frame):
            print("handled", flush=True)
            ring.push(b"from the handler")
        signal.signal(signal.SIGINT, handler)
        print("ready", flush=True)
        print(ring.pop().decode())
    """)
    script.wait_for("ready")
    time.sleep(0.1)
    script.interrupt()
    code, out, errors = script.end()
    assert (code, out.splitlines(), errors) == (0, ["handled", "from the handler"], "")


@pytest.mark.parametrize("cls", ["SpscRing", "MpscRing"])
def test_a_forked_child_is_refused_and_the_parent_is_unharmed(cls: str, run_script: Any) -> None:
    code, out, errors = run_script(f"""
        import numpy
        ring = rk.{cls}(4, 8)
        ring.push(b"a")
        guard = ring.peek()
        guard.__enter__()
        rows = numpy.zeros((1, 8), "u1")
        uses = [lambda: ring.push(b"b"), lambda: ring.try_push(b"b"), ring.pop, ring.try_pop, lambda: ring.pop(timeout=1),
                lambda: ring.push_many(rows), ring.pop_many, ring.claim, ring.peek, ring.close, ring.release_producer,
                ring.release_consumer, lambda: guard.__exit__(None, None, None)]
        pid = fork()
        if pid == 0:
            for n, use in enumerate(uses):
                try:
                    use()
                except rk.errors.ForkedProcessError as error:
                    assert "spawn" in str(error)
                    continue
                print("child: no error from", n, flush=True)
            fresh = rk.{cls}(2)
            fresh.push(b"fresh")
            assert fresh.pop() == b"fresh"
            repr(ring)
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        guard.__exit__(None, None, None)
        ring.push(b"b")
        assert ring.pop() == b"b"
        assert ring.stats().delivered == 2
    """)
    assert (code, out, errors) == (0, "", "")
