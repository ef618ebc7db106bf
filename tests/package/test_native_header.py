"""native.h, the C interface of handlers in shared libraries: C11 and C++14, one layout, and what it says of itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

INCLUDE = Path(__file__).resolve().parents[2] / "cpp" / "include"
HEADER = INCLUDE / "ringkernel" / "native.h"
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-I", str(INCLUDE)]
C_AND_CPP = [("gcc", "g++"), ("clang-19", "clang++-19")]

pytestmark = pytest.mark.skipif(not HEADER.is_file(), reason="the C++ headers are not beside these tests")

PROTOTYPE = "int32_t scale(const rk_context*, void*, const rk_message*);\n"

# A runtime as small as can be: it calls the handler of the comment in native.h, and checks what comes back.
RUNTIME = """
#include <cstring>
#include "ringkernel/abi/message_header.h"
#include "ringkernel/core/status.h"
#include "ringkernel/native.h"

extern "C" int32_t scale(const rk_context*, void*, const rk_message*);

#define SAME(code, status) static_assert(code == static_cast<int>(rk::Status::status), #code)
SAME(RK_OK, kOk);
SAME(RK_FULL, kFull);
SAME(RK_CLOSED, kClosed);
SAME(RK_TOO_LARGE, kTooLarge);
SAME(RK_UNDECLARED, kUndeclared);
static_assert(RK_LOW == int{rk::kPriorityLow} && RK_NORMAL == int{rk::kPriorityNormal}, "");
static_assert(RK_HIGH == int{rk::kPriorityHigh} && RK_CRITICAL == int{rk::kPriorityCritical}, "");

static int reply(const rk_context* context, uint32_t type_id, const void* payload, uint32_t size, uint32_t priority) {
  if (type_id != 7 || size != sizeof(double) || priority != RK_NORMAL) return RK_INVALID;
  std::memcpy(context->self, payload, size);
  return RK_OK;
}

int main() {
  double replied = 0;
  rk_context context{};
  context.size = sizeof(context);
  context.version = RK_NATIVE_VERSION;
  context.self = &replied;
  context.reply = reply;
  const rk::MessageHeader header{};
  const double value = 21;
  const rk_message message{&header, &value, sizeof(value), 7};
  const rk_message short_message{&header, &value, 4, 7};
  const rk_handler handler = scale;
  if (handler(&context, nullptr, &short_message) != 1 || replied != 0) return 1;
  return handler(&context, nullptr, &message) == RK_OK && replied == 42 ? 0 : 2;
}
"""


def compile_source(compiler: str, standard: str, source: Path, *arguments: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    command = [compiler, f"-std={standard}", *STRICT, str(source), *arguments]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr


def example_in_the_comment() -> str:
    found = re.search(r"^     int32_t scale\(.*?^     }$", HEADER.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return textwrap.dedent(found.group()) + "\n"


@pytest.mark.parametrize(
    ("compiler", "standard", "suffix"),
    [
        (compiler, standard, suffix)
        for pair in C_AND_CPP
        for compiler, standards, suffix in ((pair[0], ("c11", "c17"), ".c"), (pair[1], ("c++14", "c++20"), ".cc"))
        for standard in standards
    ],
)
def test_it_compiles_alone_and_twice_without_a_warning(
    compiler: str, standard: str, suffix: str, tmp_path: Path
) -> None:
    source = tmp_path / f"alone{suffix}"
    source.write_text('#include "ringkernel/native.h"\n' * 2 + "int main(void) { return 0; }\n")
    compile_source(compiler, standard, source, "-fsyntax-only")


@pytest.mark.parametrize(("c_compiler", "cpp_compiler"), C_AND_CPP)
def test_its_example_runs_as_c_under_a_runtime_in_cpp(c_compiler: str, cpp_compiler: str, tmp_path: Path) -> None:
    handler, runtime = tmp_path / "handler.c", tmp_path / "runtime.cc"
    handler.write_text('#include <string.h>\n#include "ringkernel/native.h"\n' + PROTOTYPE + example_in_the_comment())
    runtime.write_text(RUNTIME)
    library, program = tmp_path / "libhandler.so", tmp_path / "runtime"
    compile_source(c_compiler, "c11", handler, "-shared", "-fPIC", "-o", str(library))
    compile_source(cpp_compiler, "c++14", runtime, str(library), f"-Wl,-rpath,{tmp_path}", "-o", str(program))
    assert subprocess.run([program], timeout=60, check=False).returncode == 0


def test_a_field_that_moves_does_not_compile(tmp_path: Path) -> None:
    moved = HEADER.read_text().replace("  uint32_t instance;", "  uint32_t new_field, newer_field, instance;")
    assert moved != HEADER.read_text()
    source = tmp_path / "moved.c"
    source.write_text(moved)
    command = ["gcc", "-std=c11", "-fsyntax-only", str(source)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "bump RK_NATIVE_VERSION" in found.stderr
