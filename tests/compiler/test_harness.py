"""The harness itself, with rk_run functions in C: what it passes on, and what it catches."""

from __future__ import annotations

import ctypes
import math
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from comparing import difference_of_bytes, ulps_between
from harness import Script, assert_same, difference, floats_of, run_interpreter, run_native, same
from programs import ANSWER, add, at, everything, i32, load, one, u32

import pyringkernel as rk
from pyringkernel.compiler import ir
from pyringkernel.compiler.ir import Root, Type

INCLUDE = Path(__file__).resolve().parents[2] / "cpp" / "include"
COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(
    COMPILER is None or not (INCLUDE / "ringkernel" / "compiled.h").is_file(), reason="needs a C compiler"
)

CODE = """
#include <string.h>
#include "ringkernel/compiled.h"

static int32_t number(const uint8_t* at) { int32_t n; memcpy(&n, at, 4); return n; }

/* As the program `accumulate` below. */
uint32_t accumulate(const void* program, rk_call* call, const uint8_t* first, uint64_t stride, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    call->slot = first + i * stride;
    const int32_t total = number(call->state) + number(call->slot + 64) + (program != NULL);
    memcpy(call->state, &total, 4);
    const uint64_t time = call->services->now(call);
    memcpy(call->state + 8, &time, 8);
    if (number(call->slot + 64) == 3) {
      ++call->errors; call->last_error = 7; call->error_line = 10;
    }
    if (call->services->reply(call, 0x22220001u, call->slot + 64, 8)) { call->fail_line = 12; return i + 1; }
    if (call->errors) return i + 1;
  }
  return count;
}

uint32_t spin(const void* program, rk_call* call, const uint8_t* first, uint64_t stride, uint32_t count) {
  (void)program; (void)first; (void)stride; (void)count;
  while (__atomic_load_n(call->cancel, __ATOMIC_RELAXED) != call->task) {}
  call->failed = RK_FAIL_CANCELLED; call->fail_line = 3;
  return 1;
}

#define BAD(name, ...) uint32_t name(const void* program, rk_call* call, const uint8_t* first, uint64_t stride, \\
    uint32_t count) { (void)program; (void)call; (void)first; (void)stride; __VA_ARGS__ }
BAD(nothing, (void)count; return 0;)
BAD(too_many, return count + 1;)
BAD(early, (void)count; return 1;)
BAD(behind_state, call->state[16] = 0; return count;)
BAD(before_frame, call->frame[-1] = 0; return count;)
BAD(behind_shared, call->shared[0] = 1; return count;)
BAD(behind_message, call->message[16] = 1; return count;)
BAD(slot_written, ((uint8_t*)first)[70] ^= 1; return count;)
BAD(behind_slots, ((uint8_t*)first)[count * stride] ^= 1; return count;)
BAD(all_services,
  const rk_services* s = call->services;
  if (!s->update_clock(call, s->now(call)) || s->pending(call) != 5 || s->free_slots(call, 2) != 42) return 0;
  if (s->is_terminating(call)) return 0;
  s->request_termination(call);
  if (!s->is_terminating(call) || s->tick(call) == 0 || s->publish(call, 1, 9, first + 64, 4, 1) != 3) return 0;
  if (s->send(call, 1, 9, first + 64, 0, RK_ANY_INSTANCE, 7, -1.0)) return 0;
  return count;)
"""


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """Name -> [(address, pointer)]"""
    folder = tmp_path_factory.mktemp("harness")
    (folder / "runs.c").write_text(CODE)
    command = [COMPILER, "-shared", "-fPIC", "-O1", f"-I{INCLUDE}", "-o", folder / "runs.so", folder / "runs.c"]
    subprocess.run(command, check=True, timeout=60)
    library = ctypes.CDLL(str(folder / "runs.so"))

    def find(name, pointer=None):
        return [(ctypes.cast(getattr(library, name), ctypes.c_void_p).value, pointer)]

    return find


def accumulate():
    message = load(Type.I32, Root.MESSAGE, 0)
    time = ir.Local(Type.U64, "time")
    body = [
        ir.Store(at(Root.STATE, 0), add(load(Type.I32, Root.STATE, 0), message), 8),
        ir.CallService(time, ir.Service.NOW, (), 9),
        ir.Store(at(Root.STATE, 8), time, 9),
        ir.If(ir.Compare(ir.CompareOp.EQ, message, i32(3)), (ir.CountError(u32(7), 10),), line=10),
        ir.Reply(ANSWER, at(Root.MESSAGE, 0), 8, 12),
    ]
    return one(body, locals=[time], may_fail=True, state=16)


MESSAGES = [(0, struct.pack("<iiq", number, 5, 0)) for number in (1, 2, 3, 4, 5, 3)]


@pytest.mark.parametrize("batch", [1, 2, 100])
@pytest.mark.parametrize("refuse", [{}, {0: 0xFFFF0102}, {2: 0xFFFF0102, 4: 0xFFFF0103}])
def test_a_run_in_c_is_the_same_as_the_interpreters(entries, batch, refuse):
    script = Script(refuse=refuse)
    expected = run_interpreter(accumulate(), MESSAGES, state=bytes(range(16)), script=script)
    found = run_native(
        entries("accumulate"), accumulate(), MESSAGES, state=bytes(range(16)), script=script, batch=batch
    )
    assert_same(found, expected)
    assert found.handled == 6
    assert found.errors == 2


def test_differences_are_found(entries):
    expected = run_interpreter(accumulate(), MESSAGES)
    found = run_native(entries("accumulate", 1), accumulate(), MESSAGES)  # each sum is one too large
    assert difference(found, expected).startswith("state: byte 0: ")
    assert not same(found, expected)
    assert "message 1: " in difference(expected, run_interpreter(accumulate(), MESSAGES[1:]))
    assert "messages handled" in difference(expected, run_interpreter(accumulate(), MESSAGES[:5]))
    other = [(0, struct.pack("<iiq", 1, 6, 0)), *MESSAGES[1:]]
    assert difference(expected, run_interpreter(accumulate(), other)).startswith(
        "effect 1, reply of 0x22220001: byte 4"
    )


BROKEN = {
    "nothing": "handled 0 of 6",
    "too_many": "handled 7 of 6",
    "early": "1 of 6 messages for no reason",
    "behind_state": "state: bytes outside",
    "before_frame": "frame: bytes outside",
    "behind_shared": "shared: bytes outside",
    "behind_message": "message: bytes outside",
    "slot_written": "slots are read-only",
    "behind_slots": "slots: bytes outside",
}


@pytest.mark.parametrize(("name", "text"), BROKEN.items())
def test_what_breaks_the_rules_is_caught(entries, name, text):
    with pytest.raises(AssertionError, match=text):
        run_native(entries(name), accumulate(), MESSAGES)


def test_what_a_service_raises_comes_out(entries, monkeypatch):
    monkeypatch.setattr("harness.Recorder.now", lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        run_native(entries("accumulate"), accumulate(), MESSAGES)


def test_every_service_can_be_called(entries):
    made = accumulate()
    outcome = run_native(entries("all_services"), made, MESSAGES[:1])
    clock = Script().clock
    assert outcome.effects == [
        ("now",),
        ("update_clock", clock),
        ("request_termination",),
        ("tick",),
        ("publish", 9, MESSAGES[0][1][:4], 0, 1, True),
        ("send", 9, b"", 0, 1, 0xFFFFFFFF, 3, 0.0),
    ]


def test_cancelling(entries):
    spin = one([ir.Loop((), 3)], may_fail=True)
    expected = run_interpreter(spin, MESSAGES[:2], fuel=0)
    assert_same(run_native(entries("spin"), spin, MESSAGES[:2], cancelled=True), expected)
    assert_same(run_native(entries("spin"), spin, MESSAGES[:2], cancel_after=0.02), expected)


def test_floats_are_compared_as_floats():
    pack = struct.pack
    assert ulps_between(Type.F32, pack("<f", 1.0), pack("<f", 1.0)) == 0
    assert ulps_between(Type.F32, pack("<f", 1.0), pack("<I", 0x3F800003)) == 3
    assert ulps_between(Type.F16, pack("<e", 0.0), pack("<e", -0.0)) == 1
    assert ulps_between(Type.F64, pack("<d", math.nan), pack("<Q", 0xFFF0000000000001)) == 0
    assert ulps_between(Type.F64, pack("<d", math.nan), pack("<d", math.inf)) > 1 << 62
    assert ulps_between(Type.F32, pack("<I", 1), pack("<I", 0x80000001)) == 3
    floats = [(4, Type.F32)]
    one_, other = pack("<If", 7, 1.0), pack("<II", 7, 0x3F800001)
    assert difference_of_bytes(one_, other, floats) == "f32 at byte 4: 1.0 (0000803f) and 1.0000001192092896 (0100803f)"
    assert difference_of_bytes(one_, other, floats, ulps=1) == ""
    assert difference_of_bytes(one_, pack("<II", 6, 0x3F800001), floats, ulps=1).startswith("byte 0: ")
    assert difference_of_bytes(one_, other).startswith("byte 4: ")
    assert difference_of_bytes(b"ab", b"a") == "2 and 1 bytes"


@rk.message
class HarnessPoint:
    x: rk.f16 = 0.0
    y: rk.f64 = 0.0


@rk.message
class HarnessMixed:
    n: rk.u8 = 0
    v: rk.Vec[rk.f32, 2]
    p: HarnessPoint
    ps: rk.Array[HarnessPoint, 2]
    b: rk.Bytes[5]


def test_where_floats_are_follows_from_the_class():
    assert floats_of(HarnessMixed) == [
        (8, Type.F32),
        (12, Type.F32),
        (16, Type.F16),
        (24, Type.F64),
        (32, Type.F16),
        (40, Type.F64),
        (48, Type.F16),
        (56, Type.F64),
    ]


def test_nans_of_any_payload_in_effects_are_one():
    made = everything()
    nan = struct.pack("<II8x", 0x7FC00001, 0x7FC00000)
    other = struct.pack("<II8x", 0xFFC00002, 0x7FC00000)
    a, b = run_interpreter(made, [(1, nan)]), run_interpreter(made, [(1, other)])
    assert difference(a, b)
    assert_same(a, b, {ANSWER + 1: [(0, Type.F32), (4, Type.F32)]})
