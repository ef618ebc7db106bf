"""verify's rules for functions and statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from . import ir
from .ir import ErrorCode, QueryName, Root, Scope, Type, WarpOp
from .verify_expr import check_expression
from .walk import bodies_of, statements, target_of

if TYPE_CHECKING:
    from .ir import Body, Expr, Function, Place, Program, Stmt

_ATOMIC_TYPES = (Type.I32, Type.U32, Type.I64, Type.U64)
_SHUFFLES = (WarpOp.SHUFFLE, WarpOp.SHUFFLE_UP, WarpOp.SHUFFLE_DOWN, WarpOp.SHUFFLE_XOR)
_VOTES = (WarpOp.BALLOT, WarpOp.ALL, WarpOp.ANY)
_UNSIGNED = (Type.U8, Type.U16, Type.U32, Type.U64)
_FAILURES = frozenset(code for code in ErrorCode if code >= ErrorCode.ASSERTION)
_HEADER_SIZE = 64


class IrError(ValueError):
    """A program breaks a rule of the intermediate representation: a fault of what made it. The text has the path."""


class FunctionCheck:
    """One function, of an entry or in the program's list. `message_extent`: the first byte of the message behind all that it and its callees name."""

    def __init__(self, program: Program, callees: dict[str, FunctionCheck], function: Function, path: str) -> None:
        self.program = program
        self.callees = callees
        self.function = function
        self.path = [path]
        self.locals: dict[str, Type] = {}
        self.message_extent = 0
        self.writes_message = False
        self.loops = 0
        self._otherwise: set[str] | None = None
        self.sizes = {
            Root.STATE: program.state_size,
            Root.MESSAGE: max(entry.size for entry in program.entries),
            Root.HEADER: _HEADER_SIZE,
            Root.FRAME: program.frame_size,
            Root.SHARED: program.shared_size,
            Root.BUFFER: 1 << 64,
        }

    def run(self) -> None:
        for local in (*self.function.parameters, *self.function.locals):
            if local.name in self.locals:
                self.error(f"two locals are named {local.name!r}")
            self.locals[local.name] = local.type
        if self.body(self.function.body, "body") and self.function.result is not None:
            self.error("a path ends without the result")
        may_fail = any(self.can_fail(stmt) for stmt in statements(self.function.body))
        if may_fail is not self.function.may_fail:
            self.error(f"may_fail is {self.function.may_fail}, and should not be")

    def can_fail(self, stmt: Stmt) -> bool:
        if isinstance(stmt, ir.Call):
            return self.callees[stmt.function].function.may_fail
        return isinstance(stmt, (ir.Fail, ir.Reply, ir.Send, ir.Loop, ir.For))

    def error(self, text: str) -> NoReturn:
        raise IrError(f"{'.'.join(self.path)}: {text}")

    # -- bodies --------------------------------------------------------------------------------------------------------

    def body(self, body: Body, name: str) -> bool:
        """Whether its end can be reached, as far as structure says."""
        goes_on = True
        previous: Stmt | None = None
        for index, stmt in enumerate(body):
            self.path.append(f"{name}[{index}]")
            self.check_failed_query(previous, stmt)
            goes_on = self.statement(stmt) and goes_on
            previous = stmt
            self.path.pop()
        if self.awaits_test(previous):
            self.path.append(f"{name}[{len(body) - 1}]")
            self.error("nothing tests FAILED after this call")
        return goes_on

    def awaits_test(self, stmt: Stmt | None) -> bool:
        return isinstance(stmt, ir.Call) and self.callees[stmt.function].function.may_fail

    def check_failed_query(self, previous: Stmt | None, stmt: Stmt) -> None:
        """`if FAILED: return` is behind each call that may fail, and nowhere else."""
        tests = isinstance(stmt, ir.If) and _is_failed(stmt.condition)
        if self.awaits_test(previous):
            if not (isinstance(stmt, ir.If) and tests and len(stmt.then) == 1 and isinstance(stmt.then[0], ir.Return)):
                self.error("a call that may fail is followed by: if FAILED, return")
        elif tests:
            self.error("FAILED is tested right after a call that may fail only")

    def statement(self, stmt: Stmt) -> bool:
        """Whether what follows can be reached."""
        target = target_of(stmt)
        if target is not None:
            self.known(target)
        goes_on = True
        if isinstance(stmt, (ir.If, ir.Loop, ir.For)):
            goes_on = self.block(stmt)
        elif isinstance(stmt, (ir.Break, ir.Continue)):
            if not self.loops:
                self.error("it is in no loop")
            goes_on = False
        elif isinstance(stmt, ir.Return):
            self.returns(stmt)
            goes_on = False
        elif isinstance(stmt, ir.Fail):
            if stmt.code not in _FAILURES:
                self.error(f"0x{stmt.code:x} fails no message")
            goes_on = False
        else:
            self.simple(stmt)
        return goes_on

    def block(self, stmt: ir.If | ir.Loop | ir.For) -> bool:
        if isinstance(stmt, ir.If):
            if not _is_failed(stmt.condition):
                self.typed(stmt.condition, Type.BOOL, "condition")
            then, otherwise = self.body(stmt.then, "then"), self.body(stmt.otherwise, "otherwise")
            return then or otherwise
        if isinstance(stmt, ir.For):
            kind = stmt.variable.type
            if not kind.is_integer:
                self.error(f"the variable is {kind!r}")
            self.typed(stmt.start, kind, "start")
            self.typed(stmt.step, kind, "step")
            self.one_of(stmt.count, _UNSIGNED, "count")
        self.loops += 1
        self.body(stmt.body, "body")
        self.loops -= 1
        return isinstance(stmt, ir.For) or _has_break(stmt.body)

    def returns(self, stmt: ir.Return) -> None:
        result = self.function.result
        if stmt.value is None:
            if result is not None:
                self.error(f"it gives nothing for {result!r}")
        elif result is None:
            self.error("it gives a value, and the function has no result")
        else:
            self.typed(stmt.value, result, "value")

    # -- the other statements ------------------------------------------------------------------------------------------

    def simple(self, stmt: Stmt) -> None:
        if isinstance(stmt, ir.SetLocal):
            self.typed(stmt.value, stmt.local.type, "value")
        elif isinstance(stmt, ir.Store):
            self.value(stmt.value, "value")
            self.place(stmt.place, stmt.value.type.size, stmt.value.type.size, "place", writes=True)
        elif isinstance(stmt, (ir.Copy, ir.Zero)):
            self.place(stmt.target, stmt.size, 1, "target", writes=True)
            if isinstance(stmt, ir.Copy):
                self.place(stmt.source, stmt.size, 1, "source")
        elif isinstance(stmt, ir.Call):
            self.call(stmt)
        elif isinstance(stmt, ir.CountError):
            self.typed(stmt.code, Type.U32, "code")
        elif isinstance(stmt, (ir.Reply, ir.Send, ir.Publish)):
            self.sends(stmt)
        elif isinstance(stmt, ir.CallService):
            self.service(stmt)
        elif isinstance(stmt, ir.Atomic):
            self.atomic(stmt)
        elif isinstance(stmt, ir.Warp):
            self.warp(stmt)
        elif isinstance(stmt, ir.Barrier):
            if stmt.scope is Scope.SYSTEM:
                self.error("a barrier's scope is not the system")
        elif not isinstance(stmt, ir.Fence):
            self.error(f"{type(stmt).__name__} is no statement")

    def call(self, stmt: ir.Call) -> None:
        callee = self.callees.get(stmt.function)
        if callee is None:
            self.error(f"{stmt.function} is not among the functions before this one")
        parameters = callee.function.parameters
        if len(parameters) != len(stmt.arguments):
            self.error(f"{len(stmt.arguments)} arguments for {len(parameters)} parameters")
        for index, (argument, parameter) in enumerate(zip(stmt.arguments, parameters, strict=True)):
            self.typed(argument, parameter.type, f"arguments[{index}]")
        self.gives(stmt.target, callee.function.result)
        self.message_extent = max(self.message_extent, callee.message_extent)
        self.writes_message |= callee.writes_message

    def sends(self, stmt: ir.Reply | ir.Send | ir.Publish) -> None:
        self.place(stmt.payload, stmt.size, 1, "payload")
        if (stmt.type_id, stmt.size) not in self.program.replies:
            self.error(f"type id 0x{stmt.type_id:08x} with {stmt.size} bytes is not in the program's replies")
        if isinstance(stmt, ir.Send):
            if not 0 <= stmt.target < len(self.program.targets):
                self.error(f"target {stmt.target} of {len(self.program.targets)}")
            for name, kind in (("instance", Type.U32), ("priority", Type.U32), ("deadline", Type.F64)):
                if getattr(stmt, name) is not None:
                    self.typed(getattr(stmt, name), kind, name)
        elif isinstance(stmt, ir.Publish):
            if not 0 <= stmt.topic < len(self.program.topics):
                self.error(f"topic {stmt.topic} of {len(self.program.topics)}")
            self.gives(stmt.target, Type.U32)

    def service(self, stmt: ir.CallService) -> None:
        parameters = stmt.service.parameters
        if len(parameters) != len(stmt.arguments):
            self.error(f"{len(stmt.arguments)} arguments for {len(parameters)} parameters")
        for index, (argument, kind) in enumerate(zip(stmt.arguments, parameters, strict=True)):
            self.typed(argument, kind, f"arguments[{index}]")
        if stmt.service is ir.Service.FREE_SLOTS:
            target = stmt.arguments[0]
            if not isinstance(target, ir.Const) or not 0 <= target.value < len(self.program.targets):
                self.error("the target is a constant index in the program's targets")
        self.gives(stmt.target, stmt.service.result)

    def atomic(self, stmt: ir.Atomic) -> None:
        if stmt.type not in _ATOMIC_TYPES:
            self.error(f"atomics are not of {stmt.type!r}")
        if stmt.place.root not in (Root.STATE, Root.SHARED, Root.BUFFER):
            self.error(f"atomics are not on {stmt.place.root.value}")
        self.place(stmt.place, stmt.type.size, stmt.type.size, "place", writes=True)
        self.typed(stmt.value, stmt.type, "value")
        if (stmt.expected is not None) is not (stmt.op is ir.AtomicOp.CAS):
            self.error("`expected` is for CAS, and CAS has it")
        if stmt.expected is not None:
            self.typed(stmt.expected, stmt.type, "expected")
        self.gives(stmt.target, stmt.type)

    def warp(self, stmt: ir.Warp) -> None:
        self.value(stmt.value, "value")
        if (stmt.op in _VOTES) is not (stmt.value.type is Type.BOOL):
            self.error(f"{stmt.op.value} of {stmt.value.type!r}")
        if (stmt.operand is not None) is not (stmt.op in _SHUFFLES):
            self.error("`operand` is for shuffles, and they have it")
        if stmt.operand is not None:
            self.typed(stmt.operand, Type.U32, "operand")
        self.gives(stmt.target, Type.U64 if stmt.op is WarpOp.BALLOT else stmt.value.type)

    # -- parts of statements -------------------------------------------------------------------------------------------

    def known(self, local: ir.Local) -> None:
        if self.locals.get(local.name) is not local.type:
            self.error(f"{local.type!r} {local.name!r} is not among the locals")

    def gives(self, target: ir.Local | None, result: Type | None) -> None:
        if target is not None and target.type is not result:
            self.error(f"a result of {result!r} for the target {target.name!r} of {target.type!r}")

    def value(self, node: Expr, name: str) -> None:
        self.path.append(name)
        check_expression(self, node)
        self.path.pop()

    def typed(self, node: Expr, kind: Type, name: str) -> None:
        self.value(node, name)
        if node.type is not kind:
            self.path.append(name)
            self.error(f"{node.type!r} where {kind!r} is expected")

    def one_of(self, node: Expr, kinds: tuple[Type, ...], name: str) -> None:
        self.value(node, name)
        if node.type not in kinds:
            self.path.append(name)
            self.error(f"{node.type!r} where one of {kinds} is expected")

    def place(self, place: Place, size: int, align: int, name: str, *, writes: bool = False) -> None:
        """The constant part is inside, and aligned as all strides are but for 1, which is a reference's."""
        self.path.append(name)
        self.base(place, name)
        end = place.offset + size
        if size < 0 or place.offset < 0 or end > self.sizes[place.root]:
            self.error(f"bytes {place.offset} to {end} of {place.root.value}, which has {self.sizes[place.root]}")
        if place.offset % align:
            self.error(f"offset {place.offset} is not aligned to {align}")
        for index, term in enumerate(place.terms):
            if term.stride < 1 or (term.stride % align and term.stride != 1):
                self.error(f"stride {term.stride} is not aligned to {align}")
            self.typed(term.index, Type.U32, f"terms[{index}]")
        if place.root is Root.MESSAGE:
            self.message_extent = max(self.message_extent, end)
            self.writes_message |= writes
        if writes and place.root is Root.HEADER:
            self.error("the header is read-only")
        self.path.pop()

    def base(self, place: Place, name: str) -> None:
        """What leads into a buffer came from a reference, and nowhere else."""
        if (place.base is None) is (place.root is Root.BUFFER):
            self.error("places in buffers have a base, and no others")
        if place.base is None:
            return
        self.typed(place.base, Type.U64, "base")
        if name != "place":
            self.error("only scalars are accessed in buffers")
        parameters = {local.name for local in self.function.parameters}
        if place.base.name in parameters | self.otherwise_assigned():
            self.error(f"the base {place.base.name!r} gets something else than the address of a reference")

    def otherwise_assigned(self) -> set[str]:
        """The locals that get something else than what is loaded from the message or the frame."""
        if self._otherwise is None:
            self._otherwise = {
                target.name
                for stmt in statements(self.function.body)
                if (target := target_of(stmt)) is not None and not _loads_address(stmt)
            }
        return self._otherwise


def _loads_address(stmt: Stmt) -> bool:
    if not isinstance(stmt, ir.SetLocal):
        return False
    value = stmt.value
    if isinstance(value, ir.Const):
        return value.value == 0
    return isinstance(value, ir.Load) and value.place.root in (Root.MESSAGE, Root.FRAME)


def _is_failed(node: Expr) -> bool:
    return isinstance(node, ir.Query) and node.name is QueryName.FAILED


def _has_break(body: Body) -> bool:
    """One that leaves this loop, not an inner one."""
    for stmt in body:
        if isinstance(stmt, ir.Break):
            return True
        if isinstance(stmt, ir.If) and any(_has_break(inner) for inner in bodies_of(stmt)):
            return True
    return False
