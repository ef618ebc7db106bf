"""A handler as a Program: its body is lowered once for each class of messages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import HandlerSignatureError
from ...handlers import inspect_handler
from ...messages import layout_of
from .. import ir
from ..diagnostics import Diagnostics
from ..features import features_of
from ..ir import Root
from ..source import FunctionSource
from ..syntax import check_syntax
from . import effects, references, statements
from .device import finished
from .program import ProgramBuilder
from .scope import Fixed, Flow, FunctionScope
from .values import ContextValue, Struct, View

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...handlers import KernelSpec


def translate(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    publishes_to: Sequence[str] = (),
    block_size: int = 1,
    checked: bool = True,
) -> ir.Program:
    """The meaning of a handler. `publishes_to`: the first of Program.targets. checked=False: no tests of indices.

    Raises TranslationError with all reasons why it cannot be translated, HandlerSignatureError when it is no handler.
    """
    source = FunctionSource(function)
    name = name or source.name
    diagnostics = Diagnostics(source.text)
    check_syntax(source, diagnostics)
    try:
        spec = inspect_handler(function, name)
    except HandlerSignatureError:
        diagnostics.raise_if_any(name)
        raise
    program = ProgramBuilder(name, diagnostics, checked, spec.replies)
    program.refused = {one.line for one in diagnostics}
    program.targets = {target: index for index, target in enumerate(dict.fromkeys(publishes_to))}
    entries: list[ir.Entry] = []
    try:
        entries = [_entry(program, source, spec, cls) for cls in spec.accepts]
    except RecursionError:  # the caller has left us too little of Python's stack
        diagnostics.add(source.node, "this is nested too deeply", "split the function into device functions")
    diagnostics.raise_if_any(name)
    made = ir.Program(
        name=name,
        entries=tuple(entries),
        functions=tuple(program.functions),
        state_size=0 if spec.state is None else layout_of(spec.state).size,
        frame_size=program.sizes[Root.FRAME],
        shared_size=program.sizes[Root.SHARED],
        targets=tuple(program.targets),
        topics=tuple(program.topics),
        features=frozenset(),
        block_size=block_size,
        checked=checked,
        replies=tuple(program.replies.items()),
    )
    return replace(made, features=features_of(made))


def _entry(program: ProgramBuilder, source: FunctionSource, spec: KernelSpec, cls: type[Any]) -> ir.Entry:
    """The handler for messages of one class."""
    scope = FunctionScope(program, source, cls)
    names = [one.name for one in source.parameters]
    scope.variables[names[0]] = Fixed(ContextValue())
    if spec.state is not None:
        scope.variables[names[1]] = Fixed(View(Struct(spec.state), ir.Place(Root.STATE, 0)))
    scope.variables[names[-1]] = Fixed(View(Struct(cls), ir.Place(Root.MESSAGE, 0)))
    scope.flow = Flow(True, frozenset(names))
    statements.body(scope, source.node.body)
    made = finished(scope, program.unique(f"{source.name}_{cls.__name__}"), None)
    writes = Root.MESSAGE in effects.roots_written(made.body, program.writes)
    return ir.Entry(
        cls.__name__, cls.type_id, layout_of(cls).size, writes, made, references.references_of(cls, made, program)
    )
