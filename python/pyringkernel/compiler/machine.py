"""What statements do to the world outside of their function: one message in hand, in one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from . import ops
from .ir import AtomicOp, BinaryOp, ErrorCode, QueryName, Service, Type, WarpOp
from .memory import Memory
from .services import ANY_INSTANCE, DEFAULT_PRIORITY, HIGHEST_PRIORITY, Failed, Report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .ir import Entry, Program, Root
    from .services import Services

_ATOMIC_AS = {
    AtomicOp.ADD: BinaryOp.ADD,
    AtomicOp.SUB: BinaryOp.SUB,
    AtomicOp.MIN: BinaryOp.MIN,
    AtomicOp.MAX: BinaryOp.MAX,
    AtomicOp.AND: BinaryOp.AND,
    AtomicOp.OR: BinaryOp.OR,
    AtomicOp.XOR: BinaryOp.XOR,
}
_WRAP_U32 = ops.wrap_to(Type.U32)


class Machine:
    """The memories, the services and the report of one message."""

    def __init__(
        self,
        program: Program,
        entry: Entry,
        state: bytearray,
        slot: bytes | bytearray | memoryview,
        services: Services,
        fuel: int | None = None,
        instance: int = 0,
        kernel: int = 0,
    ) -> None:
        self.memory = Memory.of(program, entry, state, slot)
        self.services = services
        self.report = Report()
        self.fuel = fuel
        self.instance = instance
        self.kernel = kernel

    def query(self, name: QueryName) -> int | bool:
        """See QueryName."""
        if name is QueryName.FAILED:
            return self.report.failed != 0
        if name in (QueryName.BLOCK_DIM, QueryName.GRID_DIM):
            return 1
        return {QueryName.KERNEL_ID: self.kernel, QueryName.INSTANCE_ID: self.instance}.get(name, 0)

    # -- errors and loops ----------------------------------------------------------------------------------------------

    def count_error(self, code: int, line: int) -> None:
        """The handler goes on."""
        self.report.errors = _WRAP_U32(self.report.errors + 1)
        self.report.last_error, self.report.error_line = code, line

    def fail(self, code: int, line: int) -> NoReturn:
        """The handler does not go on."""
        self.report.failed, self.report.fail_line = int(code), line
        raise Failed

    def turns(self, line: int) -> Iterator[None]:
        """For ever. Going back costs fuel."""
        while True:
            yield
            self._go_back(line)

    def items(self, kind: Type, start: int, step: int, count: int, line: int) -> Iterator[int]:
        """The values of a For's variable. Going back costs fuel, so not the last turn."""
        wrap = ops.wrap_to(kind)
        for k in range(count):
            if k:
                self._go_back(line)
            yield wrap(start + k * step)

    def _go_back(self, line: int) -> None:
        if self.fuel is not None:
            if self.fuel == 0:
                self.fail(ErrorCode.CANCELLED, line)
            self.fuel -= 1

    # -- effects -------------------------------------------------------------------------------------------------------

    def reply(self, type_id: int, root: Root, address: int, size: int, line: int) -> None:
        """See ir.Reply."""
        failed = self.services.reply(type_id, self.memory.read(root, address, size))
        if failed:
            self.fail(failed, line)

    def send(
        self,
        target: int,
        type_id: int,
        root: Root,
        address: int,
        size: int,
        instance: int | None,
        priority: int | None,
        deadline: float | None,
        line: int,
    ) -> None:
        """See ir.Send."""
        failed = self.services.send(
            target,
            type_id,
            self.memory.read(root, address, size),
            ANY_INSTANCE if instance is None else instance,
            DEFAULT_PRIORITY if priority is None else min(priority, HIGHEST_PRIORITY),
            deadline if deadline is not None and deadline > 0.0 else 0.0,
        )
        if failed:
            self.fail(failed, line)

    def publish(self, topic: int, type_id: int, root: Root, address: int, size: int, retain: bool) -> int:
        """See ir.Publish."""
        return self.services.publish(topic, type_id, self.memory.read(root, address, size), retain)

    def service(self, service: Service, *arguments: Any) -> Any:
        """See ir.Service."""
        return getattr(self.services, service.text)(*arguments)

    # -- threads -------------------------------------------------------------------------------------------------------

    def atomic(self, op: AtomicOp, kind: Type, root: Root, address: int, value: int, expected: int | None) -> int:
        """Gives the old value."""
        old: int = self.memory.load(kind, root, address)
        if op is AtomicOp.CAS:
            new = value if old == expected else old
        elif op is AtomicOp.EXCHANGE:
            new = value
        else:
            new = ops.binary(_ATOMIC_AS[op], kind)(old, value)
        self.memory.store(kind, root, address, new)
        return old

    def warp(self, op: WarpOp, value: Any) -> Any:
        """Of a warp of one lane: there is nobody else to get a value from."""
        return int(value) if op is WarpOp.BALLOT else value
