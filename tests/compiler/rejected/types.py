"""Types that do not fit."""

from __future__ import annotations

import math

import pyringkernel as rk

from rejected.common import LIMIT, Color, Data, Ping, Point, Pong, Tally


def mixed_signs(ctx, msg: Data):
    # error 9: rk.i32 + rk.u32: mixed signedness
    # hint: write rk.u32(msg.i) or rk.i32(msg.u)
    x = msg.i + msg.u


def mixed_signs_other_widths(ctx, msg: Data):
    # error 9: rk.u64 * rk.i8: mixed signedness
    # hint: write rk.i64(msg.u64) or rk.u64(msg.s8)
    x = msg.u64 * msg.s8


def int_with_float(ctx, msg: Data):
    # error 9: rk.u32 * rk.f32: an integer and a float
    # hint: write rk.f32(msg.u)
    x = msg.u * msg.f


def float_with_int(ctx, msg: Data):
    # error 9: rk.f64 - rk.i64: an integer and a float
    # hint: write rk.f64(msg.i64)
    x = msg.d - msg.i64


def bool_with_number(ctx, msg: Data):
    # error 9: bool + rk.u32: a bool and a number
    # hint: write rk.u32(msg.flag)
    x = msg.flag + msg.u


def number_with_bool_literal(ctx, msg: Data):
    # error 9: rk.u32 + bool: a bool and a number
    # hint: write rk.u32(True)
    x = msg.u + True


def bools_added(ctx, msg: Data):
    # error 9: bool + bool: bools are no numbers
    # hint: write rk.u32(msg.flag) and rk.u32(msg.flag)
    x = msg.flag + msg.flag


def number_added_to_a_bool(ctx, msg: Data):
    # error 9: bool + 1: a bool and a number
    # hint: write rk.i32(msg.flag)
    x = msg.flag + 1


def float_literal_with_int(ctx, msg: Data):
    # error 9: rk.u32 * 0.5: an integer and a float
    # hint: write rk.f32(msg.u) or rk.f64(msg.u)
    x = msg.u * 0.5


def literal_too_large(ctx, msg: Data):
    # error 18: 256 does not fit rk.u8 (0 to 255)
    # hint: write rk.u8(256), which wraps, or use a wider type
    x = msg.u8 + 256


def negative_literal_with_unsigned(ctx, msg: Data):
    # error 17: -1 does not fit rk.u32 (0 to 4294967295)
    # hint: write rk.u32(-1), which wraps, or use a wider type
    x = msg.u + -1


def literal_not_exact_in_float(ctx, msg: Data):
    # error 17: 16777217 is not exact in rk.f32
    # hint: write rk.f32(16777217) to round it
    x = msg.f + 16777217


def literal_for_i32(ctx, msg: Data):
    # error 9: 3000000000 does not fit rk.i32 (-2147483648 to 2147483647)
    # hint: write rk.u32(3000000000)
    x = 3_000_000_000


def global_does_not_fit(ctx, msg: Data):
    # error 16: 1000 does not fit rk.u8 (0 to 255)
    # hint: write rk.u8(1000), which wraps, or use a wider type
    x: rk.u8 = LIMIT * 100


def annotation_does_not_fit(ctx, msg: Data):
    # error 16: -1 does not fit rk.u8 (0 to 255)
    # hint: write rk.u8(-1), which wraps, or use a wider type
    x: rk.u8 = -1


def annotation_is_int(ctx, msg: Data):
    # error 8: the annotation int is no type of the language
    # hint: write rk.i32, or another width
    x: int = 1


def annotation_is_float(ctx, msg: Data):
    # error 8: the annotation float is no type of the language
    # hint: write rk.f32 or rk.f64
    x: float = 1.0


def annotation_is_text(ctx, msg: Data):
    # error 8: the annotation str is no type of the language
    # hint: write rk.u32, rk.f32, ...
    x: str = msg.u


def annotation_is_unknown(ctx, msg: Data):
    # error 8: the annotation Missing is no type of the language
    # hint: write rk.u32, rk.f32, ...
    x: Missing = 1


def annotation_is_no_type(ctx, msg: Data):
    # error 8: the annotation LIMIT is no type of the language
    # hint: write rk.u32, rk.f32, ...
    x: LIMIT = 1


def annotation_changes(ctx, msg: Data):
    x: rk.u32 = 1
    # error 8: x is rk.u32 already
    # hint: annotate its first assignment
    x: rk.u64 = 2


def annotated_number_gets_float(ctx, msg: Data):
    # error 17: x: found rk.f32, need rk.u32
    # hint: write rk.u32(msg.f)
    x: rk.u32 = msg.f


def local_narrowed(ctx, msg: Data):
    x = msg.u
    # error 9: x: found rk.u64, need rk.u32
    # hint: write rk.u32(msg.u64)
    x = msg.u64


def local_changes_kind(ctx, msg: Data):
    x = msg.u
    # error 9: x: found rk.f32, need rk.u32
    # hint: write rk.u32(msg.f)
    x = msg.f


def local_becomes_bool(ctx, msg: Data):
    x = msg.u
    # error 9: x: found bool, need rk.u32
    # hint: write rk.u32(msg.flag)
    x = msg.flag


def default_int_gets_u32(ctx, msg: Data):
    n = 0
    # error 9: n is rk.i32 since its first assignment, found rk.u32
    # hint: write n: rk.u32 = ... where it is assigned first
    n = msg.u


def default_int_grows(ctx, msg: Data):
    n = 0
    # error 5: n is rk.i32 since its first assignment, found rk.i64
    # hint: write n: rk.i64 = ... where it is assigned first
    n += msg.i64


def default_float_grows(ctx, msg: Data):
    x = 0.0
    # error 9: x is rk.f32 since its first assignment, found rk.f64
    # hint: write x: rk.f64 = ... where it is assigned first
    x = x + msg.d


def field_narrowed(ctx, state: Tally, msg: Data):
    # error 19: state.small: found rk.u32, need rk.u16
    # hint: write rk.u16(msg.u)
    state.small = msg.u


def field_other_kind(ctx, state: Tally, msg: Data):
    # error 19: state.total: found rk.u32, need rk.f32
    # hint: write rk.f32(msg.u)
    state.total = msg.u


def field_gets_bool(ctx, state: Tally, msg: Data):
    # error 19: state.count: found bool, need rk.u64
    # hint: write rk.u64(msg.flag)
    state.count = msg.flag


def field_literal_too_large(ctx, state: Tally, msg: Data):
    # error 19: 65536 does not fit rk.u16 (0 to 65535)
    # hint: write rk.u16(65536), which wraps, or use a wider type
    state.small = 65536


def field_float_literal(ctx, state: Tally, msg: Data):
    # error 19: found the float 1.5, need rk.u64
    # hint: write rk.u64(...) around it, or cast the integer: rk.f32(...)
    state.count = 1.5


def augmented_narrows(ctx, state: Tally, msg: Data):
    # error 20: state.small: found rk.u32, need rk.u16
    # hint: write rk.u16(msg.u)
    state.small += msg.u


def augmented_other_kind(ctx, state: Tally, msg: Data):
    # error 5: rk.f32 + rk.u32: an integer and a float
    # hint: write rk.f32(msg.u)
    state.total += msg.u


def compare_signs(ctx, msg: Data):
    # error 9: rk.i32 < rk.u32: mixed signedness
    # hint: write rk.u32(msg.i) or rk.i32(msg.u)
    b = msg.i < msg.u


def compare_int_float(ctx, msg: Data):
    # error 9: rk.u32 == rk.f32: an integer and a float
    # hint: write rk.f32(msg.u)
    b = msg.u == msg.f


def compare_bool_number(ctx, msg: Data):
    # error 21: found 1, need a bool
    # hint: write True, False, or a comparison such as x != 0
    b = msg.flag == 1


def compare_literal_too_large(ctx, msg: Data):
    # error 19: 1000 does not fit rk.u8 (0 to 255)
    # hint: write rk.u8(1000), which wraps, or use a wider type
    b = msg.u8 == 1000


def compare_in_chain(ctx, msg: Data):
    # error 9: rk.u32 < rk.i32: mixed signedness
    # hint: write rk.i32(msg.u) or rk.u32(msg.i)
    b = 0 < msg.u < msg.i


def compare_arrays(ctx, msg: Data):
    # error 9: found rk.Array[rk.f32, 8], need a number
    # hint: compare its elements in a loop
    b = msg.values == msg.values


def compare_messages(ctx, msg: Data):
    # error 9: found Point, need a number
    # hint: compare its fields
    b = msg.pos == msg.points[0]


def bools_ordered(ctx, msg: Data):
    # error 9: bool < bool: bools have no order
    # hint: write == or !=
    b = msg.flag < msg.flag


def floor_divide_floats(ctx, msg: Data):
    # error 9: rk.f32 // rk.f32: integers only
    # hint: write math.floor(msg.f / 2.0)
    x = msg.f // 2.0


def modulo_floats(ctx, msg: Data):
    # error 9: rk.f32 % rk.f32: integers only
    # hint: write math.fmod(msg.f, 2.0)
    x = msg.f % 2.0


def divide_ints(ctx, msg: Data):
    # error 9: rk.u32 / rk.u32: / is for floats
    # hint: write msg.u // 2, or rk.f32(msg.u) / rk.f32(2)
    x = msg.u / 2


def divide_assign_ints(ctx, state: Tally, msg: Data):
    # error 5: rk.u64 / rk.u64: / is for floats
    # hint: write state.count // 2, or rk.f32(state.count) / rk.f32(2)
    state.count /= 2


def power_of_ints(ctx, msg: Data):
    # error 9: rk.u32 ** rk.u32: the exponent is no constant
    # hint: write rk.f32(msg.u) ** rk.f32(msg.u), or a loop
    x = msg.u**msg.u


def power_negative(ctx, msg: Data):
    # error 9: rk.u32 ** -1: the exponent of an integer is a constant from 0 to 64
    # hint: write rk.f32(msg.u) ** -1
    x = msg.u**-1


def power_too_large(ctx, msg: Data):
    # error 9: rk.u32 ** 65: the exponent of an integer is a constant from 0 to 64
    # hint: write rk.f32(msg.u) ** 65
    x = msg.u**65


def power_mixed(ctx, msg: Data):
    # error 9: rk.f32 ** rk.u32: the exponent is no constant
    # hint: write rk.f32(msg.f) ** rk.f32(msg.u), or a loop
    x = msg.f**msg.u


def shift_float(ctx, msg: Data):
    # error 9: rk.f32 << ...: integers only
    # hint: write rk.u32(msg.f)
    x = msg.f << 1


def shift_by_float(ctx, msg: Data):
    # error 18: a shift by rk.f32: integers only
    # hint: write rk.u32(msg.f)
    x = msg.u << msg.f


def shift_bool(ctx, msg: Data):
    # error 9: bool << ...: integers only
    # hint: write rk.u32(msg.flag)
    x = msg.flag << 1


def bits_of_float(ctx, msg: Data):
    # error 9: rk.f32 & rk.f32: integers only
    # hint: write rk.bitcast(rk.u32, x) for the bits
    x = msg.f & 1


def bits_of_mixed_signs(ctx, msg: Data):
    # error 9: rk.u32 | rk.i32: mixed signedness
    # hint: write rk.i32(msg.u) or rk.u32(msg.i)
    x = msg.u | msg.i


def invert_float(ctx, msg: Data):
    # error 9: ~rk.f32: integers only
    # hint: write rk.bitcast(rk.u32, x) for the bits
    x = ~msg.f


def invert_bool(ctx, msg: Data):
    # error 9: ~bool: a bool is no number
    # hint: write not msg.flag
    x = ~msg.flag


def minus_bool(ctx, msg: Data):
    # error 9: -bool: a bool is no number
    # hint: write -rk.i32(msg.flag)
    x = -msg.flag


def minus_array(ctx, msg: Data):
    # error 10: found rk.Array[rk.f32, 8], need a number
    # hint: name a field or an element of it
    x = -msg.values


def array_arithmetic(ctx, msg: Data):
    # error 9: found rk.Array[rk.f32, 8], need a number
    # hint: name a field or an element of it
    x = msg.values * 2.0


def message_arithmetic(ctx, msg: Data):
    # error 9: found Data, need a number
    # hint: name a field or an element of it
    x = msg + 1


def conditional_kinds(ctx, msg: Data):
    # error 9: if of rk.u32 and rk.f32: an integer and a float
    # hint: write rk.f32(msg.u)
    x = msg.u if msg.flag else msg.f


def conditional_of_arrays(ctx, msg: Data):
    # error 9: found rk.Array[rk.f32, 8], need a number
    # hint: write an if statement with what is done with it in both branches
    x = msg.values if msg.flag else msg.codes


def swapped_kinds(ctx, msg: Data):
    a = msg.u
    b = msg.f
    # error 12: a: found rk.f32, need rk.u32
    # hint: write rk.u32(b)
    a, b = b, a


def constant_division_by_zero(ctx, msg: Data):
    # error 9: 1 // 0: integer division or modulo by zero
    # hint: write math.inf, math.nan or 0 where that is meant
    x = 1 // 0


def constant_float_division_by_zero(ctx, msg: Data):
    # error 9: 1.0 / 0.0: float division by zero
    # hint: write math.inf, math.nan or 0 where that is meant
    x = 1.0 / 0.0


def constant_shift_is_huge(ctx, msg: Data):
    # error 9: 1 << 100000 is too large for every type
    x = 1 << 100000


def constant_power_is_huge(ctx, msg: Data):
    # error 9: 9 ** 99999 is too large for every type
    x = 9**99999


def constant_power_tower(ctx, msg: Data):
    # error 12: 9 ** 387420489 is too large for every type
    x = 9**9**9**9


def constant_is_shown_short(ctx, msg: Data):
    # error 9: 3383857020...1584180001 does not fit rk.i32 (-2147483648 to 2147483647)
    # hint: no integer type holds it
    x = 7**300


def constant_negative_shift(ctx, msg: Data):
    # error 9: 1 << -1: negative shift count
    x = 1 << -1


def number_has_no_fields(ctx, msg: Data):
    # error 9: rk.u32 has no attribute 'real'
    x = msg.u.real


def number_is_no_array(ctx, msg: Data):
    # error 9: rk.u32 has no elements
    # hint: only rk.Array, rk.Vec, rk.Bytes and rk.Ref have
    x = msg.u[0]


def number_is_no_function(ctx, msg: Data):
    n = msg.u
    # error 9: n is rk.u32, which cannot be called
    x = n(1)
