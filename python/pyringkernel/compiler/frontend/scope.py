"""A function while it is lowered: the statements so far, its variables, and what is known at this point of it."""

from __future__ import annotations

import ast
import contextlib
import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from .. import ir
from ..diagnostics import Rejected
from . import effects, ranges
from .values import Choice, Items, Number, Scalar, Value, View

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..source import FunctionSource
    from .program import ProgramBuilder


@dataclass(frozen=True)
class Flow:
    """Whether this point is reached, and which variables have a value when it is."""

    reachable: bool
    assigned: frozenset[str]


NEVER = Flow(False, frozenset())


def join(*flows: Flow) -> Flow:
    """Where several ways meet."""
    ways = [one for one in flows if one.reachable]
    return Flow(True, frozenset.intersection(*(one.assigned for one in ways))) if ways else NEVER


@dataclass
class ScalarVariable:
    """A scalar variable."""

    local: ir.Local
    stamp: bool = False
    from_literal: bool = False  # its type is that of a literal without a partner


@dataclass
class Object:
    """A name of something in memory. `own`: it was made here and has this storage for itself."""

    view: View
    own: bool


@dataclass
class Broken:
    """Its assignment was refused; nothing that follows from this is told."""


@dataclass
class Fixed:
    """A parameter that is no variable: ctx, and those that are references."""

    value: Value


Variable: TypeAlias = ScalarVariable | Object | Broken | Fixed


@dataclass
class LoopFlow:
    """Of a loop: the ways out by break, and to the next turn by continue."""

    breaks: list[Flow] = field(default_factory=list)
    continues: list[Flow] = field(default_factory=list)


class FunctionScope:
    """`message_class`: of the entry that is lowered, None in a device function. `stores`: how often each name is
    assigned in the text."""

    def __init__(self, program: ProgramBuilder, source: FunctionSource, message_class: type | None) -> None:
        self.program = program
        self.source = source
        self.diagnostics = program.diagnostics
        self.message_class = message_class
        self.message_name = ""
        self.result: ir.Type | None = None
        self.out: list[ir.Stmt] = []
        self.line = source.node.lineno
        self.variables: dict[str, Variable] = {}
        self.parameters: list[ir.Local] = []
        self.locals: dict[str, ir.Local] = {}
        self.flow = Flow(True, frozenset())
        self.loops: list[LoopFlow] = []
        self.bounds: dict[str, ranges.Interval] = {}
        self.below: dict[str, list[ir.Place]] = {}
        self.aliases: set[str] = set()  # other names of what is in memory
        self.aliased: set[str] = set()  # objects that have another name
        self.stores: dict[str, int] = {}
        self.loops_own = ranges.loops_own(source.node)
        self._temporaries = 0
        self._taken: set[str] = set()
        for node in ast.walk(source.node):
            if isinstance(node, ast.Name):
                self._taken.add(node.id)
                if isinstance(node.ctx, ast.Store):
                    self.stores[node.id] = self.stores.get(node.id, 0) + 1
            elif isinstance(node, ast.arg):
                self._taken.add(node.arg)

    # -- statements

    def emit(self, statement: ir.Stmt) -> None:
        """The next statement; its line is that of the text in hand."""
        self.out.append(replace(statement, line=self.line))

    @contextlib.contextmanager
    def block(self) -> Iterator[list[ir.Stmt]]:
        """Inside, statements go to the list that this gives."""
        outer, self.out = self.out, []
        try:
            yield self.out
        finally:
            self.out = outer

    @contextlib.contextmanager
    def guarded(self, *views: View) -> Iterator[None]:
        """Inside, statements are executed if the views are there; else the error is counted."""
        guards = [one for one in views if one.guard is not None]
        if not guards:
            yield
            return
        with self.block() as body:
            yield
        for one in reversed(guards):
            assert one.guard is not None
            missed: ir.Body = () if one.counted else (ir.CountError(code_of(ir.ErrorCode.INDEX), line=self.line),)
            if body:
                body = [ir.If(one.guard, tuple(body), missed, line=self.line)]
            elif missed:
                body = [ir.If(ir.Unary(ir.Type.BOOL, ir.UnaryOp.NOT, one.guard), missed, line=self.line)]
        self.out += body

    def count_error(self, condition: ir.Expr, code: ir.ErrorCode) -> None:
        """The error is counted if the condition holds."""
        self.emit(ir.If(condition, (ir.CountError(code_of(code), line=self.line),)))

    # -- temporaries, and the order of evaluation

    def temporary(self, kind: ir.Type) -> ir.Local:
        """A new local that users have no name for."""
        while True:
            self._temporaries += 1
            name = f"t{self._temporaries}"
            if name not in self._taken:
                self.locals[name] = ir.Local(kind, name)
                return self.locals[name]

    def is_temporary(self, local: ir.Local) -> bool:
        """Assigned once, where it is made."""
        return local.name not in self._taken

    def hoist(self, expr: ir.Expr) -> ir.Const | ir.Local:
        """The expression's value now: for what is used twice, or later."""
        return expr if isinstance(expr, (ir.Const, ir.Local)) else self._now(expr)

    def freeze(self, expr: ir.Expr) -> ir.Const | ir.Local:
        """As hoist, and of variables too: for what outlives the statement."""
        if isinstance(expr, ir.Const) or (isinstance(expr, ir.Local) and self.is_temporary(expr)):
            return expr
        return self._now(expr)

    def _now(self, expr: ir.Expr) -> ir.Local:
        found = self.temporary(expr.type)
        self.emit(ir.SetLocal(found, expr))
        if expr.type.is_integer:
            self.bounds[found.name] = ranges.interval(self, expr)
        return found

    def mark(self) -> int:
        """Where the next statement will be, for `keep`."""
        return len(self.out)

    def keep(self, value: Value, mark: int) -> Value:
        """A value that was there at `mark`, if statements since then may have changed what it is read from."""
        since = self.out[mark:]
        if not since or not isinstance(value, (Scalar, Choice, Items)):
            return value
        changed = effects.roots_written(since, self.program.changes) | effects.shared_roots(since)
        return self._keep(value, mark, changed) if changed else value

    def _keep(self, value: Value, mark: int, changed: frozenset[ir.Root]) -> Value:
        if isinstance(value, Scalar):
            return replace(value, expr=self._kept(value.expr, mark, changed))
        if isinstance(value, Items):
            return replace(value, values=tuple(self._keep(one, mark, changed) for one in value.values))
        if isinstance(value, Choice):
            then, otherwise = (self._keep(one, mark, changed) for one in (value.then, value.otherwise))
            assert isinstance(then, (Number, Choice))
            assert isinstance(otherwise, (Number, Choice))
            return Choice(self._kept(value.condition, mark, changed), then, otherwise)
        return value

    def _kept(self, expr: ir.Expr, mark: int, changed: frozenset[ir.Root]) -> ir.Expr:
        if not effects.roots_read(expr) & changed:
            return expr
        found = self.temporary(expr.type)
        self.out.insert(mark, ir.SetLocal(found, expr, line=self.line))
        return found

    # -- errors

    def refused(self, node: ast.AST) -> bool:
        """Whether its syntax was refused, so that there is nothing to add."""
        first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
        return any(line in self.program.refused for line in range(first, last + 1)) if self.program.refused else False

    def fail(self, node: ast.AST, message: str, hint: str = "") -> NoReturn:
        """An error; the statement is left."""
        self.diagnostics.fail(node, message, hint)

    def give_up(self) -> NoReturn:
        """Leaves the statement because of an error that was told."""
        raise Rejected

    # -- variables

    def declare(self, name: str, kind: ir.Type, stamp: bool = False) -> ScalarVariable:
        """A new scalar variable."""
        local = ir.Local(kind, name)
        self.locals[name] = local
        found = ScalarVariable(local, stamp)
        self.variables[name] = found
        return found

    def is_free(self, name: str) -> bool:
        """Whether nothing has the name yet."""
        return name not in self._taken and name not in self.locals and name not in self.variables

    def take(self, name: str) -> None:
        """The name is that of a variable now."""
        self._taken.add(name)

    def declare_again(self, name: str, kind: ir.Type) -> ScalarVariable:
        """The variable of another loop under the same name; nothing outside of the two reads it."""
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        local = ir.Local(kind, next(one for one in numbered if one not in self._taken))
        self._taken.add(local.name)
        self.locals[local.name] = local
        found = ScalarVariable(local)
        self.variables[name] = found
        return found

    def assigned(self, name: str) -> None:
        """From here on the variable has a value."""
        self.flow = replace(self.flow, assigned=self.flow.assigned | {name})

    def spoil(self, node: ast.AST) -> None:
        """The names that a refused statement would have assigned are kept quiet."""
        for one in ast.walk(node):
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                self.variables.setdefault(one.id, Broken())
                self.assigned(one.id)


def code_of(code: int) -> ir.Const:
    """An error code as CountError has it."""
    return ir.Const(ir.Type.U32, int(code))
