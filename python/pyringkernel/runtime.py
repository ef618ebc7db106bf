"""Runtimes: launch handlers as kernels, connect and supervise them, publish to topics, close everything."""

from __future__ import annotations

import atexit
import threading
import time
import warnings
import weakref
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

from . import _core
from ._log import logger
from ._opening import open_core
from .buffers import Buffer, BufferRef, register, release_all
from .dead_letters import DeadLetters
from .devices import CudaDevice, Device, candidates, place
from .edges import Edge
from .errors import (
    ForkedProcessError,
    InvalidArgumentError,
    RuntimeClosedError,
    TopicError,
)
from .kernels import Kernel, KernelState
from .launching import (
    Directory,
    check_device,
    check_device_number,
    check_watchdog,
    goes_to_gpu,
    launch_options,
)
from .registry import Registry, encodable
from .supervision import Supervisor
from .topics import Subscription, TopicInfo

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from typing_extensions import Self

    from .checkpoint import Snapshot
    from .rings import Overflow
    from .telemetry import RuntimeTelemetry


_UNSET: Any = object()


def _text(what: str, value: Any) -> str:
    if isinstance(value, str):
        return encodable(what, value, TopicError)
    raise TopicError(f"{what}: found {type(value).__name__}, need a str")


_living: weakref.WeakSet[Runtime] = weakref.WeakSet()


def _close_all() -> None:
    deadline = time.monotonic() + 2.0
    for runtime in list(_living):
        if runtime._owned_here():
            runtime.close(timeout=max(deadline - time.monotonic(), 0.1))


class Runtime:
    """Kernels on one backend, with one hybrid logical clock.

    backend: "cpu"; "cuda": compiled handlers run on an NVIDIA GPU, all others on the CPU, in one runtime; "auto": CUDA
    where it can be used. node_id: 0 to 4095, in addresses and timestamps. max_drift: seconds that a remote timestamp
    may be ahead. workers: threads that run handlers (default: one a CPU, at least 2); pin_workers: each on a CPU of its
    own. dead_letters: how many are kept. watchdog: seconds after which a handler that has not returned makes its kernel
    hung, unless launch() says otherwise (None: never). A context manager; ``close()`` is idempotent.
    Of GPUs, device: the number of one, a list of numbers, or "all" that can be used. lease: seconds after which a kernel there makes room for other work and goes on (None:
    never). sm_budget: how many multiprocessors of each GPU kernels may take (None: all).

    isolate, on_hang: the kernels live in a worker process, which is killed and started again when one hangs; it is a
    pyringkernel.isolation.IsolatedRuntime then, which says what it offers.

    Raises BackendUnavailableError, NvrtcError, DeviceError, InvalidArgumentError; isolated also WorkerDiedError.
    """

    def __new__(cls, *_: Any, isolate: bool = False, **__: Any) -> Self:
        """With isolate=True an IsolatedRuntime, whose __init__ takes the arguments then."""
        if not isolate or cls is not Runtime:
            return object.__new__(cls)
        from .isolation import IsolatedRuntime

        return cast("Self", object.__new__(IsolatedRuntime))

    def __init__(
        self,
        backend: str = "auto",
        *,
        node_id: int = 0,
        max_drift: float = 0.5,
        workers: int | None = None,
        pin_workers: bool = False,
        dead_letters: int = 1024,
        watchdog: float | None = None,
        device: int | Sequence[int] | Literal["all"] = 0,
        lease: float | None = 0.25,
        sm_budget: int | None = None,
        isolate: bool = False,
        on_hang: Literal["restart", "fail"] = "restart",
    ) -> None:
        if isolate:  # else __new__ has made another class
            raise InvalidArgumentError(f"isolate: {type(self).__name__} is a class of yours, need rk.Runtime itself")
        if not 0 <= node_id < 4096:
            raise InvalidArgumentError(f"node_id: found {node_id}, need 0 to 4095")
        if not 0.0 <= max_drift < 4.0e9:
            raise InvalidArgumentError(f"max_drift: found {max_drift}, need seconds from 0")
        if workers is not None and not 1 <= workers <= 256:
            raise InvalidArgumentError(f"workers: found {workers}, need 1 to 256")
        if isinstance(dead_letters, bool) or not isinstance(dead_letters, int) or not 0 <= dead_letters < 2**32:
            raise InvalidArgumentError(f"dead_letters: found {dead_letters!r}, need how many to keep, from 0")
        check_watchdog(watchdog)
        check_device(device, lease, sm_budget)
        self._watchdog = watchdog

        def made(name: str, devices: Sequence[CudaDevice]) -> _core.Runtime:
            indices = [one.core.index for one in devices]
            numbers = (node_id, max_drift, workers or 0, bool(pin_workers), dead_letters)
            return _core.Runtime(name, *numbers, indices, lease or 0.0, sm_budget or 0)

        self._core, self._cuda, self.skipped = open_core(backend, device, made)
        self._kernels: dict[str, Kernel] = {}
        self._handles: weakref.WeakValueDictionary[int, Kernel] = weakref.WeakValueDictionary()  # also of ended ones
        self._names = threading.RLock()  # who forgets an ended kernel must not forget the next one of its name
        self._directory = Directory()
        self._buffers: set[int] = set()
        if not _living:
            atexit.unregister(_close_all)
            atexit.register(_close_all)
        _living.add(self)

    @property
    def backend(self) -> str:
        """The backend taken; ``skipped`` says why the others were not."""
        return self._core.backend

    @property
    def device(self) -> Device | None:
        """The GPU that it uses, the first of several; None on the CPU."""
        return self._cuda[0].facts if self._cuda else None

    @property
    def devices(self) -> tuple[Device, ...]:
        """The GPUs that it uses, in the order in which they are filled; () on the CPU."""
        return tuple(one.facts for one in self._cuda)

    @property
    def workers(self) -> int:
        """How many threads run handlers when none of them blocks."""
        return self._core.workers

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

    def register(self, array: Any, *, writable: bool = True) -> Buffer:
        """Let messages refer to an array instead of carrying it: a field of type ``rk.Ref`` takes the buffer.

        array: of the host's memory, with the buffer protocol, ``__array_interface__`` or DLPack, or of a device's, with
        ``__cuda_array_interface__``; C-contiguous. It is kept until the buffer is released, by itself or by close().
        Kernels on the GPU reach memory of their device, and of the host what is pinned or managed.
        writable: whether handlers may write to it.

        Raises UnsuitableBufferError, ResourceLimitError, RuntimeClosedError, DeviceLostError, DeviceError.
        """
        if self.closed:
            raise RuntimeClosedError("register: this runtime was closed")
        made = register(array, writable=writable, cuda=self._cuda[0].core if self._cuda else None)
        self._buffers.add(made.key)
        return made

    def buffer(self, reference: BufferRef) -> Buffer | None:
        """The buffer of this runtime that a message refers to; None when it was released, or is another runtime's."""
        return reference.buffer if reference.key in self._buffers else None

    def launch(
        self,
        handler: Any,
        *,
        name: str | None = None,
        instances: int = 1,
        capacity: int = 1024,
        autostart: bool = True,
        state: Any = None,
        accepts: Sequence[type[Any]] | None = None,
        max_message_size: int | None = None,
        max_failures: int = 3,
        failure_window: float = 5.0,
        routing: str = "round_robin",
        worker: int | None = None,
        publishes_to: Sequence[str] = (),
        supervisor: Supervisor | None = None,
        restart: str = "permanent",
        watchdog: float | None = _UNSET,
        dedup: int = 0,
        restore: Snapshot | str | os.PathLike[str] | None = None,
        compiled: bool = True,
        engine: str = "auto",
        device: int | None = None,
    ) -> Kernel:
        """Start a kernel that runs `handler` for each message.

        instances: how many actors share the handler, each with an inbox and a state of its own. capacity: messages that
        may wait in an inbox for each sender, and in the outbox; a power of two. state: the initial state (default: its
        class's defaults). accepts: message classes, for a handler without annotations. max_message_size: payload bytes
        of the largest message in either direction (default: the largest annotated one, and at least 256).
        routing: "round_robin", or "key:<field>": messages with equal values of this field go to one instance.
        worker: index of the worker that runs it. publishes_to: names of kernels that the handler sends to, besides those
        of its decorator. supervisor, restart ("permanent", "transient", "temporary"): who answers when it fails; without
        one, a handler that raises more than `max_failures` times within `failure_window` seconds is failed.
        watchdog: seconds that a handler may take (None: any). dedup: message ids that each instance remembers.
        restore: a snapshot, or the path of one.
        Of a compiled handler, engine: "cuda", "llvm", "vm" (bytecode), or "auto": CUDA in a runtime with a GPU, else LLVM
        if it is installed; compiled=False: run it as Python, for a debugger, with the same results. device: the number of
        the GPU, one of the runtime's (None: the first of them that has room); without a GPU it is not looked at.

        On a GPU also UnsupportedOnTargetError, DeviceCompileError, InsufficientSmsError, DeviceError. Always raises
        HandlerSignatureError, KernelExistsError, UnknownKernelError (of a name in publishes_to), CapacityError,
        RingMemoryError, InvalidArgumentError, SupervisorTerminatedError, CheckpointError, ClockSkewError,
        RuntimeClosedError, ForkedProcessError, OSError.
        """
        given = partial(
            launch_options,
            handler,
            name=name,
            instances=instances,
            capacity=capacity,
            state=state,
            accepts=accepts,
            max_message_size=max_message_size,
            max_failures=max_failures,
            failure_window=failure_window,
            routing=routing,
            worker=worker,
            workers=self.workers,
            publishes_to=publishes_to,
            restart=restart,
            watchdog=self._watchdog if watchdog is _UNSET else watchdog,
            dedup=dedup,
            restore=restore,
            compiled=compiled,
            engine=engine,
            autostart=autostart,
        )
        if supervisor is not None and not isinstance(supervisor, Supervisor):
            raise InvalidArgumentError(f"supervisor: found {supervisor!r}, need one of Runtime.supervisor(), or None")
        if supervisor is not None and supervisor._runtime is not self:
            raise InvalidArgumentError(f"supervisor: {supervisor!r} belongs to another runtime")
        belongs = {"supervisor": 0 if supervisor is None else supervisor._id, "resolve": self._directory.resolver()}

        def on(where: CudaDevice | None) -> Kernel:
            options = {**given(device=where), **belongs}
            return Kernel(self._core.launch(options), self, options["engine"], None if where is None else where.facts)

        places = self._places(handler, compiled, engine, device)
        launched = place(places, on) if places else on(None)
        with self._names:
            self._forget_ended()
            self._kernels[launched.name] = launched
            self._handles[launched.address] = launched
            self._directory.add(launched)
        self._core.announce(launched._core)
        if autostart:
            try:
                launched.activate()
            except BaseException:
                launched.terminate()
                self._forget_ended()
                raise
        return launched

    def _places(self, handler: Any, compiled: Any, engine: Any, wanted: int | None) -> Sequence[CudaDevice]:
        """The GPUs that a kernel may be put on; none: it runs on the CPU."""
        if wanted is not None:
            check_device_number(wanted)
        if goes_to_gpu(handler, compiled, engine):
            return candidates(self._cuda, wanted, repr(handler.id))
        if wanted is not None and self._cuda:
            raise InvalidArgumentError(f"device: found {wanted}, but this handler runs on the CPU: leave device= out")
        return ()

    def _forget_ended(self) -> None:
        over = (KernelState.TERMINATED, KernelState.FAILED)
        with self._names:
            for name in [k for k, one in self._kernels.items() if one.state in over]:
                del self._kernels[name]
                self._directory.remove(name)

    def connect(
        self,
        source: Kernel | str,
        target: Kernel | str,
        *,
        overflow: Overflow = "fail",
        capacity: int | None = None,
        high_water: int | None = None,
        low_water: int | None = None,
    ) -> Edge:
        """Let `source` send to `target`, before it does, and say what happens when the ring is full.

        overflow: "fail" (ctx.send raises RingFullError), "block" (the message waits beside the ring and the sender
        handles nothing more until it has left), "drop_newest", "drop_oldest". capacity: messages for each pair of
        instances (default: the target's). high_water, low_water: see Edge.congested.

        Raises UnknownKernelError, EdgeExistsError, CapacityError, InvalidArgumentError.
        """
        names = [self._name_of(what, one) for what, one in (("source", source), ("target", target))]
        for what, number in (("capacity", capacity), ("high_water", high_water), ("low_water", low_water)):
            if number is not None and not 0 < number < 2**48:
                raise InvalidArgumentError(f"{what}: found {number!r}, need a number of messages")
        core = self._core.connect(names[0], names[1], overflow, capacity or 0, high_water or 0, low_water or 0)
        return Edge(core)

    def _name_of(self, what: str, given: Kernel | str) -> str:
        if isinstance(given, str):
            return given
        if not isinstance(given, Kernel):
            raise InvalidArgumentError(f"{what}: found {given!r}, need a kernel or the name of one")
        if given._runtime is not self:
            raise InvalidArgumentError(f"{what}: {given!r} belongs to another runtime")
        return given.name

    @property
    def edges(self) -> list[Edge]:
        """The edges that were connected or used."""
        return [Edge(core) for core in self._core.edges()]

    def subscribe(
        self,
        pattern: str,
        subscriber: Kernel | None = None,
        *,
        capacity: int = 256,
        overflow: Overflow = "fail",
        max_message_size: int = 1024,
    ) -> Subscription:
        """Get what is published to topics that match `pattern`: `*` is one level, a last `#` one or more.

        subscriber: a kernel, into whose inbox the messages go; None: the host, which receives them from the
        subscription. Messages that were retained are there at once.
        overflow: "fail" (what finds no room is dead-lettered), "drop_newest", "drop_oldest", "block" (a publisher of the
        host waits; a handler's message is dead-lettered).

        Raises TopicError, InvalidArgumentError, CapacityError, RingMemoryError, KernelTerminatedError, RuntimeClosedError.
        """
        if isinstance(capacity, bool) or not isinstance(capacity, int) or not 0 < capacity < 2**48:
            raise InvalidArgumentError(f"capacity: found {capacity!r}, need a power of two, such as 256")
        if type(max_message_size) is not int or not 0 < max_message_size < 2**31 - 256:
            raise InvalidArgumentError(f"max_message_size: found {max_message_size!r}, need 1 to 2**31 - 257")
        if subscriber is not None and not isinstance(subscriber, Kernel):
            raise InvalidArgumentError(f"subscriber: found {subscriber!r}, need a kernel, or None for the host")
        if subscriber is not None and subscriber._runtime is not self:
            raise InvalidArgumentError(f"subscriber: {subscriber!r} belongs to another runtime")
        kernel = None if subscriber is None else subscriber._core
        return Subscription(
            self._core.subscribe(_text("pattern", pattern), kernel, capacity, overflow, max_message_size),
            subscriber,
        )

    def publish(self, topic: str, message: Any, *, retain: bool = False, timeout: float | None = 5.0) -> int:
        """Send `message` to every subscriber of `topic`; returns how many got it.

        retain: new subscribers get it too, until another one is retained. timeout: seconds to wait for subscribers
        that block. Raises TopicError, WrongMessageError, RuntimeClosedError.
        """
        return self._core.publish(_text("topic", topic), message, retain, timeout)

    def topics(self) -> list[TopicInfo]:
        """The topics that were published to."""
        return [TopicInfo(*row) for row in self._core.topics()]

    def clear_retained(self, topic: str) -> bool:
        """Forget the retained message of `topic`. False when there is none."""
        return self._core.clear_retained(topic)

    def supervisor(
        self,
        strategy: str = "one_for_one",
        *,
        intensity: int = 3,
        period: float = 5.0,
        backoff: float = 0.0,
        max_backoff: float = 30.0,
        name: str | None = None,
    ) -> Supervisor:
        """A supervisor for kernels: ``launch(handler, supervisor=...)``; see Supervisor."""
        return Supervisor._make(self, None, strategy, intensity, period, backoff, max_backoff, name, "permanent")

    @property
    def dead_letters(self) -> DeadLetters:
        """The messages that nobody handled."""
        return DeadLetters(self)

    @property
    def registry(self) -> Registry:
        """Running kernels by name and pattern."""
        return Registry(self)

    def telemetry(self) -> RuntimeTelemetry:
        """Counts and latencies of every kernel, and of the runtime, as they are now."""
        from .telemetry import RuntimeTelemetry

        totals = self._core.totals()
        kernels = [kernel._core._telemetry() for kernel in list(self._kernels.values())]
        return RuntimeTelemetry.from_core({**totals, "stats": totals["all"], "kernels": kernels})

    def close(self, timeout: float | None = 5.0) -> None:
        """Terminate every kernel, all at once and within `timeout` seconds. Idempotent; never hangs.

        Handlers that do not return are logged, and their threads abandoned. After Ctrl-C it may be called again.
        """
        hung = self._core.close(timeout)
        release_all(self._buffers)
        if hung:
            logger().warning(
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
        core: _core.Runtime | None = getattr(self, "_core", None)
        if core is None or core.closed or not self._owned_here():
            return
        warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
        core.close(2.0)

    def __reduce__(self) -> Any:
        raise TypeError("a runtime belongs to one process and cannot be pickled")

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self._kernels)} kernels"
        return f"<Runtime {self.backend} {state}>"
