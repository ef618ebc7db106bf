"""A runtime in another process."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .. import _core, errors
from ..devices import Device
from ..errors import (
    InvalidArgumentError,
    KernelExistsError,
    KernelHungError,
    RuntimeClosedError,
    UnsupportedError,
    WorkerDiedError,
)
from ..runtime import Runtime
from .accounts import Accounts, Loss
from .channel import Channel
from .kernel import IsolatedKernel
from .operation import IsolatedOperation
from .references import MAIN, reference_to

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger("pyringkernel")

_START_S = 60.0  # a worker that has not opened its runtime by then is given up
_SILENT_S = 5.0  # a worker that does not answer "how are you" for so long is taken for dead
_MOST_RESTARTS, _WITHIN_S = 3, 60.0


class _Link:
    """One worker: its process, its channel, and who waits for what."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "pyringkernel.isolation.worker", str(theirs.fileno())]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
        theirs.close()
        self.channel = Channel(ours)
        self.lock = threading.Lock()
        self.waiting: dict[int, tuple[IsolatedOperation, Any]] = {}
        self.numbers = itertools.count(1)
        self.over: BaseException | None = None
        threading.Thread(target=self._read, name="pyringkernel-isolation", daemon=True).start()

    def request(self, op: str, values: dict[str, Any], blob: bytes, handler: Any) -> IsolatedOperation:
        """`handler`: the answer is a message of it; None: it is (values, bytes)."""
        future = IsolatedOperation()
        with self.lock:
            if self.over is not None:
                raise self.over
            number = next(self.numbers)
            self.waiting[number] = (future, handler)
        with suppress(OSError):  # then the reading thread sees the end too
            self.channel.send({"id": number, "op": op, "with": values}, blob)
        return future

    def _read(self) -> None:
        while (frame := self.channel.receive()) is not None:
            head, blob = frame
            with self.lock:
                future, handler = self.waiting.pop(head["id"], (None, None))
            if future is None or not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(_answer(head, blob, handler))
            except BaseException as error:
                future.set_exception(error)
        self.end(WorkerDiedError("the worker process has ended; what it was doing is lost"))

    def end(self, why: BaseException) -> None:
        """Kills the process; whoever waits gets `why`."""
        with self.lock:
            self.over = self.over or why
            left, self.waiting = self.waiting, {}
        with suppress(OSError):
            self.process.kill()
        self.channel.close()
        for future, _ in left.values():
            if future.set_running_or_notify_cancel():
                future.set_exception(why)
        self.process.wait()


def _answer(head: dict[str, Any], blob: bytes, handler: Any) -> Any:
    if "error" in head:
        raise getattr(errors, head["error"], RuntimeError)(head["text"])
    if handler is None:
        return head["is"], blob
    type_id = head["is"]["type_id"]
    for cls in (*handler.replies, *handler.accepts, *_core.message_types.values()):
        if cls.type_id == type_id:
            return cls.from_bytes(blob)
    raise errors.WrongMessageError(f"the worker sent a message of type id {type_id:#x}, which is not known here")


def _watch(runtime: weakref.ref[IsolatedRuntime], closed: threading.Event, pause: float) -> None:
    while not closed.wait(pause):
        living = runtime()
        if living is None:
            return
        living._look_after()
        del living


class IsolatedRuntime(Runtime):
    """``Runtime(..., isolate=True)``: the runtime lives in a worker process, which can be killed.

    Compiled handlers of importable modules (or of the main program's file, below ``if __name__ == "__main__"`` nothing
    runs) can be launched, and called, sent to and received from; edges, topics and supervisors stay within a process
    and are not offered. A worker with a hung kernel is killed and started again, and its kernels are launched again
    with their first state, at most 3 times in 60 s; operations in flight fail with KernelHungError or WorkerDiedError,
    and `losses` tells how many messages went with it.

    on_hang: "restart", or "fail": the worker is killed and stays so. watchdog: seconds that a handler may take; other
    options as Runtime's. Raises what Runtime raises, and WorkerDiedError.
    """

    def __init__(
        self,
        backend: str = "auto",
        *,
        watchdog: float | None = 1.0,
        on_hang: str = "restart",
        isolate: bool = True,
        **options: Any,
    ) -> None:
        if not isolate:
            raise InvalidArgumentError("isolate: found False; Runtime(...) is one of this process")
        if on_hang not in ("restart", "fail"):
            raise InvalidArgumentError(f"on_hang: found {on_hang!r}, need 'restart' or 'fail'")
        main = sys.modules.get("__main__")
        if getattr(main, "__name__", None) == MAIN or "pyringkernel.isolation.worker" in str(
            getattr(main, "__spec__", "")
        ):
            raise UnsupportedError(
                "isolate=True within a worker: the main program's file runs there too; put what it does below "
                'if __name__ == "__main__":'
            )
        self._options = {"backend": backend, "watchdog": watchdog, **options}
        self._on_hang = on_hang
        self._isolated: dict[str, tuple[IsolatedKernel, dict[str, Any], bytes]] = {}
        self._accounts = Accounts()
        self._losses: list[Loss] = []
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._restarts: deque[float] = deque(maxlen=_MOST_RESTARTS)
        self._given_up = False
        self.restarts = 0
        self._link, self._facts = self._start()
        arguments = (weakref.ref(self), self._closed, 0.25 if watchdog is None else min(max(watchdog / 4, 0.01), 0.25))
        threading.Thread(target=_watch, args=arguments, name="pyringkernel-isolation-watch", daemon=True).start()

    def _start(self) -> tuple[_Link, dict[str, Any]]:
        link = _Link()
        try:
            facts, _ = link.request("open", {"path": list(sys.path), "options": self._options}, b"", None).result(
                _START_S
            )
        except BaseException as error:
            link.end(WorkerDiedError("the worker process did not start"))
            if isinstance(error, TimeoutError):
                raise WorkerDiedError(f"the worker process did not start within {_START_S:g} s") from None
            raise
        self.skipped = dict(facts["skipped"])
        return link, facts

    @property
    def backend(self) -> str:
        """The backend taken; ``skipped`` says why the others were not."""
        return str(self._facts["backend"])

    @property
    def devices(self) -> tuple[Device, ...]:
        """The GPUs that it uses; () on the CPU."""
        rows: list[dict[str, Any]] = self._facts["devices"]
        return tuple(Device(**{**row, "compute_capability": tuple(row["compute_capability"])}) for row in rows)

    @property
    def device(self) -> Device | None:
        """The GPU that it uses, the first of several; None on the CPU."""
        return self.devices[0] if self.devices else None

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What was in the hands of each worker that was killed or died."""
        return tuple(self._losses)

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return int(self._facts["pid"])

    @property
    def alive(self) -> bool:
        """True while the worker answers."""
        return self._link.over is None

    @property
    def closed(self) -> bool:
        """True after close()."""
        return self._closed.is_set()

    @property
    def kernels(self) -> dict[str, IsolatedKernel]:  # type: ignore[override]  # what a kernel offers here
        """The kernels launched, by name."""
        with self._lock:
            return {name: row[0] for name, row in self._isolated.items()}

    def launch(  # type: ignore[override]  # options cross as they are, and the worker checks them
        self, handler: Any, *, state: Any = None, **options: Any
    ) -> IsolatedKernel:
        """As Runtime.launch(), of a compiled handler; without supervisor=, restore= and other objects of this process.

        Raises UnsupportedError for a handler that the worker cannot import, and what Runtime.launch() raises.
        """
        values = {"handler": reference_to(handler), "options": options}
        first = b"" if state is None else state.to_bytes()
        with self._lock:
            if options.get("name", handler.id) in self._isolated:
                raise KernelExistsError(
                    f"a kernel named {options.get('name', handler.id)!r} exists: choose another name"
                )
            try:
                facts, _ = self._wait("launch", values, first)
            except TypeError as error:  # what JSON cannot carry
                raise UnsupportedError(f"isolate=True: launch options cross to another process: {error}") from None
            kernel = IsolatedKernel(self, handler, facts)
            self._isolated[kernel.name] = (kernel, values, first)
            return kernel

    def close(self, timeout: float | None = 5.0) -> None:
        """Terminate every kernel, then the worker, which is killed when it takes longer. Idempotent; never hangs."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            link = self._link
        with suppress(Exception):
            link.request("close", {"timeout": timeout}, b"", None).result((5.0 if timeout is None else timeout) + 1.0)
        link.end(RuntimeClosedError("the runtime is closed: make a new one"))

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in _WITHIN_A_PROCESS]

    # -- the worker

    def _request(self, op: str, values: dict[str, Any], blob: bytes, handler: Any) -> IsolatedOperation:
        return self._link.request(op, values, blob, handler)

    def _wait(self, op: str, values: dict[str, Any], blob: bytes = b"") -> tuple[dict[str, Any], bytes]:
        answer: tuple[dict[str, Any], bytes] = self._request(op, values, blob, None).result()
        return answer

    def _forget(self, name: str) -> None:
        with self._lock:
            self._isolated.pop(name, None)

    def _look_after(self) -> None:
        why = self._illness()
        if why is not None and not self._closed.is_set():
            self._link.end(why)
            if self.pid not in (one.pid for one in self._losses):
                self._losses.append(self._accounts.close(self.pid, str(why)))
            self._begin_again(why)

    def _illness(self) -> BaseException | None:
        """What is wrong with the worker; None when it is well."""
        try:
            before = self._accounts.asking()
            answer, _ = self._link.request("health", {}, b"", None).result(_SILENT_S)
            self._accounts.told(before, answer)
        except TimeoutError:
            return KernelHungError(f"the worker did not answer for {_SILENT_S:g} s and was killed")
        except BaseException as error:
            return error
        if not answer["hung"]:
            return None
        return KernelHungError(
            f"the handler of {', '.join(map(repr, answer['hung']))} did not return; its process was killed"
        )

    def _begin_again(self, why: BaseException) -> None:
        now = time.monotonic()
        often = len(self._restarts) == _MOST_RESTARTS and now - self._restarts[0] < _WITHIN_S
        if self._on_hang == "fail" or often:
            if not self._given_up:
                log.error("isolated runtime: %s; it is not started again", why)
            self._given_up = True
            return
        log.warning("isolated runtime: %s; it is started again", why)
        self._restarts.append(now)
        with self._lock:
            if self._closed.is_set():
                return
            try:
                link, facts = self._start()
                for kernel, values, first in self._isolated.values():
                    kernel._facts, _ = link.request("launch", values, first, None).result()
                self._link, self._facts = link, facts  # only now: before, nobody finds the kernels there
                self.restarts += 1
            except Exception as error:
                log.error("isolated runtime: the worker could not be started again: %s", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if "_link" in self.__dict__ and not self._closed.is_set():
            self._closed.set()
            self._link.end(RuntimeClosedError("the runtime was not closed"))

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self._isolated)} kernels" if self.alive else "without a worker"
        return f"<IsolatedRuntime {self.backend} worker {self.pid}: {state}>"


_WITHIN_A_PROCESS = (
    "buffer", "clear_retained", "connect", "dead_letters", "edges", "now", "publish", "register", "registry", "subscribe",
    "supervisor", "telemetry", "tick", "topics", "workers",
)  # fmt: skip


def _refused(name: str) -> Any:
    def refuse(self: IsolatedRuntime, *_: Any, **__: Any) -> Any:
        raise UnsupportedError(f"isolate=True: Runtime.{name} stays within a process, and the kernels are in another")

    refuse.__name__ = name
    return property(refuse) if isinstance(vars(Runtime)[name], property) else refuse


for _name in _WITHIN_A_PROCESS:
    setattr(IsolatedRuntime, _name, _refused(_name))
