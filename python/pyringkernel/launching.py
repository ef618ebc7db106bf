"""What launch() is given, checked and put into the form that the core takes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import _core
from ._log import logger
from .checkpoint import Snapshot
from .compiled import CompiledHandler
from .errors import (
    CapacityError,
    InvalidArgumentError,
    KernelTerminatedError,
    UndeclaredTargetError,
    UnknownKernelError,
    WrongMessageError,
)
from .handlers import spec_of
from .kernels import Kernel
from .messages import layout_of
from .native import NativeHandler

if TYPE_CHECKING:
    from collections.abc import Callable

    from .devices import CudaDevice


RESTART = {"permanent": 0, "transient": 1, "temporary": 2}


def _log_failure(name: str) -> Any:
    """Logs the first ten failures of a kernel, then every thousandth: a poison flood must not become a log flood."""
    seen = 0

    def on_error(error: BaseException) -> None:
        nonlocal seen
        seen += 1
        if seen <= 10 or seen % 1000 == 0:
            logger().error("handler of kernel %r raised (%d so far)", name, seen, exc_info=error)

    return on_error


class Directory:
    """Where kernels are, for handlers that send by name. It must know neither the runtime nor its kernels: they hold it."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, tuple[type[Any], ...], int]] = {}

    def add(self, kernel: Kernel) -> None:
        self._entries[kernel.name] = (kernel.address, kernel.accepts, kernel.instances)

    def remove(self, name: str) -> None:
        self._entries.pop(name, None)

    def resolver(self) -> Callable[[Any, type[Any] | None, int | None], int]:
        """(target, message class, instance) -> address word; the class is None when only the way there matters."""
        entries = self._entries

        def resolve(target: Any, cls: type[Any] | None, instance: int | None = None) -> int:
            if isinstance(target, str):
                name = target
                if name == "host":
                    return 0
            elif isinstance(target, Kernel):
                name = target.name
                if target._runtime._directory._entries is not entries:
                    raise UnknownKernelError(f"ctx.send: {target!r} belongs to another runtime")
            else:
                raise UnknownKernelError(
                    f"ctx.send: found {target!r}, need a kernel or the name of one: 'host' or one of {sorted(entries)}"
                )
            address, accepts, instances = entries.get(name, (0, (), 1))
            if isinstance(target, Kernel) and address != target.address:
                raise KernelTerminatedError(f"ctx.send: {target!r} has ended")
            if address == 0:
                raise UnknownKernelError(
                    f"ctx.send: no kernel is named {name!r}; there are 'host' and {sorted(entries)}"
                )
            if cls is not None and cls not in accepts:
                raise WrongMessageError(f"ctx.send: {name!r} does not accept {cls.__name__}")
            if instance is not None and not 0 <= instance < instances:
                raise InvalidArgumentError(
                    f"instance: found {instance}, need 0 to {instances - 1}: {name!r} has {instances}"
                )
            return address

        return resolve


def layout_row(cls: type[Any] | None) -> Any:
    """A class's layout as checkpoints describe it: (name, size, type id, [(field, type, offset, size)])."""
    if cls is None:
        return None
    layout = layout_of(cls)
    fields = [(r.name, r.text, r.offset, r.elements_offset - r.offset + r.element_size * r.count) for r in layout.rows]
    return (cls.__name__, layout.size, getattr(cls, "type_id", 0) or 0, fields)


def _initial_state(spec: Any, state: Any) -> Any:
    if spec.state is None:
        if state is not None:
            raise InvalidArgumentError(
                "state: the handler takes none; give it a third parameter: (ctx, state, message)"
            )
        return None
    if state is None:
        return _core.zeroed(spec.state)
    if type(state) is not spec.state:
        raise InvalidArgumentError(f"state: found {type(state).__name__}, the handler needs {spec.state.__name__}")
    return state.copy()


def _payload_size(handler: Any, spec: Any, given: int | None) -> int:
    sizes = [layout_of(cls).size for cls in (*spec.accepts, *spec.replies)]
    if isinstance(handler, CompiledHandler):
        sizes += [size for _, size in handler.program.replies]
    size = given or max([256, *sizes])
    if type(size) is not int or not 0 < size < 2**31 - 256:
        raise InvalidArgumentError(f"max_message_size: found {size!r}, need an int from 1 to 2**31 - 257")
    if size < max(sizes):
        raise InvalidArgumentError(
            f"max_message_size: found {size}, the handler's messages have up to {max(sizes)} bytes"
        )
    return size


def _route(spec: Any, routing: Any) -> list[tuple[int, int, int]]:
    """(type id, offset, size) of the key in each accepted class; none: round robin."""
    if routing == "round_robin":
        return []
    if not isinstance(routing, str) or not routing.startswith("key:"):
        raise InvalidArgumentError(f"routing: found {routing!r}, need 'round_robin' or 'key:<field>'")
    name = routing.removeprefix("key:")
    route = []
    types = {}
    for cls in spec.accepts:
        row = next((r for r in layout_of(cls).rows if r.name == name), None)
        if row is None:
            raise InvalidArgumentError(
                f"routing: {cls.__name__} has no field {name!r}; it has {[r.name for r in layout_of(cls).rows]}"
            )
        types[row.text] = cls.__name__
        size = row.elements_offset - row.offset + row.element_size * row.count
        route.append((cls.type_id, row.offset, size))
    if len(types) > 1:  # equal values would have different bytes
        found = ", ".join(f"{text} in {cls}" for text, cls in types.items())
        raise InvalidArgumentError(f"routing: {name!r} is {found}: need one type")
    return route


def _whole(what: str, value: Any, low: int, high: int, need: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidArgumentError(f"{what}: found {value!r}, need {need}")
    return value


def check_watchdog(given: Any) -> None:
    """Seconds, or None. Raises InvalidArgumentError."""
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if given is not None and not (number and 0 < given < 1e9):
        raise InvalidArgumentError(f"watchdog: found {given!r}, need seconds, or None")


def check_device(device: Any, lease: Any, sm_budget: Any) -> None:
    """A number, different numbers, or "all"; seconds or None; a number or None. Raises InvalidArgumentError."""
    if isinstance(device, list | tuple) and device:
        for one in device:
            check_device_number(one)
        if len(set(device)) != len(device):
            raise InvalidArgumentError(f"device: found {device!r}, need different numbers")
    elif not isinstance(device, str) or device != "all":
        check_device_number(device)
    if lease is not None and (isinstance(lease, bool) or not isinstance(lease, int | float) or not 1e-3 <= lease < 1e6):
        raise InvalidArgumentError(f"lease: found {lease!r}, need seconds from 0.001, or None")
    if sm_budget is not None:
        _whole("sm_budget", sm_budget, 1, 2**16, "a number of multiprocessors from 1, or None")


def check_device_number(device: Any) -> None:
    """Raises InvalidArgumentError."""
    if isinstance(device, bool) or not isinstance(device, int) or not 0 <= device <= 2**16:
        raise InvalidArgumentError(
            f"device: found {device!r}, need the number of a GPU, from 0; of a runtime also a list of them, or 'all'"
        )


def _restore(given: Any) -> bytes | None:
    if given is None:
        return None
    if isinstance(given, Snapshot):
        return given.to_bytes()
    if isinstance(given, str | os.PathLike):
        return Snapshot.load(given).to_bytes()
    raise InvalidArgumentError(f"restore: found {type(given).__name__}, need a Snapshot or the path of one")


def _names(given: Any) -> list[str]:
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise InvalidArgumentError(f"publishes_to: found {given!r}, need names of kernels")
    return list(given)


def _code(
    handler: Any, compiled: bool, engine: str, device: CudaDevice | None
) -> tuple[str, dict[str, Any] | None, Any, Any]:
    """The engine's name; compiled code for the core, or what to call instead; what must live as long as the kernel."""
    if not isinstance(handler, CompiledHandler):
        if engine != "auto":
            raise InvalidArgumentError(f"engine: found {engine!r}; only compiled handlers have a choice")
        name = "native" if isinstance(handler, NativeHandler) else "python"
        return name, None, handler, (handler, getattr(handler, "keep_alive", None))
    from .compiler.engines import device_code, launch_code

    if not compiled and engine not in ("auto", "python"):
        raise InvalidArgumentError(f"engine: found {engine!r} with compiled=False; give one of the two")
    if device is not None and goes_to_gpu(handler, compiled, engine):
        made = handler.device_engine(device)
        code = {**device_code(handler, made), "device": device.core.index}
        return made.name, code, handler, (handler, made)
    made = handler.engine(engine if compiled else "python")
    if made.callable is not None:
        return made.name, None, made.callable, handler
    return made.name, launch_code(handler, made), handler, (handler, made)


def goes_to_gpu(handler: Any, compiled: Any, engine: Any) -> bool:
    """Whether a runtime with a GPU runs it there."""
    return isinstance(handler, CompiledHandler) and bool(compiled) and engine in ("auto", "cuda")


def _references(handler: Any, spec: Any) -> list[list[tuple[int, int, bool, str]]]:
    """For each accepted class the references that are checked before the handler gets a message: (offset, scalar, does
    the handler write there, name). A Python callable gets them as they are: it reaches memory by `BufferRef.array()`."""
    if isinstance(handler, CompiledHandler):
        written = [{one.offset for one in entry.references if one.writes} for entry in handler.program.entries]
    elif isinstance(handler, NativeHandler):
        written = [set() for _ in spec.accepts]
    else:
        return []
    return [
        [(one.offset, one.scalar, one.offset in writes, one.name) for one in layout_of(cls).references]
        for cls, writes in zip(spec.accepts, written, strict=True)
    ]


def _check_targets(handler: Any, name: str, publishes_to: list[str]) -> None:
    """What compiled code sends to is known, so what is missing is said before the first message."""
    if not isinstance(handler, CompiledHandler):
        return
    missing = [t for t in handler.program.targets if t not in ("host", name, *publishes_to)]
    if missing:
        raise UndeclaredTargetError(
            f"kernel {name!r} sends to {', '.join(map(repr, missing))}, and no edge leads there: name the target in "
            f"publishes_to= of the handler or of launch(), or launch with autostart=False and use rt.connect()"
        )


def launch_options(handler: Any, **given: Any) -> dict[str, Any]:
    """The options of the core's launch(), but for what only the runtime knows. Raises what launch() raises."""
    if not isinstance(given["name"], str | None):
        raise InvalidArgumentError(f"name: found {given['name']!r}, need a str")
    spec = spec_of(handler, given["name"], given["accepts"])
    name = given["name"] or spec.id
    if name == "host":
        raise InvalidArgumentError("name: 'host' is where ctx.send reaches the host; choose another")
    max_failures, window = given["max_failures"], given["failure_window"]
    if max_failures < 0 or max_failures > 64 or not window >= 0:
        raise InvalidArgumentError(
            f"found max_failures={max_failures}, failure_window={window}; need 0 to 64, and seconds from 0"
        )
    capacity = given["capacity"]
    if isinstance(capacity, bool) or not isinstance(capacity, int) or not 0 <= capacity < 2**48:
        raise CapacityError(f"capacity: found {capacity!r}, need a power of two, such as 1024")
    watchdog = given["watchdog"]
    check_watchdog(watchdog)
    if given["restart"] not in RESTART:
        raise InvalidArgumentError(f"restart: found {given['restart']!r}, need one of {', '.join(RESTART)}")
    workers = given["workers"]
    worker = given["worker"]
    publishes_to = [*dict.fromkeys([*spec.publishes_to, *_names(given["publishes_to"])])]
    if given["autostart"]:
        _check_targets(handler, name, publishes_to)
    chosen, code, function, keep = _code(handler, given["compiled"], given["engine"], given["device"])
    return {
        "name": name,
        "callable": function,
        "code": code,
        "engine": chosen,
        "pointer": handler.pointer if isinstance(handler, NativeHandler) else None,
        "keep_alive": keep,
        "references": _references(handler, spec),
        "state": _initial_state(spec, given["state"]),
        "accepts": list(spec.accepts),
        "instances": _whole("instances", given["instances"], 1, 2**20 - 2, "1 to 2**20 - 2"),
        "capacity": capacity,
        "max_payload": _payload_size(handler, spec, given["max_message_size"]),
        "max_failures": max_failures,
        "failure_window": window,
        "route_by": _route(spec, given["routing"]),
        "dedup": _whole("dedup", given["dedup"], 0, 2**24, "how many message ids to remember, from 0 to 2**24"),
        "worker": -1 if worker is None else _whole("worker", worker, 0, workers - 1, f"0 to {workers - 1}"),
        "watchdog": watchdog,
        "publishes_to": publishes_to,
        "restart": RESTART[given["restart"]],
        "state_layout": layout_row(spec.state),
        "message_layouts": [layout_row(cls) for cls in spec.accepts],
        "restore": _restore(given["restore"]),
        "on_error": _log_failure(name),
    }
