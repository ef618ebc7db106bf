"""Signatures, constructors and replies."""

from __future__ import annotations

import math

import pyringkernel as rk

from rejected.common import LIMIT, Color, Data, Ping, Point, Pong, Tally


def returns_a_state(ctx, state: Tally, msg: Data) -> Tally:
    # error 12: return: Tally is a state class, need a message
    # hint: construct a message of what is to be sent
    return state


def return_of_number(ctx, msg: Data) -> Pong:
    # error 12: return: found 1, need a message
    # hint: construct one: Reply(x=1)
    return 1


def return_without_annotation(ctx, msg: Data):
    # error 12: returns Ping, but is annotated to return nothing
    # hint: write -> Ping | None
    return Ping(x=1)


def return_of_other_class(ctx, msg: Data) -> Pong:
    # error 12: returns Ping, which is not in the annotation Pong
    # hint: write -> Pong | Ping
    return Ping(x=1)


def return_of_field(ctx, msg: Data) -> Pong:
    # error 12: returns Point, which is not in the annotation Pong
    # hint: write -> Pong | Point
    return msg.pos


def return_of_state(ctx, state: Tally, msg: Data) -> Pong:
    # error 12: return: Tally is a state class, need a message
    # hint: construct a message of what is to be sent
    return state


def return_of_array(ctx, msg: Data) -> Pong:
    # error 12: return: found rk.Array[rk.f32, 8], need a message
    # hint: construct one: Reply(x=1)
    return msg.values


def return_of_message_that_is_not_declared(ctx, msg: Data) -> Pong:
    # error 12: returns Data, which is not in the annotation Pong
    # hint: write -> Pong | Data
    return msg


def missing_field(ctx, msg: Data) -> Pong:
    # error 12: Pong: need a value for the field x
    # hint: write Pong(..., x=...), or give it a default in the class
    return Pong(y=1.0)


def unknown_field(ctx, msg: Data) -> Pong:
    # error 24: Pong has no field 'z'
    # hint: it has x, y
    return Pong(x=1, z=2)


def field_twice(ctx, msg: Data) -> Pong:
    # error 22: the field 'x' is given twice
    return Pong(1, x=2)


def too_many_values(ctx, msg: Data) -> Pong:
    # error 25: Pong has 2 fields, found 3 arguments
    return Pong(1, 2.0, 3)


def value_of_wrong_type(ctx, msg: Data) -> Pong:
    # error 19: field x: found rk.f32, need rk.u32
    # hint: write rk.u32(msg.f)
    return Pong(x=msg.f)


def value_narrowed(ctx, msg: Data) -> Pong:
    # error 19: field x: found rk.u64, need rk.u32
    # hint: write rk.u32(msg.u64)
    return Pong(x=msg.u64)


def literal_does_not_fit(ctx, msg: Data) -> Pong:
    # error 19: -1 does not fit rk.u32 (0 to 4294967295)
    # hint: write rk.u32(-1), which wraps, or use a wider type
    return Pong(x=-1)


def float_literal_for_int(ctx, msg: Data) -> Pong:
    # error 19: found the float 0.5, need rk.u32
    # hint: write rk.u32(...) around it, or cast the integer: rk.f32(...)
    return Pong(x=0.5)


def text_for_number(ctx, msg: Data) -> Pong:
    # error 19: field x: found a str, need rk.u32
    return Pong(x="1")


def none_for_number(ctx, msg: Data) -> Pong:
    # error 19: field x: found None, need rk.u32
    return Pong(x=None)


def array_for_number(ctx, msg: Data) -> Pong:
    # error 19: field x: found rk.Array[rk.u32, 4], need rk.u32
    return Pong(x=msg.codes)


def constructor_in_arithmetic(ctx, msg: Data):
    # error 9: found Ping, need a number
    # hint: name a field or an element of it
    x = Ping(x=1) + 1


def state_constructed(ctx, state: Tally, msg: Data):
    # error 9: Tally: need values for the fields count, total, small, hist, last, log
    # hint: write Tally(..., count=...), or give it a default in the class
    s = Tally()


def message_base_constructed(ctx, msg: Data):
    # error 9: rk.Message is a function that cannot be called here
    # hint: call @rk.device functions, math functions, and methods of ctx
    m = rk.Message()


def narrowed_class_is_decided(ctx, msg: Ping | Pong):
    if isinstance(msg, Ping):
        # error 13: Ping has no field 'y'
        # hint: it has x
        y = msg.y
    else:
        y = msg.y
