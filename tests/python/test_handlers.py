"""Which callables can be handlers: the right ones run, the wrong ones are refused before anything starts."""

from __future__ import annotations

import functools
from typing import Any, Optional, Union

import pytest

import pyringkernel as rk
from pyringkernel.errors import HandlerSignatureError, UnknownKernelError


@rk.message
class Ask:
    n: rk.u32 = 0


@rk.message
class Answer:
    n: rk.u32 = 0


@rk.state
class Count:
    n: rk.u32


def good(ctx: rk.Context, msg: Ask) -> Answer:
    return Answer(msg.n + 1)


class Scaler:
    """A handler that is an object."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, ctx: rk.Context, msg: Ask) -> Answer:
        return Answer(msg.n * self.factor)

    def method(self, ctx: rk.Context, msg: Ask) -> Answer:
        return Answer(msg.n - self.factor)

    @staticmethod
    def static(ctx: rk.Context, msg: Ask) -> Answer:
        return Answer(7)

    @classmethod
    def of_class(cls, ctx: rk.Context, msg: Ask) -> Answer:
        return Answer(8)


def with_state(ctx: rk.Context, state: Count, msg: Ask) -> Answer:
    state.n += 1
    return Answer(state.n)


def with_defaults(ctx: rk.Context, msg: Ask, extra: int = 5, *rest: int, key: int = 6, **more: int) -> Answer:
    return Answer(msg.n + extra + key)


def with_union(ctx: rk.Context, msg: Ask | Answer) -> Ask | Answer | None:
    return msg


def with_typing_union(ctx: rk.Context, msg: Union[Ask, Answer]) -> Optional[Ask]:  # noqa: UP045
    return Ask(msg.n)


def positional(ctx: rk.Context, msg: Ask, /) -> Answer:
    return Answer(msg.n)


@pytest.fixture
def rt() -> Any:
    with rk.Runtime() as runtime:
        yield runtime


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (good, 4),
        (Scaler(3), 9),
        (Scaler(1).method, 2),
        (Scaler.static, 7),
        (Scaler.of_class, 8),
        (with_state, 1),
        (with_defaults, 14),
        (with_union, 3),
        (with_typing_union, 3),
        (positional, 3),
    ],
)
def test_a_callable_with_annotations_is_a_handler(rt: Any, handler: Any, expected: int) -> None:
    assert rt.launch(handler).call(Ask(3), timeout=60).n == expected


def bare(ctx, msg):  # type: ignore[no-untyped-def]
    return Answer(msg.n + 1)


@pytest.mark.parametrize(
    "handler",
    [bare, lambda ctx, msg: Answer(msg.n + 1), functools.partial(lambda more, ctx, msg: Answer(msg.n + more), 1)],
    ids=["function", "lambda", "partial"],
)
def test_a_callable_without_annotations_needs_accepts(rt: Any, handler: Any) -> None:
    with pytest.raises(HandlerSignatureError, match="accepts="):
        rt.launch(handler)
    assert rt.launch(handler, accepts=[Ask]).call(Ask(3), timeout=60) == Answer(4)


@pytest.mark.parametrize(
    "handler", [functools.partial(good), functools.wraps(good)(Scaler(4))], ids=["partial", "wraps"]
)
def test_a_wrapped_handler_works_with_accepts(rt: Any, handler: Any) -> None:
    assert rt.launch(handler, accepts=[Ask], name="k").call(Ask(1), timeout=60).n in (2, 4)


def test_accepts_overrides_the_annotation(rt: Any) -> None:
    kernel = rt.launch(good, accepts=[Ask, Answer])
    assert set(kernel.accepts) == {Ask, Answer}
    assert kernel.call(Answer(1), timeout=60) == Answer(2)


def test_the_name_of_a_kernel_comes_from_its_handler(rt: Any) -> None:
    assert rt.launch(good).name == "good"
    assert rt.launch(Scaler(2)).name == "Scaler"
    assert rt.launch(Scaler(2).method).name == "method"
    assert rt.launch(lambda ctx, msg: None, accepts=[Ask]).name == "<lambda>"
    assert rt.launch(good, name="given").name == "given"


# -- @rk.kernel(compiled=False)


def test_a_decorated_handler_stays_a_function() -> None:
    @rk.kernel(compiled=False)
    def plain(ctx: rk.Context, msg: Ask) -> Answer:
        """Doc."""
        return Answer(1)

    assert plain.__name__ == "plain"
    assert plain.__doc__ == "Doc."
    assert plain(None, Ask()) == Answer(1)


def test_a_decorated_handler_carries_its_options(rt: Any) -> None:
    @rk.kernel(compiled=False, id="other", mode="event_driven", block_size=128, publishes_to=["audit"])
    def named(ctx: rk.Context, msg: Ask) -> Answer:
        return Answer(msg.n)

    with pytest.raises(UnknownKernelError, match="'other' publishes to 'audit'"):
        rt.launch(named)
    rt.launch(lambda ctx, msg: None, name="audit", accepts=[Ask])
    kernel = rt.launch(named)
    assert kernel.name == "other"
    assert kernel.mode == "persistent"  # what the backend really does
    assert rt.launch(named, name="third").name == "third"


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(HandlerSignatureError, match="mode"):
        rk.kernel(mode="sometimes")


@pytest.mark.parametrize("make", [lambda: Scaler(1), lambda: Scaler(1).method], ids=["object", "method"])
def test_an_object_or_a_method_is_decorated_or_refused_with_a_reason(rt: Any, make: Any) -> None:
    try:
        handler = rk.kernel(compiled=False)(make())
    except HandlerSignatureError:
        return
    assert rt.launch(handler).call(Ask(3), timeout=60).n in (2, 3)


def test_annotations_may_name_classes_of_the_function_around(rt: Any) -> None:
    @rk.message
    class Local:
        n: rk.u32

    def handler(ctx: rk.Context, msg: Local) -> Local:
        return msg

    assert rt.launch(handler).call(Local(5), timeout=60) == Local(5)

    @rk.kernel(compiled=False)
    def decorated(ctx: rk.Context, msg: Local) -> Local:
        return msg

    assert rt.launch(decorated).call(Local(6), timeout=60) == Local(6)


# -- refused


def no_parameters() -> None: ...
def one_parameter(msg: Ask) -> None: ...
def four_parameters(ctx: rk.Context, a: Count, b: Count, msg: Ask) -> None: ...
def keyword_only(ctx: rk.Context, *, msg: Ask) -> None: ...
def keyword_needed(ctx: rk.Context, msg: Ask, *, more: int) -> None: ...
def stars(*args: Any) -> None: ...
def no_annotation(ctx, msg): ...  # type: ignore[no-untyped-def]
def wrong_annotation(ctx: rk.Context, msg: int) -> None: ...
def wrong_union(ctx: rk.Context, msg: Ask | int) -> None: ...
def only_none(ctx: rk.Context, msg: None) -> None: ...
def a_list(ctx: rk.Context, msg: list[Ask]) -> None: ...
def a_scalar(ctx: rk.Context, msg: rk.u32) -> None: ...
def base_class(ctx: rk.Context, msg: rk._core.Message) -> None: ...
def wrong_state(ctx: rk.Context, state: int, msg: Ask) -> None: ...
def message_as_state(ctx: rk.Context, state: Answer, msg: Ask) -> None: ...
def no_state_annotation(ctx, state, msg: Ask) -> None: ...  # type: ignore[no-untyped-def]
def wrong_return(ctx: rk.Context, msg: Ask) -> int: ...  # type: ignore[empty-body]
def unknown_name(ctx: rk.Context, msg: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def unknown_attribute(ctx: rk.Context, msg: rk.Nowhere) -> None: ...  # type: ignore[name-defined]
def broken_annotation(ctx: rk.Context, msg: "Ask[") -> None: ...  # type: ignore[valid-type]  # noqa: F722


async def coroutine(ctx: rk.Context, msg: Ask) -> None: ...


def generator(ctx: rk.Context, msg: Ask) -> None:  # type: ignore[misc]
    yield msg


async def async_generator(ctx: rk.Context, msg: Ask) -> None:  # type: ignore[misc]
    yield msg


class AsyncCall:
    async def __call__(self, ctx: rk.Context, msg: Ask) -> None: ...


class GeneratorCall:
    def __call__(self, ctx: rk.Context, msg: Ask) -> None:  # type: ignore[misc]
        yield msg


WRONG = [
    no_parameters,
    one_parameter,
    four_parameters,
    keyword_only,
    keyword_needed,
    stars,
    no_annotation,
    wrong_annotation,
    wrong_union,
    only_none,
    a_list,
    a_scalar,
    base_class,
    wrong_state,
    message_as_state,
    no_state_annotation,
    wrong_return,
    unknown_name,
    unknown_attribute,
    broken_annotation,
    coroutine,
    generator,
    async_generator,
    AsyncCall(),
    GeneratorCall(),
    functools.partial(coroutine),
    print,
    len,
    max,
    dict,
    int,
    str.upper,
    Ask,
    5,
    None,
    "good",
    object(),
]


def name_of(handler: Any) -> str:
    return getattr(handler, "__name__", repr(type(handler).__name__))


@pytest.mark.parametrize("handler", WRONG, ids=name_of)
def test_what_is_no_handler_is_refused_by_launch(rt: Any, handler: Any) -> None:
    with pytest.raises(HandlerSignatureError) as caught:
        rt.launch(handler)
    assert rt.kernels == {}
    assert len(str(caught.value)) > 20


@pytest.mark.parametrize("handler", [h for h in WRONG if h is not None], ids=name_of)
def test_what_is_no_handler_is_refused_at_decoration(handler: Any) -> None:
    with pytest.raises(HandlerSignatureError):
        rk.kernel(compiled=False)(handler)
    with pytest.raises(HandlerSignatureError):
        rk.kernel(id="x", compiled=False)(handler)


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (one_parameter, r"one_parameter\(msg.*need \(ctx, message\) or \(ctx, state, message\)"),
        (no_annotation, "annotate the parameter 'msg'.*accepts="),
        (wrong_annotation, "'msg'.*int.*@rk.message"),
        (wrong_state, "'state'.*int.*@rk.state"),
        (coroutine, "coroutine"),
        (unknown_name, "Nowhere|cannot be found"),
        (wrong_return, "return value.*int"),
    ],
)
def test_the_text_says_what_was_found_and_what_is_needed(rt: Any, handler: Any, text: str) -> None:
    with pytest.raises(HandlerSignatureError, match=text):
        rt.launch(handler)


@pytest.mark.parametrize("accepts", [[int], [Ask, int], ["Ask"], [None], [Ask()], [rk._core.Message]], ids=repr)
def test_accepts_must_name_message_classes(rt: Any, accepts: Any) -> None:
    with pytest.raises(HandlerSignatureError):
        rt.launch(good, accepts=accepts)


@pytest.mark.parametrize("accepts", [Ask, 5, "Ask"], ids=repr)
def test_accepts_must_be_a_sequence(rt: Any, accepts: Any) -> None:
    with pytest.raises((HandlerSignatureError, TypeError)):
        rt.launch(good, accepts=accepts)


def test_the_state_class_makes_defaults_or_zeros() -> None:
    @rk.state
    class Mixed:
        a: rk.u32
        b: rk.f32 = 1.5

    def handler(ctx: rk.Context, state: Mixed, msg: Ask) -> Answer:
        return Answer(int(state.a + 2 * state.b))

    with rk.Runtime() as rt:
        kernel = rt.launch(handler)
        assert kernel.call(Ask(), timeout=60) == Answer(3)
        assert (kernel.state_object.a, kernel.state_object.b) == (0, 1.5)
