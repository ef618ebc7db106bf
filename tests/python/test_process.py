"""The package inside a process: import, exit with live kernels, fork, Ctrl-C, silence."""

from __future__ import annotations

import time
from typing import Any

import pytest

LAUNCH = """
@rk.kernel(compiled=False)
def echo(ctx: rk.Context, msg: Ping) -> Ping:
    return msg

@rk.kernel(compiled=False)
def silent(ctx: rk.Context, msg: Ping) -> None:
    return None

def busy(ctx: rk.Context, msg: Ping) -> None:
    started.set()
    while True:
        pass

def asleep(ctx: rk.Context, msg: Ping) -> None:
    started.set()
    time.sleep(1000)

started = threading.Event()
rt = rk.Runtime()
"""


def with_runtime(code: str) -> str:
    """A script with a runtime and a few handlers at hand."""
    import textwrap

    return LAUNCH + textwrap.dedent(code)


# -- import


def test_importing_has_no_side_effects_and_leaves_numpy_alone(run_script: Any) -> None:
    code, out, errors = run_script("""
        import logging
        assert "numpy" not in sys.modules, "importing pyringkernel imports numpy"
        assert threading.active_count() <= 1
        with open("/proc/self/status") as status:
            threads = [line.split()[1] for line in status if line.startswith("Threads:")]
        assert threads == ["2"], threads  # this one, and the watchdog's of this test
        assert logging.root.handlers == []
        assert logging.root.level == logging.WARNING
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    """)
    assert (code, out, errors) == (0, "", "")


def test_rings_messages_and_kernels_work_without_numpy(run_script: Any) -> None:
    code, out, errors = run_script(
        with_runtime("""
        ring = rk.MpscRing(4, dtype=Ping)
        ring.push(Ping(3))
        assert ring.pop() == Ping(3)
        with rt:
            assert rt.launch(echo).call(Ping(5), timeout=60) == Ping(5)
        assert rk.HlcClock().tick().physical_ns > 0
        assert Ping.from_bytes(Ping(1).to_bytes()) == Ping(1)
        assert "numpy" not in sys.modules
    """)
    )
    assert (code, out, errors) == (0, "", "")


def test_star_import_gives_what_all_names(run_script: Any) -> None:
    code, out, errors = run_script("""
        names = {}
        exec("from pyringkernel import *", names)
        missing = [name for name in rk.__all__ if name not in names]
        assert not missing, missing
        assert len(rk.__all__) == len(set(rk.__all__))
        assert all(not name.startswith("_") for name in rk.__all__ if name != "__version__")
    """)
    assert (code, out, errors) == (0, "", "")


# -- exit


ENDS = {"pass": 0, "sys.exit(3)": 3, "1 / 0": 1, "raise KeyboardInterrupt": 130, "raise SystemExit('text')": 1}


@pytest.mark.parametrize(
    ("handler", "end", "expected"),
    [
        *[("echo", end, code) for end, code in ENDS.items()],
        ("silent", "pass", 0),
        ("asleep", "sys.exit(3)", 3),
        ("busy", "pass", 0),
        ("busy", "1 / 0", 1),
    ],
)
def test_a_process_ends_with_live_kernels(run_script: Any, handler: str, end: str, expected: int) -> None:
    code, out, errors = run_script(
        with_runtime(f"""
        kernel = rt.launch({handler})
        kernel.send(Ping(1))
        kernel.send(Ping(2))
        if {handler!r} in ("busy", "asleep"):
            assert started.wait(60)
        {end}
    """)
    )
    assert code in ((expected,) if expected != 130 else (130, -2)), errors
    assert out == ""
    wanted = {
        "1 / 0": "ZeroDivisionError: division by zero",
        "raise KeyboardInterrupt": "KeyboardInterrupt",
        "raise SystemExit('text')": "text",
    }.get(end, "")
    lines = errors.strip().splitlines()
    assert (lines[-1] if lines else "") == wanted, errors
    if wanted != "" and len(lines) > 1:
        assert lines[0] == "Traceback (most recent call last):", errors


@pytest.mark.parametrize("state", ["autostart=False", "", "paused", "terminated", "failed"])
def test_a_process_ends_with_kernels_in_any_state(run_script: Any, state: str) -> None:
    code, out, errors = run_script(
        with_runtime(f"""
        def fail(ctx: rk.Context, msg: Ping) -> None:
            raise ValueError
        kernel = rt.launch(fail, max_failures=0, {state if "=" in state else ""})
        if {state!r} == "paused":
            kernel.deactivate()
        kernel.send(Ping(1))
        if {state!r} == "terminated":
            kernel.terminate()
        if {state!r} == "failed":
            while kernel.state is not rk.KernelState.FAILED:
                time.sleep(0.001)
    """)
    )
    assert (code, out, errors) == (0, "", "")


def test_a_process_ends_while_kernels_send_to_each_other(run_script: Any) -> None:
    code, out, errors = run_script(
        with_runtime("""
        def make(partner):
            def talk(ctx: rk.Context, msg: Ping) -> None:
                try:
                    ctx.send(partner, msg)
                except rk.RingKernelError:
                    pass
            return talk
        a = rt.launch(make("b"), name="a", publishes_to=["b"], autostart=False)
        b = rt.launch(make("a"), name="b", publishes_to=["a"], autostart=False)
        a.activate()
        b.activate()
        for n in range(8):
            a.send(Ping(n))
        time.sleep(0.05)
    """)
    )
    assert (code, out, errors) == (0, "", "")


def test_a_process_ends_while_a_daemon_thread_waits(run_script: Any) -> None:
    code, out, errors = run_script(
        with_runtime("""
        kernel = rt.launch(silent)
        ring = rk.SpscRing(2)
        def hide(wait):
            try:
                wait()
            except rk.RingKernelError:
                pass
        for wait in (kernel.receive, lambda: kernel.call(Ping(1), timeout=1000), ring.pop):
            threading.Thread(target=hide, args=(wait,), daemon=True).start()
        time.sleep(0.1)
    """)
    )
    assert (code, out, errors) == (0, "", "")


def test_a_process_ends_with_a_handler_that_replies_to_nobody(run_script: Any) -> None:
    code, out, errors = run_script(
        with_runtime("""
        kernel = rt.launch(echo, capacity=2)
        while kernel.try_send(Ping(1)):
            pass
    """)
    )
    assert (code, out, errors) == (0, "", "")


def test_many_runtimes_with_stuck_handlers_end_together(run_script: Any) -> None:
    code, out, errors = run_script(
        with_runtime("""
        runtimes = [rk.Runtime() for _ in range(2)]
        for one in runtimes:
            one.launch(asleep).send(Ping(1))
        assert started.wait(60)
    """)
    )
    assert (code, out, errors) == (0, "", "")


def test_close_returns_while_a_handler_never_does(run_script: Any) -> None:
    code, out, errors = run_script(
        with_runtime("""
        kernel = rt.launch(busy)
        kernel.send(Ping(1))
        assert started.wait(60)
        try:
            kernel.terminate(timeout=0.2)
        except rk.KernelHungError as error:
            print("hung")
        rt.close(timeout=0.2)
        print("closed", rt.closed)
    """)
    )
    assert (code, out.splitlines(), errors) == (0, ["hung", "closed True"], "")


def test_an_exit_from_another_thread_or_from_a_handler_does_not_hang(run_script: Any) -> None:
    code, out, errors = run_script(
        with_runtime("""
        def leave(ctx: rk.Context, msg: Ping) -> Ping:
            sys.exit(9)
        kernel = rt.launch(leave)
        try:
            kernel.call(Ping(1), timeout=60)
        except rk.HandlerError as error:
            print(type(error.__cause__).__name__)
        sys.exit(4)
    """)
    )
    assert (code, out.strip(), errors) == (4, "SystemExit", "")


# -- fork


def test_a_forked_child_cannot_use_the_runtime_and_the_parent_goes_on(run_script: Any) -> None:
    code, out, errors = run_script(
        with_runtime("""
        kernel = rt.launch(echo)
        other = rt.launch(silent)
        assert kernel.call(Ping(1), timeout=60) == Ping(1)
        import numpy
        batch = numpy.zeros(2, Ping.dtype)
        uses = [lambda: kernel.send(Ping(1)), lambda: kernel.try_send(Ping(1)), lambda: kernel.call(Ping(1)), kernel.receive,
                kernel.receive_many, lambda: kernel.send_many(batch), kernel.activate, kernel.deactivate, kernel.terminate,
                lambda: rt.launch(echo, name="new"), rt.close, rt.now, rt.tick]
        pid = fork()
        if pid == 0:
            for n, use in enumerate(uses):
                try:
                    use()
                except rk.ForkedProcessError:
                    continue
                except BaseException as error:
                    print("child:", n, repr(error), flush=True)
                else:
                    print("child: no error from", n, flush=True)
            for thing in (kernel, rt):
                assert repr(thing).startswith("<"), "a debugger or a log line in the child shows it"
            with rk.Runtime() as fresh:
                assert fresh.launch(echo).call(Ping(8), timeout=60) == Ping(8)
            sys.exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
        assert kernel.call(Ping(2), timeout=60) == Ping(2)
        rt.close()
    """)
    )
    assert (code, out, errors) == (0, "", "")


@pytest.mark.parametrize(
    "end", ["sys.exit(5)", "rt = kernel = None; import gc; gc.collect(); sys.exit(5)", "os._exit(5)"]
)
def test_a_forked_child_exits_cleanly_while_the_parent_is_busy(run_script: Any, end: str) -> None:
    code, out, errors = run_script(
        with_runtime(f"""
        kernel = rt.launch(echo)
        stop = threading.Event()
        def use():
            while not stop.is_set():
                kernel.call(Ping(1), timeout=60)
        user = threading.Thread(target=use)
        user.start()
        for _ in range(10):
            pid = fork()
            if pid == 0:
                {end}
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
        stop.set()
        user.join()
        rt.close()
    """)
    )
    assert (code, out, errors) == (0, "", "")


def test_a_runtime_open_in_a_with_block_survives_a_fork_inside_it(run_script: Any) -> None:
    code, out, errors = run_script(
        with_runtime("""
        with rt:
            kernel = rt.launch(echo)
            pid = fork()
            if pid == 0:
                try:
                    kernel.call(Ping(1))
                except rk.ForkedProcessError:
                    os._exit(5)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
            assert kernel.call(Ping(1), timeout=60) == Ping(1)
    """)
    )
    assert (code, out, errors) == (0, "", "")


def test_a_forked_child_may_leave_the_with_block_of_its_parent(run_script: Any) -> None:
    """Its exit code is its own: leaving what belongs to the parent does nothing."""
    code, out, errors = run_script(
        with_runtime("""
        with rt, rk.SpscRing(2) as ring:
            kernel = rt.launch(echo)
            pid = fork()
            if pid == 0:
                sys.exit(5)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
            assert not ring.closed
            assert kernel.call(Ping(1), timeout=60) == Ping(1)
    """)
    )
    assert (code, out, errors) == (0, "", "")


def test_subprocesses_work_beside_a_live_runtime(run_script: Any) -> None:
    code, out, errors = run_script(
        with_runtime("""
        import subprocess
        kernel = rt.launch(echo)
        for _ in range(3):
            assert subprocess.run([sys.executable, "-c", "pass"]).returncode == 0
            assert kernel.call(Ping(1), timeout=60) == Ping(1)
        rt.close()
    """)
    )
    assert (code, out, errors) == (0, "", "")


# -- Ctrl-C


@pytest.mark.parametrize(
    "wait",
    [
        "kernel.call(Ping(1), timeout=1000)",
        "kernel.call(Ping(1), timeout=None)",
        "kernel.receive()",
        "kernel.receive(timeout=1000)",
        "kernel.receive_many()",
        "full.send(Ping(1), timeout=1000)",
        "full.call(Ping(1), timeout=1000)",
        "full.send_many(batch, timeout=None)",
        "stuck.terminate(1000)",
        "stuck.terminate(None)",
        "stuck.deactivate(None)",
        "rt.close(1000)",
    ],
)
def test_ctrl_c_ends_a_wait(start_script: Any, wait: str) -> None:
    script = start_script(
        with_runtime(f"""
        def hold(ctx: rk.Context, msg: Ping) -> None:
            started.set()
            release.wait()
        release = threading.Event()
        kernel = rt.launch(silent)
        full = rt.launch(silent, name="full", capacity=1, autostart=False)
        full.send(Ping(1))
        stuck = rt.launch(hold)
        stuck.send(Ping(1))
        assert started.wait(60)
        if "batch" in {wait!r}:
            import numpy
            batch = numpy.zeros(2, Ping.dtype)
        try:
            print("ready", flush=True)
            {wait}
        except KeyboardInterrupt:
            print("interrupted")
        release.set()
        rt.close(60)
        print("closed", rt.closed, stuck.state.name, kernel.state.name)
    """)
    )
    script.wait_for("ready")
    time.sleep(0.15)
    script.interrupt()
    code, out, errors = script.end()
    assert (code, out.splitlines(), errors) == (0, ["interrupted", "closed True TERMINATED TERMINATED"], "")


def test_ctrl_c_reaches_the_main_thread_and_not_a_handler(start_script: Any) -> None:
    script = start_script(
        with_runtime("""
        def work(ctx: rk.Context, msg: Ping) -> Ping:
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                pass
            return msg
        kernel = rt.launch(work)
        kernel.send(Ping(7))
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted")
        print(kernel.receive(timeout=60).n, kernel.error_count)
        rt.close()
    """)
    )
    script.wait_for("ready")
    time.sleep(0.1)
    script.interrupt()
    code, out, errors = script.end()
    assert (code, out.splitlines(), errors) == (0, ["interrupted", "7 0"], "")


# -- silence


def test_nothing_is_printed_by_default_and_logging_shows_it_when_asked(run_script: Any) -> None:
    body = """
        def fail(ctx: rk.Context, msg: Ping) -> None:
            raise ValueError("on purpose")
        with rt:
            kernel = rt.launch(fail)
            kernel.send(Ping(1))
            kernel.terminate()
        assert str(kernel.last_error) == "on purpose"
    """
    assert run_script(with_runtime(body)) == (0, "", "")
    code, out, errors = run_script("import logging; logging.basicConfig()\n" + with_runtime(body))
    assert (code, out) == (0, "")
    assert "ERROR:pyringkernel:" in errors
    assert "ValueError: on purpose" in errors


def test_a_runtime_that_was_not_closed_is_a_resource_warning_in_development_mode(run_script: Any) -> None:
    code, out, errors = run_script(
        with_runtime("""
        rt.launch(echo)
        del rt
        import gc
        gc.collect()
    """),
        "-X",
        "dev",
    )
    assert (code, out) == (0, "")
    assert "ResourceWarning" in errors


def test_development_mode_finds_nothing_to_complain_about(run_script: Any) -> None:
    code, out, errors = run_script(
        with_runtime("""
        with rt:
            kernel = rt.launch(echo)
            for n in range(100):
                assert kernel.call(Ping(n), timeout=60) == Ping(n)
            ring = rk.SpscRing(4, dtype=Ping)
            with ring.claim() as slot:
                slot.n = 3
            assert ring.pop() == Ping(3)
    """),
        "-X",
        "dev",
        "-W",
        "error",
    )
    assert (code, out, errors) == (0, "", "")
