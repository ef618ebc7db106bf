"""send, reply, publish, and what a handler returns."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from .. import ir
from ..diagnostics import Rejected
from ..ir import Type
from . import context, expressions, places
from .operators import coerce
from .types import source_of
from .values import NOTHING, Nothing, Scalar, Struct, Text, Value, View, describe

if TYPE_CHECKING:
    from .scope import FunctionScope


def _payload(scope: FunctionScope, node: ast.expr, value: Value, what: str) -> tuple[type[Any], ir.Place]:
    """The class and bytes of a message."""
    if not isinstance(value, View) or not isinstance(value.shape, Struct):
        hint = "construct one: Reply(x=1)"
        scope.fail(node, f"{what}: found {describe(value)}, need a message", hint)
    view = places.settled(scope, value, node)
    cls = value.shape.cls
    if cls.__dict__.get("__rk_state__"):
        scope.fail(
            node,
            f"{what}: {cls.__name__} is a state class, need a message",
            "construct a message of what is to be sent",
        )
    scope.program.replies.setdefault(cls.type_id, value.shape.size)
    return cls, view.place


def answer(scope: FunctionScope, node: ast.expr) -> None:
    """return node, in a handler."""
    allowed = scope.program.reply_classes
    names = " | ".join(cls.__name__ for cls in allowed)
    value = expressions.lower(scope, node)
    if isinstance(value, View) and isinstance(value.shape, Struct) and value.shape.cls not in allowed:
        found = value.shape.cls.__name__
        if value.shape.cls.__dict__.get("__rk_state__"):
            _payload(scope, node, value, "return")  # says that it is a state
        if not allowed:
            scope.fail(node, f"returns {found}, but is annotated to return nothing", f"write -> {found} | None")
        scope.fail(node, f"returns {found}, which is not in the annotation {names}", f"write -> {names} | {found}")
    cls, place = _payload(scope, node, value, "return")
    scope.emit(ir.Reply(cls.type_id, place, cls.wire_size))


def reply(scope: FunctionScope, node: ast.Call) -> Value:
    """ctx.reply(message)"""
    given = context.arguments(scope, node, "reply", ("message",), 1)
    message = given["message"]
    cls, place = _payload(scope, message, expressions.lower(scope, message), "ctx.reply")
    scope.emit(ir.Reply(cls.type_id, place, cls.wire_size))
    return NOTHING


def send(scope: FunctionScope, node: ast.Call) -> Value:
    """ctx.send(target, message, instance=, priority=, deadline=)"""
    names = ("target", "message", "instance", "priority", "deadline")
    given = context.arguments(scope, node, "send", names, 2)
    values = dict(zip(given, expressions.operands(scope, list(given.values())), strict=True))
    target = target_index(scope, given["target"], values["target"], "send")

    def option(name: str, kind: Type) -> ir.Expr | None:
        value = values.get(name, NOTHING)
        return None if isinstance(value, Nothing) else coerce(scope, given[name], value, kind, name)

    instance, priority, deadline = (
        option("instance", Type.U32),
        option("priority", Type.U32),
        option("deadline", Type.F64),
    )
    cls, place = _payload(scope, given["message"], values["message"], "ctx.send")
    scope.emit(ir.Send(target, cls.type_id, place, cls.wire_size, instance, priority, deadline))
    return NOTHING


def publish(scope: FunctionScope, node: ast.Call) -> Value:
    """ctx.publish(topic, message, retain=False) -> how many got it"""
    given = context.arguments(scope, node, "publish", ("topic", "message", "retain"), 2)
    values = dict(zip(given, expressions.operands(scope, list(given.values())), strict=True))
    topic = _topic(scope, given["topic"], values["topic"])
    retain = values.get("retain")
    if retain is not None and not (isinstance(retain, Scalar) and isinstance(retain.expr, ir.Const)):
        scope.fail(given["retain"], "retain: need True or False", "write an if with two calls")
    keeps = isinstance(retain, Scalar) and isinstance(retain.expr, ir.Const) and bool(retain.expr.value)
    cls, place = _payload(scope, given["message"], values["message"], "ctx.publish")
    found = scope.temporary(Type.U32)
    scope.emit(ir.Publish(found, topic, cls.type_id, place, cls.wire_size, keeps))
    return Scalar(found)


def target_index(scope: FunctionScope, node: ast.expr, value: Value, what: str) -> int:
    """Of a kernel's name, in Program.targets."""
    if not isinstance(value, Text):
        hint = 'write the name of a kernel, "host", or a str constant of the module'
        scope.fail(node, f"ctx.{what}: found {describe(value)}, need the name of a kernel", hint)
    if not value.value:
        scope.fail(node, f"ctx.{what}: the name of the kernel is empty", 'write its name, or "host"')
    return scope.program.targets.setdefault(value.value, len(scope.program.targets))


def _topic(scope: FunctionScope, node: ast.expr, value: Value) -> int:
    if not isinstance(value, Text):
        hint = "write a str, or a str constant of the module"
        scope.fail(node, f"ctx.publish: found {describe(value)}, need a topic", hint)
    topic = value.value
    if not all(topic.split("/")):
        scope.fail(node, f"the topic {topic!r} has an empty level", "write text before, between and after the slashes")
    if "*" in topic or "#" in topic:
        scope.fail(node, f"the topic {topic!r} has a wildcard", "wildcards are for subscriptions; name one topic")
    return scope.program.topics.setdefault(topic, len(scope.program.topics))


__all__ = ["Rejected", "answer", "publish", "reply", "send", "source_of", "target_index"]
