"""The process that an isolated runtime starts: it owns the real runtime and does what it is told over a socket."""

from __future__ import annotations

import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from .. import errors
from ..errors import RingKernelError
from ..kernels import Kernel, KernelState
from ..runtime import Runtime
from . import references
from .channel import Channel

_THREADS = 64  # receive(), activate() and the like that may wait at once


class Worker:
    """One for each process."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pool = ThreadPoolExecutor(_THREADS)
        self._runtime: Runtime | None = None
        self._kernels: dict[str, Kernel] = {}
        self._classes: dict[int, Any] = {}

    def serve(self) -> None:
        """Until the other side is gone."""
        while (frame := self._channel.receive()) is not None:
            head, blob = frame
            if head["op"] in ("ask", "send", "health"):  # these do not wait
                self._do(head, blob)
            else:
                self._pool.submit(self._do, head, blob)

    def _do(self, head: dict[str, Any], blob: bytes) -> None:
        try:
            answer = getattr(self, "_op_" + head["op"])(blob, **head.get("with", {}), _id=head["id"])
            if answer is not None:
                self._answer(head["id"], *answer)
        except BaseException as error:
            self._fail(head["id"], error)

    def _answer(self, request: int, values: dict[str, Any], blob: bytes = b"") -> None:
        try:
            self._channel.send({"id": request, "is": values}, blob)
        except OSError:
            os._exit(1)  # nobody is there to be told

    def _fail(self, request: int, error: BaseException) -> None:
        known = isinstance(error, RingKernelError) and type(error).__name__ in errors.__all__
        name = (
            type(error).__name__ if known else "HandlerError" if isinstance(error, RingKernelError) else "RuntimeError"
        )
        text = str(error) if known else f"{type(error).__name__}: {error}"
        try:
            self._channel.send({"id": request, "error": name, "text": text})
        except OSError:
            os._exit(1)

    # -- what may be asked for

    def _op_open(self, _: bytes, path: list[str], options: dict[str, Any], _id: int) -> Any:
        sys.path[:] = path
        self._runtime = Runtime(**options)
        facts = {"backend": self._runtime.backend, "skipped": self._runtime.skipped, "pid": os.getpid()}
        return {**facts, "devices": [asdict(one) for one in self._runtime.devices]}, b""

    def _op_launch(self, state: bytes, handler: dict[str, str], options: dict[str, Any], _id: int) -> Any:
        assert self._runtime is not None
        found = references.find(handler)
        if state:
            options["state"] = found.state.from_bytes(state)
        kernel = self._runtime.launch(found, **options)
        self._kernels[kernel.name] = kernel
        for cls in found.accepts:
            self._classes[cls.type_id] = cls
        where = None if kernel.device is None else kernel.device.index
        facts = {"name": kernel.name, "backend": kernel.backend, "engine": kernel.engine, "mode": kernel.mode}
        return {**facts, "device": where}, b""

    def _message(self, kernel: Kernel, blob: bytes, type_id: int) -> Any:
        cls = next((cls for cls in kernel.accepts if cls.type_id == type_id), None)
        if cls is None:
            raise errors.WrongMessageError(f"kernel {kernel.name!r} accepts no message of type id {type_id:#x}")
        return cls.from_bytes(blob)

    def _op_ask(self, blob: bytes, kernel: str, type_id: int, how: dict[str, Any], _id: int) -> None:
        target = self._kernels[kernel]
        operation = target.ask(self._message(target, blob, type_id), **how)

        def done(over: Any) -> None:
            error = over.exception()
            if error is not None:
                self._fail(_id, error)
            else:
                self._give(_id, over.result())

        operation.add_done_callback(done)

    def _give(self, request: int, message: Any) -> None:
        self._answer(request, {"type_id": type(message).type_id}, message.to_bytes())

    def _op_send(self, blob: bytes, kernel: str, type_id: int, how: dict[str, Any], _id: int) -> Any:
        target = self._kernels[kernel]
        return {"sent": target.try_send(self._message(target, blob, type_id), **how)}, b""

    def _op_receive(self, _: bytes, kernel: str, timeout: float | None, _id: int) -> None:
        self._give(_id, self._kernels[kernel].receive(timeout))

    def _op_move(self, _: bytes, kernel: str, to: str, timeout: float | None, _id: int) -> Any:
        getattr(self._kernels[kernel], to)(timeout)
        return {}, b""

    def _op_state(self, _: bytes, kernel: str, _id: int) -> Any:
        one = self._kernels[kernel]
        return {"state": int(one.state), "stats": one._core._stats(), "errors": one.error_count, "busy": one.busy}, b""

    def _op_snapshot(self, _: bytes, kernel: str, timeout: float | None, _id: int) -> Any:
        return {}, self._kernels[kernel].snapshot(timeout).to_bytes()

    def _op_health(self, _: bytes, _id: int) -> Any:
        hung = [name for name, one in list(self._kernels.items()) if one.state == KernelState.FAILED and one.hung]
        stats = {name: one._core._stats() for name, one in list(self._kernels.items())}
        counts = {name: (one["in_flight"], one["dead_lettered"]) for name, one in stats.items()}
        return {"hung": hung, "counts": counts}, b""

    def _op_close(self, _: bytes, timeout: float | None, _id: int) -> Any:
        if self._runtime is not None:
            self._runtime.close(timeout)
        return {}, b""


def main(descriptor: int) -> None:
    """Runs a worker on an inherited socket, and leaves without waiting for handlers that hang."""
    threading.current_thread().name = "pyringkernel-worker"
    Worker(Channel(socket.socket(fileno=descriptor))).serve()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
