"""Device functions: their bodies and how they are called."""

from __future__ import annotations

import math

import pyringkernel as rk

from rejected.common import LIMIT, Color, Data, Ping, Point, Pong, Tally


@rk.device
def _add(a: rk.u32, b: rk.u32) -> rk.u32:
    return a + b


def too_few_arguments(ctx, msg: Data):
    # error 9: _add: b is missing
    # hint: it is _add(a, b)
    x = _add(1)


def too_many_arguments(ctx, msg: Data):
    # error 9: _add: found 3 arguments, need 2
    # hint: it is _add(a, b)
    x = _add(1, 2, 3)


def unknown_keyword(ctx, msg: Data):
    # error 19: _add: c is no parameter
    # hint: it is _add(a, b)
    x = _add(1, c=2)


def argument_of_wrong_type(ctx, msg: Data):
    # error 21: b: found rk.f32, need rk.u32
    # hint: write rk.u32(msg.f)
    x = _add(msg.u, msg.f)


def argument_narrowed(ctx, msg: Data):
    # error 21: b: found rk.u64, need rk.u32
    # hint: write rk.u32(msg.u64)
    x = _add(msg.u, msg.u64)


def argument_is_array(ctx, msg: Data):
    # error 21: b: found rk.Array[rk.u32, 4], need rk.u32
    x = _add(msg.u, msg.codes)


def literal_does_not_fit(ctx, msg: Data):
    # error 14: -1 does not fit rk.u32 (0 to 4294967295)
    # hint: write rk.u32(-1), which wraps, or use a wider type
    x = _add(-1, 1)


@rk.device
def _first(v: rk.Array[rk.f32, 8]) -> rk.f32:
    return v[0]


def array_of_other_elements(ctx, msg: Data):
    # error 16: v: found rk.Array[rk.u32, 4], need rk.Array[rk.f32, 8]
    x = _first(msg.codes)


def array_is_number(ctx, msg: Data):
    # error 16: v: found rk.f32, need rk.Array[rk.f32, 8]
    x = _first(msg.f)


@rk.device
def _norm(p: Point) -> rk.f32:
    return math.hypot(p.x, p.y)


def other_class(ctx, msg: Data):
    # error 15: p: found Data, need Point
    x = _norm(msg)


@rk.device
def _nothing(a: rk.u32) -> None:
    pass


def no_result(ctx, msg: Data):
    # error 9: found None, which cannot be a local
    # hint: it has no result: write the call as a statement
    x = _nothing(1)


@rk.device
# error 18: the parameter a has no annotation
# hint: write a: rk.f32
def _unannotated(a) -> rk.u32:
    return 1


def parameter_without_annotation(ctx, msg: Data):
    x = _unannotated(1)


@rk.device
# error 18: the parameter a is of no type of the language
# hint: write rk.i32
def _python_type(a: int) -> rk.u32:
    return 1


def parameter_of_python_type(ctx, msg: Data):
    x = _python_type(1)


@rk.device
# error 30: _aggregate cannot return Point
# hint: return a scalar; write aggregates through a parameter
def _aggregate(a: rk.u32) -> Point:
    return Point(x=1.0, y=1.0)


def result_is_an_aggregate(ctx, msg: Data):
    x = _aggregate(1)


@rk.device
def _wrong_result(a: rk.f32) -> rk.u32:
    # error 12: the result: found rk.f32, need rk.u32
    # hint: write rk.u32(a)
    return a


def result_of_wrong_type(ctx, msg: Data):
    x = _wrong_result(1.0)


@rk.device
# error 30: _falls_off may end without a result
# hint: return a rk.u32 on every way
def _falls_off(a: rk.u32) -> rk.u32:
    if a > 1:
        return a


def result_is_missing(ctx, msg: Data):
    x = _falls_off(1)


@rk.device
def _returns_nothing(a: rk.u32) -> rk.u32:
    # error 5: _returns_nothing returns rk.u32, found no value
    # hint: write return x
    return


def return_without_value(ctx, msg: Data):
    x = _returns_nothing(1)


@rk.device
def _returns_something(a: rk.u32) -> None:
    # error 12: _returns_something is annotated to return nothing
    # hint: write def _returns_something(...) -> rk.f32
    return a


def return_with_value(ctx, msg: Data):
    _returns_something(1)


@rk.device
def _calls_itself(n: rk.u32) -> rk.u32:
    if n == 0:
        return 1
    # error 16: recursion: _calls_itself calls _calls_itself
    # hint: write a loop
    return n * _calls_itself(n - 1)


def recursion(ctx, msg: Data):
    x = _calls_itself(msg.u)


@rk.device
def _even(n: rk.u32) -> rk.boolean:
    if n == 0:
        return True
    return _odd(n - 1)


@rk.device
def _odd(n: rk.u32) -> rk.boolean:
    if n == 0:
        return False
    # error 12: recursion: _even calls _odd calls _even
    # hint: write a loop
    return _even(n - 1)


def recursion_of_two(ctx, msg: Data):
    x = _even(msg.u)


@rk.device
def _prints(n: rk.u32) -> rk.u32:
    # error 5: print() cannot be compiled
    # hint: send a message to the host: ctx.send('host', Note(...)); or count with ctx.report_error(code)
    print(n)
    return n


def syntax_of_a_device_function(ctx, msg: Data):
    x = _prints(msg.u)


@rk.device
def _types(n: rk.u32, f: rk.f32) -> rk.u32:
    # error 12: rk.u32 + rk.f32: an integer and a float
    # hint: write rk.f32(n)
    return n + f


def types_of_a_device_function(ctx, msg: Data):
    x = _types(msg.u, msg.f)


@rk.device
def _called_twice(n: rk.u32, f: rk.f32) -> rk.u32:
    # error 12: rk.u32 + rk.f32: an integer and a float
    # hint: write rk.f32(n)
    return n + f


def error_in_a_device_function_is_told_once(ctx, msg: Data):
    x = _called_twice(msg.u, msg.f)
    y = _called_twice(1, 2.0)


@rk.device
# error 26: defaults of parameters cannot be compiled
# hint: give the value where it is called
def _default(n: rk.u32 = 1) -> rk.u32:
    return n


def default_of_a_device_function(ctx, msg: Data):
    x = _default(msg.u)


@rk.kernel(compiled=False)
def _another_handler(ctx, msg: Data):
    pass


def handler_called(ctx, msg: Data):
    # error 5: _another_handler is a handler that cannot be called here
    # hint: send it a message: ctx.send(...)
    _another_handler(ctx, msg)


def device_function_as_value(ctx, msg: Data):
    # error 9: found a device function (_add), which cannot be a local
    # hint: use it by its own name, where it is needed
    f = _add


def argument_is_the_context(ctx, msg: Data):
    # error 14: a: found the context, need rk.u32
    x = _add(ctx, 1)
