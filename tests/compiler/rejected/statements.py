"""Statements that the language does not have."""

from __future__ import annotations

import math

import pyringkernel as rk

from rejected.common import LIMIT, Color, Data, Ping, Point, Pong, Tally


def nested_function(ctx, msg: Ping):
    # error 5: a nested function cannot be compiled
    # hint: write a function of the module and decorate it with @rk.device
    def inner(a):
        return a


def nested_coroutine(ctx, msg: Ping):
    # error 5: a coroutine cannot be compiled
    # hint: a handler returns when it is done; to go on later, send a message to itself
    async def inner():
        pass


def nested_class(ctx, msg: Ping):
    # error 5: a class cannot be made in a compiled handler
    # hint: make it in the module, with @rk.message or @rk.state
    class Inner:
        pass


# error 1: a coroutine cannot be compiled
# hint: a handler returns when it is done; to go on later, send a message to itself
async def coroutine(ctx, msg: Ping):
    pass


def delete_name(ctx, msg: Ping):
    x = msg.x
    # error 5: del cannot be compiled
    # hint: nothing needs to be deleted; v.clear() empties a Vec
    del x


def try_except(ctx, msg: Ping):
    # error 5: try cannot be compiled: nothing raises in a compiled handler
    # hint: decide with if and else before; count what must not be lost with ctx.report_error(code)
    try:
        x = msg.x
    except ValueError:
        pass


def try_finally_shows_its_inside(ctx, msg: Ping):
    # error 5: try cannot be compiled: nothing raises in a compiled handler
    # hint: decide with if and else before; count what must not be lost with ctx.report_error(code)
    try:
        # error 13: a dict cannot be compiled
        # hint: use an array of the state, with the key as index
        x = {}
    finally:
        pass


def raise_error(ctx, msg: Ping):
    # error 5: raise cannot be compiled
    # hint: use assert, which fails the message, or ctx.report_error(code), which counts
    raise ValueError("no")


def raise_again(ctx, msg: Ping):
    # error 5: raise cannot be compiled
    # hint: use assert, which fails the message, or ctx.report_error(code), which counts
    raise


def with_block(ctx, msg: Ping):
    # error 5: with cannot be compiled
    # hint: nothing in a handler needs to be closed
    with open("x") as f:
        pass


def import_module(ctx, msg: Ping):
    # error 5: import cannot be compiled
    # hint: import at the top of the module
    import os


def import_from(ctx, msg: Ping):
    # error 5: import cannot be compiled
    # hint: import at the top of the module
    from math import pi


def global_variable(ctx, msg: Ping):
    # error 5: global variables cannot be assigned
    # hint: keep it in the state: state.x
    global LIMIT
    LIMIT = 5


def _outer():
    total = 0

    def handler(ctx, msg: Ping):
        # error 9: variables of an outer function cannot be assigned
        # hint: keep it in the state: state.x
        nonlocal total
        total = 1

    return handler


nonlocal_variable = _outer()


def in_a_dead_branch(ctx, msg: Ping):
    if isinstance(msg, Pong):
        # error 13: a comprehension cannot be compiled
        # hint: write a loop: for i in range(n): ...
        x = [1 for i in range(3)]


def after_return(ctx, msg: Ping):
    return
    # error 5: import cannot be compiled
    # hint: import at the top of the module
    import os


def text_as_comment(ctx, msg: Ping):
    x = msg.x
    # error 5: text is no statement
    # hint: write a comment: # ...
    "x is a copy"


def ellipsis_as_pass(ctx, msg: Ping):
    # error 5: ... cannot be compiled
    # hint: write pass
    ...


def name_alone(ctx, msg: Ping):
    # error 5: this statement does nothing
    # hint: assign the value, or remove it
    msg.x


def comparison_alone(ctx, msg: Ping):
    # error 5: this statement does nothing
    # hint: assign the value, or remove it
    msg.x == 1


def starred_target(ctx, msg: Data):
    # error 5: * cannot be compiled
    # hint: write each value
    a, *b = msg.codes


def unequal_tuples(ctx, msg: Data):
    # error 5: found 3 values for 2 targets
    # hint: write as many values as targets
    a, b = 1, 2, 3


def array_taken_apart(ctx, msg: Data):
    # error 15: found rk.Array[rk.u32, 4], need an array of 3 numbers
    # hint: read the elements: a = v[0]
    a, b, c = msg.codes


def number_taken_apart(ctx, msg: Data):
    # error 12: found rk.u32, need an array of 2 numbers
    # hint: read the elements: a = v[0]
    a, b = msg.u


def quotient_taken_apart(ctx, msg: Data):
    # error 5: only a tuple or an array can be taken apart
    # hint: write a // b and a % b
    a, b = divmod(msg.u, 3)


def nested_targets(ctx, msg: Data):
    # error 5: this cannot be assigned to
    # hint: write a, b = x, y with names, fields or elements
    (a, b), c = (1, 2), 3


def list_target(ctx, msg: Data):
    # error 5: this cannot be assigned to
    # hint: write a, b = x, y with names, fields or elements
    [a, b] = 1, 2


def annotated_without_value(ctx, msg: Ping):
    # error 5: x: rk.Array[rk.u32, 8] needs a value
    # hint: make the object here
    x: rk.Array[rk.u32, 8]


def annotated_and_not_assigned(ctx, msg: Data):
    x: rk.u32
    if msg.flag:
        x = 1
    # error 9: x may be unassigned here
    # hint: give x a value before, on every way to this line
    y = x


def annotated_field(ctx, state: Tally, msg: Ping):
    # error 5: only a local can be annotated
    # hint: a field has the type of its class
    state.count: rk.u64 = 1


def matmul_assign(ctx, msg: Data):
    x = msg.f
    # error 5: @ cannot be compiled
    # hint: write the loops of the product
    x @= msg.f


def assert_text_is_computed(ctx, msg: Ping):
    # error 23: the text of an assert is a literal
    # hint: write assert x > 0, "x is positive"
    assert msg.x > 0, f"found {msg.x}"


def several_on_one_line(ctx, msg: Ping):
    # error 9: a dict cannot be compiled
    # hint: use an array of the state, with the key as index
    # error 17: a lambda cannot be compiled
    # hint: write a function of the module and decorate it with @rk.device
    a = {}; b = lambda: 0  # fmt: skip


# error 36: defaults of parameters cannot be compiled
# hint: give the value where it is called
def default_value(ctx, msg: Ping = None):
    pass


# error 41: *args cannot be compiled
# hint: name each parameter
def variable_arguments(ctx, msg: Ping, *args):
    pass


# error 41: **kwargs cannot be compiled
# hint: name each parameter
def keyword_arguments(ctx, msg: Ping, **kwargs):
    pass


# error 37: keyword-only parameters cannot be compiled
# hint: write it before the *
def keyword_only(ctx, msg: Ping, *, scale: rk.u32):
    pass


def _other(function):
    return function


# error 2: only @rk.kernel and @rk.device can decorate compiled functions
# hint: remove this decorator
@_other
def decorated_by_others(ctx, msg: Ping):
    pass


# error 2: only @rk.kernel and @rk.device can decorate compiled functions
# hint: remove this decorator
@_other
@rk.kernel(compiled=False)
def decorated_above_ours(ctx, msg: Ping):
    pass
