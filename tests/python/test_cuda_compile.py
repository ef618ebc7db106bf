"""Handlers as machine code for GPUs: what is compiled, what is kept, what is refused and at which line. Needs no GPU."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import pyringkernel as rk
from pyringkernel import _paths
from pyringkernel.compiler import cuda
from pyringkernel.compiler.cache import CompileCache
from pyringkernel.compiler.cuda import compile_device, find, text
from pyringkernel.compiler.cuda.messages import compile_error, errors_of
from pyringkernel.compiler.cuda.nvrtc import Compiled, Nvrtc
from pyringkernel.compiler.engines import make_for_cuda

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOPPER = (9, 0)
HERE = Path(__file__)


@rk.message
class Number:
    value: rk.u32


@rk.kernel
def double(ctx: rk.Context, msg: Number) -> Number:
    return Number(value=msg.value + msg.value)


@rk.kernel
def triple(ctx: rk.Context, msg: Number) -> Number:
    return Number(value=msg.value * 3)


@rk.kernel(block_size=256)
def wide(ctx: rk.Context, msg: Number) -> None:
    room = ctx.shared(rk.u32, 16384)
    room[ctx.thread_id()] = msg.value


class Recorder(Nvrtc):
    """Compiles nothing, and keeps what it was given."""

    def __init__(self, version: tuple[int, int] = (13, 0), ok: bool = True, log: str = "") -> None:
        self.path, self.origin, self.version, self.archs = "/nvrtc.so", "a wheel", version, (75, 90)
        self.ok, self.log = ok, log
        self.given: list[tuple[str, str, dict[str, str], list[str]]] = []

    def compile(self, text: str, name: str, headers: Mapping[str, str], options: Sequence[str]) -> Compiled:
        self.given.append((text, name, dict(headers), list(options)))
        return Compiled(self.ok, self.log, b"code %d" % len(self.given))


@pytest.fixture
def store(tmp_path: Path) -> CompileCache:
    return CompileCache(str(tmp_path / "cache"))


@pytest.fixture
def real() -> Nvrtc:
    try:
        return find(99000)
    except rk.NvrtcError as error:
        pytest.skip(str(error))


@rk.kernel(block_size=1024)
def largest(ctx: rk.Context, msg: Number) -> None:
    room = ctx.shared(rk.u8, 48128)
    room[ctx.thread_id()] = rk.u8(msg.value)
    ctx.sync_threads()
    ctx.send("host", Number(value=rk.u32(room[1023 - ctx.thread_id()])))


def device(compiler: Nvrtc, threads: int = 1024, shared: int = 232448) -> Any:
    core = SimpleNamespace(compute_capability=HOPPER, max_threads_per_block=threads, max_shared_per_block=shared)
    return SimpleNamespace(core=core, compiler=compiler, facts="cuda:0 Some GPU")


# -- what is compiled


def test_the_text_is_the_prelude_the_handler_and_the_resident_kernel() -> None:
    made = text.device_text(double.program)
    assert made.index("#define RK_INLINE") < made.index("rk_handle_Number") < made.index("bool rk_dispatch")
    assert made.rstrip().endswith(f'#include "{text.RESIDENT}"')
    assert f'"{HERE}"' in made  # by #line


def test_each_header_is_passed_by_the_name_it_is_included_by() -> None:
    recorder = Recorder()
    compile_device(double.program, recorder, HOPPER, cache=False)
    [(_, name, headers, options)] = recorder.given
    assert name == "double.cu"
    assert {text.RESIDENT, "ringkernel/abi/device_grid.h", "ringkernel/abi/message_header.h"} <= headers.keys()
    included = {one for content in headers.values() for one in text.included_by(content)}
    assert included <= headers.keys()
    assert options == ["--std=c++17", "-default-device", "-fmad=false", "-arch=sm_90"]


def test_profilers_can_ask_for_lines() -> None:
    recorder = Recorder()
    compile_device(double.program, recorder, HOPPER, cache=False, line_info=True)
    assert "-lineinfo" in recorder.given[0][3]


def test_headers_are_found_in_the_roots_and_beside_who_includes_them(tmp_path: Path) -> None:
    (tmp_path / "a/sub").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "a/sub/one.cuh").write_text('#include "two.cuh"\n #  include "three.h"\n#include <cstdint>\n')
    (tmp_path / "a/sub/two.cuh").write_text('// #include "nothing.h"\n#include "sub/one.cuh"\n')
    (tmp_path / "b/three.h").write_text("int x;\n")
    found = text.headers_of(["sub/one.cuh"], [tmp_path / "a", tmp_path / "b"])
    assert list(found) == ["sub/one.cuh", "three.h", "two.cuh"]
    with pytest.raises(rk.UnsupportedError, match="found no missing.h in"):
        text.headers_of(["missing.h"], [tmp_path])


def test_one_name_for_two_headers_is_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.cuh").write_text('#include "same.h"\n')
        (tmp_path / folder / "same.h").write_text(f"// {folder}\n")
    with pytest.raises(rk.UnsupportedError, match="both included as 'same.h'"):
        text.headers_of(["a/one.cuh", "b/one.cuh"], [tmp_path])


@pytest.mark.parametrize("layout", ["wheel", "extension"])
def test_the_files_are_found_where_they_are_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: str
) -> None:
    package = tmp_path / "site-packages/pyringkernel"
    for name in ("device/kernels/cuda/resident.cuh", "include/ringkernel/abi/abi.h"):
        (package / name).parent.mkdir(parents=True)
        (package / name).touch()
    elsewhere = tmp_path / "editable/pyringkernel"
    monkeypatch.setattr(_paths, "__file__", str((package if layout == "wheel" else elsewhere) / "_paths.py"))
    other = package if layout == "extension" else elsewhere
    monkeypatch.setattr("pyringkernel._core.__file__", str(other / "_core.so"))
    assert _paths.device_roots() == [package / "device", package / "include"]


def test_files_that_are_nowhere_are_said_with_where_they_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_paths, "__file__", "/nowhere/python/pyringkernel/_paths.py")
    monkeypatch.setattr("pyringkernel._core.__file__", "/elsewhere/_core.so")
    with pytest.raises(rk.UnsupportedError, match=r"/nowhere/python/pyringkernel/device and /nowhere and /elsewhere"):
        _paths.device_roots()


# -- what is kept


def test_what_was_compiled_once_is_loaded_the_next_time(store: CompileCache) -> None:
    recorder = Recorder()
    first = compile_device(double.program, recorder, HOPPER, cache=store)
    second = compile_device(double.program, recorder, HOPPER, cache=CompileCache(store.path))
    assert (first.image, first.from_cache) == (b"code 1", False)
    assert (second.image, second.from_cache) == (b"code 1", True)
    assert len(recorder.given) == 1


def test_everything_that_makes_other_code_makes_another_entry(
    store: CompileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    compile_device(double.program, recorder, HOPPER, cache=store)
    compile_device(triple.program, recorder, HOPPER, cache=store)  # another text
    compile_device(double.program, recorder, (7, 5), cache=store)  # another device
    compile_device(double.program, recorder, HOPPER, cache=store, line_info=True)  # other options
    recorder.version = (13, 1)
    compile_device(double.program, recorder, HOPPER, cache=store)  # another compiler
    changed = {**text.device_headers(), text.RESIDENT: "// changed\n"}
    monkeypatch.setattr(cuda, "device_headers", lambda: changed)
    compile_device(double.program, recorder, HOPPER, cache=store)  # other headers
    assert len(recorder.given) == 6


def test_what_could_not_be_compiled_is_not_kept(store: CompileCache) -> None:
    recorder = Recorder(ok=False, log="")
    for _ in range(2):
        with pytest.raises(rk.DeviceCompileError):
            compile_device(double.program, recorder, HOPPER, cache=store)
    assert len(recorder.given) == 2


def test_a_handler_is_compiled_once_for_a_kind_of_device() -> None:
    recorder = Recorder()
    there = device(recorder)
    handler = rk.kernel(double.__wrapped__)
    made = [handler.device_engine(there) for _ in range(3)]
    assert made[0] is made[1] is made[2]
    assert made[0].name == "cuda"


# -- what is refused


def test_an_error_is_told_at_the_line_of_the_users_file(
    real: Nvrtc, monkeypatch: pytest.MonkeyPatch, store: CompileCache
) -> None:
    stub = {text.RESIDENT: (HERE.parents[1] / "compiler" / "shims" / "cuda_stubs.cuh").read_text()}
    monkeypatch.setattr(cuda, "device_headers", lambda: stub)
    for name in ("device_text", "handler_text"):  # compiled together, or to be linked
        right = getattr(cuda, name)
        monkeypatch.setattr(cuda, name, lambda program, right=right: right(program).replace(" * 3u", " * nothing_here"))
    with pytest.raises(rk.DeviceCompileError) as caught:
        compile_device(triple.program, real, HOPPER, cache=store)
    line = inspect.getsourcelines(triple.__wrapped__)[1] + 2
    [found] = caught.value.diagnostics
    assert (found.file, found.line) == (str(HERE), line)
    assert 'identifier "nothing_here" is undefined' in found.message
    shown = str(caught.value)
    assert f"handler 'triple' cannot be compiled for sm_90 by {real}: 1 error" in shown
    assert f"{HERE}:{line}:5: error:" in shown
    assert "    return Number(value=msg.value * 3)\n" in shown
    assert "hint: launch(..., engine='llvm')" in shown
    assert "nothing_here" in caught.value.log
    assert isinstance(caught.value, rk.KernelError)


def test_errors_are_read_from_what_the_compiler_says() -> None:
    log = (
        "app.py(12): warning #177-D: variable is not used\n\n"
        'app.py(13): error: identifier "x" is undefined\n    y = x\n        ^\n\n'
        "/some dir/(odd).py(7): error #20014-D: calling a host function\n\n"
        'resident(1): catastrophic error: cannot open source file "a.h"\n\n3 errors detected\n'
    )
    assert [(one.file, one.line, one.message) for one in errors_of(log)] == [
        ("app.py", 13, 'identifier "x" is undefined'),
        ("/some dir/(odd).py", 7, "calling a host function"),
        ("resident", 1, 'cannot open source file "a.h"'),
    ]


def test_a_log_without_lines_is_shown_as_it_is() -> None:
    error = compile_error("big", "sm_90", "NVRTC 13.0", "ptxas error   : Entry function uses too much shared data\n")
    assert "ptxas error   : Entry function uses too much shared data" in str(error)
    assert error.diagnostics == ()


@pytest.mark.parametrize(
    ("threads", "shared", "said"),
    [
        (128, 232448, r"needs 256 threads in a block \(block_size\), there are 128"),
        (1024, 232448, "needs 65536 bytes of shared memory in a block, there are 48128"),
    ],
)
def test_a_handler_that_does_not_fit_the_device_is_refused_by_name(threads: int, shared: int, said: str) -> None:
    with pytest.raises(rk.UnsupportedOnTargetError, match=rf"handler 'wide' cannot run on cuda:0 Some GPU: it {said}"):
        make_for_cuda(wide, device(Recorder(), threads, shared))


def test_what_is_refused_comes_with_the_way_out() -> None:
    with pytest.raises(rk.UnsupportedOnTargetError, match=r"launch\(\.\.\., engine='llvm'\) runs it on the CPU"):
        make_for_cuda(wide, device(Recorder(), 128))


# -- the real thing


def test_a_handler_compiles_with_the_resident_kernel(real: Nvrtc) -> None:
    made = compile_device(double.program, real, HOPPER, cache=False)
    assert made.image.startswith(b"\x7fELF")
    assert b"rk_resident" in made.image
    assert b"rk_report_layout" in made.image
    assert made.arch == "sm_90"


def test_the_largest_handler_that_is_not_refused_compiles(real: Nvrtc) -> None:
    assert largest.program.shared_size == text.MOST_SHARED
    assert make_for_cuda(largest, device(real)).keep.image.startswith(b"\x7fELF")


def test_threads_compile_at_the_same_time(real: Nvrtc, threads: Any) -> None:
    gate = threading.Barrier(2)

    def compile_one(number: int) -> bytes:
        gate.wait(60)
        return compile_device((double, triple)[number].program, real, HOPPER, cache=False).image

    first, second = threads.run_all(2, compile_one)
    assert first.startswith(b"\x7fELF")
    assert first != second
