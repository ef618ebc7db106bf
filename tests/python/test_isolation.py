"""Kernels in a process of their own: exchange, errors, and what becomes of a process that hangs or dies."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from isolated_handlers import Count, Note, Sum, announcer, endless, summer

import pyringkernel as rk
from pyringkernel.isolation import IsolatedRuntime
from pyringkernel.isolation.channel import Channel


@pytest.fixture
def rt() -> Iterator[IsolatedRuntime]:
    with IsolatedRuntime(backend="cpu", watchdog=0.2) as runtime:
        yield runtime


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def patient(call: Callable[[], Any]) -> Any:
    """The result of a call that fails while there is no worker."""
    end = time.monotonic() + 30
    while True:
        try:
            return call()
        except (rk.WorkerDiedError, rk.KernelHungError):
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_kernel_is_called_and_keeps_its_state(rt: IsolatedRuntime) -> None:
    kernel = rt.launch(summer, state=Sum(total=100))
    assert [kernel.call(Count(n)) for n in (1, 2)] == [Count(101), Count(103)]
    assert kernel.backend == rt.backend == "cpu"
    assert rt.pid != os.getpid()
    assert kernel.stats().delivered == 2
    assert rt.kernels == {"summer": kernel}


def test_operations_of_many_threads_and_of_an_event_loop(rt: IsolatedRuntime) -> None:
    kernel = rt.launch(summer)
    with ThreadPoolExecutor(8) as pool:
        totals = list(pool.map(lambda n: kernel.call(Count(1)).n, range(200)))
    assert sorted(totals) == list(range(1, 201))

    async def ask() -> Count:
        return await kernel.ask(Count(5))

    assert asyncio.run(ask()) == Count(205)


def test_what_a_handler_sends_to_the_host_is_received(rt: IsolatedRuntime) -> None:
    kernel = rt.launch(announcer)
    kernel.send(Count(0))
    assert [kernel.receive(timeout=10).n for _ in range(3)] == [0, 1, 2]
    with pytest.raises(rk.ReceiveTimeoutError):
        kernel.receive(timeout=0.01)


def test_errors_are_those_of_a_runtime_of_this_process(rt: IsolatedRuntime) -> None:
    kernel = rt.launch(summer)
    with pytest.raises(rk.HandlerError, match="unlucky"):
        kernel.call(Count(13))
    with pytest.raises(rk.WrongMessageError, match="found Note"):
        kernel.call(Note())
    with pytest.raises(rk.KernelExistsError):
        rt.launch(summer)
    with pytest.raises(rk.CapacityError):
        rt.launch(summer, name="other", capacity=3)
    with pytest.raises(rk.UnsupportedError, match="cross to another process"):
        rt.launch(summer, name="other", supervisor=object())
    kernel.deactivate()
    assert kernel.state == rk.KernelState.DEACTIVATED
    with pytest.raises(rk.InvalidStateTransition):
        kernel.deactivate()
    with pytest.raises(rk.CallTimeoutError):
        kernel.call(Count(1), timeout=0.05)


def test_what_another_process_cannot_import_is_refused(rt: IsolatedRuntime) -> None:
    @rk.kernel
    def local(ctx: rk.Context, msg: Count) -> Count:
        return msg

    with pytest.raises(rk.UnsupportedError, match="inside a function"):
        rt.launch(local)
    with pytest.raises(rk.UnsupportedError, match="compiled handler"):
        rt.launch(lambda ctx, msg: None)


def test_a_hung_handler_is_killed_and_the_kernels_go_on(rt: IsolatedRuntime) -> None:
    first = rt.pid
    good, bad = rt.launch(summer), rt.launch(endless, compiled=False)
    assert good.call(Count(7)) == Count(7)
    with pytest.raises((rk.KernelHungError, rk.WorkerDiedError)):
        bad.call(Count(1), timeout=30)
    until(lambda: rt.restarts == 1)
    assert rt.pid != first
    assert patient(lambda: good.call(Count(1))) == Count(1)  # a state of its own
    assert patient(lambda: bad.call(Count(0))) == Count(0)
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_a_process_that_is_killed_fails_what_was_in_flight(rt: IsolatedRuntime) -> None:
    kernel = rt.launch(summer)
    kernel.deactivate()
    waiting = kernel.ask(Count(1))
    os.kill(rt.pid, signal.SIGKILL)
    with pytest.raises(rk.WorkerDiedError):
        waiting.result(timeout=30)
    until(lambda: rt.restarts == 1)
    assert patient(lambda: kernel.call(Count(3))) == Count(3)


def test_it_is_not_started_again_when_asked_so_or_too_often() -> None:
    with IsolatedRuntime(backend="cpu", on_hang="fail") as rt:
        kernel = rt.launch(summer)
        os.kill(rt.pid, signal.SIGKILL)
        until(lambda: not rt.alive)
        assert kernel.state == rk.KernelState.FAILED
        with pytest.raises(rk.WorkerDiedError):
            kernel.call(Count(1))
    with IsolatedRuntime(backend="cpu", watchdog=0.05) as rt:
        for n in range(3):
            os.kill(rt.pid, signal.SIGKILL)
            until(lambda n=n: rt.restarts == n + 1)
        os.kill(rt.pid, signal.SIGKILL)
        until(lambda: not rt.alive)
        time.sleep(0.2)
        assert rt.restarts == 3
        assert not rt.alive


def test_closing_is_idempotent_and_ends_the_process() -> None:
    rt = IsolatedRuntime(backend="cpu")
    kernel, pid = rt.launch(summer), rt.pid
    rt.close()
    rt.close()
    with pytest.raises(rk.RuntimeClosedError):
        kernel.call(Count(1))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_bad_options_are_told_by_the_constructor() -> None:
    with pytest.raises(rk.InvalidArgumentError, match="on_hang"):
        IsolatedRuntime(on_hang="pray")
    with pytest.raises(rk.InvalidArgumentError, match="node_id"):
        IsolatedRuntime(backend="cpu", node_id=-1)


def test_isolate_is_an_option_of_runtimes() -> None:
    with rk.Runtime(backend="cpu", isolate=True, watchdog=0.2) as rt:
        assert isinstance(rt, rk.Runtime)
        assert isinstance(rt, IsolatedRuntime)
        kernel = rt.launch(summer)
        assert kernel.call(Count(4)) == Count(4)
        assert (rt.backend, rt.devices, rt.device, rt.skipped, kernel.device) == ("cpu", (), None, {}, None)
        for use in (lambda: rt.connect("summer", "summer"), lambda: rt.dead_letters, lambda: rt.supervisor()):
            with pytest.raises(rk.UnsupportedError, match="stays within a process"):
                use()
        with pytest.raises(rk.UnsupportedError, match=r"Kernel\.telemetry does not cross"):
            kernel.telemetry()
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(rt)
    assert rt.closed
    with rk.Runtime(backend="cpu", isolate=False) as plain:
        assert not isinstance(plain, IsolatedRuntime)

    class Mine(rk.Runtime):
        pass

    with pytest.raises(rk.InvalidArgumentError, match="isolate: Mine is a class of yours"):
        Mine(backend="cpu", isolate=True)


def test_messages_in_the_hands_of_a_killed_worker_are_accounted_for(rt: IsolatedRuntime) -> None:
    paused, bad = rt.launch(summer), rt.launch(endless, compiled=False)
    paused.deactivate()
    for _ in range(5):
        paused.send(Count(1))
    waiting = [bad.ask(Count(1)) for _ in range(3)]
    for operation in waiting:
        with pytest.raises((rk.KernelHungError, rk.WorkerDiedError)):
            operation.result(timeout=60)
    until(lambda: rt.restarts == 1)
    (loss,) = rt.losses
    assert "did not return" in loss.reason
    assert loss.messages == {"summer": 5, "endless": 3}
    assert loss.total == 8


def test_a_frame_of_any_size_crosses() -> None:
    one, two = (Channel(each) for each in socket.socketpair())
    blobs = [bytes([n % 251]) * n for n in (0, 1, 1 << 15, (1 << 15) + 1, 1 << 20)]

    def send() -> None:
        for n, blob in enumerate(blobs):
            one.send({"n": n}, blob)
        one.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(send)
        assert [two.receive() for _ in blobs] == [({"n": n}, blob) for n, blob in enumerate(blobs)]
        assert two.receive() is None
    two.close()


DOUBLES = Path(__file__).resolve().parents[1] / "doubles" / "cuda"


@pytest.mark.skipif(not (DOUBLES / "build.py").is_file(), reason="the doubles are not beside these tests")
def test_a_gpu_whose_kernel_does_not_return_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the double, which runs in the worker alone: a grid that is frozen looks at no cancel word."""
    sys.path.insert(0, str(DOUBLES))
    import build

    for name, value in build.build().items():
        monkeypatch.setenv(name, value)
    flag = tmp_path / "freeze"
    monkeypatch.setenv("RK_TEST_FREEZE", str(flag))
    with rk.Runtime(backend="cuda", isolate=True, watchdog=2.0) as rt:
        from isolated_freezing import stuck

        assert isinstance(rt, IsolatedRuntime)
        assert rt.device is not None
        kernel, pid = rt.launch(stuck), rt.pid
        assert kernel.engine == "cuda"
        assert kernel.device == rt.device
        assert kernel.call(Count(0), timeout=60) == Count(0)
        waiting = kernel.ask(Count(1))
        until(lambda: kernel.busy or not rt.alive)
        flag.touch()
        with pytest.raises((rk.KernelHungError, rk.WorkerDiedError)):
            waiting.result(timeout=60)
        until(lambda: rt.restarts == 1)
        assert rt.pid != pid
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert patient(lambda: kernel.call(Count(0), timeout=60)) == Count(0)
        assert [loss.pid for loss in rt.losses] == [pid]
        assert rt.losses[0].total >= 1


MAIN = """
import pyringkernel as rk
from pyringkernel.isolation import IsolatedRuntime

@rk.message
class Word:
    n: rk.u32

@rk.kernel
def twice(ctx: rk.Context, msg: Word) -> Word:
    return Word(2 * msg.n)

GUARD
    with IsolatedRuntime(backend="cpu") as rt:
        print(rt.launch(twice).call(Word(21)).n)
"""


def test_handlers_of_the_main_program(tmp_path: Path) -> None:
    def run(guard: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "main.py"
        file.write_text(MAIN.replace("GUARD", guard))
        return subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=60, check=False)

    assert run('if __name__ == "__main__":').stdout == "42\n"
    without = run("if True:")
    assert without.returncode != 0
    assert "__main__" in without.stderr
