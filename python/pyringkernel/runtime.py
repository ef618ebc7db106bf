"""Runtimes and kernels: launch a handler, exchange messages with it, pause it, stop it."""

from __future__ import annotations

import atexit
import enum
import logging
import math
import time
import warnings
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from . import _core
from .errors import (
    BackendUnavailableError,
    ForkedProcessError,
    InvalidArgumentError,
    KernelTerminatedError,
    ReceiveTimeoutError,
    UnknownKernelError,
    WrongMessageError,
)
from .handlers import spec_of
from .messages import layout_of
from .rings import RingStats

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from typing_extensions import Self

log = logging.getLogger("pyringkernel")
log.addHandler(logging.NullHandler())

_LATER = {"cuda": "CUDA", "metal": "Metal", "wgpu": "wgpu"}


class KernelState(enum.IntEnum):
    """Where a kernel is in its life."""

    CREATED = 0
    LAUNCHED = 1
    ACTIVE = 2
    DEACTIVATED = 3
    TERMINATING = 4
    TERMINATED = 5
    FAILED = 6


class Priority(enum.IntEnum):
    """``message.header.priority``."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    CRITICAL = 3


def _log_failure(name: str) -> Any:
    """Logs the first ten failures of a kernel, then every thousandth: a poison flood must not become a log flood."""
    seen = 0

    def on_error(error: BaseException) -> None:
        nonlocal seen
        seen += 1
        if seen <= 10 or seen % 1000 == 0:
            log.error("handler of kernel %r raised (%d so far)", name, seen, exc_info=error)

    return on_error


class Kernel:
    """A launched kernel. Made by Runtime.launch().

    ``send``, ``try_send``, ``receive`` and ``call`` may be used from any thread.
    """

    __slots__ = ("__weakref__", "_core", "_runtime", "call", "receive", "send", "try_send")

    def __init__(self, core: _core.Kernel, runtime: Runtime) -> None:
        self._core = core
        self._runtime = runtime  # a runtime lives as long as somebody can use one of its kernels
        # The native methods themselves: a Python frame in between would double the cost of a send.
        self.send = core.send
        self.try_send = core.try_send
        self.receive = core.receive
        self.call = core.call

    def send_many(self, array: np.ndarray[Any, Any], timeout: float | None = 5.0) -> int:
        """Send each row of a structured array (``Cls.dtype``) as one message. Returns how many were accepted in time.

        Raises WrongMessageError when no accepted class has this dtype, KernelTerminatedError.
        """
        import numpy as np

        from ._arrays import message_dtype, rows

        for cls in self._core.accepts:
            if isinstance(array, np.ndarray) and message_dtype(cls) == array.dtype:
                data, count = rows(array, cls, layout_of(cls).size)
                return self._core._send_rows(cls, data, count, math.inf if timeout is None else timeout) if count else 0
        found = getattr(array, "dtype", type(array).__name__)
        raise WrongMessageError(
            f"send_many: found {found}, need an array of one of {[c.__name__ for c in self._core.accepts]}"
        )

    def receive_many(self, max: int = 4096, timeout: float | None = None) -> np.ndarray[Any, Any]:
        """Up to `max` messages of one class as a structured array; waits for the first one.

        Raises ReceiveTimeoutError, KernelTerminatedError, KernelFailedError.
        """
        from ._arrays import received

        if max < 1:
            raise InvalidArgumentError(f"max: found {max}, need at least 1")
        batch = self._core._receive_rows(max, timeout)
        if batch is None:
            if self.state in (KernelState.TERMINATED, KernelState.FAILED):
                raise KernelTerminatedError(f"kernel {self.name!r} is {self.state.name.lower()} and sent nothing more")
            raise ReceiveTimeoutError(f"kernel {self.name!r} sent nothing within {timeout} s")
        return received(batch, _core.message_types)

    def activate(self, timeout: float | None = 5.0) -> None:
        """Launched or Deactivated → Active. Raises InvalidStateTransition, KernelHungError."""
        self._core.activate(timeout)

    def deactivate(self, timeout: float | None = 5.0) -> None:
        """Active → Deactivated: returns when the handler rests. State and waiting messages stay.

        Raises InvalidStateTransition, KernelHungError.
        """
        self._core.deactivate(timeout)

    def terminate(self, timeout: float | None = 5.0) -> None:
        """Handle what was sent, then stop, within `timeout` seconds. What a paused kernel holds is dead-lettered.

        Raises InvalidStateTransition when it is terminated, KernelHungError when its handler does not return.
        """
        self._core.terminate(timeout)

    @property
    def state(self) -> KernelState:
        """Where the kernel is in its life."""
        return KernelState(self._core._state)

    @property
    def name(self) -> str:
        """The name that it was launched under."""
        return self._core.name

    @property
    def address(self) -> int:
        """Its 64-bit address: node, kernel, instance, generation."""
        return self._core.address

    @property
    def backend(self) -> str:
        """The backend that runs it."""
        return self._core.backend

    @property
    def mode(self) -> str:
        """How it really runs: "persistent" or "event_driven"."""
        return self._core.mode

    @property
    def accepts(self) -> tuple[type[Any], ...]:
        """The message classes that its handler takes."""
        return self._core.accepts

    @property
    def state_object(self) -> Any:
        """The handler's state; None when it has none. Read it while the kernel is deactivated or terminated."""
        return self._core.state_object

    @property
    def error_count(self) -> int:
        """How often the handler raised."""
        return self._core.error_count

    @property
    def last_error(self) -> BaseException | None:
        """What the handler raised last, with its traceback."""
        return self._core.last_error

    def stats(self) -> RingStats:
        """Counts of the messages sent to it. Dead-lettered: the handler raised, or they were left over at its end."""
        return RingStats(**self._core._stats())

    def outbox_stats(self) -> RingStats:
        """Counts of the messages that it sent to the host."""
        return RingStats(**self._core._outbox_stats())

    def telemetry(self) -> dict[str, int]:
        """Counters and handler latencies (nanoseconds), as in the TelemetryBlock."""
        return self._core._telemetry()

    def __reduce__(self) -> Any:
        raise TypeError("a kernel handle belongs to one process and cannot be pickled; its .address can")

    def __repr__(self) -> str:
        inbox, outbox = self._core._stats(), self._core._outbox_stats()
        return (
            f"<Kernel {self.name!r} {self.backend} {self.state.name.lower()} in={inbox['in_flight']}/{self._core.capacity} "
            f"out={outbox['in_flight']}/{self._core.capacity} errors={self.error_count}>"
        )


_living: weakref.WeakSet[Runtime] = weakref.WeakSet()


def _close_all() -> None:
    deadline = time.monotonic() + 2.0
    for runtime in list(_living):
        if runtime._owned_here():
            runtime.close(timeout=max(deadline - time.monotonic(), 0.1))


class Runtime:
    """Kernels on one backend, with one hybrid logical clock.

    backend: "auto" or "cpu". node_id: 0 to 4095, in addresses and timestamps. max_drift: seconds that a remote timestamp
    may be ahead. A context manager; ``close()`` is idempotent.

    Raises BackendUnavailableError, InvalidArgumentError.
    """

    def __init__(self, backend: str = "auto", *, node_id: int = 0, max_drift: float = 0.5) -> None:
        if not 0 <= node_id < 4096:
            raise InvalidArgumentError(f"node_id: found {node_id}, need 0 to 4095")
        if not 0.0 <= max_drift < 4.0e9:
            raise InvalidArgumentError(f"max_drift: found {max_drift}, need seconds from 0")
        self.skipped: dict[str, str] = {}
        self._core = _core.Runtime(self._select(backend), node_id, max_drift)
        self._kernels: dict[str, Kernel] = {}
        self._directory: dict[str, tuple[int, tuple[type[Any], ...]]] = {}
        if not _living:
            atexit.unregister(_close_all)
            atexit.register(_close_all)
        _living.add(self)

    def _select(self, backend: str) -> str:
        if backend == "cpu":
            return backend
        if backend == "auto":
            self.skipped = {name: f"the {label} backend is not part of this release" for name, label in _LATER.items()}
            return "cpu"
        if backend in _LATER:
            raise BackendUnavailableError(
                f"backend={backend!r}: the {_LATER[backend]} backend is not part of this release; use 'auto' or 'cpu'"
            )
        raise InvalidArgumentError(f"backend: found {backend!r}, need 'auto' or 'cpu'")

    @property
    def backend(self) -> str:
        """The backend taken; ``skipped`` says why the others were not."""
        return self._core.backend

    @property
    def closed(self) -> bool:
        """True after close()."""
        return self._core.closed

    @property
    def kernels(self) -> dict[str, Kernel]:
        """The kernels launched, by name."""
        return dict(self._kernels)

    def now(self) -> _core.HlcTimestamp:
        """The hybrid logical time; stamps nothing."""
        return self._core.now()

    def tick(self) -> _core.HlcTimestamp:
        """Stamp an event of the host."""
        return self._core.tick()

    def launch(
        self,
        handler: Any,
        *,
        name: str | None = None,
        capacity: int = 1024,
        autostart: bool = True,
        state: Any = None,
        accepts: Sequence[type[Any]] | None = None,
        max_message_size: int | None = None,
        max_failures: int = 3,
        failure_window: float = 5.0,
    ) -> Kernel:
        """Start a kernel that runs `handler` for each message.

        capacity: messages that may wait in the inbox for each sending thread, and in the outbox; a power of two.
        state: the handler's initial state (default: its class's defaults). accepts: message classes, for a handler
        without annotations. max_message_size: payload bytes of the largest message in either direction (default: the
        largest annotated one, and at least 256). A handler that raises more than `max_failures` times within
        `failure_window` seconds is failed.

        Raises HandlerSignatureError, KernelExistsError, CapacityError, RingMemoryError, RuntimeClosedError,
        ForkedProcessError.
        """
        spec = spec_of(handler, name, accepts)
        kernel_name = name or spec.id
        if kernel_name == "host":
            raise InvalidArgumentError("name: 'host' is where ctx.send reaches the host; choose another")
        initial = self._initial_state(spec, state)
        sizes = [layout_of(cls).size for cls in (*spec.accepts, *spec.replies)]
        size = max_message_size or max([256, *sizes])
        if type(size) is not int or not 0 < size < 2**31 - 256:
            raise InvalidArgumentError(f"max_message_size: found {size!r}, need an int from 1 to 2**31 - 257")
        if size < max(sizes):
            raise InvalidArgumentError(
                f"max_message_size: found {size}, the handler's messages have up to {max(sizes)} bytes"
            )
        if isinstance(capacity, bool) or not isinstance(capacity, int) or not 0 <= capacity < 2**48:
            from .errors import CapacityError

            raise CapacityError(f"capacity: found {capacity!r}, need a power of two, such as 1024")
        if max_failures < 0 or max_failures > 64 or not failure_window >= 0:
            raise InvalidArgumentError(
                f"found max_failures={max_failures}, failure_window={failure_window}; need 0 to 64, and seconds from 0"
            )
        core = self._core.launch(
            kernel_name,
            handler,
            initial,
            list(spec.accepts),
            capacity,
            size,
            max_failures,
            failure_window,
            _log_failure(kernel_name),
            self._resolver(),
        )
        launched = Kernel(core, self)
        over = [
            k for k, one in list(self._kernels.items()) if one.state in (KernelState.TERMINATED, KernelState.FAILED)
        ]
        for old in over:
            self._kernels.pop(old, None)
            self._directory.pop(old, None)
        self._kernels[kernel_name] = launched
        self._directory[kernel_name] = (launched.address, launched.accepts)
        if autostart:
            launched.activate()
        return launched

    @staticmethod
    def _initial_state(spec: Any, state: Any) -> Any:
        if spec.state is None:
            if state is not None:
                raise InvalidArgumentError(
                    "state: the handler takes none; give it a third parameter: (ctx, state, message)"
                )
            return None
        if state is None:
            return _core.zeroed(spec.state)
        if type(state) is not spec.state:
            raise InvalidArgumentError(f"state: found {type(state).__name__}, the handler needs {spec.state.__name__}")
        return state.copy()

    def _resolver(self) -> Any:
        """Finds the address of what a handler sends to. It must know neither the runtime nor its kernels: they hold it."""
        directory = self._directory

        def resolve(target: Any, cls: type[Any]) -> int:
            if target == "host":
                return 0
            is_kernel = isinstance(target, Kernel)
            if is_kernel and target._runtime._directory is not directory:
                raise UnknownKernelError(f"ctx.send: {target!r} belongs to another runtime")
            address, accepts = directory.get(target.name if is_kernel else target, (0, ()))
            if is_kernel and address != target.address:
                raise KernelTerminatedError(f"ctx.send: {target!r} has ended")
            if address == 0:
                raise UnknownKernelError(
                    f"ctx.send: no kernel is named {target!r}; there are 'host' and {sorted(directory)}"
                )
            if cls not in accepts:
                raise WrongMessageError(f"ctx.send: {target!r} does not accept {cls.__name__}")
            return address

        return resolve

    def close(self, timeout: float | None = 5.0) -> None:
        """Terminate every kernel, all at once and within `timeout` seconds. Idempotent; never hangs.

        Handlers that do not return are logged, and their threads abandoned. After Ctrl-C it may be called again.
        """
        hung = self._core.close(timeout)
        if hung:
            log.warning(
                "close: the handlers of %s did not return; their threads are abandoned",
                ", ".join(map(repr, hung)),
            )

    def _owned_here(self) -> bool:
        try:
            return self._core.find("") is None
        except RuntimeError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ForkedProcessError):  # a forked child leaves its parent's block: nothing of it is ours
            self.close()

    def __del__(self) -> None:
        core = cast("_core.Runtime | None", self.__dict__.get("_core"))
        if core is None or core.closed or not self._owned_here():
            return
        warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
        core.close(2.0)

    def __reduce__(self) -> Any:
        raise TypeError("a runtime belongs to one process and cannot be pickled")

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self._kernels)} kernels"
        return f"<Runtime {self.backend} {state}>"
