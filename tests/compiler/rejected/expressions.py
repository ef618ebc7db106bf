"""Expressions that the language does not have."""

from __future__ import annotations

import math

import pyringkernel as rk

from rejected.common import LIMIT, Color, Data, Ping, Point, Pong, Tally


def walrus(ctx, msg: Ping):
    # error 9: an assignment inside of an expression cannot be compiled
    # hint: assign in a statement before
    if (y := msg.x) > 1:
        pass


def lambda_value(ctx, msg: Ping):
    # error 9: a lambda cannot be compiled
    # hint: write a function of the module and decorate it with @rk.device
    f = lambda a: a


def lambda_called(ctx, msg: Ping):
    # error 10: a lambda cannot be compiled
    # hint: write a function of the module and decorate it with @rk.device
    x = (lambda a: a)(1)


def dict_literal(ctx, msg: Ping):
    # error 9: a dict cannot be compiled
    # hint: use an array of the state, with the key as index
    d = {"a": 1}


def set_literal(ctx, msg: Ping):
    # error 9: a set cannot be compiled
    # hint: use the bits of an integer, or an array of rk.boolean
    d = {1, 2}


def list_local(ctx, msg: Ping):
    # error 9: a list cannot be a local
    # hint: rk.zeros(rk.f32, 8) makes a local array; then set its elements
    d = [1, 2]


def list_annotated(ctx, msg: Ping):
    # error 30: a list cannot be a local
    # hint: rk.zeros(rk.f32, 8) makes a local array; then set its elements
    d: rk.Array[rk.u32, 2] = [1, 2]


def list_in_expression(ctx, msg: Ping):
    # error 9: a list cannot be used here
    # hint: give it to an array field: out.data = [a, b]; rk.zeros(rk.f32, 8) makes a local array
    x = [1, 2][msg.x]


def list_in_list(ctx, msg: Data):
    # error 18: a list cannot be used here
    # hint: give it to an array field: out.data = [a, b]; rk.zeros(rk.f32, 8) makes a local array
    msg.codes = [[1, 2], 3, 4, 5]


def tuple_value(ctx, msg: Ping):
    # error 9: a tuple cannot be used here
    # hint: use it to assign several names, a, b = b, a, and in x in (a, b)
    t = (1, 2)


def tuple_returned(ctx, msg: Ping) -> Ping:
    # error 12: a tuple cannot be used here
    # hint: use it to assign several names, a, b = b, a, and in x in (a, b)
    return msg, 1


def tuple_index(ctx, msg: Data):
    # error 20: an array has one index
    # hint: compute it: data[row * columns + column]
    x = msg.values[1, 2]


def list_comprehension(ctx, msg: Ping):
    # error 9: a comprehension cannot be compiled
    # hint: write a loop: for i in range(n): ...
    x = [i for i in range(3)]


def set_comprehension(ctx, msg: Ping):
    # error 9: a comprehension cannot be compiled
    # hint: write a loop: for i in range(n): ...
    x = {i for i in range(3)}


def dict_comprehension(ctx, msg: Ping):
    # error 9: a comprehension cannot be compiled
    # hint: write a loop: for i in range(n): ...
    x = {i: i for i in range(3)}


def generator_expression(ctx, msg: Data):
    # error 9: sum() cannot be compiled
    # hint: write a loop: for x in v: ...
    x = sum(v for v in msg.values)


def generator_argument(ctx, msg: Data):
    # error 12: a generator expression cannot be compiled
    # hint: write a loop: for i in range(n): ...
    x = abs(v for v in msg.values)


def yields(ctx, msg: Ping):
    # error 5: a generator cannot be compiled
    # hint: a handler returns when it is done; to go on later, send a message to itself
    yield msg


def yields_from(ctx, msg: Ping):
    # error 9: a generator cannot be compiled
    # hint: a handler returns when it is done; to go on later, send a message to itself
    x = yield from msg


# error 1: a coroutine cannot be compiled
# hint: a handler returns when it is done; to go on later, send a message to itself
async def awaits(ctx, msg: Ping):
    # error 5: await cannot be compiled
    # hint: a handler returns when it is done; to go on later, send a message to itself
    await ctx


def formatted_text(ctx, msg: Ping):
    # error 9: text cannot be formatted in a compiled handler
    # hint: use an int or an enum, bytes for an rk.Bytes field; text is for targets, topics and assert
    x = f"{msg.x}"


def text_value(ctx, msg: Ping):
    # error 9: text is no value in a compiled handler
    # hint: use an int or an enum, bytes for an rk.Bytes field; text is for targets, topics and assert
    x = "text"


def text_compared(ctx, msg: Data):
    # error 19: text is no value in a compiled handler
    # hint: use an int or an enum, bytes for an rk.Bytes field; text is for targets, topics and assert
    if msg.tag == "abc":
        pass


def text_method(ctx, msg: Ping):
    # error 9: text is no value in a compiled handler
    # hint: use an int or an enum, bytes for an rk.Bytes field; text is for targets, topics and assert
    x = "a".join("b")


def text_formatted_by_percent(ctx, msg: Ping):
    # error 9: text is no value in a compiled handler
    # hint: use an int or an enum, bytes for an rk.Bytes field; text is for targets, topics and assert
    x = "%d" % msg.x


def bytes_local(ctx, msg: Data):
    # error 11: bytes cannot be used here
    # hint: give them to an rk.Bytes field: out.tag = b"abc"; or compare its elements, msg.tag[0] == 97
    tag = b"abc"


def bytes_compared(ctx, msg: Data):
    # error 19: bytes cannot be used here
    # hint: give them to an rk.Bytes field: out.tag = b"abc"; or compare its elements, msg.tag[0] == 97
    if msg.tag == b"abc":
        pass


def none_value(ctx, msg: Ping):
    # error 9: None is no value in a compiled handler
    # hint: use a number or a flag that means `none`
    x = None


def none_compared(ctx, msg: Ping):
    # error 17: None is no value in a compiled handler
    # hint: use a number or a flag that means `none`
    if msg.x == None:
        pass


def is_none(ctx, msg: Ping):
    # error 8: `is` cannot be compiled
    # hint: compare with ==; isinstance(msg, A) tells classes apart
    if msg is None:
        pass


def is_not_none(ctx, msg: Ping):
    # error 8: `is not` cannot be compiled
    # hint: compare with !=; not isinstance(msg, A) tells classes apart
    if msg is not None:
        pass


def is_same(ctx, msg: Data):
    # error 9: `is` cannot be compiled
    # hint: compare with ==; isinstance(msg, A) tells classes apart
    b = msg.u is msg.i


def contained(ctx, msg: Data):
    # error 8: `in` cannot be compiled
    # hint: write x in (a, b), or a loop over the array
    if msg.u in msg.codes:
        pass


def not_contained(ctx, msg: Data):
    # error 8: `not in` cannot be compiled
    # hint: write x not in (a, b), or a loop over the array
    if msg.u not in msg.codes:
        pass


def contained_in_nothing(ctx, msg: Data):
    # error 8: `in` cannot be compiled
    # hint: write x in (a, b), or a loop over the array
    if msg.u in ():
        pass


def quotient_of_integers_that_are_sums(ctx, msg: Data):
    # error 9: rk.u32 / rk.u32: / is for floats
    # hint: write (msg.u + 1) // (msg.u & 3), or rk.f32(msg.u + 1) / rk.f32(msg.u & 3)
    x = (msg.u + 1) / (msg.u & 3)


def shift_of_a_literal_by_more_than_its_width(ctx, msg: Data):
    # error 9: a shift by up to 63 of 1, which is rk.i32 here
    # hint: write rk.u64(1) << (msg.u % 64)
    x = 1 << (msg.u % 64)


def ord_of_two(ctx, msg: Data):
    # error 13: ord: found a str, need one character
    # hint: write ord('a')
    x = ord("ab")


def repeated_by_a_variable(ctx, msg: Data):
    # error 23: found rk.i32, need how often the elements are there
    # hint: write a number from 1 to 65535, or a constant of the module
    msg.codes = [0] * msg.i


def slice_read(ctx, msg: Data):
    # error 20: a slice cannot be compiled
    # hint: copy in a loop: for i in range(n): out.data[i] = msg.data[i]
    x = msg.values[1:3]


def slice_assigned(ctx, msg: Data):
    # error 16: a slice cannot be compiled
    # hint: copy in a loop: for i in range(n): out.data[i] = msg.data[i]
    msg.values[:] = msg.values


def matrix_product(ctx, msg: Data):
    # error 9: @ cannot be compiled
    # hint: write the loops of the product
    x = msg.values @ msg.values


def complex_number(ctx, msg: Ping):
    # error 9: complex numbers cannot be compiled
    # hint: keep real and imaginary part in two fields
    x = 1j


def too_many_bits(ctx, msg: Ping):
    # error 9: this number has more than 64 bits
    # hint: the largest is 2**64 - 1
    x = 0x1_0000_0000_0000_0000


def infinite_literal(ctx, msg: Data):
    # error 9: this number is too large for f64
    # hint: write math.inf for infinity
    x = 1e999


def ellipsis_value(ctx, msg: Ping):
    # error 9: ... cannot be compiled
    # hint: write the value
    x = ...


def starred_argument(ctx, msg: Data):
    # error 13: * cannot be compiled
    # hint: write each value
    x = max(*msg.codes)


def double_starred_argument(ctx, msg: Ping) -> Pong:
    # error 19: ** cannot be compiled
    # hint: write each keyword
    return Pong(**msg)


def call_of_a_call(ctx, msg: Ping):
    # error 9: only what has a name can be called
    # hint: write f(x), ctx.now() or math.sqrt(x)
    x = ctx.now()()


def call_of_an_element(ctx, msg: Data):
    # error 9: only what has a name can be called
    # hint: write f(x), ctx.now() or math.sqrt(x)
    x = msg.codes[0]()


def two_errors_in_one_statement(ctx, msg: Ping):
    # error 9: a dict cannot be compiled
    # hint: use an array of the state, with the key as index
    # error 14: a list cannot be used here
    # hint: give it to an array field: out.data = [a, b]; rk.zeros(rk.f32, 8) makes a local array
    x = {} + []


def wide_characters_before(ctx, msg: Ping):
    y = msg.x
    # error 5: text is no statement
    # hint: write a comment: # ...
    # error 15: a dict cannot be compiled
    # hint: use an array of the state, with the key as index
    "日本"; x = {}  # fmt: skip


def behind_a_continued_line(ctx, msg: Ping):
    x = (
        msg.x
        # error 11: a dict cannot be compiled
        # hint: use an array of the state, with the key as index
        + {}
    )
