"""Calls of builtins, casts, math and the intrinsics."""

from __future__ import annotations

import math

import pyringkernel as rk

from rejected.common import LIMIT, Color, Data, Ping, Point, Pong, Tally


def print_something(ctx, msg: Ping):
    # error 5: print() cannot be compiled
    # hint: send a message to the host: ctx.send('host', Note(...)); or count with ctx.report_error(code)
    print(msg.x)


def int_cast(ctx, msg: Data):
    # error 9: int() cannot be compiled
    # hint: name the width: rk.i32(msg.f)
    x = int(msg.f)


def float_cast(ctx, msg: Data):
    # error 9: float() cannot be compiled
    # hint: name the width: rk.f32(msg.u)
    x = float(msg.u)


def float_of_text(ctx, msg: Data):
    # error 9: float() cannot be compiled
    # hint: name the width: rk.f32 or rk.f64
    x = float("inf")


def text_cast(ctx, msg: Data):
    # error 9: str() cannot be compiled
    # hint: use an int or an enum, bytes for an rk.Bytes field; text is for targets, topics and assert
    x = str(msg.u)


def sum_of_array(ctx, msg: Data):
    # error 9: sum() cannot be compiled
    # hint: write a loop: for x in v: ...
    x = sum(msg.values)


def sorted_array(ctx, msg: Data):
    # error 9: sorted() cannot be compiled
    # hint: write a loop: for x in v: ...
    x = sorted(msg.values)


def round_float(ctx, msg: Data):
    # error 9: round() cannot be compiled
    # hint: math.floor(x + 0.5) rounds halves up
    x = round(msg.f)


def type_of(ctx, msg: Data):
    # error 9: type() cannot be compiled
    # hint: isinstance(msg, A) tells the classes of messages apart
    x = type(msg)


def divmod_of(ctx, msg: Data):
    # error 9: divmod() cannot be compiled
    # hint: write a // b and a % b
    x = divmod(msg.u, 3)


def pow_of(ctx, msg: Data):
    # error 9: pow() cannot be compiled
    # hint: write a ** b, or math.pow(a, b) for floats
    x = pow(msg.f, 2.0)


def getattr_of(ctx, msg: Data):
    # error 9: getattr() cannot be compiled
    # hint: name the field: msg.x
    x = getattr(msg, "u")


def zipped(ctx, msg: Data):
    # error 17: a loop goes over range(), an array or enumerate() of one
    # hint: write a loop over range(n), and index both
    for pair in zip(msg.values, msg.codes):
        pass


def any_of(ctx, msg: Data):
    # error 9: any() cannot be compiled
    # hint: write a loop with break; ctx.any(b) asks the warp
    b = any(msg.values)


def eval_text(ctx, msg: Data):
    # error 9: eval() cannot be compiled
    # hint: write the expression
    x = eval("1 + 1")


def abs_of_bool(ctx, msg: Data):
    # error 13: abs: found bool, need a number
    # hint: write rk.u32(msg.flag)
    x = abs(msg.flag)


def abs_of_array(ctx, msg: Data):
    # error 13: found rk.Array[rk.f32, 8], need a number
    # hint: name a field or an element of it
    x = abs(msg.values)


def abs_of_two(ctx, msg: Data):
    # error 9: abs: found 2, need 1 argument
    x = abs(msg.i, msg.i)


def min_of_one(ctx, msg: Data):
    # error 9: min: need two or more numbers
    # hint: write a loop over the elements of an array
    x = min(msg.u)


def min_of_array(ctx, msg: Data):
    # error 9: min: need two or more numbers
    # hint: write a loop over the elements of an array
    x = min(msg.values)


def min_of_mixed(ctx, msg: Data):
    # error 9: min of rk.u32 and rk.i32: mixed signedness
    # hint: write rk.i32(msg.u) or rk.u32(msg.i)
    x = min(msg.u, msg.i)


def max_of_int_and_float(ctx, msg: Data):
    # error 9: max of rk.u32 and rk.f32: an integer and a float
    # hint: write rk.f32(msg.u)
    x = max(msg.u, msg.f)


def max_with_key(ctx, msg: Data):
    # error 9: max: need two or more numbers
    # hint: write a loop over the elements of an array
    x = max(msg.u, 1, key=abs)


def len_of_number(ctx, msg: Data):
    # error 13: len: found rk.u32, need an array
    # hint: only rk.Array, rk.Vec, rk.Bytes and rk.Ref have one
    n = len(msg.u)


def len_of_message(ctx, msg: Data):
    # error 13: len: found Data, need an array
    # hint: only rk.Array, rk.Vec, rk.Bytes and rk.Ref have one
    n = len(msg)


def len_of_nothing(ctx, msg: Data):
    # error 9: len: found 0, need 1 argument
    n = len()


def bool_of_array(ctx, msg: Data):
    # error 14: found rk.Array[rk.f32, 8], need a number
    # hint: name a field or an element of it
    b = bool(msg.values)


def cast_of_array(ctx, msg: Data):
    # error 16: found rk.Array[rk.f32, 8], need a number
    # hint: name a field or an element of it
    x = rk.u32(msg.values)


def cast_of_message(ctx, msg: Data):
    # error 16: found Data, need a number
    # hint: name a field or an element of it
    x = rk.u32(msg)


def cast_of_two(ctx, msg: Data):
    # error 9: rk.u32: found 2, need 1 argument
    x = rk.u32(1, 2)


def cast_with_keyword(ctx, msg: Data):
    # error 22: rk.u32: arguments have no names here
    # hint: write rk.u32(x, ...) without names
    x = rk.u32(value=1)


def cast_of_text(ctx, msg: Data):
    # error 16: found a str, need a number
    x = rk.u32("1")


def shape_is_no_cast(ctx, msg: Data):
    # error 9: only what has a name can be called
    # hint: write f(x), ctx.now() or math.sqrt(x)
    x = rk.Array[rk.f32, 8]()


def sqrt_of_int(ctx, msg: Data):
    # error 19: math.sqrt: found rk.u32, need a float
    # hint: write rk.f32(msg.u)
    x = math.sqrt(msg.u)


def sqrt_of_bool(ctx, msg: Data):
    # error 19: math.sqrt: found bool, need a float
    # hint: write rk.f32(msg.flag)
    x = math.sqrt(msg.flag)


def floor_of_int(ctx, msg: Data):
    # error 20: math.floor: found rk.i32, need a float
    # hint: write rk.f32(msg.i)
    x = math.floor(msg.i)


def sin_of_two(ctx, msg: Data):
    # error 9: math.sin: found 2, need 1 argument
    x = math.sin(msg.f, msg.f)


def atan2_of_one(ctx, msg: Data):
    # error 9: math.atan2: found 1, need 2 arguments
    x = math.atan2(msg.f)


def fmod_of_mixed(ctx, msg: Data):
    # error 26: math.fmod: found rk.u32, need a float
    # hint: write rk.f32(msg.u)
    x = math.fmod(msg.f, msg.u)


def isnan_of_int(ctx, msg: Data):
    # error 20: math.isnan: found rk.u32, need a float
    # hint: write rk.f32(msg.u)
    b = math.isnan(msg.u)


def math_with_keyword(ctx, msg: Data):
    # error 21: math.sqrt: arguments have no names here
    # hint: write math.sqrt(x, ...) without names
    x = math.sqrt(x=msg.f)


def math_constant_called(ctx, msg: Data):
    # error 9: math.pi is 3.141592653589793, which cannot be called
    x = math.pi()


def math_floor_gives_a_float(ctx, msg: Data):
    # error 17: x: found rk.f32, need rk.i32
    # hint: write rk.i32(math.floor(msg.f))
    x: rk.i32 = math.floor(msg.f)


def popcount_of_signed(ctx, msg: Data):
    # error 21: rk.popcount: found rk.i32, need an unsigned integer
    # hint: write rk.popcount(rk.u32(msg.i))
    x = rk.popcount(msg.i)


def clz_of_float(ctx, msg: Data):
    # error 16: rk.clz: found rk.f32, need an unsigned integer
    # hint: write rk.clz(rk.u32(msg.f))
    x = rk.clz(msg.f)


def ctz_of_literal(ctx, msg: Data):
    # error 16: rk.ctz: found rk.i32, need an unsigned integer
    # hint: write rk.ctz(rk.u32(8))
    x = rk.ctz(8)


def bitcast_other_size(ctx, msg: Data):
    # error 9: rk.bitcast: rk.f32 has 4 bytes, rk.u64 has 8
    # hint: cast to a type of the same size first
    x = rk.bitcast(rk.u64, msg.f)


def bitcast_of_bool(ctx, msg: Data):
    # error 27: rk.bitcast: found bool, need a number
    # hint: write rk.u8(msg.flag)
    x = rk.bitcast(rk.u8, msg.flag)


def bitcast_to_value(ctx, msg: Data):
    # error 20: rk.bitcast: found rk.u32, need a number type
    # hint: write rk.bitcast(rk.u32, x)
    x = rk.bitcast(msg.u, msg.f)


def bitcast_swapped(ctx, msg: Data):
    # error 20: rk.bitcast: found rk.f32, need a number type
    # hint: write rk.bitcast(rk.u32, x)
    x = rk.bitcast(msg.f, rk.u32)


def isinstance_of_number(ctx, msg: Data):
    # error 20: found rk.u32, need a message
    # hint: numbers have one type, which is known
    b = isinstance(msg.u, Ping)


def isinstance_of_builtin(ctx, msg: Data):
    # error 25: int is no message class
    # hint: name a class made by @rk.message
    b = isinstance(msg, int)


def isinstance_of_value(ctx, msg: Data):
    # error 25: LIMIT is no message class
    # hint: name a class made by @rk.message
    b = isinstance(msg, LIMIT)


def isinstance_of_one(ctx, msg: Data):
    # error 9: isinstance needs a message and classes
    # hint: write isinstance(msg, A)
    b = isinstance(msg)


def call_of_launch(ctx, msg: Data):
    # error 5: rk.Runtime is a function that cannot be called here
    # hint: call @rk.device functions, math functions, and methods of ctx
    rk.Runtime()


def method_of_a_number(ctx, msg: Data):
    # error 9: rk.u32 has no attribute 'bit_length'
    x = msg.u.bit_length()


def enum_called(ctx, msg: Data):
    # error 9: Color is an enum that cannot be called here
    # hint: call @rk.device functions, math functions, and methods of ctx
    x = Color(1)
