"""Compiled handlers: what @rk.kernel makes of a Python function that is in the handler language."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from .compiler import ir
    from .compiler.engines import Engine
    from .devices import CudaDevice
    from .handlers import KernelSpec

P = ParamSpec("P")
R = TypeVar("R")


class CompiledHandler(Generic[P, R]):
    """A handler that was translated and runs without the interpreter lock; what ``@rk.kernel`` returns.

    It can still be called as the Python function that it was made of. ``launch()`` takes it like any handler; machine
    code is made at the first launch and kept, here and on disk.
    """

    __rk_kernel__: KernelSpec
    __wrapped__: Callable[P, R]
    program: ir.Program

    def __init__(self, function: Callable[P, R], spec: KernelSpec, program: ir.Program) -> None:
        functools.update_wrapper(self, function)
        self.__rk_kernel__ = spec
        self.program = program
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R:
        return self.__wrapped__(*arguments, **named)

    @property
    def id(self) -> str:
        """The name that a kernel of it gets unless launch() is given another."""
        return self.__rk_kernel__.id

    @property
    def accepts(self) -> tuple[type[Any], ...]:
        """The message classes that it takes."""
        return self.__rk_kernel__.accepts

    @property
    def replies(self) -> tuple[type[Any], ...]:
        """The message classes that it answers with."""
        return self.__rk_kernel__.replies

    @property
    def state(self) -> type[Any] | None:
        """The class of its state; None when it has none."""
        return self.__rk_kernel__.state

    def source(self, target: str = "ir") -> str:
        """What it was translated to: "ir", "bytecode", "llvm", "cuda", "msl" or "wgsl".

        Raises InvalidArgumentError for another target, UnsupportedOnTargetError when the target lacks what the handler
        needs, UnsupportedError when "llvm" is asked for and llvmlite is not installed.
        """
        from .compiler.engines import source

        return source(self.program, target)

    def engine(self, name: str = "auto") -> Engine:
        """The code that runs it: "llvm", "vm" (bytecode), or what launch() takes by itself. Made once."""
        from .compiler.engines import choose, make

        chosen = choose(name)
        with self._lock:
            if chosen not in self._engines:
                self._engines[chosen] = make(self, chosen)
            return self._engines[chosen]

    def device_engine(self, device: CudaDevice) -> Engine:
        """The code that runs it on a GPU. Made once for each kind of GPU."""
        from .compiler.engines import make_for_cuda

        major, minor = device.core.compute_capability
        key = f"cuda {major}.{minor} {device.compiler.identity}"
        with self._lock:
            if key not in self._engines:
                self._engines[key] = make_for_cuda(self, device)
            return self._engines[key]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a compiled handler belongs to one process and cannot be pickled; import its module instead")

    def __repr__(self) -> str:
        def joined(classes: tuple[type[Any], ...]) -> str:
            return " | ".join(cls.__name__ for cls in classes)

        taken = ([self.state.__name__] if self.state else []) + [joined(self.accepts)]
        return f"<CompiledHandler {self.id!r}: ({', '.join(taken)}) -> {joined(self.replies) or None}>"
