"""What operations need of event loops and threads."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Generator

    from . import _core

_lock = threading.RLock()  # a _Reader may be freed, and come here, at any allocation
_served: WeakSet[Any] = WeakSet()


class _Reader:
    """What a loop calls. Only the loop holds it, and lets go when it is closed: nothing else would tell us."""

    __slots__ = ("_port",)

    def __init__(self, port: _core.AskPort) -> None:
        self._port = port

    def __call__(self) -> None:
        self._port.drain()

    def __del__(self) -> None:
        self._port.retire()
        if self._port.pending:
            with suppress(RuntimeError):  # the interpreter ends, and starts no threads
                complete(self._port)


def attach(loop: asyncio.AbstractEventLoop, port: _core.AskPort) -> None:
    """Let the loop drain the port whenever its descriptor says so."""
    loop.add_reader(port.fd, _Reader(port))


def detach(loop: asyncio.AbstractEventLoop, port: _core.AskPort) -> None:
    """The port's runtime is closed."""
    with suppress(RuntimeError):  # so is the loop
        loop.call_soon_threadsafe(loop.remove_reader, port.fd)


def complete(port: _core.AskPort) -> None:
    """Callbacks were added where no loop runs: one thread waits for the port, as long as something is pending."""
    with _lock:
        if port in _served:
            return
        threading.Thread(target=_serve, args=(port,), name="pyringkernel completions", daemon=True).start()
        _served.add(port)


def _serve(port: _core.AskPort) -> None:
    idle = 0
    while True:
        port.wait(0.25)
        port.drain()
        idle = 0 if port.pending else idle + 1
        if idle < 8:
            continue
        with _lock:
            if not port.pending:
                _served.discard(port)
                return


async def _bridge(operation: _core.Operation) -> Any:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    def told(_: _core.Operation) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(wake)

    operation._when_done(told)
    try:
        await done
    except asyncio.CancelledError:
        operation.cancel()
        raise
    return operation.result(0)


def bridge(operation: _core.Operation) -> Generator[Any, Any, Any]:
    """Awaits an operation that was asked elsewhere than in the running loop."""
    return _bridge(operation).__await__()
