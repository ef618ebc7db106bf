"""What handlers are translated to as text, and what each of these targets lacks."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from pyringkernel.compiler import ir
from pyringkernel.errors import InvalidArgumentError, UnsupportedOnTargetError


@dataclass(frozen=True)
class Target:
    """`lacks`: the members of Program.features that it has not, each with the reason. `emitter`: "module:function" of
    ``function(program, *, lines=True) -> str``, imported when it is needed."""

    name: str
    title: str
    lacks: Mapping[str, str]
    emitter: str


# What to do instead, by feature; the same for all targets that lack it.
_INSTEAD = {
    "f16": "use rk.f32",
    "f64": "use rk.f32",
    "i64": "use 32-bit integers",
    "i8": "calculate in 32 bits and cast when storing",
    "i16": "calculate in 32 bits and cast when storing",
    "atomics64": "use a 32-bit field",
    "references": "carry the data in the message: rk.Array or rk.Vec",
    "sync_grid": "end the message and send the next phase as another one",
    "warp": "use ctx.shared() and ctx.sync_threads()",
    "expm1": "use math.exp(x) - 1, which is less exact near 0",
    "log1p": "use math.log(1 + x), which is less exact near 0",
    "cbrt": "use math.copysign(math.pow(math.fabs(x), 1 / 3), x), which is less exact",
    "hypot": "use math.sqrt(x * x + y * y), which overflows earlier",
}

_MSL_FUNCTION = "the Metal Shading Language has no such function"

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        target.name: target
        for target in (
            Target("cuda", "CUDA", MappingProxyType({}), "pyringkernel.compiler.emit.dialect_cuda:emit"),
            Target(
                "msl",
                "Metal",
                MappingProxyType(
                    {
                        "references": "Metal has no addresses of other memory in messages",
                        "f64": "the Metal Shading Language has no type of 64-bit floats",
                        "atomics64": "Metal has no 64-bit atomic operations that return the old value",
                        "sync_grid": "Metal has no barrier of all threadgroups",
                        "expm1": _MSL_FUNCTION,
                        "log1p": _MSL_FUNCTION,
                        "cbrt": _MSL_FUNCTION,
                        "hypot": _MSL_FUNCTION,
                    }
                ),
                "pyringkernel.compiler.emit.dialect_msl:emit",
            ),
            Target(
                "wgsl",
                "WebGPU",
                MappingProxyType(
                    {
                        "references": "WGSL has no pointers to other memory",
                        "f64": "WGSL has no 64-bit floats",
                        "sync_grid": "WGSL has no barrier of all workgroups",
                    }
                ),
                "pyringkernel.compiler.emit.emit_wgsl:emit",
            ),
        )
    }
)


def target_named(name: str) -> Target:
    """The row of TARGETS; raises InvalidArgumentError for another name."""
    try:
        return TARGETS[name]
    except KeyError:
        raise InvalidArgumentError(f"target {name!r} is not one of {', '.join(sorted(TARGETS))}") from None


def refuse(program: ir.Program, target: str) -> None:
    """Raises UnsupportedOnTargetError when the program uses what the target lacks; the text names all of it."""
    row = target_named(target)
    missing = sorted(program.features & row.lacks.keys())
    if not missing:
        return
    told = []
    for feature in missing:
        instead = _INSTEAD.get(feature)
        told.append(f"{feature}: {row.lacks[feature]}" + (f" ({instead})" if instead else ""))
    raise UnsupportedOnTargetError(f"handler {program.name!r} cannot run on {row.title}: it uses {'; '.join(told)}")


def emit(program: ir.Program, target: str, *, lines: bool = True) -> str:
    """The program as text for the target. `lines`: compile errors name the user's file and line."""
    refuse(program, target)
    module, _, function = target_named(target).emitter.partition(":")
    return cast("str", getattr(importlib.import_module(module), function)(program, lines=lines))
