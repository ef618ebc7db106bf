"""Handlers: which callables can be kernels, and which messages they take."""

from __future__ import annotations

import inspect
import types
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

from . import _core
from .errors import HandlerSignatureError, InvalidArgumentError, TranslationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .compiled import CompiledHandler

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True)
class KernelSpec:
    """What @rk.kernel knows of a handler."""

    id: str
    accepts: tuple[type[Any], ...]
    replies: tuple[type[Any], ...]
    state: type[Any] | None
    mode: str = "persistent"
    block_size: int = 1
    publishes_to: tuple[str, ...] = field(default=())


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _members(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _messages(annotation: Any, what: str, name: str) -> tuple[type[Any], ...]:
    found = tuple(m for m in _members(annotation) if m is not type(None) and m is not None)
    if not found and what != "the return value":
        raise HandlerSignatureError(f"{name}: {what} is annotated {annotation!r}, need a class made by @rk.message")
    for one in found:
        if not (isinstance(one, type) and issubclass(one, _core.Message) and one is not _core.Message):
            raise HandlerSignatureError(
                f"{name}: {what} is annotated {one!r}, need a class made by @rk.message, or a union of them"
            )
    return found


def _hints(function: Any, name: str) -> dict[str, Any]:
    """Annotations, evaluated; names that are local to where the handler was made are found in the callers' frames."""
    error: Exception | None = None
    try:
        return typing.get_type_hints(function)
    except NameError as first:
        error = first
    except Exception as broken:
        raise HandlerSignatureError(f"{name}: its annotations cannot be evaluated: {broken}") from broken
    frame = inspect.currentframe()
    while frame is not None:
        try:
            return typing.get_type_hints(function, frame.f_globals, frame.f_locals)
        except Exception:
            frame = frame.f_back
    raise HandlerSignatureError(
        f"{name}: its annotations name what cannot be found ({error}); make the classes where the handler is made"
    ) from error


def _runs_later(function: Any) -> bool:
    """A coroutine or generator function, or an object whose call is one."""
    checks = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return any(check(one) for check in checks for one in (function, type(function).__call__))


def inspect_handler(function: Any, name: str, accepts: Sequence[type[Any]] | None = None) -> KernelSpec:
    """The spec of a plain callable. Raises HandlerSignatureError."""
    if not callable(function):
        raise HandlerSignatureError(f"found {function!r}, need a callable (ctx, message) or (ctx, state, message)")
    if _runs_later(function):
        raise HandlerSignatureError(f"{name}: coroutines and generators cannot be handlers; use a plain function")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError as error:
        raise HandlerSignatureError(
            f"{name}: its signature is unknown ({error}); wrap it in a function (ctx, message)"
        ) from error
    needed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    if len(needed) not in (2, 3) or any(p.kind == p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        raise HandlerSignatureError(
            f"{name}{inspect.signature(function)}: need (ctx, message) or (ctx, state, message)"
        )
    target = function if inspect.isfunction(function) or inspect.ismethod(function) else type(function).__call__
    hints = _hints(target, name)
    message_hint = hints.get(needed[-1].name)
    if accepts is not None:
        classes = tuple(one for given in accepts for one in _messages(given, "accepts", name))
    elif message_hint is None:
        raise HandlerSignatureError(
            f"{name}: annotate the parameter {needed[-1].name!r} with a message class, or give accepts=[...]"
        )
    else:
        classes = _messages(message_hint, f"the parameter {needed[-1].name!r}", name)
    if not classes:
        raise HandlerSignatureError(f"{name}: accepts is empty; name at least one message class")
    state = _state(hints.get(needed[1].name), needed[1].name, name) if len(needed) == 3 else None
    replies = _messages(hints.get("return"), "the return value", name) if hints.get("return") is not None else ()
    return KernelSpec(name, classes, replies, state)


def _state(annotation: Any, parameter: str, name: str) -> type[Any] | None:
    if annotation is None:
        raise HandlerSignatureError(f"{name}: annotate the parameter {parameter!r} with a class made by @rk.state")
    if not getattr(annotation, "__rk_state__", False):
        raise HandlerSignatureError(
            f"{name}: the parameter {parameter!r} is annotated {annotation!r}, need a class made by @rk.state"
        )
    return typing.cast("type[Any]", annotation)


@overload
def kernel(function: Callable[P, R], /) -> CompiledHandler[P, R]: ...
@overload
def kernel(
    *,
    id: str | None = None,
    mode: str = "persistent",
    block_size: int = 1,
    publishes_to: Sequence[str] = (),
    compiled: Literal[False],
    checked: bool = True,
) -> Callable[[F], F]: ...
@overload
def kernel(
    *,
    id: str | None = None,
    mode: str = "persistent",
    block_size: int = 1,
    publishes_to: Sequence[str] = (),
    compiled: Literal[True] = True,
    checked: bool = True,
) -> Callable[[Callable[P, R]], CompiledHandler[P, R]]: ...
def kernel(
    function: Any = None,
    /,
    *,
    id: str | None = None,
    mode: str = "persistent",
    block_size: int = 1,
    publishes_to: Sequence[str] = (),
    compiled: bool = True,
    checked: bool = True,
) -> Any:
    """Make a handler of a function ``(ctx, message)`` or ``(ctx, state, message)`` that returns a reply or None.

    It is compiled: translated at once from the handler language (docs/language.md), and run without the interpreter
    lock. compiled=False: any Python callable, run as it is; it stays the same function. id: the kernel's name (default:
    the function's). publishes_to: names of kernels that it sends to. block_size: threads of a block where the backend
    has blocks. checked=False: no test of indexes; one outside of its array is then undefined behaviour.

    Raises TranslationError with every reason why it cannot be translated, HandlerSignatureError when it is no handler.
    """
    if mode not in ("persistent", "event_driven"):
        raise HandlerSignatureError(f"mode: found {mode!r}, need 'persistent' or 'event_driven'")
    if isinstance(block_size, bool) or not isinstance(block_size, int) or not 1 <= block_size <= 1024:
        raise HandlerSignatureError(f"block_size: found {block_size!r}, need 1 to 1024")

    def mark(target: Any) -> Any:
        name = id or _name_of(target)
        if hasattr(target, "__rk_kernel__"):
            raise HandlerSignatureError(f"{name} is a handler already: decorate it once")
        found = inspect_handler(target, name)
        spec = KernelSpec(name, found.accepts, found.replies, found.state, mode, block_size, tuple(publishes_to))
        if compiled:
            from .compiled import CompiledHandler
            from .compiler.frontend import translate

            try:
                program = translate(
                    target, name=name, publishes_to=spec.publishes_to, block_size=block_size, checked=checked
                )
            except TranslationError as error:
                raise error.with_traceback(None) from None  # what is wrong is in the user's file, not in ours
            return CompiledHandler(target, spec, program)
        try:
            target.__rk_kernel__ = spec
        except AttributeError as error:
            raise HandlerSignatureError(
                f"{name}: a {type(target).__name__} cannot be decorated; launch() takes it as it is"
            ) from error
        return target

    return mark if function is None else mark(function)


def spec_of(function: Any, name: str | None, accepts: Sequence[type[Any]] | None) -> KernelSpec:
    """The spec of anything that launch() is given."""
    marked = getattr(function, "__rk_kernel__", None)
    if isinstance(marked, KernelSpec):
        if accepts is None:
            return marked
        if not inspect.isfunction(function):
            raise InvalidArgumentError(f"accepts: {function!r} was made for {[c.__name__ for c in marked.accepts]}")
    return inspect_handler(function, name or _name_of(function), accepts)
