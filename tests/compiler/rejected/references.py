"""References to registered memory."""

from __future__ import annotations

import pyringkernel as rk

from rejected.common import Ping


@rk.message
class Part:
    n: rk.u32
    data: rk.Ref[rk.f32]


@rk.message
class Other:
    data: rk.Ref[rk.i32]
    values: rk.Array[rk.f32, 4]


def negative_index(ctx, msg: Part):
    # error 18: index -1 of rk.Ref[rk.f32]: its length varies
    # hint: write v[len(v) - 1] for the last element
    x = msg.data[-1]


def huge_index(ctx, msg: Part):
    # error 18: index 4294967296: a reference has less than 2**32 elements
    x = msg.data[4294967296]


def float_index(ctx, msg: Part):
    # error 18: an index of 0.5: integers only
    # hint: write 0
    x = msg.data[0.5]


def slice_of_a_reference(ctx, msg: Part):
    # error 18: a slice cannot be compiled
    # hint: copy in a loop: for i in range(n): out.data[i] = msg.data[i]
    x = msg.data[1:2]


def append_to_a_reference(ctx, msg: Part):
    # error 5: rk.Ref[rk.f32] has no attribute 'append'
    msg.data.append(1.0)


def count_of_a_reference(ctx, msg: Part):
    # error 9: rk.Ref[rk.f32] has no attribute 'count'
    # hint: write len(msg.data)
    x = msg.data.count


def reference_as_a_number(ctx, msg: Part):
    # error 17: found rk.Ref[rk.f32], need a number
    # hint: name a field or an element of it
    x = msg.n + msg.data


def element_of_another_type(ctx, msg: Part):
    # error 19: msg.data[0]: found rk.u32, need rk.f32
    # hint: write rk.f32(msg.n)
    msg.data[0] = msg.n


def reference_to_other_elements(ctx, msg: Part | Other):
    if isinstance(msg, Other):
        # error 33: field data: found rk.Ref[rk.i32], need rk.Ref[rk.f32]
        # hint: give it a reference of a message; memory is registered by the host, with rt.register()
        answer = Part(n=1, data=msg.data)


def array_as_a_reference(ctx, msg: Part | Other):
    if isinstance(msg, Other):
        # error 33: field data: found rk.Array[rk.f32, 4], need rk.Ref[rk.f32]
        # hint: give it a reference of a message; memory is registered by the host, with rt.register()
        answer = Part(n=1, data=msg.values)


def list_as_a_reference(ctx, msg: Part):
    # error 16: msg.data: found a list, need rk.Ref[rk.f32]
    # hint: give it a reference of a message; memory is registered by the host, with rt.register()
    msg.data = [1.0, 2.0]


def number_as_a_reference(ctx, msg: Part):
    # error 16: msg.data: found 5, need rk.Ref[rk.f32]
    # hint: give it a reference of a message; memory is registered by the host, with rt.register()
    msg.data = 5


def reference_as_an_array(ctx, msg: Part | Other):
    if isinstance(msg, Part):
        # error 42: field values: found rk.Ref[rk.f32], need rk.Array[rk.f32, 4]
        # hint: write a loop over the elements that both have
        answer = Other(data=None, values=msg.data)


def none_as_an_array(ctx, msg: Other):
    # error 18: None is no value in a compiled handler
    # hint: use a number or a flag that means `none`
    msg.values = None


def atomic_of_floats(ctx, msg: Part):
    # error 20: ctx.atomic_add: found rk.f32, need rk.i32, rk.u32, rk.i64 or rk.u64
    # hint: change the type of the field
    ctx.atomic_add(msg.data[0], 1.0)


@rk.device
def _takes(values: rk.Ref[rk.f32]) -> rk.f32:
    return values[0]


def reference_of_another_type_to_a_function(ctx, msg: Other):
    # error 16: values: found rk.Ref[rk.i32], need rk.Ref[rk.f32]
    x = _takes(msg.data)


def array_to_a_function_of_a_reference(ctx, msg: Other):
    # error 16: values: found rk.Array[rk.f32, 4], need rk.Ref[rk.f32]
    x = _takes(msg.values)


def local_array_of_references(ctx, msg: Ping):
    # error 18: a function (Ref) has no elements
    # hint: only rk.Array, rk.Vec, rk.Bytes and rk.Ref have
    x = rk.zeros(rk.Ref[rk.f32], 4)


def several_from_a_reference(ctx, msg: Part):
    # error 12: found rk.Ref[rk.f32], need an array of 2 numbers
    # hint: read the elements: a = v[0]
    a, b = msg.data
