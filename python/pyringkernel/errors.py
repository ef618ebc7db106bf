"""Everything that pyringkernel raises: one tree, each class also the builtin that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .compiler.diagnostics import Diagnostic


class RingKernelError(Exception):
    """Base of all errors of this package."""


class InvalidArgumentError(RingKernelError, ValueError):
    """An argument has a value that cannot be."""


class UnsupportedError(RingKernelError, NotImplementedError):
    """The operation does not exist for this object; the text says what does."""


class ForkedProcessError(RingKernelError, RuntimeError):
    """An object of the parent process was used after fork()."""


class ResourceLimitError(RingKernelError, RuntimeError):
    """A fixed limit of the design was reached."""


# -- messages


class MessageDefinitionError(RingKernelError, TypeError):
    """A message class cannot be made from these annotations."""


class TypeIdCollisionError(MessageDefinitionError):
    """Two message classes have one type id."""


class FieldTypeError(RingKernelError, TypeError):
    """A field was given a value of the wrong type, is missing, or does not exist."""


class FieldRangeError(RingKernelError, OverflowError, ValueError):
    """A field was given a value that its type cannot hold."""


class InvalidMessageError(RingKernelError, ValueError):
    """Bytes are not the message that they claim to be."""


class ReleasedError(RingKernelError, ValueError):
    """A view was used after its slot was handed back to the ring, or a buffer after it was released."""


class UnsuitableBufferError(RingKernelError, BufferError):
    """An array cannot be registered: it is not C-contiguous, not aligned, or of elements without a type here."""


class StaleReferenceError(RingKernelError, LookupError):
    """A reference leads to no registered buffer (any more), or not to what it claims."""


class ViewInUseError(RingKernelError, BufferError):
    """A slot cannot be handed back while arrays or views still point into it."""


# -- rings


class RingError(RingKernelError):
    """Base of the errors of rings."""


class CapacityError(RingError, ValueError):
    """The capacity is not a power of two, or not positive."""


class SlotTooSmallError(RingError, ValueError):
    """The data does not fit the ring's slots."""


class RingMemoryError(RingError, MemoryError):
    """The ring does not fit into memory."""


class WrongItemError(RingError, TypeError):
    """The ring holds items of another type."""


class RingFullError(RingError, BufferError):
    """The ring is full and its policy is to fail."""


class RingTimeoutError(RingError, TimeoutError):
    """The ring stayed full, or empty, until the deadline."""


class RingClosedError(RingError, ConnectionError):
    """The ring is closed; for a consumer: closed and drained."""


class SecondProducerError(RingError, RuntimeError):
    """A second thread wanted to produce into a single-producer ring."""


class SecondConsumerError(RingError, RuntimeError):
    """A second thread wanted to consume from a ring."""


# -- clock


class ClockSkewError(RingKernelError, ValueError):
    """A remote timestamp is further ahead than max_drift allows; the clock is unchanged."""


# -- runtime


class BackendUnavailableError(RingKernelError, RuntimeError):
    """The backend asked for cannot be used here; the text says why."""


class NvrtcError(BackendUnavailableError):
    """NVIDIA's run-time compiler is not there, or does not fit the driver or the device; the text says what does."""


class RuntimeClosedError(RingKernelError, RuntimeError):
    """The runtime was closed."""


class HandlerSignatureError(RingKernelError, TypeError):
    """A handler does not look or behave like one."""


class TranslationError(HandlerSignatureError):
    """A handler cannot be compiled; ``diagnostics`` has file, line, column, message and hint of each reason."""

    diagnostics: tuple[Diagnostic, ...]

    def __init__(self, text: str, diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        super().__init__(text)
        self.diagnostics = diagnostics


class KernelError(RingKernelError):
    """Base of the errors of kernels."""


class UnsupportedOnTargetError(KernelError, NotImplementedError):
    """A compiled handler needs what the target does not have; the text names both."""


class UnknownKernelError(KernelError, LookupError):
    """No kernel has this name."""


class KernelExistsError(KernelError, ValueError):
    """A kernel of this name is running."""


class InvalidStateTransition(KernelError, RuntimeError):  # noqa: N818 (the established name)
    """A kernel cannot make this move from the state it is in."""


class KernelTerminatedError(KernelError, ConnectionError):
    """The kernel is terminating or terminated."""


class KernelFailedError(KernelError, RuntimeError):
    """The kernel's handler failed too often; the cause is its last exception."""


class KernelHungError(KernelError, TimeoutError):
    """A handler did not return in time."""


class WorkerDiedError(KernelError, ConnectionError):
    """The process of an isolated runtime has ended, or was killed; what it was doing is lost."""


class HandlerError(KernelError, RuntimeError):
    """The handler raised while handling a call; the cause is what it raised."""


class CallTimeoutError(KernelError, TimeoutError):
    """No reply came in time."""


class ReceiveTimeoutError(KernelError, TimeoutError):
    """The kernel sent nothing in time."""


class WrongMessageError(KernelError, TypeError):
    """The kernel does not accept messages of this class."""


class MessageTooLargeError(KernelError, ValueError):
    """A message is larger than the kernel's slots."""


class UndeclaredTargetError(KernelError, LookupError):
    """A handler sent to a kernel that no edge leads to."""


class EdgeExistsError(KernelError, ValueError):
    """Two kernels are connected already, and messages have passed."""


class DeadlineExpiredError(KernelError, TimeoutError):
    """The message's deadline passed before a handler began."""


class OperationCancelledError(KernelError, RuntimeError):
    """The result of a cancelled operation was asked for."""


class SupervisorTerminatedError(KernelError, RuntimeError):
    """A supervisor that has failed or was terminated was given something to do."""


class ContextError(KernelError, RuntimeError):
    """A handler's context was used outside the handler."""


# -- devices


class DeviceError(RingKernelError, RuntimeError):
    """A call of the device's driver failed; the text has the driver's name for it, and what to do."""


class DeviceLostError(DeviceError, ConnectionError):
    """The device's memory and kernels are gone; nothing on it works until the process is started again."""


class DeviceMemoryError(DeviceError, MemoryError):
    """The device has no more memory, or the host none that the device can see."""


class InsufficientSmsError(DeviceError):
    """A kernel does not fit on the device beside the others; the text says how many instances would."""


class AbiMismatchError(DeviceError):
    """Device code was made from other headers than the host; the text names the field."""


class DeviceCompileError(KernelError, RuntimeError):
    """The device's compiler refused the text of a handler; ``log`` is all that it said, ``diagnostics`` its errors."""

    diagnostics: tuple[Diagnostic, ...]
    log: str

    def __init__(self, text: str, diagnostics: tuple[Diagnostic, ...] = (), log: str = "") -> None:
        super().__init__(text)
        self.diagnostics = diagnostics
        self.log = log


# -- topics, checkpoints


class TopicError(RingKernelError, ValueError):
    """A topic or a pattern is malformed."""


class CheckpointError(RingKernelError, ValueError):
    """A checkpoint cannot be used."""


class CheckpointCorruptError(CheckpointError):
    """Bytes are no checkpoint, or were changed since they were written."""


class CheckpointVersionError(CheckpointError):
    """The checkpoint was written in a format that this release does not know."""


class LayoutMismatchError(CheckpointError):
    """The checkpoint's state or messages have another layout; the text names the field."""


__all__ = [
    "AbiMismatchError",
    "BackendUnavailableError",
    "CallTimeoutError",
    "CapacityError",
    "CheckpointCorruptError",
    "CheckpointError",
    "CheckpointVersionError",
    "ClockSkewError",
    "ContextError",
    "DeadlineExpiredError",
    "DeviceCompileError",
    "DeviceError",
    "DeviceLostError",
    "DeviceMemoryError",
    "EdgeExistsError",
    "FieldRangeError",
    "FieldTypeError",
    "ForkedProcessError",
    "HandlerError",
    "HandlerSignatureError",
    "InsufficientSmsError",
    "InvalidArgumentError",
    "InvalidMessageError",
    "InvalidStateTransition",
    "KernelError",
    "KernelExistsError",
    "KernelFailedError",
    "KernelHungError",
    "KernelTerminatedError",
    "LayoutMismatchError",
    "MessageDefinitionError",
    "MessageTooLargeError",
    "NvrtcError",
    "OperationCancelledError",
    "ReceiveTimeoutError",
    "ReleasedError",
    "ResourceLimitError",
    "RingClosedError",
    "RingError",
    "RingFullError",
    "RingKernelError",
    "RingMemoryError",
    "RingTimeoutError",
    "RuntimeClosedError",
    "SecondConsumerError",
    "SecondProducerError",
    "SlotTooSmallError",
    "StaleReferenceError",
    "SupervisorTerminatedError",
    "TopicError",
    "TranslationError",
    "TypeIdCollisionError",
    "UndeclaredTargetError",
    "UnknownKernelError",
    "UnsuitableBufferError",
    "UnsupportedError",
    "UnsupportedOnTargetError",
    "ViewInUseError",
    "WorkerDiedError",
    "WrongItemError",
    "WrongMessageError",
]
