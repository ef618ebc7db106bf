"""WGSL: what GPUs are reached with through WebGPU. wgsl_abi.py says what the host has to do with it.

Barriers of a handler with more than one thread must be reached by all threads of the block; naga does not check it.
Subgroup operations have no `enable`, which naga refuses and browsers ask for.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyringkernel.errors import UnsupportedOnTargetError

from .. import ir
from . import wgsl_floats, wgsl_functions, wgsl_integers
from .targets import refuse
from .wgsl_abi import Field, call_words, runtime_text
from .wgsl_expressions import word
from .wgsl_helpers import Library, Names
from .wgsl_memory import Memory, copy_functions, memories
from .wgsl_statements import FunctionWriter


def entry_point(entry: int) -> str:
    """The name of the entry point that handles messages of Program.entries[entry]."""
    return f"rk_entry_{entry}"


def emit(program: ir.Program, *, lines: bool = True) -> str:
    """For any adapter."""
    return emit_wgsl(program, lines=lines)


def emit_wgsl(
    program: ir.Program, *, int64: bool = False, f16: bool = False, subgroups: bool = False, lines: bool = True
) -> str:
    """The handlers of the program. `int64`, `f16`, `subgroups`: the adapter has 64-bit integers (and all atomic
    operations on them), f16, subgroup operations; without the first two there are others in their place. `lines`: with
    comments that name the user's file and line."""
    _refuse(program, int64, subgroups)
    places = memories(program, int64)
    given = Names("f_")
    functions = {function.name: given.of(function.name) for function in program.functions}
    texts: list[str] = []
    for function in program.functions:
        name = functions[function.name]
        texts.append(FunctionWriter(program, function, name, functions, places, int64, lines).text())
    for n, entry in enumerate(program.entries):
        texts.append(FunctionWriter(program, entry.function, f"handle_{n}", functions, places, int64, lines).text())
        texts.append(_entry(program, n, entry))
    return _assembled(program, places, texts, int64, f16)


def _refuse(program: ir.Program, int64: bool, subgroups: bool) -> None:
    """What no adapter has, and what threads of a block would need of this one. One thread needs neither."""
    refuse(program, "wgsl")
    reasons: dict[str, str] = {}
    if program.block_size > 1 and not int64:
        reasons["atomics64"] = "the adapter has no 64-bit atomic operations (use a 32-bit field, or block_size=1)"
    if program.block_size > 1 and not subgroups:
        reasons["warp"] = "the adapter has no subgroup operations (use ctx.shared() and ctx.sync_threads())"
    missing = sorted(program.features & reasons.keys())
    if missing:
        told = "; ".join(f"{feature}: {reasons[feature]}" for feature in missing)
        raise UnsupportedOnTargetError(f"handler {program.name!r} cannot run on WebGPU: it uses {told}")


def _entry(program: ir.Program, number: int, entry: ir.Entry) -> str:
    """One workgroup: the messages of one instance, in their order."""
    parameters = ["@builtin(workgroup_id) group: vec3<u32>"]
    begin = f"  rk_begin(0u, group.x, {call_words(program)}u);"
    if program.block_size > 1:
        parameters.append("@builtin(local_invocation_index) thread: u32")
        begin = begin.replace("0u", "thread", 1)
    if program.block_size > 1 and "warp" in program.features:
        parameters += [
            "@builtin(subgroup_invocation_id) lane: u32",
            "@builtin(subgroup_size) lanes: u32",
            "@builtin(subgroup_id) warp: u32",
        ]
        begin += "\n  rk_lane = lane;\n  rk_lanes = lanes;\n  rk_warp = warp;"
    loop = _one_thread(program, number) if program.block_size == 1 else _many_threads(program, number)
    return (
        f"// messages of class {Names('').of(entry.message)}, type id {entry.type_id:#010x}, {entry.size} bytes\n"
        f"@compute @workgroup_size({program.block_size})\n"
        f"fn {entry_point(number)}({', '.join(parameters)}) {{\n{begin}\n{loop}\n}}"
    )


def _zero_shared(program: ir.Program) -> str:
    if not program.shared_size:
        return ""
    step = 4 * program.block_size
    first = "rk_thread * 4u" if program.block_size > 1 else "0u"
    return (
        f"    for (var at = {first}; at < {word(program.shared_size)}; at += {step}u) "
        "{ rk_local_set_word(at >> 2u, 0u); }\n"
    )


def _one_thread(program: ir.Program, number: int) -> str:
    return (
        f"  let count = rk_field({Field.COUNT}u);\n"
        "  for (var message = 0u; message < count; message += 1u) {\n"
        "    rk_next(message);\n"
        f"{_zero_shared(program)}"
        f"    handle_{number}();\n"
        f"    rk_set_field({Field.HANDLED}u, message + 1u);\n"
        "    if rk_stops() { break; }\n"
        "  }"
    )


def _many_threads(program: ir.Program, number: int) -> str:
    """The first thread decides for all whether there is a next message: barriers need all of them."""
    return (
        "  var message = 0u;\n"
        "  loop {\n"
        "    if thread == 0u {\n"
        f"      rk_goes_on = u32((message < rk_field({Field.COUNT}u)) & !rk_stops());\n"
        "    }\n"
        "    if workgroupUniformLoad(&rk_goes_on) == 0u { break; }\n"
        "    rk_next(message);\n"
        f"{_zero_shared(program)}"
        "    storageBarrier();\n"
        "    workgroupBarrier();\n"
        f"    handle_{number}();\n"
        "    storageBarrier();\n"
        "    workgroupBarrier();\n"
        "    message += 1u;\n"
        f"    if thread == 0u {{ rk_set_field({Field.HANDLED}u, message); }}\n"
        "  }"
    )


def _assembled(program: ir.Program, places: dict[str, Memory], texts: list[str], int64: bool, f16: bool) -> str:
    library = Library(_library(places, int64, f16))
    body = "\n\n".join(texts)
    helpers = library.needed_by(body)
    text = "\n\n".join([*helpers, body])
    parts = [f"// {Names('').of(program.name)}: generated by pyringkernel"]
    if f16 and "f16(" in text:
        parts.insert(0, "enable f16;")
    parts += [memory.declaration() for memory in places.values() if f"rk_{memory.name}[" in text]
    parts.append("@group(0) @binding(2) var<storage, read_write> rk_calls: array<atomic<u32>>;")
    if "rk_effects[" in text:
        parts.append("@group(0) @binding(3) var<storage, read_write> rk_effects: array<u32>;")
    if "rk_goes_on" in text:
        parts.append("var<workgroup> rk_goes_on: u32;")
    return "\n".join(parts) + "\n\n" + text + "\n"


def _library(places: dict[str, Memory], int64: bool, f16: bool) -> Iterator[str]:
    yield from (wgsl_integers.COMMON, wgsl_integers.WORDS)
    yield wgsl_integers.NATIVE if int64 else wgsl_integers.EMULATED
    yield from (wgsl_floats.F32, wgsl_floats.CONVERSIONS, *wgsl_functions.TEXTS)
    yield wgsl_floats.NATIVE_F16 if f16 else wgsl_floats.F16
    for memory in places.values():
        yield from memory.functions()
    yield from copy_functions(places)
    yield runtime_text()
