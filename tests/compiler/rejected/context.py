"""What ctx has, and how it is called."""

from __future__ import annotations

import math

import pyringkernel as rk

from rejected.common import LIMIT, Color, Data, Ping, Point, Pong, Tally


def unknown_method(ctx, msg: Data):
    # error 5: ctx has no 'sleep'
    ctx.sleep(1)


def misspelled_method(ctx, msg: Data):
    # error 5: ctx has no 'sync_thread'
    # hint: did you mean ctx.sync_threads?
    ctx.sync_thread()


def method_not_called(ctx, msg: Data):
    # error 9: found a method that is not called, which cannot be a local
    # hint: call it: ctx.thread_id()
    x = ctx.thread_id


def attribute_assigned(ctx, msg: Data):
    # error 5: ctx.count cannot be changed here
    # hint: assign to a local, a field or an element
    ctx.count = 1


def argument_too_many(ctx, msg: Data):
    # error 9: ctx.thread_id: found 1 arguments, need 0
    x = ctx.thread_id(0)


def barrier_as_value(ctx, msg: Data):
    # error 9: found None, which cannot be a local
    # hint: it has no result: write the call as a statement
    x = ctx.sync_threads()


def fence_of_unknown_scope(ctx, msg: Data):
    # error 15: ctx.fence: found 'planet', need one of 'warp', 'block', 'grid', 'system'
    ctx.fence("planet")


def fence_of_number(ctx, msg: Data):
    # error 15: ctx.fence: found 1, need one of 'warp', 'block', 'grid', 'system'
    ctx.fence(1)


def fence_with_unknown_keyword(ctx, msg: Data):
    # error 21: ctx.fence has no argument 'range'
    # hint: it has scope
    ctx.fence(range="block")


def send_without_message(ctx, msg: Data):
    # error 5: ctx.send: message is missing
    # hint: it has target, message, instance, priority, deadline
    ctx.send("host")


def send_to_number(ctx, msg: Data):
    # error 14: ctx.send: found 1, need the name of a kernel
    # hint: write the name of a kernel, "host", or a str constant of the module
    ctx.send(1, Ping(x=1))


def send_to_dynamic_target(ctx, msg: Data):
    # error 14: ctx.send: found rk.Bytes[8], need the name of a kernel
    # hint: write the name of a kernel, "host", or a str constant of the module
    ctx.send(msg.tag, Ping(x=1))


def send_to_nobody(ctx, msg: Data):
    # error 14: ctx.send: the name of the kernel is empty
    # hint: write its name, or "host"
    ctx.send("", Ping(x=1))


def send_to_broken_text(ctx, msg: Data):
    # error 14: this text is not valid Unicode
    # hint: it has half of a surrogate pair
    ctx.send("\ud800", Ping(x=1))


def send_of_number(ctx, msg: Data):
    # error 22: ctx.send: found 1, need a message
    # hint: construct one: Reply(x=1)
    ctx.send("host", 1)


def send_of_text(ctx, msg: Data):
    # error 22: ctx.send: found a str, need a message
    # hint: construct one: Reply(x=1)
    ctx.send("host", "hello")


def send_of_array(ctx, msg: Data):
    # error 22: ctx.send: found rk.Array[rk.f32, 8], need a message
    # hint: construct one: Reply(x=1)
    ctx.send("host", msg.values)


def send_of_state(ctx, state: Tally, msg: Data):
    # error 22: ctx.send: Tally is a state class, need a message
    # hint: construct a message of what is to be sent
    ctx.send("host", state)


def send_with_unknown_keyword(ctx, msg: Data):
    # error 41: ctx.send has no argument 'timeout'
    # hint: it has target, message, instance, priority, deadline
    ctx.send("host", Ping(x=1), timeout=1)


def send_with_float_priority(ctx, msg: Data):
    # error 42: found the float 1.5, need rk.u32
    # hint: write rk.u32(...) around it, or cast the integer: rk.f32(...)
    ctx.send("host", Ping(x=1), priority=1.5)


def send_with_text_deadline(ctx, msg: Data):
    # error 42: deadline: found a str, need rk.f64
    ctx.send("host", Ping(x=1), deadline="soon")


def send_as_value(ctx, msg: Data):
    # error 9: found None, which cannot be a local
    # hint: it has no result: write the call as a statement
    x = ctx.send("host", Ping(x=1))


def reply_without_message(ctx, msg: Data) -> Pong:
    # error 5: ctx.reply: message is missing
    # hint: it has message
    ctx.reply()


def reply_of_number(ctx, msg: Data) -> Pong:
    # error 15: ctx.reply: found 1, need a message
    # hint: construct one: Reply(x=1)
    ctx.reply(1)


def publish_to_pattern(ctx, msg: Data):
    # error 21: the topic 'a/*' has a wildcard
    # hint: wildcards are for subscriptions; name one topic
    n = ctx.publish("a/*", Ping(x=1))


def publish_to_nothing(ctx, msg: Data):
    # error 17: the topic '' has an empty level
    # hint: write text before, between and after the slashes
    ctx.publish("", Ping(x=1))


def publish_to_number(ctx, msg: Data):
    # error 17: ctx.publish: found 1, need a topic
    # hint: write a str, or a str constant of the module
    ctx.publish(1, Ping(x=1))


def publish_with_dynamic_retain(ctx, msg: Data):
    # error 40: retain: need True or False
    # hint: write an if with two calls
    ctx.publish("a", Ping(x=1), retain=msg.flag)


def report_float(ctx, msg: Data):
    # error 22: code: found rk.f32, need rk.u32
    # hint: write rk.u32(msg.f)
    ctx.report_error(msg.f)


def report_nothing(ctx, msg: Data):
    # error 5: ctx.report_error: code is missing
    # hint: it has code
    ctx.report_error()


def report_negative(ctx, msg: Data):
    # error 22: -1 does not fit rk.u32 (0 to 4294967295)
    # hint: write rk.u32(-1), which wraps, or use a wider type
    ctx.report_error(-1)


def timestamp_added(ctx, msg: Data):
    # error 9: found a timestamp, need a number
    # hint: write ctx.now().time for the number
    t = ctx.now() + 1


def timestamp_compared_with_number(ctx, msg: Data):
    # error 9: found a timestamp, need a number
    # hint: write ctx.now().time for the number
    b = ctx.now() > 1


def timestamp_has_only_time(ctx, msg: Data):
    # error 9: a timestamp has no 'physical_ns' here
    # hint: it has .time, in ticks of the clock
    x = ctx.now().physical_ns


def timestamp_stored(ctx, msg: Data):
    # error 15: msg.u64: found a timestamp, need rk.u64
    # hint: write ctx.now().time
    msg.u64 = ctx.now()


def update_clock_with_float(ctx, msg: Data):
    # error 22: timestamp: found rk.f32, need rk.u64
    # hint: write rk.u64(msg.f)
    ctx.update_clock(msg.f)


def free_slots_of_number(ctx, msg: Data):
    # error 24: ctx.free_slots: found 1, need the name of a kernel
    # hint: write the name of a kernel, "host", or a str constant of the module
    n = ctx.free_slots(1)


def atomic_on_message(ctx, msg: Data):
    # error 20: ctx.atomic_add: found msg.u, which nobody shares
    # hint: name a field or element of the state, of ctx.shared() or of an rk.Ref
    ctx.atomic_add(msg.u, 1)


def atomic_on_local(ctx, msg: Data):
    n = msg.u
    # error 20: found rk.u32, need a field or an element
    # hint: name one: state.x or state.data[i]
    ctx.atomic_add(n, 1)


def atomic_on_value(ctx, state: Tally, msg: Data):
    # error 20: found rk.u64, need a field or an element
    # hint: name one: state.x or state.data[i]
    ctx.atomic_add(state.count + 1, 1)


def atomic_on_float(ctx, state: Tally, msg: Data):
    # error 20: ctx.atomic_add: found rk.f32, need rk.i32, rk.u32, rk.i64 or rk.u64
    # hint: change the type of the field
    ctx.atomic_add(state.total, 1.0)


def atomic_on_small_integer(ctx, state: Tally, msg: Data):
    # error 20: ctx.atomic_add: found rk.u16, need rk.i32, rk.u32, rk.i64 or rk.u64
    # hint: change the type of the field
    ctx.atomic_add(state.small, 1)


def atomic_on_array(ctx, state: Tally, msg: Data):
    # error 20: ctx.atomic_add: found rk.Array[rk.u32, 16]
    # hint: name a field or element of the state, of ctx.shared() or of an rk.Ref
    ctx.atomic_add(state.hist, 1)


def atomic_with_other_type(ctx, state: Tally, msg: Data):
    # error 35: value: found rk.u64, need rk.u32
    # hint: write rk.u32(msg.u64)
    ctx.atomic_add(state.hist[0], msg.u64)


def atomic_with_one_argument(ctx, state: Tally, msg: Data):
    # error 5: ctx.atomic_add: value is missing
    # hint: it has place, value
    ctx.atomic_add(state.count)


def atomic_cas_with_two_arguments(ctx, state: Tally, msg: Data):
    # error 5: ctx.atomic_cas: value is missing
    # hint: it has place, expected, value
    ctx.atomic_cas(state.count, 1)


def unknown_atomic(ctx, state: Tally, msg: Data):
    # error 5: ctx has no 'atomic_nand'
    # hint: did you mean ctx.atomic_and?
    ctx.atomic_nand(state.count, 1)


def shuffle_without_lane(ctx, msg: Data):
    # error 9: ctx.shuffle: lane is missing
    # hint: it has value, lane
    x = ctx.shuffle(msg.u)


def shuffle_with_float_lane(ctx, msg: Data):
    # error 28: found the float 1.5, need rk.u32
    # hint: write rk.u32(...) around it, or cast the integer: rk.f32(...)
    x = ctx.shuffle(msg.u, 1.5)


def shuffle_of_array(ctx, msg: Data):
    # error 21: found rk.Array[rk.f32, 8], need a number
    # hint: name a field or an element of it
    x = ctx.shuffle(msg.values, 1)


def ballot_of_number(ctx, msg: Data):
    # error 20: ctx.ballot: found rk.u32, need a bool
    # hint: write msg.u != 0
    x = ctx.ballot(msg.u)


def all_of_number(ctx, msg: Data):
    # error 17: ctx.all: found rk.u32, need a bool
    # hint: write msg.u != 0
    x = ctx.all(msg.u)


def unknown_reduction(ctx, msg: Data):
    # error 32: ctx.warp_reduce: found 'mul', need one of 'add', 'min', 'max'
    x = ctx.warp_reduce(msg.u, "mul")


def reduction_without_operation(ctx, msg: Data):
    # error 9: ctx.warp_reduce: op is missing
    # hint: it has value, op
    x = ctx.warp_reduce(msg.u)


def reduction_of_bool(ctx, msg: Data):
    # error 25: ctx.warp_reduce: found bool, need a number
    # hint: write rk.u32(msg.flag)
    x = ctx.warp_reduce(msg.flag, "add")


def shared_of_dynamic_length(ctx, msg: Data):
    # error 28: ctx.shared: the length msg.u is not a constant
    # hint: write a number, or a constant of the module
    s = ctx.shared(rk.f32, msg.u)


def shared_of_no_type(ctx, msg: Data):
    # error 20: ctx.shared: found 8, need a type
    # hint: write a type such as rk.f32, or a message class
    s = ctx.shared(8, 8)


def shared_of_no_length(ctx, msg: Data):
    # error 28: ctx.shared: a length of 0
    # hint: write a number from 1 to 2**31 - 1
    s = ctx.shared(rk.f32, 0)


def shared_bound_twice(ctx, msg: Data):
    s = ctx.shared(rk.f32, 8)
    # error 5: s is a local array, which is made once
    # hint: assign its elements
    s = ctx.shared(rk.f32, 8)


def context_passed_to_a_cast(ctx, msg: Data):
    # error 16: found the context, need a number
    x = rk.u32(ctx)
