"""Names: unknown, unassigned, of the wrong kind."""

from __future__ import annotations

import math

import pyringkernel as rk

from rejected.common import LIMIT, Color, Data, Ping, Point, Pong, Tally

_table = [1, 2, 3]
_lookup = {"a": 1}
_point = Point(x=1.0, y=2.0)
_huge = 2**70
_giant = 10**5000
_broken = "\ud800"
_ratio = 1 + 2j


def _helper(a):
    return a


def unknown_name(ctx, msg: Ping):
    # error 9: the name 'missing' is not known
    # hint: give it a value in the handler, or in the module before it
    x = missing


def unknown_function(ctx, msg: Ping):
    # error 9: the name 'missing' is not known
    # hint: give it a value in the handler, or in the module before it
    x = missing(1)


def unknown_name_once_per_use(ctx, msg: Ping):
    # error 9: the name 'missing' is not known
    # hint: give it a value in the handler, or in the module before it
    x = missing + 1
    y = x + 1


def misspelled_local(ctx, msg: Ping):
    counter = msg.x
    # error 9: the name 'conter' is not known
    # hint: give it a value in the handler, or in the module before it
    y = conter + 1


def global_list(ctx, msg: Ping):
    # error 9: _table is a list, which a handler cannot read
    # hint: make it a field of the state, with a default: table: rk.Array[rk.i32, 3] = _table
    x = _table[0]


def global_dict(ctx, msg: Ping):
    # error 17: text is no value in a compiled handler
    # hint: use an int or an enum, bytes for an rk.Bytes field; text is for targets, topics and assert
    x = _lookup["a"]


def global_message(ctx, msg: Ping):
    # error 9: _point is a Point, which a handler cannot read
    # hint: keep it in the state, or make it a bool, int, float, str or enum member before the handler
    x = _point.x


def global_too_large(ctx, msg: Ping):
    # error 9: 1180591620717411303424 does not fit rk.i32 (-2147483648 to 2147483647)
    # hint: no integer type holds it
    x = _huge


def global_giant(ctx, msg: Ping):
    # error 9: _giant has more than 4096 bits
    # hint: no integer type holds it
    x = _giant


def global_text_is_broken(ctx, msg: Ping):
    # error 14: _broken is not valid Unicode
    # hint: it has half of a surrogate pair
    ctx.send(_broken, msg)


def global_text_as_value(ctx, msg: Ping):
    # error 9: found a str, which cannot be a local
    # hint: use it by its own name, where it is needed
    x = __name__


def global_complex(ctx, msg: Ping):
    # error 9: _ratio is a complex, which a handler cannot read
    # hint: keep it in the state, or make it a bool, int, float, str or enum member before the handler
    x = _ratio


def plain_function(ctx, msg: Ping):
    # error 9: _helper is a function that cannot be called here
    # hint: decorate _helper with @rk.device
    x = _helper(msg.x)


def function_as_value(ctx, msg: Ping):
    # error 9: found a function (_helper), which cannot be a local
    # hint: use it by its own name, where it is needed
    x = _helper


def builtin_as_value(ctx, msg: Ping):
    # error 9: found a function (len), which cannot be a local
    # hint: use it by its own name, where it is needed
    x = len


def type_as_value(ctx, msg: Ping):
    # error 9: found a scalar type (u32), which cannot be a local
    # hint: use it by its own name, where it is needed
    x = rk.u32


def module_as_value(ctx, msg: Ping):
    # error 9: found a module (math), which cannot be a local
    # hint: use it by its own name, where it is needed
    x = math


def message_class_as_value(ctx, msg: Ping):
    # error 9: found a message class (Ping), which cannot be a local
    # hint: use it by its own name, where it is needed
    x = Ping


def enum_as_value(ctx, msg: Ping):
    # error 9: found an enum (Color), which cannot be a local
    # hint: use it by its own name, where it is needed
    x = Color


def unknown_enum_member(ctx, msg: Ping):
    # error 9: Color has no 'BLUE'
    x = Color.BLUE


def unknown_math_member(ctx, msg: Ping):
    # error 9: math has no 'foo'
    # hint: did you mean floor?
    x = math.foo


def unknown_math_function(ctx, msg: Data):
    # error 9: math.gamma is a function that cannot be called here
    # hint: of math there are floor, sqrt, sin, exp, log, pow and others; see the language's list
    x = math.gamma(msg.f)


def unknown_rk_member(ctx, msg: Ping):
    # error 9: rk has no 'u128'
    # hint: did you mean u8?
    x = rk.u128(1)


def may_be_unassigned(ctx, msg: Data):
    if msg.flag:
        x = 1
    # error 9: x may be unassigned here
    # hint: give x a value before, on every way to this line
    y = x


def never_assigned_before(ctx, msg: Data):
    # error 9: x may be unassigned here
    # hint: give x a value before, on every way to this line
    y = x
    x = 1


def assigned_in_loop_only(ctx, msg: Data):
    while msg.flag:
        x = 1
        break
    # error 9: x may be unassigned here
    # hint: give x a value before, on every way to this line
    y = x


def loop_variable_after_loop(ctx, msg: Data):
    for i in range(msg.u):
        pass
    # error 9: i may be unassigned here
    # hint: give i a value before, on every way to this line
    y = i


def assigned_in_one_case(ctx, msg: Data):
    match msg.u:
        case 1:
            x = 1
        case 2:
            x = 2
    # error 9: x may be unassigned here
    # hint: give x a value before, on every way to this line
    y = x


def augmented_before_assigned(ctx, msg: Data):
    # error 5: total may be unassigned here
    # hint: give total a value before, on every way to this line
    total += msg.u


def local_hides_global(ctx, msg: Ping):
    # error 9: LIMIT may be unassigned here
    # hint: it is assigned in this function, and so hides the outer LIMIT; choose another name
    x = LIMIT
    LIMIT = 5


def global_assigned(ctx, msg: Ping):
    # error 5: LIMIT may be unassigned here
    # hint: it is assigned in this function, and so hides the outer LIMIT; choose another name
    LIMIT += 1


def context_assigned(ctx, msg: Ping):
    # error 5: ctx is a parameter, which stays what it is
    # hint: choose another name
    ctx = 1


def message_assigned(ctx, msg: Ping):
    # error 5: msg is a parameter, which stays what it is
    # hint: choose another name
    msg = Ping(x=1)


def state_assigned(ctx, state: Tally, msg: Ping):
    # error 5: state is a parameter, which stays what it is
    # hint: choose another name
    state = 1


def context_as_value(ctx, msg: Ping):
    # error 9: found the context, which cannot be a local
    # hint: use it by its own name, where it is needed
    c = ctx


def one_name_is_told_once(ctx, msg: Ping):
    # error 9: the name 'missing' is not known
    # hint: give it a value in the handler, or in the module before it
    x = missing
    y = x + 1
    z = y * x
    if z > 1:
        x = 5
