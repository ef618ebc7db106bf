"""if, while, for, match and what they need."""

from __future__ import annotations

import math

import pyringkernel as rk

from rejected.common import LIMIT, Color, Data, Ping, Point, Pong, Tally


def while_not_below_zero_without_sign(ctx, msg: Data):
    j = msg.u
    # error 11: j is rk.u32, which is never below 0
    # hint: write j = rk.i32(...) where it is assigned first
    while j >= 0 and j < 9:
        j -= 1


def for_over_message(ctx, msg: Data):
    # error 14: found Data, need an array or range()
    # hint: write for v in range(n)
    for v in msg:
        pass


def for_over_enumerate_from_one(ctx, msg: Data):
    # error 17: enumerate() counts from 0 here
    # hint: write for i, x in enumerate(v), and add to i
    for i, v in enumerate(msg.values, 1):
        pass


def for_over_enumerate_with_one_variable(ctx, msg: Data):
    # error 9: enumerate() gives a number and an element
    # hint: write for i, x in enumerate(v)
    for v in enumerate(msg.values):
        pass


def for_with_two_variables(ctx, msg: Data):
    # error 9: a loop has one variable
    # hint: write for i in range(n), or for i, x in enumerate(v)
    for i, v in msg.values:
        pass


def for_over_list_of_variables(ctx, msg: Data):
    # error 18: found rk.u32, need a constant
    # hint: write numbers, or go through an array
    for v in [1, msg.u]:
        pass


def for_over_many_constants(ctx, msg: Data):
    # error 14: a loop over 17 constants, need 1 to 16
    # hint: keep them in an array of the state: for x in state.table
    for v in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16):
        pass


def for_over_reversed(ctx, msg: Data):
    # error 14: a loop goes over range(), an array or enumerate() of one
    # hint: count down: for i in range(n - 1, -1, -1)
    for i in reversed(range(3)):
        pass


def for_and_then_another_type(ctx, msg: Data):
    for v in msg.values:
        pass
    v = msg.values[0]
    # error 9: v is rk.f32, and an element is rk.u32
    # hint: choose another name for the loop's variable
    for v in msg.codes:
        pass


def for_over_number(ctx, msg: Data):
    # error 14: found rk.u32, need an array or range()
    # hint: write for v in range(msg.u)
    for v in msg.u:
        pass


def for_with_field_target(ctx, state: Tally, msg: Data):
    # error 9: a loop has one variable
    # hint: write for i in range(n), or for i, x in enumerate(v)
    for state.count in range(3):
        pass


def for_else(ctx, msg: Data):
    for i in range(3):
        pass
    else:
        # error 9: else of a loop cannot be compiled
        # hint: set a flag before break, and test it
        x = 1


def while_else(ctx, msg: Data):
    while msg.flag:
        break
    else:
        # error 9: else of a loop cannot be compiled
        # hint: set a flag before break, and test it
        x = 1


def range_without_arguments(ctx, msg: Data):
    # error 14: range() with 0 arguments
    # hint: write range(start, stop, step)
    for i in range():
        pass


def range_of_four(ctx, msg: Data):
    # error 14: range() with 4 arguments
    # hint: write range(start, stop, step)
    for i in range(0, 1, 2, 3):
        pass


def range_of_float(ctx, msg: Data):
    # error 20: range: found rk.f32, need an integer
    # hint: write rk.i32(msg.f)
    for i in range(msg.f):
        pass


def range_of_float_literal(ctx, msg: Data):
    # error 20: range: found 1.5, need an integer
    # hint: write 1
    for i in range(1.5):
        pass


def range_of_nan(ctx, msg: Data):
    # error 20: range: found nan, need an integer
    # hint: write an integer
    for i in range(math.nan):
        pass


def range_of_bool(ctx, msg: Data):
    # error 20: range: found bool, need an integer
    # hint: write rk.i32(msg.flag)
    for i in range(msg.flag):
        pass


def range_of_mixed_signs(ctx, msg: Data):
    # error 14: range of rk.i32 and rk.u32: mixed signedness
    # hint: write rk.i32(msg.u)
    for i in range(msg.i, msg.u):
        pass


def range_with_keyword(ctx, msg: Data):
    # error 14: range() has no keywords
    # hint: write range(start, stop, step)
    for i in range(stop=3):
        pass


def range_as_value(ctx, msg: Data):
    # error 9: range() is not part of the language here
    # hint: write for i in range(n)
    r = range(3)


def if_number(ctx, msg: Data):
    # error 8: if: found rk.u32, need a bool
    # hint: write msg.u != 0
    if msg.u:
        pass


def if_literal(ctx, msg: Data):
    # error 8: if: found 1, need a bool
    # hint: write True or False
    if 1:
        pass


def if_array(ctx, msg: Data):
    # error 8: if: found rk.Array[rk.f32, 8], need a bool
    # hint: write len(msg.values) != 0
    if msg.values:
        pass


def if_message(ctx, msg: Data):
    # error 8: if: found Data, need a bool
    if msg:
        pass


def while_number(ctx, msg: Data):
    n = msg.i
    # error 11: while: found rk.i32, need a bool
    # hint: write n != 0
    while n:
        n -= 1


def while_float(ctx, msg: Data):
    # error 11: while: found rk.f32, need a bool
    # hint: write msg.f != 0
    while msg.f:
        break


def not_number(ctx, msg: Data):
    # error 13: not: found rk.u32, need a bool
    # hint: write msg.u != 0
    b = not msg.u


def and_number(ctx, msg: Data):
    # error 22: and: found rk.u32, need a bool
    # hint: write msg.u != 0
    b = msg.flag and msg.u


def or_number(ctx, msg: Data):
    # error 9: or: found rk.u32, need a bool
    # hint: write msg.u != 0
    b = msg.u or msg.flag


def or_default(ctx, msg: Data):
    # error 9: or: found rk.u32, need a bool
    # hint: write msg.u != 0
    x = msg.u or 5


def conditional_number(ctx, msg: Data):
    # error 14: if: found rk.u32, need a bool
    # hint: write msg.u != 0
    x = 1 if msg.u else 2


def assert_number(ctx, msg: Data):
    # error 12: assert: found rk.u32, need a bool
    # hint: write msg.u != 0
    assert msg.u


def match_capture(ctx, msg: Data):
    match msg.u:
        case 1:
            pass
        # error 14: a name cannot be captured
        # hint: write case _: and use the value that was matched
        case other:
            pass


def match_as(ctx, msg: Data):
    match msg.u:
        # error 14: a name cannot be captured
        # hint: write case _: and use the value that was matched
        case 1 as one:
            pass


def match_sequence(ctx, msg: Data):
    match msg.u:
        # error 14: a sequence cannot be matched
        # hint: match one number, or compare with if
        case [1, 2]:
            pass


def match_mapping(ctx, msg: Data):
    match msg:
        # error 14: a mapping cannot be matched
        # hint: match one number, or compare with if
        case {"x": 1}:
            pass


def match_fields(ctx, msg: Ping | Pong):
    match msg:
        # error 14: fields cannot be matched
        # hint: write case A(): and read msg.x in it
        case Ping(x=1):
            pass


def match_capture_in_class(ctx, msg: Ping | Pong):
    match msg:
        # error 14: fields cannot be matched
        # hint: write case A(): and read msg.x in it
        case Ping(x):
            pass


def match_none(ctx, msg: Data):
    match msg.u:
        # error 14: None is no value in a compiled handler
        # hint: use a number or a flag that means `none`
        case None:
            pass


def match_text(ctx, msg: Data):
    match msg.u:
        # error 14: text is no value in a compiled handler
        # hint: use an int or an enum, bytes for an rk.Bytes field; text is for targets, topics and assert
        case "a":
            pass


def match_float_subject(ctx, msg: Data):
    # error 11: found rk.f32, need an integer or a bool
    # hint: compare floats with if
    match msg.f:
        case 1:
            pass


def match_class_of_number(ctx, msg: Data):
    # error 11: found rk.u32, need a message
    # hint: numbers have one type, which is known
    match msg.u:
        case Ping():
            pass


def match_bool_with_number(ctx, msg: Data):
    match msg.flag:
        # error 14: found 1, need a bool
        # hint: write True, False, or a comparison such as x != 0
        case 1:
            pass


def match_value_too_large(ctx, msg: Data):
    match msg.u8:
        # error 14: 300 does not fit rk.u8 (0 to 255)
        # hint: write rk.u8(300), which wraps, or use a wider type
        case 300:
            pass


def match_number_guard(ctx, msg: Data):
    match msg.u:
        # error 19: case: found rk.i32, need a bool
        # hint: write msg.i != 0
        case 1 if msg.i:
            pass


def match_float_value(ctx, msg: Data):
    match msg.u:
        # error 14: found the float 1.5, need rk.u32
        # hint: write rk.u32(...) around it, or cast the integer: rk.f32(...)
        case 1.5:
            pass


def match_array(ctx, msg: Data):
    # error 11: found rk.Array[rk.f32, 8], need a number
    # hint: name a field or an element of it
    match msg.values:
        case 1:
            pass
