"""Statements of the IR as C, with the lines of the user's file."""

from __future__ import annotations

import math

from pyringkernel.compiler import ir
from pyringkernel.compiler.emit.c_dialect import Dialect
from pyringkernel.compiler.emit.c_helpers import Helpers
from pyringkernel.compiler.emit.c_names import Names, commented, quoted
from pyringkernel.compiler.emit.emit_c_expressions import Expressions
from pyringkernel.compiler.ir import Root, Type
from pyringkernel.errors import UnsupportedOnTargetError

# What the bases of the memories are aligned to, in words of at most 8 bytes.
_WORDS = {8: Type.U64, 4: Type.U32, 2: Type.U16, 1: Type.U8}


def word_of(places: tuple[ir.Place, ...], size: int) -> Type:
    """The largest word that `size` and the places are multiples of."""
    numbers = [8, size]
    for place in places:
        numbers += [place.offset, *(term.stride for term in place.terms)]
    return _WORDS[math.gcd(*numbers)]


class Statements:
    """Prints the body of one function."""

    def __init__(
        self,
        program: ir.Program,
        function: ir.Function,
        dialect: Dialect,
        helpers: Helpers,
        functions: dict[str, tuple[str, tuple[Root, ...]]],
        lines: bool,
    ) -> None:
        """`functions`: of each device function, its C name and the memories it is given."""
        self._program = program
        self._function = function
        self._dialect = dialect
        self._helpers = helpers
        self._functions = functions
        self._file = quoted(function.file) if lines and function.file else None
        names = Names(dialect.keywords)
        for local in (*function.parameters, *function.locals):
            names.of(local.name)
        self.local = names.of
        self._x = Expressions(dialect, helpers, self.local)
        self._loops = 0
        self._next_line: int | None = None
        self._out: list[str] = []

    def body(self) -> list[str]:
        """Declarations and statements, indented by one."""
        for local in self._function.locals:
            self._put(1, f"{local.type.text} {self.local(local.name)} = {self._zero(local.type)};")
        self._next_line = None
        self._block(self._function.body, 1)
        last = self._function.body[-1] if self._function.body else None
        if self._function.result is not None and not isinstance(last, ir.Return | ir.Fail):
            self._put(1, self._leave())
        return self._out

    def parameters(self) -> list[str]:
        """Those of the Python function, as C declares them."""
        return [f"{local.type.text} {self.local(local.name)}" for local in self._function.parameters]

    # -- text

    def _put(self, depth: int, text: str) -> None:
        self._out.append("  " * depth + text)
        if self._next_line is not None:
            self._next_line += 1

    def _block(self, body: ir.Body, depth: int) -> None:
        for statement in body:
            self._mark(statement.line)
            self._statement(statement, depth)

    def _mark(self, line: int) -> None:
        """The next line of text is from this line of the user's file."""
        if self._file is not None and line > 0 and line != self._next_line:
            self._out.append(f"#line {line} {self._file}")
            self._next_line = line

    def _zero(self, kind: Type) -> str:
        return self._x.constant(ir.Const(kind, False if kind is Type.BOOL else 0))

    def _leave(self) -> str:
        result = self._function.result
        return "return;" if result is None else f"return {self._zero(result)};"

    def _assign(self, depth: int, target: ir.Local | None, text: str) -> None:
        self._put(depth, f"{self.local(target.name)} = {text};" if target is not None else f"{text};")

    # -- statements

    def _statement(self, node: ir.Stmt, depth: int) -> None:
        x = self._x
        match node:
            case ir.SetLocal():
                self._put(depth, f"{self.local(node.local.name)} = {x.top(node.value)};")
            case ir.Store():
                kind = node.value.type.text
                self._put(depth, f"rk_store_{kind}({x.address(node.place)}, {x.top(node.value)});")
            case ir.Copy():
                self._copy(node, depth)
            case ir.Zero():
                helper = self._helpers.zero(word_of((node.target,), node.size))
                self._put(depth, f"{helper}({x.address(node.target)}, {node.size}u);")
            case ir.If():
                self._if(node, depth)
            case ir.Loop():
                self._loop(node, depth)
            case ir.For():
                self._for(node, depth)
            case ir.Break():
                self._put(depth, "break;")
            case ir.Continue():
                self._put(depth, "continue;")
            case ir.Return():
                self._put(depth, "return;" if node.value is None else f"return {x.top(node.value)};")
            case ir.Call():
                name, roots = self._functions[node.function]
                given = ["call", *(root.value for root in roots), *(x.top(a) for a in node.arguments)]
                self._assign(depth, node.target, f"{name}({', '.join(given)})")
            case ir.CountError():
                self._put(depth, f"rk_count_error(call, {self._code(node.code)}, {node.line}u);")
            case ir.Fail():
                self._put(depth, f"rk_fail(call, {self._code(ir.Const(Type.U32, node.code))}, {node.line}u);")
                self._put(depth, self._leave())
            case ir.Reply() | ir.Send() | ir.Publish():
                self._message(node, depth)
            case _:
                self._device(node, depth)

    def _device(self, node: ir.Stmt, depth: int) -> None:
        """What concerns the runtime or other threads."""
        x = self._x
        match node:
            case ir.CallService():
                given = ", ".join(["call", *(x.top(a) for a in node.arguments)])
                self._assign(depth, node.target, f"rk_device_{node.service.text}({given})")
            case ir.Atomic():
                expected = "" if node.expected is None else f"{x.top(node.expected)}, "
                text = f"rk_atomic_{node.op.value}_{node.type.text}({x.address(node.place)}, {expected}{x.top(node.value)})"
                self._assign(depth, node.target, text)
            case ir.Barrier():
                self._put(depth, f"rk_sync_{node.scope.value}(call);")
            case ir.Fence():
                self._put(depth, f"rk_fence_{node.scope.value}();")
            case ir.Warp():
                self._assign(depth, node.target, self._warp(node))

    def _code(self, node: ir.Expr) -> str:
        if isinstance(node, ir.Const) and int(node.value) in ir.ErrorCode.__members__.values():
            return f"0x{int(node.value):08X}u /* {ir.ErrorCode(int(node.value)).name.lower()} */"
        return self._x.top(node)

    def _copy(self, node: ir.Copy, depth: int) -> None:
        word = word_of((node.target, node.source), node.size)
        helper = self._helpers.copy(word, node.target.root is node.source.root)
        addresses = f"{self._x.address(node.target)}, {self._x.address(node.source)}"
        self._put(depth, f"{helper}({addresses}, {node.size}u);")

    def _if(self, node: ir.If, depth: int) -> None:
        self._put(depth, f"if ({self._x.top(node.condition)}) {{")
        self._block(node.then, depth + 1)
        if node.otherwise:
            self._put(depth, "} else {")
            self._block(node.otherwise, depth + 1)
        self._put(depth, "}")

    def _poll(self, depth: int, line: int, when: str) -> None:
        self._put(
            depth, f"if ({when}rk_cancelled(call)) {{ rk_fail(call, RK_FAIL_CANCELLED, {line}u); {self._leave()} }}"
        )

    def _loop(self, node: ir.Loop, depth: int) -> None:
        """Polls where a turn begins, as Continue has no other way back; not in the first one."""
        self._loops += 1
        again = f"rk_again_{self._loops}"
        self._put(depth, f"for (bool {again} = false;; {again} = true) {{")
        self._poll(depth + 1, node.line, f"{again} && ")
        self._block(node.body, depth + 1)
        self._put(depth, "}")

    def _for(self, node: ir.For, depth: int) -> None:
        """The items are counted beside the variable, which the body may change."""
        self._loops += 1
        n = self._loops
        kind, count = node.variable.type, node.count.type
        item, turn = ir.Local(kind, f"rk_item_{n}"), f"rk_turn_{n}"
        step = ir.Local(kind, f"rk_step_{n}")
        x = self._x
        self._put(depth, "{")
        self._put(depth + 1, f"{kind.text} {item.name} = {x.top(node.start)};")
        self._put(depth + 1, f"const {kind.text} {step.name} = {x.top(node.step)};")
        self._put(depth + 1, f"const {count.text} rk_count_{n} = {x.top(node.count)};")
        ours = Expressions(self._dialect, self._helpers, lambda name: name)
        advance = f"{item.name} = {ours.top(ir.Binary(kind, ir.BinaryOp.ADD, item, step))}"
        zero = self._zero(count)
        self._put(depth + 1, f"for ({count.text} {turn} = {zero}; {turn} != rk_count_{n}; ++{turn}, {advance}) {{")
        self._poll(depth + 2, node.line, f"{turn} != {zero} && ")
        self._put(depth + 2, f"{self.local(node.variable.name)} = {item.name};")
        self._block(node.body, depth + 2)
        self._put(depth + 1, "}")
        self._put(depth, "}")

    def _message(self, node: ir.Reply | ir.Send | ir.Publish, depth: int) -> None:
        x = self._x
        payload = f"0x{node.type_id:08X}u, {x.address(node.payload)}, {node.size}u"
        match node:
            case ir.Publish():
                topic = f"{node.topic}u /* {commented(self._program.topics[node.topic])} */"
                retain = "1u" if node.retain else "0u"
                self._assign(depth, node.target, f"rk_device_publish(call, {topic}, {payload}, {retain})")
                return
            case ir.Reply():
                text = f"rk_device_reply(call, {payload})"
            case ir.Send():
                target = f"{node.target}u /* {commented(self._program.targets[node.target])} */"
                instance = "RK_ANY_INSTANCE" if node.instance is None else x.top(node.instance)
                text = f"rk_device_send(call, {target}, {payload}, {instance}, {self._priority(node)}, {self._deadline(node)})"
        self._put(depth, f"if ({text} != 0u) {{ call->fail_line = {node.line}u; {self._leave()} }}")

    def _priority(self, node: ir.Send) -> str:
        if node.priority is None:
            return "RK_DEFAULT_PRIORITY"
        return self._x.top(ir.Binary(Type.U32, ir.BinaryOp.MIN, node.priority, ir.Const(Type.U32, 3)))

    def _deadline(self, node: ir.Send) -> str:
        """In the target's type of seconds: on one without f64, constants and casts of narrower numbers."""
        if node.deadline is None:
            return self._x.constant(ir.Const(Type.F32, 0.0))
        if self._dialect.seconds == "f64":
            return self._x.top(node.deadline)
        match node.deadline:
            case ir.Const(value=value):
                return f"(f32){self._x.constant(ir.Const(Type.F32, float(value)))}"
            case ir.Cast(operand=operand) if operand.type is not Type.F64:
                return self._x.top(ir.Cast(Type.F32, operand))
        raise UnsupportedOnTargetError(
            f"handler {self._program.name!r}, line {node.line}: {self._dialect.name} has no f64; "
            "give the deadline as a constant or as rk.f32"
        )

    def _warp(self, node: ir.Warp) -> str:
        x, helpers, kind, value = self._x, self._helpers, node.value.type, self._x.top(node.value)
        name = node.op.value
        if node.op in (ir.WarpOp.BALLOT, ir.WarpOp.ALL, ir.WarpOp.ANY):
            return f"rk_{name}(call, {value})"
        if node.operand is not None:
            lane = x.top(node.operand)
            if node.op is not ir.WarpOp.SHUFFLE:
                lane = f"{helpers.lane(name)}(call, {lane})"
            return f"{helpers.shuffle(kind)}(call, {value}, {lane})"
        joined = ir.Binary(
            kind, ir.BinaryOp[name.removeprefix("reduce_").upper()], *(ir.Local(kind, n) for n in ("value", "other"))
        )
        text = Expressions(self._dialect, helpers, lambda local: local).top(joined)
        return f"{helpers.reduce(name, kind, text)}(call, {value})"
