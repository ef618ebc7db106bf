"""Fields, elements, arrays, Vecs and aliases."""

from __future__ import annotations

import math

import pyringkernel as rk

from rejected.common import LIMIT, Color, Data, Ping, Point, Pong, Tally


def unknown_field(ctx, msg: Data):
    # error 9: Data has no field 'missing'
    # hint: it has flag, s8, i, i64, u8, u16, u, u64, ...
    x = msg.missing


def misspelled_field(ctx, msg: Data):
    # error 9: Data has no field 'valeus'
    # hint: did you mean values?
    x = msg.valeus[0]


def unknown_state_field(ctx, state: Tally, msg: Data):
    # error 5: Tally has no field 'counter'
    # hint: did you mean count?
    state.counter += 1


def unknown_nested_field(ctx, msg: Data):
    # error 9: Point has no field 'z'
    # hint: it has x, y
    x = msg.pos.z


def field_of_the_other_class(ctx, msg: Ping | Pong):
    # error 9: Ping has no field 'y'
    # hint: it has x
    x = msg.y


def index_is_float(ctx, msg: Data):
    # error 20: an index of rk.f32: integers only
    # hint: write rk.u32(msg.f)
    x = msg.values[msg.f]


def index_is_float_literal(ctx, msg: Data):
    # error 20: an index of 1.0: integers only
    # hint: write 1
    x = msg.values[1.0]


def index_is_infinite(ctx, msg: Data):
    # error 20: an index of inf: integers only
    # hint: write an integer
    x = msg.values[math.inf]


def index_is_bool(ctx, msg: Data):
    # error 20: an index of bool: integers only
    # hint: write rk.u32(msg.flag)
    x = msg.values[msg.flag]


def index_outside(ctx, msg: Data):
    # error 20: index 8 is outside of rk.Array[rk.f32, 8]
    # hint: its elements are 0 to 7
    x = msg.values[8]


def index_outside_negative(ctx, msg: Data):
    # error 20: index -9 is outside of rk.Array[rk.f32, 8]
    # hint: its elements are 0 to 7
    x = msg.values[-9]


def index_outside_store(ctx, state: Tally, msg: Data):
    # error 16: index 16 is outside of rk.Array[rk.u32, 16]
    # hint: its elements are 0 to 15
    state.hist[16] = 1


def index_outside_vec(ctx, msg: Data):
    # error 19: index 16 is outside of rk.Vec[rk.i32, 16]
    # hint: its elements are 0 to 15
    x = msg.items[16]


def index_negative_vec(ctx, msg: Data):
    # error 19: index -1 of rk.Vec[rk.i32, 16]: its length varies
    # hint: write v[len(v) - 1] for the last element
    x = msg.items[-1]


def index_outside_bytes(ctx, msg: Data):
    # error 17: index 8 is outside of rk.Bytes[8]
    # hint: its elements are 0 to 7
    x = msg.tag[8]


def index_of_global(ctx, msg: Data):
    # error 20: index 10 is outside of rk.Array[rk.f32, 8]
    # hint: its elements are 0 to 7
    x = msg.values[LIMIT]


def index_of_message(ctx, msg: Data):
    # error 9: Data has no elements
    # hint: only rk.Array, rk.Vec, rk.Bytes and rk.Ref have
    x = msg[0]


def element_has_no_field(ctx, msg: Data):
    # error 9: rk.f32 has no attribute 'x'
    x = msg.values[0].x


def array_has_no_field(ctx, msg: Data):
    # error 9: rk.Array[rk.f32, 8] has no attribute 'shape'
    # hint: write len(msg.values)
    x = msg.values.shape


def array_has_no_append(ctx, msg: Data):
    # error 5: rk.Array[rk.f32, 8] has no attribute 'append'
    # hint: its length is always 8; make it an rk.Vec
    msg.values.append(1.0)


def append_wrong_type(ctx, msg: Data):
    # error 22: element: found rk.f32, need rk.i32
    # hint: write rk.i32(msg.f)
    msg.items.append(msg.f)


def append_narrowed(ctx, msg: Data):
    # error 22: element: found rk.i64, need rk.i32
    # hint: write rk.i32(msg.i64)
    msg.items.append(msg.i64)


def append_nothing(ctx, msg: Data):
    # error 5: append: found 0, need 1 argument
    msg.items.append()


def append_two(ctx, msg: Data):
    # error 5: append: found 2, need 1 argument
    msg.items.append(1, 2)


def append_as_value(ctx, msg: Data):
    # error 9: found None, which cannot be a local
    # hint: it has no result: write the call as a statement
    x = msg.items.append(1)


def clear_with_argument(ctx, msg: Data):
    # error 5: clear: found 1, need 0 arguments
    msg.items.clear(1)


def pop_of_vec(ctx, msg: Data):
    # error 9: rk.Vec[rk.i32, 16] has no attribute 'pop'
    x = msg.items.pop()


def arrays_of_other_elements(ctx, state: Tally, msg: Data):
    # error 18: msg.values: found rk.Array[rk.u32, 4], need rk.Array[rk.f32, 8]
    msg.values = msg.codes


def arrays_of_other_counts(ctx, state: Tally, msg: Data):
    # error 18: state.hist: found rk.Array[rk.u32, 4], need rk.Array[rk.u32, 16]
    # hint: write a loop over the elements that both have
    state.hist = msg.codes


def vec_to_array(ctx, msg: Data):
    # error 17: msg.codes: found rk.Vec[rk.i32, 16], need rk.Array[rk.u32, 4]
    msg.codes = msg.items


def vec_that_may_not_fit(ctx, state: Tally, msg: Data):
    # error 17: state.log: found rk.Array[rk.u32, 16], need rk.Vec[rk.u32, 8]
    # hint: write a loop over the elements that both have
    state.log = state.hist


def list_too_short(ctx, msg: Data):
    # error 17: msg.codes: found 3 elements, need 4
    # hint: it is rk.Array[rk.u32, 4]
    msg.codes = [1, 2, 3]


def list_too_long_for_vec(ctx, state: Tally, msg: Data):
    # error 17: state.log: found 9 elements, need up to 8
    # hint: it is rk.Vec[rk.u32, 8]
    state.log = [1, 2, 3, 4, 5, 6, 7, 8, 9]


def list_with_wrong_type(ctx, msg: Data):
    # error 27: element: found rk.f32, need rk.u32
    # hint: write rk.u32(msg.f)
    msg.codes = [1, 2, 3, msg.f]


def list_with_wrong_literal(ctx, msg: Data):
    # error 27: -4 does not fit rk.u32 (0 to 4294967295)
    # hint: write rk.u32(-4), which wraps, or use a wider type
    msg.codes = [1, 2, 3, -4]


def list_to_number(ctx, msg: Data):
    # error 13: msg.u: found a list, need rk.u32
    msg.u = [1]


def bytes_too_long(ctx, msg: Data):
    # error 15: msg.tag: found 9 bytes, need up to 8
    # hint: it is rk.Bytes[8]
    msg.tag = b"123456789"


def bytes_to_array(ctx, msg: Data):
    # error 18: msg.values: found bytes, need rk.Array[rk.f32, 8]
    # hint: write a list: [1, 2, 3]
    msg.values = b"1234"


def text_to_bytes(ctx, msg: Data):
    # error 15: text is no value in a compiled handler
    # hint: use an int or an enum, bytes for an rk.Bytes field; text is for targets, topics and assert
    msg.tag = "abc"


def array_gets_number(ctx, msg: Data):
    # error 18: msg.values: found 0.0, need rk.Array[rk.f32, 8]
    msg.values = 0.0


def number_gets_array(ctx, msg: Data):
    # error 13: msg.f: found rk.Array[rk.f32, 8], need rk.f32
    msg.f = msg.values


def struct_gets_number(ctx, msg: Data):
    # error 15: msg.pos: found 1.0, need Point
    # hint: write Point(...), or another Point
    msg.pos = 1.0


def struct_of_other_class(ctx, msg: Data):
    # error 15: msg.pos: found Ping, need Point
    # hint: write Point(...), or another Point
    msg.pos = Ping(x=1)


def augmented_array(ctx, msg: Data):
    # error 5: found rk.Array[rk.f32, 8], need a number
    # hint: write a loop over the elements
    msg.values += 1.0


def augmented_struct(ctx, msg: Data):
    # error 5: found Point, need a number
    # hint: name a field of it
    msg.pos += msg.pos


def header_is_read_only(ctx, msg: Data):
    # error 5: msg.header.priority cannot be changed here
    # hint: the header is that of the message that came
    msg.header.priority = 3


def unknown_header_field(ctx, msg: Data):
    # error 9: the header has no 'crc32c'
    x = msg.header.crc32c


def header_of_state(ctx, state: Tally, msg: Data):
    # error 9: only the message in hand has a header
    # hint: read it in the handler, from its message
    x = state.header


def second_name_of_an_object(ctx, msg: Data) -> Pong:
    a = Pong(x=1)
    # error 9: a cannot have a second name
    # hint: use a, or construct another Pong
    b = a
    return a


def alias_bound_twice(ctx, msg: Data):
    v = msg.values
    # error 5: v is another name of something, which it stays
    # hint: choose another name; what is done with either of two things is a @rk.device function of it
    v = msg.values


def alias_in_a_branch(ctx, msg: Data):
    if msg.flag:
        v = msg.codes
    else:
        # error 9: v is another name of something, which it stays
        # hint: choose another name; what is done with either of two things is a @rk.device function of it
        v = msg.codes
    x = v[0]


def zeros_bound_twice(ctx, msg: Data):
    a = rk.zeros(rk.f32, 8)
    # error 5: a is a local array, which is made once
    # hint: assign its elements
    a = rk.zeros(rk.f32, 8)


def zeros_without_length(ctx, msg: Data):
    # error 9: rk.zeros: need a type and a length
    # hint: write rk.zeros(rk.f32, 8)
    a = rk.zeros(rk.f32)


def zeros_of_dynamic_length(ctx, msg: Data):
    # error 26: rk.zeros: the length msg.u is not a constant
    # hint: write a number, or a constant of the module
    a = rk.zeros(rk.f32, msg.u)


def zeros_of_no_length(ctx, msg: Data):
    # error 26: rk.zeros: a length of 0
    # hint: write a number from 1 to 2**31 - 1
    a = rk.zeros(rk.f32, 0)


def zeros_of_negative_length(ctx, msg: Data):
    # error 26: rk.zeros: a length of -1
    # hint: write a number from 1 to 2**31 - 1
    a = rk.zeros(rk.f32, -1)


def zeros_of_float_length(ctx, msg: Data):
    # error 26: rk.zeros: the length 8.0 is not a constant
    # hint: write a number, or a constant of the module
    a = rk.zeros(rk.f32, 8.0)


def zeros_of_huge_length(ctx, msg: Data):
    # error 26: rk.zeros: a length of 1099511627776
    # hint: write a number from 1 to 2**31 - 1
    a = rk.zeros(rk.f64, 2**40)


def zeros_of_no_type(ctx, msg: Data):
    # error 18: rk.zeros: found 8, need a type
    # hint: write a type such as rk.f32, or a message class
    a = rk.zeros(8, 8)


def zeros_of_python_type(ctx, msg: Data):
    # error 18: rk.zeros: found a function (float), need a type
    # hint: write a type such as rk.f32, or a message class
    a = rk.zeros(float, 8)


def number_then_array(ctx, msg: Data):
    x = msg.u
    # error 5: x is rk.u32, found rk.Array[rk.f32, 8]
    # hint: choose another name
    x = msg.values


def array_then_number(ctx, msg: Data):
    x = msg.values
    # error 5: x is rk.Array[rk.f32, 8], found 1.0
    # hint: choose another name
    x = 1.0


def method_of_message(ctx, msg: Data):
    # error 9: Data has no field 'to_bytes'
    # hint: it has flag, s8, i, i64, u8, u16, u, u64, ...
    b = msg.to_bytes()


def copy_of_message(ctx, msg: Data):
    # error 9: Data has no field 'copy'
    # hint: it has flag, s8, i, i64, u8, u16, u, u64, ...
    b = msg.copy()


def function_of_module_assigned(ctx, msg: Data):
    # error 5: math.pi cannot be changed here
    # hint: assign to a local, a field or an element
    math.pi = 3.0
