"""Runs generated WGSL on a Vulkan adapter of this machine, by the `wgpu` package, and the interpreter with what the
device gives a handler, so that the two can be compared.

A device is kept for the process, and so are pipelines by their text. Cases of one program run in one dispatch, each in
a workgroup of its own.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import Outcome, slot_of

from pyringkernel.compiler import ir
from pyringkernel.compiler.emit.emit_wgsl import emit_wgsl, entry_point
from pyringkernel.compiler.emit.wgsl_abi import Effect, Field, Kind, call_words, effects_in, pack_call
from pyringkernel.compiler.interpreter import Interpreter
from pyringkernel.compiler.services import Report

FEATURES = {
    "int64": ("shader-int64", "shader-int64-atomic-all-ops"),
    "f16": ("shader-f16",),
    "subgroups": ("subgroup", "subgroup-barrier"),
}
FUEL = 2000  # some drivers leave all loops after 65535 turns
CLOCK = 1 << 40
PENDING, FREE_SLOTS, SUBSCRIBERS = 5, 40, 2
EFFECTS_WORDS = 4096
DRIFT = 1 << 33


@dataclass(frozen=True)
class Case:
    """What a program is run on: messages are (index of the entry, payload), all of one entry."""

    messages: Sequence[tuple[int, bytes]]
    state: bytes | None = None
    fuel: int = FUEL
    effects_words: int = EFFECTS_WORDS


@dataclass
class Ran(Outcome):
    """`clock`: where it stands at the end."""

    clock: int = 0
    terminating: bool = False
    threads: list[int] = field(default_factory=list)  # that the effects are of


class Device:
    """An adapter with what it has, as options of emit_wgsl."""

    def __init__(self, adapter: Any) -> None:
        self.description = str(adapter.info["description"])
        self.options = {option: all(name in adapter.features for name in names) for option, names in FEATURES.items()}
        wanted = [name for option, names in FEATURES.items() if self.options[option] for name in names]
        self.device = adapter.request_device_sync(required_features=wanted)
        entries = [{"binding": n, "visibility": 4, "buffer": {"type": "storage"}} for n in range(4)]
        self._layout = self.device.create_bind_group_layout(entries=entries)
        self._pipelines: dict[tuple[str, str], Any] = {}
        self._modules: dict[str, Any] = {}

    def module(self, text: str) -> Any:
        """Raises wgpu.GPUValidationError for text that naga refuses."""
        if text not in self._modules:
            self._modules[text] = self.device.create_shader_module(code=text)
        return self._modules[text]

    def pipeline(self, text: str, entry: str) -> Any:
        """Made once for each text."""
        key = (text, entry)
        if key not in self._pipelines:
            layout = self.device.create_pipeline_layout(bind_group_layouts=[self._layout])
            self._pipelines[key] = self.device.create_compute_pipeline(
                layout=layout, compute={"module": self.module(text), "entry_point": entry}
            )
        return self._pipelines[key]

    def dispatch(self, text: str, entry: str, buffers: Sequence[bytes], groups: int) -> list[bytes]:
        """Runs the workgroups on copies of the buffers, and gives what is in them then."""
        import wgpu

        usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
        made = [self.device.create_buffer_with_data(data=data or bytes(4), usage=usage) for data in buffers]
        bound = [{"binding": n, "resource": {"buffer": b, "offset": 0, "size": b.size}} for n, b in enumerate(made)]
        group = self.device.create_bind_group(layout=self._layout, entries=bound)
        encoder = self.device.create_command_encoder()
        compute = encoder.begin_compute_pass()
        compute.set_pipeline(self.pipeline(text, entry))
        compute.set_bind_group(0, group)
        compute.dispatch_workgroups(groups)
        compute.end()
        self.device.queue.submit([encoder.finish()])
        return [bytes(self.device.queue.read_buffer(buffer)) for buffer in made]

    def run_alone(self, text: str, entry: str, data: bytes) -> bytes:
        """With one buffer at binding 0, in one workgroup."""
        return self.dispatch(text, entry, [data, b"", b"", b""], 1)[0]


@functools.cache
def device() -> Device | None:
    """The first Vulkan adapter's, a software one rather than none; None when there is no adapter or no wgpu."""
    try:
        import wgpu
    except ImportError:
        return None
    adapters = [found for found in wgpu.gpu.enumerate_adapters_sync() if found.info["backend_type"] == "Vulkan"]
    return Device(adapters[0]) if adapters else None


def needed_device() -> Device:
    """For tests that were not skipped."""
    found = device()
    assert found is not None
    return found


def _rounded(size: int, to: int = 64) -> int:
    return max(to, -(-size // to) * to)


def run_wgsl(program: ir.Program, cases: Sequence[Case], **options: bool) -> list[Ran]:
    """Each case in a workgroup. What is left of a case's messages after one that failed or counted errors runs in
    another dispatch, as the host would do it."""
    text = emit_wgsl(program, **options)
    runs = [_Run(program, case) for case in cases]
    while waiting := [run for run in runs if run.left]:
        entry = waiting[0].entry
        _dispatch(needed_device(), text, program, entry, [run for run in waiting if run.entry == entry])
    return [run.outcome for run in runs]


class _Run:
    """A case at work."""

    def __init__(self, program: ir.Program, case: Case) -> None:
        self.case = case
        self.left = list(enumerate(case.messages))
        self.outcome = Ran(case.state or bytes(program.state_size), [], [], clock=CLOCK)

    @property
    def entry(self) -> int:
        return self.left[0][1][0]

    def batch(self) -> list[tuple[int, bytes]]:
        """The next messages that are of one entry."""
        found = []
        for number, (entry, payload) in self.left:
            if entry != self.entry:
                break
            found.append((number, payload))
        return found

    def fields(self) -> dict[Field, int]:
        """What does not depend on where things are."""
        clock = self.outcome.clock
        return {
            Field.FUEL: self.case.fuel, Field.EFFECTS_WORDS: self.case.effects_words, Field.KERNEL: 3,
            Field.INSTANCE: 4, Field.NOW: CLOCK, Field.CLOCK: clock, Field.CLOCK_LIMIT: CLOCK + DRIFT,
            Field.PENDING: PENDING, Field.TERMINATING: int(self.outcome.terminating), Field.COUNT: len(self.batch()),
        }  # fmt: skip

    def take(self, program: ir.Program, state: bytes, call: bytes, effects: bytes) -> None:
        """What a dispatch gave."""
        words = struct.unpack(f"<{len(call) // 4}I", call)
        outcome = self.outcome
        outcome.state = state[: program.state_size]
        handled = words[Field.HANDLED]
        outcome.reports += [Report() for _ in range(handled - 1)]
        names = (Field.FAILED, Field.FAIL_LINE, Field.ERRORS, Field.LAST_ERROR, Field.ERROR_LINE)
        outcome.reports.append(Report(*(words[name] for name in names)))
        self.left = self.left[handled:]
        assert handled > 0
        outcome.clock = (words[Field.CLOCK] | words[Field.CLOCK + 1] << 32) + words[Field.TICKS]
        outcome.terminating = bool(words[Field.TERMINATING])
        for effect in effects_in(effects, words[Field.EFFECTS_USED]):
            outcome.effects.append(told(effect))
            outcome.threads.append(effect.thread)


def told(effect: Effect) -> tuple[Any, ...]:
    """As harness.Recorder notes it."""
    if effect.kind is Kind.REPLY:
        return ("reply", effect.type_id, effect.payload, 0)
    if effect.kind is Kind.PUBLISH:
        return ("publish", effect.type_id, effect.payload, 0, effect.index, effect.retain)
    deadline = effect.deadline if effect.deadline > 0.0 else 0.0
    return ("send", effect.type_id, effect.payload, 0, effect.index, effect.instance, effect.priority, deadline)


def _dispatch(on: Device, text: str, program: ir.Program, entry: int, runs: Sequence[_Run]) -> None:
    size = _rounded(program.state_size)
    stride = _rounded(64 + program.entries[entry].size, 8)
    states, slots, calls = bytearray(), bytearray(), bytearray()
    room = max(run.case.effects_words for run in runs)
    for n, run in enumerate(runs):
        fields = run.fields() | {
            Field.STATE: len(states), Field.SLOTS: len(slots), Field.STRIDE: stride, Field.EFFECTS: n * room,
        }  # fmt: skip
        states += run.outcome.state.ljust(size, b"\0")
        for number, payload in run.batch():
            slots += slot_of(program, entry, payload, number).ljust(stride, b"\x3c")
        free = {target: FREE_SLOTS + target for target in range(len(program.targets))}
        topics = {topic: SUBSCRIBERS + topic for topic in range(len(program.topics))}
        calls += pack_call(program, fields, free, topics)
    buffers = [bytes(states), bytes(slots), bytes(calls), b"\xa5" * (4 * room * len(runs))]
    state, _, call, effects = on.dispatch(text, entry_point(entry), buffers, len(runs))
    words = 4 * call_words(program)
    for n, run in enumerate(runs):
        run.take(
            program,
            state[n * size : (n + 1) * size],
            call[n * words : (n + 1) * words],
            effects[4 * n * room : 4 * (n + 1) * room],
        )


class DeviceServices:
    """As a dispatch has them: time stands still, and effects have bounded room."""

    def __init__(self, program: ir.Program, case: Case) -> None:
        self.effects: list[tuple[Any, ...]] = []
        self.clock = CLOCK
        self.message = 0
        self.terminating = False
        self.left = case.effects_words

    def room(self, payload: bytes) -> bool:
        """Whether there is room. When there was none once, there is none after it."""
        self.left -= 12 + (len(payload) + 3) // 4
        return self.left >= 0

    def reply(self, type_id: int, payload: bytes) -> int:
        if not self.room(payload):
            return int(ir.ErrorCode.SEND_FULL)
        self.effects.append(("reply", type_id, payload, 0))
        return 0

    def send(self, target: int, type_id: int, payload: bytes, instance: int, priority: int, deadline: float) -> int:
        if not self.room(payload):
            return int(ir.ErrorCode.SEND_FULL)
        self.effects.append(("send", type_id, payload, 0, target, instance, priority, deadline))
        return 0

    def publish(self, topic: int, type_id: int, payload: bytes, retain: bool) -> int:
        assert self.room(payload)
        self.effects.append(("publish", type_id, payload, 0, topic, retain))
        return SUBSCRIBERS + topic

    def now(self) -> int:
        return CLOCK

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def update_clock(self, time: int) -> bool:
        if time > CLOCK + DRIFT:
            return False
        self.clock = max(self.clock, time)
        return True

    def pending(self) -> int:
        return max(0, PENDING - self.message)

    def free_slots(self, target: int) -> int:
        return FREE_SLOTS + target

    def request_termination(self) -> None:
        self.terminating = True

    def is_terminating(self) -> bool:
        return self.terminating


def run_reference(program: ir.Program, case: Case) -> Ran:
    """What the interpreter does with a case. A dispatch begins where run_wgsl begins one."""
    services = DeviceServices(program, case)
    interpreter = Interpreter(program, fuel=case.fuel, instance=4, kernel=3)
    state = bytearray(case.state or bytes(program.state_size))
    reports: list[Report] = []
    before = -1
    for number, (entry, payload) in enumerate(case.messages):
        if entry != before or reports[-1].failed or reports[-1].errors:
            services.message, services.left = 0, case.effects_words
        before = entry
        reports.append(interpreter.run(entry, state, slot_of(program, entry, payload, number), services))
        services.message += 1
    return Ran(bytes(state), services.effects, reports, services.clock, services.terminating)


def compare(
    program: ir.Program, cases: Sequence[Case], floats: Mapping[Any, Any] | None = None, ulps: int = 0, **options: bool
) -> list[str]:
    """What differs between device and interpreter, by case."""
    from harness import difference

    found = []
    for number, (case, ran) in enumerate(zip(cases, run_wgsl(program, cases, **options), strict=True)):
        expected = run_reference(program, case)
        told_of = difference(expected, ran, floats, ulps)
        if not told_of and (expected.clock, expected.terminating) != (ran.clock, ran.terminating):
            told_of = f"clock {expected.clock} and {ran.clock}, terminating {expected.terminating}"
        if told_of:
            found.append(f"case {number}: {told_of}")
    return found
