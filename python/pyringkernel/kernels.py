"""A launched kernel: exchange messages with it, pause it, stop it, look at it."""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Any, SupportsIndex

from . import _core
from .checkpoint import Snapshot
from .errors import InvalidArgumentError, KernelTerminatedError, ReceiveTimeoutError, WrongMessageError
from .messages import layout_of
from .rings import RingStats

if TYPE_CHECKING:
    import numpy as np

    from .devices import Device
    from .runtime import Runtime
    from .telemetry import KernelTelemetry
    from .views import StateView


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


class Kernel:
    """A launched kernel. Made by Runtime.launch().

    ``send``, ``try_send``, ``receive``, ``call`` and ``ask`` may be used from any thread. Each takes ``instance=``,
    ``priority=`` (Priority) and ``deadline=`` (seconds from now in which a handler must have begun). ``send`` also takes
    ``after=``: a CUDA stream of others, behind whose work the message is sent; raises BackendUnavailableError without a
    driver, DeviceError when the stream does not take it.
    """

    __slots__ = ("__weakref__", "_core", "_device", "_engine", "_runtime", "ask", "call", "receive", "send", "try_send")

    def __init__(self, core: _core.Kernel, runtime: Runtime, engine: str, device: Device | None = None) -> None:
        self._core = core
        self._engine = engine
        self._device = device
        self._runtime = runtime  # a runtime lives as long as somebody can use one of its kernels
        # The native methods themselves: a Python frame in between would double the cost of a send.
        self.send = core.send
        self.try_send = core.try_send
        self.receive = core.receive
        self.call = core.call
        self.ask = core.ask

    def send_many(
        self,
        array: np.ndarray[Any, Any],
        timeout: float | None = 5.0,
        *,
        instance: int | None = None,
        priority: int = 1,
    ) -> int:
        """Send each row of a structured array (``Cls.dtype``) as one message. Returns how many were accepted in time.

        Raises WrongMessageError when no accepted class has this dtype, KernelTerminatedError, InvalidArgumentError.
        """
        import numpy as np

        from ._arrays import message_dtype, rows

        if instance is not None and (not isinstance(instance, SupportsIndex) or not 0 <= instance < self.instances):
            raise InvalidArgumentError(f"instance: found {instance!r}, need 0 to {self.instances - 1}")
        if priority not in (0, 1, 2, 3):
            raise InvalidArgumentError(f"priority: found {priority!r}, need 0 (LOW) to 3 (CRITICAL)")
        for cls in self._core.accepts:
            if isinstance(array, np.ndarray) and message_dtype(cls) == array.dtype:
                data, count = rows(array, cls, layout_of(cls).size)
                wait = math.inf if timeout is None else timeout
                return self._core._send_rows(cls, data, count, wait, instance, int(priority)) if count else 0
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

    def snapshot(self, timeout: float | None = 5.0) -> Snapshot:
        """State, waiting messages and clock, as they are at one moment. An active kernel pauses meanwhile.

        What its handlers have sent is the receivers'. Raises KernelHungError, InvalidStateTransition.
        """
        return Snapshot.from_bytes(self._core._snapshot(timeout))

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
        """The backend that runs it: in a runtime with a GPU "cuda" or "cpu"."""
        return self._core.backend

    @property
    def engine(self) -> str:
        """What runs its handler: "cuda", "llvm", "vm", "python", or "native" for a C function."""
        return self._engine

    @property
    def device(self) -> Device | None:
        """The GPU that it is on; None on the CPU."""
        return self._device

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
        return self._core._state_object(0)

    @property
    def states(self) -> list[Any]:
        """The state of each instance."""
        return [self._core._state_object(i) for i in range(self.instances)]

    def state_view(self, instance: int = 0) -> StateView:
        """The state of an instance as arrays of NumPy, CuPy or PyTorch: in place, where the handler has it.

        Look while the kernel is deactivated. Raises InvalidArgumentError when it has none.
        """
        from .views import StateView

        return StateView(self, instance)

    @property
    def instances(self) -> int:
        """How many actors share its handler."""
        return self._core.instances

    @property
    def generation(self) -> int:
        """How often instance 0 was restarted."""
        return self._core._generation(0)

    @property
    def restarts(self) -> int:
        """How often its supervisor restarted one of its instances."""
        return self._core.restarts

    @property
    def hung(self) -> bool:
        """True when it was given up because a handler did not return."""
        return self._core.hung

    @property
    def busy(self) -> bool:
        """True while a handler of it is inside a message."""
        return self._core.busy

    @property
    def error_count(self) -> int:
        """How often the handler raised or failed, and errors that it counted by itself."""
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

    def telemetry(self) -> KernelTelemetry:
        """Counts and latency histograms of all instances together, as they are now."""
        from .telemetry import KernelTelemetry

        return KernelTelemetry.from_core(self._core._telemetry())

    def instance_telemetry(self) -> list[KernelTelemetry]:
        """The same, for each instance."""
        from .telemetry import KernelTelemetry

        return [KernelTelemetry.from_core(self._core._telemetry(i)) for i in range(self.instances)]

    def __reduce__(self) -> Any:
        raise TypeError("a kernel handle belongs to one process and cannot be pickled; its .address can")

    def __repr__(self) -> str:
        inbox, outbox = self._core._stats(), self._core._outbox_stats()
        return (
            f"<Kernel {self.name!r} {self.backend} {self.state.name.lower()} in={inbox['in_flight']}/{self._core.capacity} "
            f"out={outbox['in_flight']}/{self._core.capacity} errors={self.error_count}>"
        )
