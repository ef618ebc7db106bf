"""What generated WGSL and its host know of each other.

One dispatch handles messages of one class. Each workgroup is one instance: workgroup n handles the messages that call
record n names, in their order, and writes what became of them there. Bind group 0 has four storage buffers of u32,
read and written; offsets in `state` and `slots` are in bytes, elsewhere in words:

    0  state    the instances' states, each at a multiple of 8
    1  slots    messages: 64 bytes of header, then the payload; each at a multiple of 8. A handler that changes its
                message changes it here
    2  calls    call records, `call_words(program)` apart
    3  effects  room for each instance's effects: replies, sends and publications, for the host to carry out

A call record is the fields of `Field`, then for each of Program.targets its free slots (u64), then for each of
Program.topics the number of its subscribers. The host writes all of it before a dispatch; fields from FAILED on as 0.

An effect record is EFFECT_HEADER_WORDS words (`Effect` has their meaning) and the payload, filled up to whole words.
Records follow one another; there is room for them up to EFFECTS_WORDS, and the first that has no room, or whatever
follows it, is one with the kind 0 or missing. An instance whose effect had no room fails with SEND_FULL.

An instance stops after a message that failed or counted errors. A message that takes more than FUEL back edges in one
thread fails with CANCELLED: a dispatch must end, and a driver that stops it resets the device.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .. import ir

HEADER_BYTES = 64
EFFECT_HEADER_WORDS = 12
NO_INSTANCE = 0xFFFFFFFF  # Effect.instance: the receiver's routing decides
NO_PRIORITY = 0xFFFFFFFF


class Field(enum.IntEnum):
    """Words of a call record. u64 fields have their low word here, the high word next."""

    ZERO = 0  # 0. Compilers must not know: see wgsl_floats.py
    STATE = 1  # where the state begins
    SLOTS = 2  # where the first message begins
    STRIDE = 3  # from one message to the next
    COUNT = 4  # messages to handle
    FUEL = 5  # back edges for each message and thread
    EFFECTS = 6  # where the effects begin
    EFFECTS_WORDS = 7  # room for them
    KERNEL = 8  # ctx.kernel_id()
    INSTANCE = 9  # ctx.instance_id()
    TERMINATING = 10  # 0 or 1; the device sets it when the handler asks for it
    OTHER_ZERO = 11  # 0 again
    NOW = 12  # u64: ctx.now()
    CLOCK = 14  # u64: the last stamp, not before NOW - 1. The device moves it to what update_clock() merged
    CLOCK_LIMIT = 16  # u64: ctx.update_clock() refuses more
    PENDING = 18  # u64: ctx.pending() of the first message; one less for each that follows
    FAILED = 20  # ErrorCode of the message that failed, or 0
    FAIL_LINE = 21
    ERRORS = 22  # how many were counted
    LAST_ERROR = 23
    ERROR_LINE = 24
    HANDLED = 25  # messages, the one that failed included
    EFFECTS_USED = 26  # words; more than EFFECTS_WORDS when there was no room
    TICKS = 27  # stamps given: the clock stands at CLOCK + TICKS
    FAILS = 28  # threads in which the message failed
    END = 30  # free slots follow


class Kind(enum.IntEnum):
    """Effect.kind"""

    REPLY = 1
    SEND = 2
    PUBLISH = 3


@dataclass(frozen=True)
class Effect:
    """`message`: which of the call's; `index`: into Program.targets or topics; `deadline`: seconds from now."""

    kind: Kind
    message: int
    index: int
    type_id: int
    instance: int
    priority: int
    deadline: float
    retain: bool
    thread: int
    payload: bytes


def call_words(program: ir.Program) -> int:
    """Words of a call record."""
    return Field.END + 2 * len(program.targets) + len(program.topics)


def pack_call(
    program: ir.Program,
    fields: Mapping[Field, int],
    free_slots: Mapping[int, int] | None = None,
    subscribers: Mapping[int, int] | None = None,
) -> bytes:
    """A call record. Fields that are not given are 0, as are free slots and subscribers, which are by index."""
    words = [0] * call_words(program)
    for field, value in fields.items():
        words[field] = value & 0xFFFFFFFF
        if field in (Field.NOW, Field.CLOCK, Field.CLOCK_LIMIT, Field.PENDING):
            words[field + 1] = value >> 32
    for target, free in (free_slots or {}).items():
        words[Field.END + 2 * target : Field.END + 2 * target + 2] = [free & 0xFFFFFFFF, free >> 32]
    for topic, count in (subscribers or {}).items():
        words[Field.END + 2 * len(program.targets) + topic] = count
    return struct.pack(f"<{len(words)}I", *words)


def effects_in(data: bytes, used_words: int) -> Iterator[Effect]:
    """The effects in an instance's part of the effects buffer; `used_words`: Field.EFFECTS_USED."""
    at, end = 0, min(len(data), 4 * used_words)
    while at + 4 * EFFECT_HEADER_WORDS <= end:
        row = struct.unpack_from("<8IdII", data, at)
        kind, words, message, index, type_id, size, instance, priority, deadline, flags, thread = row
        if kind == 0:
            return
        first = at + 4 * EFFECT_HEADER_WORDS
        payload = data[first : first + size]
        yield Effect(
            Kind(kind), message, index, type_id, instance, priority, deadline, bool(flags & 1), thread, payload
        )
        at += 4 * words


# rk_zero, rk_call, rk_failed and so on are of the thread; rk_calls is what the host sees.
RUNTIME = f"""
var<private> rk_zero: u32;

var<private> rk_other_zero: u32;

var<private> rk_call: u32;

var<private> rk_thread: u32;

var<private> rk_message: u32;

var<private> rk_state_at: u32;

var<private> rk_slot_at: u32;

var<private> rk_fuel: u32;

var<private> rk_failed: u32;

var<private> rk_lane: u32;

var<private> rk_lanes: u32;

var<private> rk_warp: u32;

fn rk_field(field: u32) -> u32 {{ return atomicLoad(&rk_calls[rk_call + field]); }}

fn rk_field2(field: u32) -> vec2<u32> {{ return vec2<u32>(rk_field(field), rk_field(field + 1u)); }}

fn rk_set_field(field: u32, value: u32) {{ atomicStore(&rk_calls[rk_call + field], value); }}

fn rk_begin(thread: u32, group: u32, call_words: u32) {{
  rk_call = group * call_words;
  rk_thread = thread;
  rk_zero = rk_field({Field.ZERO}u);
  rk_other_zero = rk_field({Field.OTHER_ZERO}u);
  rk_state_at = rk_field({Field.STATE}u);
}}

fn rk_next(message: u32) {{
  rk_message = message;
  rk_slot_at = rk_field({Field.SLOTS}u) + message * rk_field({Field.STRIDE}u);
  rk_fuel = rk_field({Field.FUEL}u);
  rk_failed = 0u;
}}

fn rk_fail(code: u32, line: u32) {{
  if rk_failed != 0u {{ return; }}
  rk_failed = code;
  if atomicAdd(&rk_calls[rk_call + {Field.FAILS}u], 1u) != 0u {{ return; }}
  rk_set_field({Field.FAILED}u, code);
  rk_set_field({Field.FAIL_LINE}u, line);
}}

// Whether a loop ends here: going back costs fuel.
fn rk_poll(goes_back: bool, line: u32) -> bool {{
  if !goes_back {{ return false; }}
  if rk_fuel == 0u {{ rk_fail({{cancelled}}u, line); }} else {{ rk_fuel -= 1u; }}
  return rk_failed != 0u;
}}

fn rk_count_error(code: u32, line: u32) {{
  atomicAdd(&rk_calls[rk_call + {Field.ERRORS}u], 1u);
  rk_set_field({Field.LAST_ERROR}u, code);
  rk_set_field({Field.ERROR_LINE}u, line);
}}

fn rk_stops() -> bool {{ return (rk_field({Field.FAILED}u) | rk_field({Field.ERRORS}u)) != 0u; }}

// Room for an effect and its header: where its payload begins, or 0.
fn rk_effect(kind: u32, index: u32, type_id: u32, size: u32, flags: u32, line: u32) -> u32 {{
  let words = {EFFECT_HEADER_WORDS}u + (size + 3u) / 4u;
  let used = atomicAdd(&rk_calls[rk_call + {Field.EFFECTS_USED}u], words);
  let room = rk_field({Field.EFFECTS_WORDS}u);
  let at = rk_field({Field.EFFECTS}u) + used;
  if (used > room) | (words > room - min(used, room)) {{
    if used < room {{ rk_effects[at] = 0u; }}
    rk_fail({{send_full}}u, line);
    return 0u;
  }}
  rk_effects[at] = kind;
  rk_effects[at + 1u] = words;
  rk_effects[at + 2u] = rk_message;
  rk_effects[at + 3u] = index;
  rk_effects[at + 4u] = type_id;
  rk_effects[at + 5u] = size;
  rk_route(at, 0xffffffffu, 0xffffffffu, vec2<u32>(0u, 0u));
  rk_effects[at + 10u] = flags;
  rk_effects[at + 11u] = rk_thread;
  return at + {EFFECT_HEADER_WORDS}u;
}}

fn rk_route(at: u32, instance: u32, priority: u32, deadline: vec2<u32>) {{
  rk_effects[at + 6u] = instance;
  rk_effects[at + 7u] = priority;
  rk_effects[at + 8u] = deadline.x;
  rk_effects[at + 9u] = deadline.y;
}}

fn rk_now() -> vec2<u32> {{ return rk_field2({Field.NOW}u); }}

fn rk_tick() -> vec2<u32> {{
  let ticks = atomicAdd(&rk_calls[rk_call + {Field.TICKS}u], 1u) + 1u;
  return rk_add_64(rk_field2({Field.CLOCK}u), vec2<u32>(ticks, 0u));
}}

fn rk_update_clock(time: vec2<u32>) -> bool {{
  if rk_words_lt(rk_field2({Field.CLOCK_LIMIT}u), time) {{ return false; }}
  let ticks = vec2<u32>(rk_field({Field.TICKS}u), 0u);
  if rk_words_lt(rk_add_64(rk_field2({Field.CLOCK}u), ticks), time) {{
    let base = rk_sub_64(time, ticks);
    rk_set_field({Field.CLOCK}u, base.x);
    rk_set_field({Field.CLOCK + 1}u, base.y);
  }}
  return true;
}}

fn rk_pending() -> vec2<u32> {{
  let first = rk_field2({Field.PENDING}u);
  let gone = vec2<u32>(rk_message, 0u);
  return select(rk_sub_64(first, gone), vec2<u32>(0u, 0u), rk_words_lt(first, gone));
}}

fn rk_free_slots(target_index: u32) -> vec2<u32> {{ return rk_field2({Field.END}u + 2u * target_index); }}

fn rk_request_termination() {{ rk_set_field({Field.TERMINATING}u, 1u); }}

fn rk_is_terminating() -> bool {{ return rk_field({Field.TERMINATING}u) != 0u; }}
"""


def runtime_text() -> str:
    """The functions that use call records."""
    from ..ir import ErrorCode

    text = RUNTIME.replace("{cancelled}", str(int(ErrorCode.CANCELLED)))
    return text.replace("{send_full}", str(int(ErrorCode.SEND_FULL)))
