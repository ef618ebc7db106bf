"""Functions and statements as WGSL text."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyringkernel.errors import UnsupportedOnTargetError

from .. import ir
from ..ir import AtomicOp, BinaryOp, CompareOp, QueryName, Scope, Service, Type, WarpOp
from .wgsl_abi import NO_INSTANCE, NO_PRIORITY, Field, Kind
from .wgsl_expressions import TYPES, Expressions, is_wide, word, wrapped
from .wgsl_helpers import Names
from .wgsl_memory import NAMES, has_words

if TYPE_CHECKING:
    from .wgsl_memory import Memory

UNROLLED = 64  # bytes that are copied or zeroed without a loop
_ENDS = (ir.Return, ir.Fail, ir.Break, ir.Continue)
_NATIVE_ATOMICS = {
    AtomicOp.ADD: "Add",
    AtomicOp.SUB: "Sub",
    AtomicOp.AND: "And",
    AtomicOp.OR: "Or",
    AtomicOp.XOR: "Xor",
    AtomicOp.EXCHANGE: "Exchange",
}
_SUBGROUP = {WarpOp.REDUCE_ADD: "Add", WarpOp.REDUCE_MIN: "Min", WarpOp.REDUCE_MAX: "Max"}


class FunctionWriter:
    """Writes one function. `functions`: WGSL names of the program's functions."""

    def __init__(
        self,
        program: ir.Program,
        function: ir.Function,
        name: str,
        functions: dict[str, str],
        memories: dict[str, Memory],
        native64: bool,
        lines: bool,
    ) -> None:
        self.program = program
        self.function = function
        self.name = name
        self.functions = functions
        self.names = Names("v_")
        self.memories = memories
        self.lines = lines
        self.out: list[str] = []
        self.depth = 0
        self.line = 0
        self.label = 0
        self.file = "".join(c for c in function.file.replace("\\", "/").rpartition("/")[2] if c.isprintable())
        self.expressions = Expressions(native64, self.local, queries(program))
        self.value = self.expressions.value

    def local(self, name: str) -> str:
        """The WGSL name of a local variable or parameter."""
        return self.names.of(name)

    def text(self) -> str:
        """The function."""
        function = self.function
        if self.lines and function.file:
            self.put(f"// {self.file}:{function.line}, {function.name}")
        parameters = ", ".join(f"given_{self.local(p.name)}: {TYPES[p.type]}" for p in function.parameters)
        result = f" -> {TYPES[function.result]}" if function.result else ""
        with self.block(f"fn {self.name}({parameters}){result}"):
            for parameter in function.parameters:
                self.put(f"var {self.local(parameter.name)} = given_{self.local(parameter.name)};")
            for variable in function.locals:
                if variable not in function.parameters:
                    self.put(f"var {self.local(variable.name)}: {self.type_of(variable.type)};")
            self.body(function.body)
            if function.result and not (function.body and isinstance(function.body[-1], _ENDS)):
                self.leave()
        return "\n".join(self.out)

    def type_of(self, kind: Type) -> str:
        """The WGSL type."""
        if kind is Type.F64:
            raise UnsupportedOnTargetError(f"handler {self.program.name!r}: f64: WGSL has no 64-bit floats")
        return TYPES[kind]

    # -- lines of text --------------------------------------------------------------------------------------------

    def put(self, line: str) -> None:
        """A line."""
        self.out.append("  " * self.depth + line)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """`head {` ... `}`"""
        self.put(f"{head} {{".lstrip())
        self.depth += 1
        yield
        self.depth -= 1
        self.put("}")

    def fresh(self, name: str) -> str:
        """A name that is used once."""
        self.label += 1
        return f"t_{name}{self.label}"

    def body(self, body: ir.Body) -> None:
        """Statements, up to the first that never comes to the next: WGSL refuses what follows it."""
        for stmt in body:
            if self.lines and stmt.line and stmt.line != self.line:
                self.line = stmt.line
                self.put(f"// {self.file}:{stmt.line}" if self.file else f"// line {stmt.line}")
            _STATEMENTS[type(stmt)](self, stmt)
            if isinstance(stmt, _ENDS):
                break

    def leave(self) -> None:
        """Returns early."""
        result = self.function.result
        self.put(f"return {self.expressions.zero(result)};" if result else "return;")

    def assign(self, target: ir.Local | None, text: str) -> None:
        """A value that a statement gives; the text may have effects."""
        self.put(f"{self.local(target.name)} = {text};" if target else f"_ = {text};")

    # -- plain statements -----------------------------------------------------------------------------------------

    def set_local(self, stmt: ir.SetLocal) -> None:
        self.put(f"{self.local(stmt.local.name)} = {self.value(stmt.value)};")

    def store(self, stmt: ir.Store) -> None:
        kind, place = stmt.value.type, stmt.place
        bits = self.expressions.stored(kind, self.value(stmt.value))
        self.put(f"rk_{NAMES[place.root]}_set{kind.bits}({self.expressions.address(place)}, {bits});")

    def copy(self, stmt: ir.Copy) -> None:
        if not stmt.size:
            return
        target, source = NAMES[stmt.target.root], NAMES[stmt.source.root]
        to, start = self.expressions.address(stmt.target), self.expressions.address(stmt.source)
        whole = has_words(stmt.target, stmt.size) and has_words(stmt.source, stmt.size)
        if not whole or stmt.size > UNROLLED:
            self.put(f"rk_copy_{'words_' if whole else ''}{target}_{source}({to}, {start}, {stmt.size}u);")
            return
        with self.block(""):
            self.put(f"let t_to = ({to}) >> 2u;")
            self.put(f"let t_from = ({start}) >> 2u;")
            for n in range(stmt.size // 4):  # all before the first is written, as the two may overlap
                self.put(f"let t_{n} = rk_{source}_word(t_from + {n}u);")
            for n in range(stmt.size // 4):
                self.put(f"rk_{target}_set_word(t_to + {n}u, t_{n});")

    def zero(self, stmt: ir.Zero) -> None:
        if not stmt.size:
            return
        name, to = NAMES[stmt.target.root], self.expressions.address(stmt.target)
        whole = has_words(stmt.target, stmt.size)
        if not whole or stmt.size > UNROLLED:
            self.put(f"rk_{name}_zero{'_words' if whole else ''}({to}, {stmt.size}u);")
            return
        with self.block(""):
            self.put(f"let t_to = ({to}) >> 2u;")
            for n in range(stmt.size // 4):
                self.put(f"rk_{name}_set_word(t_to + {n}u, 0u);")

    # -- control flow ---------------------------------------------------------------------------------------------

    def if_(self, stmt: ir.If) -> None:
        with self.block(f"if {self.value(stmt.condition)}"):
            self.body(stmt.then)
        if stmt.otherwise:
            self.out[-1] += " else {"
            self.depth += 1
            self.body(stmt.otherwise)
            self.depth -= 1
            self.put("}")

    def loop(self, stmt: ir.Loop) -> None:
        with self.block("loop"):
            self.body(stmt.body)
            self.put(f"continuing {{ break if rk_poll(true, {stmt.line}u); }}")
        self.after_loop()

    def after_loop(self) -> None:
        """What leaves a loop that was cancelled."""
        with self.block("if rk_failed != 0u"):
            self.leave()

    def for_(self, stmt: ir.For) -> None:
        variable, kind, counting = self.local(stmt.variable.name), stmt.variable.type, stmt.count.type
        item, step, k, count = (self.fresh(name) for name in ("item", "step", "k", "count"))
        one = ir.Const(counting, 1)
        written = self.expressions.binary
        with self.block(""):
            self.put(f"var {item} = {self.value(stmt.start)};")
            self.put(f"let {step} = {self.value(stmt.step)};")
            self.put(f"let {count} = {self.value(stmt.count)};")
            self.put(f"var {k} = {self.expressions.zero(counting)};")
            more = self.expressions.compared(CompareOp.LT, counting, k, count)
            with self.block("loop"):
                self.put(f"if !({more}) {{ break; }}")
                self.put(f"{variable} = {item};")
                self.body(stmt.body)
                with self.block("continuing"):
                    self.put(f"{item} = {written(BinaryOp.ADD, kind, item, step)};")
                    self.put(f"{k} = {written(BinaryOp.ADD, counting, k, self.value(one))};")
                    self.put(f"break if rk_poll({more}, {stmt.line}u);")
        self.after_loop()

    def return_(self, stmt: ir.Return) -> None:
        self.put("return;" if stmt.value is None else f"return {self.value(stmt.value)};")

    def call(self, stmt: ir.Call) -> None:
        text = f"{self.functions[stmt.function]}({', '.join(self.value(argument) for argument in stmt.arguments)})"
        if stmt.target:
            self.assign(stmt.target, text)
        else:
            self.put(f"{text};")

    def count_error(self, stmt: ir.CountError) -> None:
        self.put(f"rk_count_error({self.value(stmt.code)}, {stmt.line}u);")

    def fail(self, stmt: ir.Fail) -> None:
        self.put(f"rk_fail({word(stmt.code)}, {stmt.line}u);")
        self.leave()

    # -- effects --------------------------------------------------------------------------------------------------

    def effect(self, kind: Kind, index: int, stmt: ir.Reply | ir.Send | ir.Publish, flags: int = 0) -> str:
        """Makes room, and gives the name of the variable that says where; 0: it has failed."""
        at = self.fresh("at")
        self.put(
            f"let {at} = rk_effect({kind}u, {index}u, {word(stmt.type_id)}, {stmt.size}u, {flags}u, {stmt.line}u);"
        )
        return at

    def payload(self, at: str, stmt: ir.Reply | ir.Send | ir.Publish) -> None:
        """Copies the payload there."""
        if stmt.size:
            words = "_words" if has_words(stmt.payload, stmt.size) else ""
            address = self.expressions.address(stmt.payload)
            self.put(f"rk_{NAMES[stmt.payload.root]}_send{words}({at}, {address}, {stmt.size}u);")

    def reply(self, stmt: ir.Reply) -> None:
        at = self.effect(Kind.REPLY, 0, stmt)
        with self.block(f"if {at} == 0u"):
            self.leave()
        self.payload(at, stmt)

    def send(self, stmt: ir.Send) -> None:
        at = self.effect(Kind.SEND, stmt.target, stmt)
        with self.block(f"if {at} == 0u"):
            self.leave()
        if stmt.instance or stmt.priority or stmt.deadline:
            instance = self.value(stmt.instance) if stmt.instance else word(NO_INSTANCE)
            priority = f"min({self.value(stmt.priority)}, 3u)" if stmt.priority else word(NO_PRIORITY)
            deadline = self.deadline(stmt.deadline) if stmt.deadline else "vec2<u32>(0u, 0u)"
            self.put(f"rk_route({at} - 12u, {instance}, {priority}, {deadline});")
        self.payload(at, stmt)

    def deadline(self, node: ir.Expr) -> str:
        """The bits of an f64, the only ones: a constant, or one that was an f32."""
        if isinstance(node, ir.Const):
            low, high = struct.unpack("<II", struct.pack("<d", node.value))
            return f"vec2<u32>({low}u, {high}u)"
        if isinstance(node, ir.Cast) and node.operand.type in (Type.F16, Type.F32):
            return f"rk_f64_of_f32({self.value(node.operand)})"
        self.type_of(Type.F64)
        raise AssertionError("unreachable")

    def publish(self, stmt: ir.Publish) -> None:
        at = self.effect(Kind.PUBLISH, stmt.topic, stmt, int(stmt.retain))
        count = Field.END + 2 * len(self.program.targets) + stmt.topic
        if stmt.target:
            self.put(f"{self.local(stmt.target.name)} = select(rk_field({count}u), 0u, {at} == 0u);")
        if stmt.size:
            with self.block(f"if {at} != 0u"):
                self.payload(at, stmt)

    def call_service(self, stmt: ir.CallService) -> None:
        arguments = [self.value(argument) for argument in stmt.arguments]
        if stmt.service is Service.UPDATE_CLOCK:
            arguments = [self.expressions.words_of(Type.U64, arguments[0])]
        text = f"rk_{stmt.service.text}({', '.join(arguments)})"
        if stmt.service.result is Type.U64:
            text = self.expressions.of_words(Type.U64, text)
        if stmt.service.result is None:
            self.put(f"{text};")
        else:
            self.assign(stmt.target, text)

    # -- threads --------------------------------------------------------------------------------------------------

    def atomic(self, stmt: ir.Atomic) -> None:
        memory = self.memories[NAMES[stmt.place.root]]
        with self.block(""):
            self.put(f"let t_at = {self.expressions.address(stmt.place)};")
            self.put(f"let t_value = {self.value(stmt.value)};")
            if stmt.expected:
                self.put(f"let t_expected = {self.value(stmt.expected)};")
            if memory.cell == "u32":  # one thread
                self.put(f"let t_old = {self.expressions.loaded(stmt.type, memory.name, 't_at')};")
                self.put(f"rk_{memory.name}_set{stmt.type.bits}(t_at, {self.new_bits(stmt)});")
                self.assign(stmt.target, "t_old")
            elif memory.cell == "atomic<u32>" and self.native_atomic(stmt):
                bits = self.expressions.stored(stmt.type, "t_value")
                old = f"atomic{self.native_atomic(stmt)}(&rk_{memory.name}[t_at >> 2u], {bits})"
                self.assign(stmt.target, old if stmt.type is Type.U32 else f"bitcast<i32>({old})")
            else:
                self.compare_and_swap(stmt, memory)

    def compare_and_swap(self, stmt: ir.Atomic, memory: Memory) -> None:
        """For what the adapter has no atomic operation. Some thread always gets on."""
        bits = stmt.type.bits
        with self.block("loop"):
            self.put(f"let t_old = {self.expressions.loaded(stmt.type, memory.name, 't_at')};")
            old = self.expressions.stored(stmt.type, "t_old")
            with self.block(f"if rk_{memory.name}_cas{bits}(t_at, {old}, {self.new_bits(stmt)})"):
                if stmt.target:
                    self.assign(stmt.target, "t_old")
                self.put("break;")

    @staticmethod
    def native_atomic(stmt: ir.Atomic) -> str:
        """Of the functions atomicAdd and so on; empty where there is none."""
        if stmt.type is Type.U32 and stmt.op in (AtomicOp.MIN, AtomicOp.MAX):
            return str(stmt.op.value).capitalize()
        return _NATIVE_ATOMICS.get(stmt.op, "")

    def new_bits(self, stmt: ir.Atomic) -> str:
        """What an atomic operation stores, from t_old, t_value and t_expected."""
        written = self.expressions
        if stmt.op is AtomicOp.CAS:
            text = f"select(t_old, t_value, {written.compared(CompareOp.EQ, stmt.type, 't_old', 't_expected')})"
        elif stmt.op is AtomicOp.EXCHANGE:
            text = "t_value"
        else:
            text = written.binary(BinaryOp(stmt.op.value), stmt.type, "t_old", "t_value")
        return written.stored(stmt.type, text)

    def barrier(self, stmt: ir.Barrier) -> None:
        if stmt.scope is Scope.GRID:
            raise UnsupportedOnTargetError(
                f"handler {self.program.name!r}: sync_grid: WGSL has no barrier of workgroups"
            )
        if self.program.block_size > 1:
            self.put("subgroupBarrier();" if stmt.scope is Scope.WARP else "storageBarrier();")
            if stmt.scope is Scope.BLOCK:
                self.put("workgroupBarrier();")

    def fence(self, stmt: ir.Fence) -> None:
        if self.program.block_size > 1:
            raise UnsupportedOnTargetError(
                f"handler {self.program.name!r}: fence: WGSL orders accesses at barriers only (use ctx.sync_threads())"
            )

    def warp(self, stmt: ir.Warp) -> None:
        value = self.value(stmt.value)
        if self.program.block_size == 1:
            text = f"vec2<u32>(u32({value}), 0u)"
            self.assign(stmt.target, self.expressions.of_words(Type.U64, text) if stmt.op is WarpOp.BALLOT else value)
        elif stmt.op in (WarpOp.ALL, WarpOp.ANY):
            self.assign(stmt.target, f"subgroup{stmt.op.value.capitalize()}({value})")
        elif stmt.op is WarpOp.BALLOT:
            self.assign(stmt.target, self.expressions.of_words(Type.U64, f"subgroupBallot({value}).xy"))
        elif stmt.op in _SUBGROUP:
            self.reduce(stmt, value)
        else:
            self.shuffle(stmt, value)

    def reduce(self, stmt: ir.Warp, value: str) -> None:
        """In 32 bits. Other types would need a loop over the lanes."""
        if stmt.value.type not in (Type.I32, Type.U32, Type.F32, Type.I8, Type.I16, Type.U8, Type.U16):
            raise UnsupportedOnTargetError(
                f"handler {self.program.name!r}: warp_reduce of {stmt.value.type.text}: WGSL reduces 32-bit values only"
            )
        text = f"subgroup{_SUBGROUP[stmt.op]}({value})"
        kind = stmt.value.type
        if kind.is_integer:
            text = wrapped(kind, text)
        self.assign(stmt.target, text)

    def shuffle(self, stmt: ir.Warp, value: str) -> None:
        """All by subgroupShuffle; a lane that is not there gives the own value."""
        assert stmt.operand is not None
        kind, by = stmt.value.type, self.value(stmt.operand)
        lane = {
            WarpOp.SHUFFLE: by,
            WarpOp.SHUFFLE_UP: f"rk_lane - {by}",
            WarpOp.SHUFFLE_DOWN: f"rk_lane + {by}",
            WarpOp.SHUFFLE_XOR: f"rk_lane ^ {by}",
        }[stmt.op]
        with self.block(""):
            self.put(f"let t_wanted = {lane};")
            self.put("let t_lane = select(rk_lane, t_wanted, t_wanted < rk_lanes);")
            if kind is Type.BOOL:
                text = f"(subgroupShuffle(u32({value}), t_lane) != 0u)"
            elif is_wide(kind):
                words = f"subgroupShuffle({self.expressions.words_of(kind, value)}, t_lane)"
                text = self.expressions.of_words(kind, words)
            else:
                text = f"subgroupShuffle({value}, t_lane)"
            self.assign(stmt.target, text)


def queries(program: ir.Program) -> dict[QueryName, str]:
    """The texts of QueryName."""
    thread = "rk_thread" if program.block_size > 1 else "0u"
    lane, warp = ("rk_lane", "rk_warp") if program.block_size > 1 else ("0u", "0u")
    return {
        QueryName.THREAD_ID: thread,
        QueryName.GLOBAL_THREAD_ID: thread,
        QueryName.BLOCK_ID: "0u",
        QueryName.BLOCK_DIM: f"{program.block_size}u",
        QueryName.GRID_DIM: "1u",
        QueryName.WARP_ID: warp,
        QueryName.LANE_ID: lane,
        QueryName.KERNEL_ID: f"rk_field({Field.KERNEL}u)",
        QueryName.INSTANCE_ID: f"rk_field({Field.INSTANCE}u)",
        QueryName.FAILED: "(rk_failed != 0u)",
    }


_STATEMENTS: dict[type[Any], Callable[[FunctionWriter, Any], None]] = {
    ir.SetLocal: FunctionWriter.set_local,
    ir.Store: FunctionWriter.store,
    ir.Copy: FunctionWriter.copy,
    ir.Zero: FunctionWriter.zero,
    ir.If: FunctionWriter.if_,
    ir.Loop: FunctionWriter.loop,
    ir.For: FunctionWriter.for_,
    ir.Break: lambda writer, stmt: writer.put("break;"),
    ir.Continue: lambda writer, stmt: writer.put("continue;"),
    ir.Return: FunctionWriter.return_,
    ir.Call: FunctionWriter.call,
    ir.CountError: FunctionWriter.count_error,
    ir.Fail: FunctionWriter.fail,
    ir.Reply: FunctionWriter.reply,
    ir.Send: FunctionWriter.send,
    ir.Publish: FunctionWriter.publish,
    ir.CallService: FunctionWriter.call_service,
    ir.Atomic: FunctionWriter.atomic,
    ir.Barrier: FunctionWriter.barrier,
    ir.Fence: FunctionWriter.fence,
    ir.Warp: FunctionWriter.warp,
}
