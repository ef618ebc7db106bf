"""Functions as operations of the bytecode machine. See bytecode_values.py for how values lie in registers."""

from __future__ import annotations

from dataclasses import dataclass

from .. import ir
from ..ir import AtomicOp, BinaryOp, Root, Service, Type
from ..walk import expressions, statements, target_of
from .assembler import Code, Constants, Label
from .ops import ROOTS
from .values import ValueEmitter

ANY_INSTANCE = DEFAULT_PRIORITY = 0xFFFF_FFFF
_ATOMIC = {
    AtomicOp.ADD: BinaryOp.ADD, AtomicOp.SUB: BinaryOp.SUB, AtomicOp.MIN: BinaryOp.MIN, AtomicOp.MAX: BinaryOp.MAX,
    AtomicOp.AND: BinaryOp.AND, AtomicOp.OR: BinaryOp.OR, AtomicOp.XOR: BinaryOp.XOR,
}  # fmt: skip
_FAR_ATOMIC_TYPES = (Type.I32, Type.U32, Type.I64, Type.U64)
_SERVICES = {
    Service.NOW: "NOW", Service.TICK: "TICK", Service.UPDATE_CLOCK: "UPDATE_CLOCK", Service.PENDING: "PENDING",
    Service.IS_TERMINATING: "IS_TERMINATING",
}  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """A function with its registers: its result's and parameters', and the first one behind all of its own."""

    index: int
    result: int
    parameters: tuple[int, ...]
    end: int
    code: Code


@dataclass
class _Turn:
    """The innermost loop: where Break goes, and Continue; a jump back that polls when `line` is given."""

    end: Label
    again: Label
    line: int | None


class FunctionEmitter:
    """`placed`: the functions before this one, by name. The registers of a function lie behind those of all functions
    that it calls, so that functions which never run at the same time share theirs."""

    def __init__(self, function: ir.Function, placed: dict[str, Placed], constants: Constants) -> None:
        calls = [stmt.function for stmt in statements(function.body) if isinstance(stmt, ir.Call)]
        begin = max((placed[name].end for name in calls), default=0)
        names = [local.name for local in (*function.parameters, *function.locals)]
        registers = {name: begin + 1 + number for number, name in enumerate(names)}
        self.function = function
        self.placed = placed
        self.code = Code()
        self.values = ValueEmitter(self.code, constants, registers, begin + 1 + len(names))
        self.result = begin
        self._turns: list[_Turn] = []

    def emit(self) -> Placed:
        for name in read_before_written(self.function):
            self.values.move(self.values.registers[name], self.values.constant(0))
        if self._body(self.function.body):
            self._return_zero()
        parameters = tuple(self.values.registers[local.name] for local in self.function.parameters)
        return Placed(len(self.placed), self.result, parameters, self.values.used, self.code)

    def _return_zero(self) -> None:
        if self.function.result is not None:
            self.values.move(self.result, self.values.constant(0))
        self.code.emit("RETURN")

    def _body(self, body: ir.Body) -> bool:
        """False when its end is never reached."""
        for statement in body:
            with self.values.temporaries():
                if not self._statement(statement):
                    return False
        return True

    def _statement(self, stmt: ir.Stmt) -> bool:
        if isinstance(stmt, (ir.If, ir.Loop, ir.For, ir.Break, ir.Continue, ir.Return, ir.Fail)):
            return self._flow(stmt)
        if isinstance(stmt, ir.SetLocal):
            self.values.into(stmt.value, self.values.registers[stmt.local.name])
        elif isinstance(stmt, ir.Store):
            self._store(stmt)
        elif isinstance(stmt, ir.Call):
            self._call(stmt)
        elif isinstance(stmt, ir.Atomic):
            self._atomic(stmt)
        elif isinstance(stmt, ir.Warp):
            self._warp(stmt)
        elif not isinstance(stmt, (ir.Barrier, ir.Fence)):  # one thread: nothing
            self._effect(stmt)
        return True

    # -- control

    def _flow(self, stmt: ir.If | ir.Loop | ir.For | ir.Break | ir.Continue | ir.Return | ir.Fail) -> bool:
        if isinstance(stmt, ir.If):
            return self._if(stmt)
        if isinstance(stmt, ir.Loop):
            return self._loop(stmt)
        if isinstance(stmt, ir.For):
            return self._for(stmt)
        if isinstance(stmt, ir.Break):
            self.code.emit("JUMP", self._turns[-1].end)
        elif isinstance(stmt, ir.Continue):
            turn = self._turns[-1]
            if turn.line is None:
                self.code.emit("JUMP", turn.again)
            else:
                self.code.emit("LOOP", turn.again, turn.line)
        elif isinstance(stmt, ir.Return):
            if stmt.value is not None:
                self.values.into(stmt.value, self.result)
            self.code.emit("RETURN")
        else:
            self.code.emit("FAIL", stmt.line, stmt.code)
        return False

    def _if(self, stmt: ir.If) -> bool:
        if stmt.condition == ir.Query(ir.QueryName.FAILED):  # the machine leaves a message that failed by itself
            return self._body(stmt.otherwise)
        otherwise, end = Label(), Label()
        self.values.branch(stmt.condition, otherwise, when=False)
        goes_on = self._body(stmt.then)
        if goes_on and stmt.otherwise:
            self.code.emit("JUMP", end)
        self.code.place(otherwise)
        goes_on = self._body(stmt.otherwise) or goes_on
        self.code.place(end)
        return goes_on

    def _loop(self, stmt: ir.Loop) -> bool:
        turn = _Turn(Label(), Label(), stmt.line)
        self._turns.append(turn)
        self.code.place(turn.again)
        if self._body(stmt.body):
            self.code.emit("LOOP", turn.again, stmt.line)
        self.code.place(turn.end)
        self._turns.pop()
        return turn.end.is_used

    def _for(self, stmt: ir.For) -> bool:
        """The item is counted in the variable itself where the body leaves it alone."""
        values, kind = self.values, stmt.variable.type
        written = {target.name for inner in statements(stmt.body) if (target := target_of(inner)) is not None}
        variable = values.registers[stmt.variable.name]
        is_own = kind.size >= 4 and stmt.variable.name not in written
        item = variable if is_own else values.new()
        counter, turn, begin = values.new(), _Turn(Label(), Label(), None), Label()
        values.into(stmt.count, counter)
        step = self._kept(stmt.step, written | {stmt.variable.name})
        if not isinstance(stmt.count, ir.Const) or stmt.count.value == 0:
            self.code.emit("JUMP_EQ_64", counter, values.constant(0), turn.end)
        values.into(stmt.start, item)
        self.code.place(begin)
        if not is_own:
            values.into(ir.Local(kind, stmt.variable.name), variable)
            self._narrow(kind, variable, item)
        self._turns.append(turn)
        self._body(stmt.body)
        self._turns.pop()
        self.code.place(turn.again)
        width = "64" if kind.size == 8 else "I32" if kind.is_signed else "U32"
        self.code.emit(f"NEXT_{width}", counter, item, step, begin, stmt.line)
        self.code.place(turn.end)
        return True

    def _narrow(self, kind: Type, target: int, item: int) -> None:
        """What is counted in 32 bits wraps as it would in fewer."""
        if kind.size < 4:
            self.code.emit(f"{'SIGN' if kind.is_signed else 'ZERO'}_{kind.bits}", target, item)
        else:
            self.values.move(target, item)

    def _kept(self, node: ir.Expr, written: set[str]) -> int:
        """The register of a value that stays while these locals change."""
        if isinstance(node, ir.Const) or (isinstance(node, ir.Local) and node.name not in written):
            return self.values.value(node)
        kept = self.values.new()
        self.values.into(node, kept)
        return kept

    def _call(self, stmt: ir.Call) -> None:
        callee = self.placed[stmt.function]
        for argument, parameter in zip(stmt.arguments, callee.parameters, strict=True):
            self.values.into(argument, parameter)
        self.code.emit("CALL", callee.index)
        if stmt.target is not None:
            self.values.move(self.values.registers[stmt.target.name], callee.result)

    # -- memory

    def _store(self, stmt: ir.Store) -> None:
        kind = stmt.value.type
        added = _added(stmt)
        if added is not None:
            width = kind.name if kind.is_float else str(kind.bits)
            self.code.emit(f"ADD_STATE_{width}", self.values.value(added), stmt.place.offset)
            return
        value = self.values.value(stmt.value)
        self.values.store(self.values.address(stmt.place), kind, value)

    def _atomic(self, stmt: ir.Atomic) -> None:
        """A thread that is alone needs no atomic operations, but buffers are shared."""
        values, kind = self.values, stmt.type
        address, value = values.address(stmt.place), values.value(stmt.value)
        if address.base is not None and address.index is not None:
            target = self._target(stmt.target)
            expected = values.constant(0) if stmt.expected is None else values.value(stmt.expected)
            what = 4 * list(AtomicOp).index(stmt.op) + _FAR_ATOMIC_TYPES.index(kind)
            place = (address.index, address.stride, address.base)
            self.code.emit("FAR_ATOMIC", target, *place, value, expected, what, address.offset)
            return
        old, new = values.new(), values.new()
        values.load(address, kind, old)
        if stmt.op is AtomicOp.CAS:
            assert stmt.expected is not None
            is_same = values.new()
            self.code.emit("EQ_64", is_same, old, values.value(stmt.expected))
            self.code.emit("SELECT", new, is_same, value, old)
        elif stmt.op is AtomicOp.EXCHANGE:
            new = value
        else:
            values.integer_binary(_ATOMIC[stmt.op], kind, new, old, value)
        values.store(address, kind, new)
        if stmt.target is not None:
            values.move(values.registers[stmt.target.name], old)

    def _warp(self, stmt: ir.Warp) -> None:
        """A warp of one lane: a ballot's bit 0 is what a BOOL is in a register."""
        if stmt.target is not None:
            self.values.into(stmt.value, self.values.registers[stmt.target.name])

    # -- effects

    def _effect(self, stmt: ir.Stmt) -> None:
        values = self.values
        if isinstance(stmt, ir.Copy):
            target, source = values.offset(stmt.target), values.offset(stmt.source)
            self.code.emit("COPY", ROOTS[stmt.target.root], target, ROOTS[stmt.source.root], source, stmt.size)
        elif isinstance(stmt, ir.Zero):
            self.code.emit("ZERO", ROOTS[stmt.target.root], values.offset(stmt.target), stmt.size)
        elif isinstance(stmt, ir.CountError):
            self.code.emit("COUNT_ERROR", values.value(stmt.code), stmt.line)
        elif isinstance(stmt, ir.Reply):
            offset, root = values.offset(stmt.payload), ROOTS[stmt.payload.root]
            self.code.emit("REPLY", root, offset, stmt.type_id, stmt.size, stmt.line)
        elif isinstance(stmt, ir.Send):
            self._send(stmt)
        elif isinstance(stmt, ir.Publish):
            offset, root = values.offset(stmt.payload), ROOTS[stmt.payload.root]
            target = self._target(stmt.target)
            self.code.emit("PUBLISH", target, root, offset, stmt.topic, int(stmt.retain), stmt.type_id, stmt.size)
        elif isinstance(stmt, ir.CallService):
            self._service(stmt)

    def _target(self, local: ir.Local | None) -> int:
        return self.values.new() if local is None else self.values.registers[local.name]

    def _send(self, stmt: ir.Send) -> None:
        values = self.values
        offset = values.offset(stmt.payload)
        instance = values.constant(ANY_INSTANCE) if stmt.instance is None else values.value(stmt.instance)
        priority = values.constant(DEFAULT_PRIORITY)
        if stmt.priority is not None:  # never the number that stands for none
            priority = values.new()
            self.code.emit("MIN_U64", priority, values.value(stmt.priority), values.constant(3))
        deadline = values.constant(0) if stmt.deadline is None else values.value(stmt.deadline)
        self.code.emit(
            "SEND", ROOTS[stmt.payload.root], offset, instance, priority, deadline, stmt.target, stmt.type_id, stmt.size,
            stmt.line,
        )  # fmt: skip

    def _service(self, stmt: ir.CallService) -> None:
        if stmt.service is Service.REQUEST_TERMINATION:
            self.code.emit("REQUEST_TERMINATION")
            return
        arguments = [] if stmt.service is Service.FREE_SLOTS else [self.values.value(node) for node in stmt.arguments]
        target = self._target(stmt.target)
        if stmt.service is Service.FREE_SLOTS:
            (index,) = stmt.arguments
            assert isinstance(index, ir.Const)
            self.code.emit("FREE_SLOTS", target, int(index.value))
        else:
            self.code.emit(_SERVICES[stmt.service], target, *arguments)


def _added(stmt: ir.Store) -> ir.Expr | None:
    """What is added to a scalar of the state, if that is what the statement does."""
    value, place = stmt.value, stmt.place
    if place.root is not Root.STATE or place.terms or not isinstance(value, ir.Binary):
        return None
    if value.op is not BinaryOp.ADD or value.type.size < 4:
        return None
    here = ir.Load(value.type, place)
    if value.left == here:
        return value.right
    return value.left if value.right == here else None


def read_before_written(function: ir.Function) -> list[str]:
    """The locals that may be read before they get a value, in their order."""
    found: set[str] = set()
    _walk(function.body, frozenset(local.name for local in function.parameters), found)
    return [local.name for local in function.locals if local.name in found]


def _walk(body: ir.Body, written: frozenset[str], found: set[str]) -> frozenset[str] | None:
    """The locals that surely have a value at the end; None when that is never reached."""
    for stmt in body:
        found |= {node.name for node in expressions(stmt) if isinstance(node, ir.Local)} - written
        if isinstance(stmt, (ir.Break, ir.Continue, ir.Return, ir.Fail)):
            return None
        if isinstance(stmt, ir.If):
            ends = [end for inner in (stmt.then, stmt.otherwise) if (end := _walk(inner, written, found)) is not None]
            if not ends:
                return None
            written = frozenset.intersection(*ends)
        elif isinstance(stmt, ir.Loop):
            _walk(stmt.body, written, found)
        elif isinstance(stmt, ir.For):
            _walk(stmt.body, written | {stmt.variable.name}, found)
        elif (target := target_of(stmt)) is not None:
            written |= {target.name}
    return written
