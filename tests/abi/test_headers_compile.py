"""The shared headers compile wherever they have to: C++14 on two compilers, and NVRTC."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

INCLUDE = Path(__file__).resolve().parents[2] / "cpp" / "include"
HEADERS = sorted(path.name for path in (INCLUDE / "ringkernel" / "abi").glob("*.h"))
SIZES = {"HlcTimestamp": 16, "MessageHeader": 64, "ControlBlock": 128, "TelemetryBlock": 64, "RingGeometry": 128}
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]

pytestmark = pytest.mark.skipif(not INCLUDE.is_dir(), reason="the C++ headers are not beside these tests")


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("compiler", ["g++", "clang++-19"])
def test_a_header_compiles_alone_as_cpp14_without_a_warning(compiler: str, header: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    command = [compiler, "-std=c++14", *WARNINGS, "-fsyntax-only", "-I", str(INCLUDE), "-x", "c++", "-"]
    source = f'#include "ringkernel/abi/{header}"\nint main() {{ return 0; }}\n'
    found = subprocess.run(command, input=source, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr


def test_the_shared_structs_hold_no_pointer_bool_enum_or_size_t() -> None:
    for path in (INCLUDE / "ringkernel" / "abi").glob("*.h"):
        for struct, kind in re.findall(r"\bF\((\w+), ([^,]+), \w+, \d+\)", path.read_text()):
            sound = kind in ("u8", "u16", "u32", "u64") or re.fullmatch(r"Reserved<\d+>", kind)  # of u64
            assert sound, f"{path.name}: {struct} has a field of type {kind}"


def find_nvrtc() -> Path | None:
    """The library in NVIDIA's wheel, wherever that release of the wheel keeps it."""
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or []) if spec is not None else []:
        found = sorted(path for path in Path(root).glob("**/libnvrtc.so.*") if not path.is_symlink())
        if found:
            return found[0]
    return None


class Nvrtc:
    """The few calls of NVRTC that a compile needs."""

    def __init__(self, path: Path) -> None:
        for builtins in path.parent.glob("libnvrtc-builtins.so.*"):
            ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
        self._library = ctypes.CDLL(str(path))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def _check(self, result: int, log: str = "") -> None:
        assert result == 0, f"{self._library.nvrtcGetErrorString(result).decode()}\n{log}"

    def _text(self, program: Any, what: str) -> str:
        size = ctypes.c_size_t()
        self._check(getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._library, f"nvrtcGet{what}")(program, buffer))
        return buffer.value.decode()

    def compile(self, source: str, *options: str) -> str:
        """The PTX. Fails the test with the compiler's log."""
        program = ctypes.c_void_p()
        self._check(
            self._library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"probe.cu", 0, None, None)
        )
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        result = self._library.nvrtcCompileProgram(program, len(options), given)
        self._check(result, self._text(program, "ProgramLog"))
        ptx = self._text(program, "PTX")
        self._check(self._library.nvrtcDestroyProgram(ctypes.byref(program)))
        return ptx


@pytest.mark.parametrize("standard", ["c++14", "c++20"])
def test_nvrtc_compiles_the_headers_and_sees_the_same_sizes(standard: str) -> None:
    path = find_nvrtc()
    if path is None:
        pytest.skip("the nvidia-cuda-nvrtc wheel is not installed (pip install 'pyringkernel[test]')")
    stores = "\n".join(f"  out[{n}] = sizeof(rk::{name});" for n, name in enumerate(SIZES))
    checks = "\n".join(f'static_assert(sizeof(rk::{name}) == {size}, "{name}");' for name, size in SIZES.items())
    source = (
        f'#include "ringkernel/abi/abi.h"\n{checks}\n'
        f'extern "C" __global__ void sizes(unsigned long long* out) {{\n{stores}\n'
        f"  out[{len(SIZES)}] = rk::kAbiVersion;\n}}\n"
    )
    ptx = Nvrtc(path).compile(source, f"-I{INCLUDE}", "--gpu-architecture=compute_90", f"--std={standard}")
    assert ".entry sizes" in ptx
    for size in {*SIZES.values(), 0x10000}:
        assert re.search(rf"\b{size}\b", ptx), f"no store of {size} in\n{ptx}"
