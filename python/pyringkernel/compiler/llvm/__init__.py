"""Machine code for the CPU of this machine, made by LLVM through llvmlite (the extra "jit").

native = compile_native(program)
native.entries[0]  # (address of an rk_run function, 0): see ringkernel/compiled.h; valid while `native` lives

llvmlite.binding is imported with the first compilation. The code is the CPU's own: whether it came from LLVM now or from
the cache on disk makes no difference.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import itertools
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import RingKernelError, UnsupportedError
from ..cache import CompileCache, default_cache, key_of
from ..ir import IR_VERSION, Program
from .module import module_text, run_symbol
from .ops import LIBRARY_PREFIX

if TYPE_CHECKING:
    from types import ModuleType

RK_COMPILED_VERSION = 3  # of ringkernel/compiled.h
OPTIMIZATION_LEVEL = 2

_lock = threading.RLock()  # LLVM's context and the linker are used by one thread at a time
_numbers = itertools.count()


class NativeCompilerError(RingKernelError, RuntimeError):
    """LLVM refused what this package wrote: an error of the package."""


@dataclass(frozen=True)
class Target:
    """What code is made for."""

    triple: str
    cpu: str
    features: str

    @property
    def native_half(self) -> bool:
        """Whether the CPU converts between f16 and f32 itself."""
        return self.triple.startswith(("aarch64", "arm64")) or "+f16c" in self.features.split(",")


class NativeProgram:
    """A compiled program. The code is there as long as this object: whoever keeps an address keeps it too."""

    def __init__(self, text: str, target: Target, tracker: Any, addresses: list[int]) -> None:
        self.entries = [(address, 0) for address in addresses]
        self.text = text  # before optimisation
        self.target = target
        self.from_cache = False
        self.compile_ms = 0.0
        self._tracker = tracker  # unloads the code when it dies

    def optimized(self) -> str:
        """LLVM's text after optimisation; made anew for each call."""
        with _lock:
            return str(_optimize(self.text, self.target))

    def assembly(self) -> str:
        """The machine code's assembly; made anew for each call."""
        with _lock:
            return str(_machine(self.target).emit_assembly(_optimize(self.text, self.target)))


def compile_native(
    program: Program, *, cache: bool | CompileCache = True, target: Target | None = None
) -> NativeProgram:
    """Compiles a program (that `verify` accepts). `cache`: True: that of default_cache(), False: none. `target`: of
    another CPU of this architecture than this one.

    Raises UnsupportedError without llvmlite, and NativeCompilerError for an error in this package.
    """
    target = target or host_target()
    store = default_cache() if cache is True else cache or None
    start = time.perf_counter()
    text = module_text(program, native_half=target.native_half)
    key = _key(text, target) if store is not None else ""
    native = None
    with _lock:
        found = store.get(key) if store is not None else None
        if found is not None:
            native = _try_load(found, text, target, len(program.entries))
        if native is None:
            code = bytes(_machine(target).emit_object(_optimize(text, target)))
            native = _load(code, text, target, len(program.entries))
            if store is not None:
                store.put(key, code)
        else:
            native.from_cache = True
    native.compile_ms = (time.perf_counter() - start) * 1e3
    return native


def to_llvm(program: Program) -> str:
    """LLVM's text of a program for this machine, optimised."""
    target = host_target()
    with _lock:
        return str(_optimize(module_text(program, native_half=target.native_half), target))


def _key(text: str, target: Target) -> str:
    from ... import __version__

    binding = _binding()
    versions = (
        f"llvm object {RK_COMPILED_VERSION} {IR_VERSION} O{OPTIMIZATION_LEVEL}",
        __version__,
        _llvmlite_version(),
        ".".join(map(str, binding.llvm_version_info)),
    )
    return key_of([*versions, target.triple, target.cpu, target.features, text])


# -- LLVM -------------------------------------------------------------------------------------------------------------


@functools.cache
def _binding() -> ModuleType:
    try:
        binding = importlib.import_module("llvmlite.binding")
    except (ImportError, OSError) as error:
        raise UnsupportedError(f"native code needs llvmlite ({error}): pip install 'pyringkernel[jit]'") from error
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


def _llvmlite_version() -> str:
    return str(importlib.import_module("llvmlite").__version__)


@functools.cache
def host_target() -> Target:
    """This machine."""
    binding = _binding()
    features = binding.get_host_cpu_features().flatten()
    return Target(binding.get_process_triple(), binding.get_host_cpu_name(), features)


def _new_machine(target: Target) -> Any:
    # Position independent code of the small model: the linker puts stubs in front of functions that are far away, and
    # constants are near.
    return (
        _binding()
        .Target.from_triple(target.triple)
        .create_target_machine(
            cpu=target.cpu, features=target.features, opt=OPTIMIZATION_LEVEL, reloc="pic", codemodel="small", jit=True
        )
    )


@functools.cache
def _machine(target: Target) -> Any:
    return _new_machine(target)


@functools.cache
def _linker() -> Any:
    return _binding().create_lljit_compiler(_new_machine(host_target()), use_jit_link=True, suppress_errors=True)


def _optimize(text: str, target: Target) -> Any:
    binding, machine = _binding(), _machine(target)
    try:
        module = binding.parse_assembly(f'target triple = "{target.triple}"\n{text}')
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise NativeCompilerError(
            f"LLVM refused the text of a handler; this is an error in pyringkernel: {error}"
        ) from error
    options = binding.create_pipeline_tuning_options(speed_level=OPTIMIZATION_LEVEL)
    options.loop_vectorization = True
    options.slp_vectorization = True
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


# -- linking ----------------------------------------------------------------------------------------------------------


@functools.cache
def _library_functions() -> dict[str, int]:
    """The addresses of the C library's functions of real numbers, by their name in a module."""
    libraries = [ctypes.CDLL(None)]
    names = "sin cos tan asin acos atan sinh cosh tanh exp exp2 expm1 log log2 log10 log1p cbrt fmod atan2 pow hypot"
    addresses = {}
    for name in names.split():
        for symbol in (name, name + "f"):
            addresses[LIBRARY_PREFIX + symbol] = _address(libraries, symbol)
    return addresses


def _address(libraries: list[ctypes.CDLL], symbol: str) -> int:
    for library in libraries:
        with_name = getattr(library, symbol, None)
        if with_name is not None:
            return ctypes.cast(with_name, ctypes.c_void_p).value or 0
    if len(libraries) == 1:  # an interpreter that was linked without it
        libraries.append(ctypes.CDLL("libm.so.6"))
        return _address(libraries, symbol)
    raise UnsupportedError(f"the C library has no function {symbol}")


def _load(code: bytes, text: str, target: Target, count: int) -> NativeProgram:
    builder = _binding().JITLibraryBuilder()
    builder.add_object_img(code)
    builder.add_current_process()  # memcpy and its like
    for name, address in _library_functions().items():
        if name in text:
            builder.import_symbol(name, address)
    symbols = [run_symbol(index) for index in range(count)]
    for symbol in symbols:
        builder.export_symbol(symbol)
    try:
        tracker = builder.link(_linker(), f"handler{next(_numbers)}")
    except RuntimeError as error:
        raise NativeCompilerError(
            f"LLVM could not link a handler; this is an error in pyringkernel: {error}"
        ) from error
    return NativeProgram(text, target, tracker, [tracker[symbol] for symbol in symbols])


def _try_load(code: bytes, text: str, target: Target, count: int) -> NativeProgram | None:
    try:
        return _load(code, text, target, count)
    except NativeCompilerError:  # then it is compiled anew, and the entry replaced
        return None
