"""Handlers that are compiled alone and linked to a resident kernel. Needs no GPU."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pyringkernel as rk
from pyringkernel.compiler import cuda
from pyringkernel.compiler.cache import CompileCache
from pyringkernel.compiler.cuda import compile_device, find, linking
from pyringkernel.compiler.cuda.linking import Linker, linker_for
from pyringkernel.compiler.cuda.nvrtc import Compiled, Nvrtc
from pyringkernel.compiler.cuda.text import RESIDENT, handler_text, options_apart, runtime_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REGISTERS, STACK = 0x2F, 0x12  # attributes of kernels in .nv.info


@rk.message
class Number:
    value: rk.u32


@rk.kernel
def double(ctx: rk.Context, msg: Number) -> Number:
    return Number(value=msg.value + msg.value)


@rk.kernel
def triple(ctx: rk.Context, msg: Number) -> Number:
    return Number(value=msg.value * 3)


@rk.kernel(block_size=1024, publishes_to=["double"])
def large(ctx: rk.Context, msg: Number) -> None:
    room = ctx.shared(rk.u32, 1024)
    room[ctx.thread_id()] = msg.value
    ctx.sync_threads()
    ctx.send("double", Number(value=room[1023 - ctx.thread_id()]))


class Counting(Nvrtc):
    """Compiles, and keeps the names of what it was given."""

    def __init__(self, real: Nvrtc) -> None:
        self.__dict__ |= real.__dict__
        self.names: list[str] = []

    def compile(self, text: str, name: str, headers: Mapping[str, str], options: Sequence[str]) -> Compiled:
        self.names.append(name)
        return super().compile(text, name, headers, options)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Counting:
    monkeypatch.delenv(linking.VARIABLE, raising=False)
    monkeypatch.setattr(cuda, "_runtimes", {})
    try:
        made = Counting(find(99000))
    except rk.NvrtcError as error:
        pytest.skip(str(error))
    if linker_for(made) is None:
        pytest.skip("nvJitLink is not beside NVRTC")
    return made


def sections(image: bytes) -> dict[str, bytes]:
    """Of an ELF file; of the symbols their names."""
    (table,), (size, count, names) = struct.unpack_from("<Q", image, 40), struct.unpack_from("<HHH", image, 58)
    heads = [struct.unpack_from("<IIQQQQIIQQ", image, table + n * size) for n in range(count)]
    bodies = [image[head[4] : head[4] + head[5]] for head in heads]
    text = bodies[names]
    return {text[head[0] :].split(b"\0")[0].decode(): body for head, body in zip(heads, bodies, strict=True)}


def attributes_of_kernel(image: bytes, kernel: str = "rk_resident") -> dict[int, int]:
    found, at = sections(image), 0
    symbols, text, info = found[".symtab"], found[".strtab"], found[".nv.info"]
    made: dict[int, int] = {}
    while at < len(info):
        form, attribute, size = struct.unpack_from("<BBH", info, at)
        at += 4
        if form != 4:
            continue
        if size == 8:
            symbol, value = struct.unpack_from("<II", info, at)
            (name,) = struct.unpack_from("<I", symbols, symbol * 24)
            if text[name:].split(b"\0")[0].decode() == kernel:
                made[attribute] = value
        at += size
    return made


# -- the two halves


def test_the_halves_are_apart() -> None:
    handler, runtime = handler_text(double.program), runtime_text(double.program)
    assert "static __device__ void rk_handle_Number(" in handler
    assert "static __device__ bool rk_dispatch(" in handler
    assert RESIDENT not in handler
    assert f'#include "{RESIDENT}"' in runtime
    assert "rk_handle_" not in runtime.split("// -- floats")[1]
    assert runtime == runtime_text(triple.program)
    assert runtime != runtime_text(large.program)


def test_a_block_finds_its_registers() -> None:
    assert options_apart(double.program, runtime=False) == ("-rdc=true", "--maxrregcount=255")
    assert options_apart(double.program, runtime=True) == ("-rdc=true", "--maxrregcount=96")
    assert options_apart(large.program, runtime=False) == ("-rdc=true", "--maxrregcount=64")


@pytest.mark.parametrize("capability", [(7, 5), (9, 0), (12, 0)])
@pytest.mark.parametrize("handler", [double, large], ids=["double", "large"])
def test_they_are_linked_to_one_image(compiler: Counting, capability: tuple[int, int], handler: Any) -> None:
    made = compile_device(handler.program, compiler, capability, cache=False)
    assert made.image.startswith(b"\x7fELF")
    assert made.log == ""
    assert compiler.names == [f"{handler.program.name}.cu", "resident.cu"]
    assert {".text.rk_resident", ".text.rk_report_layout"} <= sections(made.image).keys()
    found = attributes_of_kernel(made.image)
    assert found[REGISTERS] * max(handler.program.block_size, 128) <= 65536
    assert found[STACK] <= 1024  # what a device has ready for each thread


# -- what is kept


def test_the_resident_kernel_is_compiled_once_for_a_shape(compiler: Counting) -> None:
    for handler in (double, triple, double):
        compile_device(handler.program, compiler, (9, 0), cache=False)
    assert compiler.names == ["double.cu", "resident.cu", "triple.cu", "double.cu"]


def test_other_processes_find_it_in_the_cache(
    compiler: Counting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = CompileCache(str(tmp_path / "cache"))
    compile_device(double.program, compiler, (9, 0), cache=store)
    monkeypatch.setattr(cuda, "_runtimes", {})
    made = compile_device(triple.program, compiler, (9, 0), cache=store)
    assert compiler.names == ["double.cu", "resident.cu", "triple.cu"]
    again = compile_device(triple.program, compiler, (9, 0), cache=store)
    assert (again.image, again.from_cache) == (made.image, True)


def test_errors_of_a_handler_are_its_own(compiler: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = handler_text(double.program) + "\nint nothing = of_this_name;\n"
    monkeypatch.setattr(cuda, "handler_text", lambda program: broken)
    with pytest.raises(rk.DeviceCompileError, match="of_this_name"):
        compile_device(double.program, compiler, (9, 0), cache=False)
    assert compiler.names == ["double.cu"]


# -- without it


def test_what_cannot_be_linked_is_compiled_together(
    compiler: Counting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cuda, "handler_text", lambda program: "__device__ void nothing() {}\n")
    with caplog.at_level(logging.WARNING, "pyringkernel"):
        made = compile_device(double.program, compiler, (9, 0), cache=False)
    assert ".text.rk_resident" in sections(made.image)
    assert compiler.names == ["double.cu", "resident.cu", "double.cu"]
    assert "'double' is compiled with the resident kernel instead" in caplog.text
    assert "rk_dispatch_linked" in caplog.text  # what the linker said


def fake_nvrtc(path: str, origin: str = "a wheel") -> Nvrtc:
    made = Nvrtc.__new__(Nvrtc)
    made.path, made.origin, made.version = path, origin, (13, 2)
    return made


@pytest.mark.parametrize(("version", "fits"), [((13, 2), True), ((13, 5), True), ((13, 1), False), ((12, 9), False)])
def test_a_linker_is_of_the_compilers_major_version_and_no_older(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: tuple[int, int], fits: bool
) -> None:
    monkeypatch.delenv(linking.VARIABLE, raising=False)
    (tmp_path / "libnvJitLink.so.13").touch()
    one = Linker.__new__(Linker)
    one.path, one.version = str(tmp_path / "libnvJitLink.so.13"), version
    monkeypatch.setattr(linking, "_open", {one.path: one}.get)
    assert linker_for(fake_nvrtc(str(tmp_path / "libnvrtc.so.13"))) is (one if fits else None)


def test_where_it_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(linking.VARIABLE, raising=False)
    apart = tmp_path / "nvidia" / "nvjitlink" / "lib" / "libnvJitLink.so.13"
    apart.parent.mkdir(parents=True)
    apart.touch()
    of_wheel = fake_nvrtc(str(tmp_path / "nvidia" / "cuda_nvrtc" / "lib" / "libnvrtc.so.13"))
    assert list(linking._candidates(of_wheel)) == [str(apart)]
    assert list(linking._candidates(fake_nvrtc("libnvrtc.so.13"))) == ["libnvJitLink.so.13"]
    assert list(linking._candidates(fake_nvrtc("/some/libnvrtc.so", linking.NVRTC_VARIABLE))) == []
    monkeypatch.setenv(linking.VARIABLE, "none")
    assert list(linking._candidates(of_wheel)) == []
    monkeypatch.setenv(linking.VARIABLE, "/my/libnvJitLink.so")
    assert list(linking._candidates(of_wheel)) == ["/my/libnvJitLink.so"]


def test_a_library_that_is_no_linker_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libnvJitLink.so.13").write_bytes(b"no library")
    monkeypatch.delenv(linking.VARIABLE, raising=False)
    assert linker_for(fake_nvrtc(str(tmp_path / "libnvrtc.so.13"))) is None
    monkeypatch.setenv(linking.VARIABLE, "libc.so.6")
    assert linker_for(fake_nvrtc(str(tmp_path / "libnvrtc.so.13"))) is None
