"""What a C++ project finds after an installation: by CMake alone, and inside the wheel."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "cpp"
CMAKE = shutil.which("cmake", path=os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)]))
HANG_SECONDS = 600.0
PACKAGE_DIR = {"cpp": "lib/cmake/ringkernel", "python": "share/cmake/ringkernel"}
COMPILERS = [
    pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed"))
    for name in ("g++", "clang++-19")
]

pytestmark = [
    pytest.mark.skipif(CMAKE is None, reason="cmake is not installed"),
    pytest.mark.skipif(not (ROOT / "CMakeLists.txt").is_file(), reason="the C++ sources are not beside these tests"),
]


def run(*command: object) -> str:
    """Its output; fails the test with it when the command fails."""
    words = [str(word) for word in command]
    found = subprocess.run(words, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    assert found.returncode == 0, f"{' '.join(words)}\n{found.stdout}{found.stderr}"
    return found.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The library in both layouts: built once, with flags as a distribution gives them, and moved after installing."""
    base = tmp_path_factory.mktemp("package")
    build = base / "build"
    faster = "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG"  # to build; what is looked at here is the same
    run(CMAKE, "-S", ROOT, "-B", build, "-DCMAKE_CXX_FLAGS=-flto", faster, "-DCMAKE_INSTALL_LIBDIR=lib")
    run(CMAKE, "--build", build, "--parallel", os.cpu_count() or 1)
    run(CMAKE, "--install", build, "--prefix", base / "first-cpp")
    run(CMAKE, "--install", build, "--prefix", base / "first-python", "--component", "python")
    shutil.rmtree(build)
    return {name: (base / f"first-{name}").rename(base / f"moved {name}") for name in PACKAGE_DIR}


def build_and_run_example(package: Path, compiler: str, build: Path) -> str:
    """An old standard is asked for on purpose: the library's own requirement must win."""
    arguments = [f"-Dringkernel_DIR={package}", f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_CXX_STANDARD=14"]
    run(CMAKE, "-S", EXAMPLE, "-B", build, *arguments, "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
    run(CMAKE, "--build", build)
    return run(build / "hello_ringkernel")


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("layout", PACKAGE_DIR)
def test_a_project_outside_builds_against_it_and_runs(
    installed: dict[str, Path], layout: str, compiler: str, tmp_path: Path
) -> None:
    assert build_and_run_example(installed[layout] / PACKAGE_DIR[layout], compiler, tmp_path / "build").strip()


def test_a_project_outside_builds_against_the_installed_wheel(tmp_path: Path) -> None:
    try:
        importlib.metadata.distribution("pyringkernel")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pyringkernel is not installed; these tests run from its sources")
    package = run(sys.executable, "-m", "pyringkernel", "--cmakedir").strip()
    assert build_and_run_example(Path(package), "c++", tmp_path / "build").strip()


def device_files(layout: str) -> set[Path]:
    """What handlers are compiled with for a GPU: the wheel's alone."""
    source = ROOT / "kernels" / "cuda"
    found = {Path("device/kernels/cuda") / path.relative_to(source) for path in source.rglob("*.cuh")}
    assert Path("device/kernels/cuda/resident.cuh") in found
    return found if layout == "python" else set()


def test_both_layouts_have_all_headers_and_nothing_of_the_other(installed: dict[str, Path]) -> None:
    source = ROOT / "cpp" / "include"
    headers = {Path("include") / path.relative_to(source) for path in source.rglob("*.h")}
    assert Path("include/ringkernel/native.h") in headers
    names = ["Config", "ConfigVersion", "Targets", "Targets-release"]
    for layout, prefix in installed.items():
        package = {Path(PACKAGE_DIR[layout]) / f"ringkernel{name}.cmake" for name in names}
        files = {path.relative_to(prefix) for path in prefix.rglob("*") if path.is_file()}
        assert files == headers | package | device_files(layout) | {Path("lib/libringkernel.a")}


def test_every_installed_header_compiles_alone(installed: dict[str, Path]) -> None:
    include = installed["cpp"] / "include"
    flags = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{include}", "-x", "c++", "-"]

    def compile_alone(header: Path) -> str:
        source = f'#include "{header.relative_to(include)}"\n' * 2
        found = subprocess.run(
            ["c++", *flags], input=source, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
        )
        return found.stderr if found.returncode != 0 else ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        errors = list(filter(None, pool.map(compile_alone, sorted(include.rglob("*.h")))))
    assert not errors, "\n".join(errors)


@pytest.mark.parametrize("layout", PACKAGE_DIR)
def test_nothing_of_our_build_is_asked_of_its_users(installed: dict[str, Path], layout: str) -> None:
    package = installed[layout] / PACKAGE_DIR[layout]
    text = "\n".join(path.read_text() for path in package.glob("*.cmake"))
    assert str(ROOT) not in text
    assert "first-" not in text
    wanted = dict(re.findall(r'^  (INTERFACE_\w+) "(.*)"$', text, re.MULTILINE))
    assert wanted == {
        "INTERFACE_COMPILE_FEATURES": "cxx_std_20",
        "INTERFACE_INCLUDE_DIRECTORIES": "${_IMPORT_PREFIX}/include",
        "INTERFACE_LINK_LIBRARIES": "Threads::Threads;dl",
    }


def test_the_library_holds_machine_code_that_also_a_shared_library_can_take(
    installed: dict[str, Path], tmp_path: Path
) -> None:
    library = installed["cpp"] / "lib" / "libringkernel.a"
    content = library.read_bytes()
    assert b".gnu.lto_" not in content
    assert b"BC\xc0\xde" not in content  # LLVM's intermediate code
    whole = ["-Wl,--whole-archive", library, "-Wl,--no-whole-archive"]
    run("c++", "-shared", "-Wl,-z,text", "-Wl,-z,defs", *whole, "-pthread", "-o", tmp_path / "whole.so")


@pytest.mark.parametrize(
    ("wanted", "fits"), [("0.1", True), ("0.1.0", True), ("0.0", False), ("0.2", False), ("1.0", False)]
)
def test_a_version_fits_when_its_minor_is_the_same(
    installed: dict[str, Path], wanted: str, fits: bool, tmp_path: Path
) -> None:
    code = f"""
    set(PACKAGE_FIND_VERSION {wanted})
    string(REPLACE "." ";" parts {wanted})
    list(GET parts 0 PACKAGE_FIND_VERSION_MAJOR)
    list(GET parts 1 PACKAGE_FIND_VERSION_MINOR)
    include("{installed["cpp"] / PACKAGE_DIR["cpp"] / "ringkernelConfigVersion.cmake"}")
    message("fits: ${{PACKAGE_VERSION_COMPATIBLE}}")
    """
    script = tmp_path / "version.cmake"
    script.write_text(code)
    found = subprocess.run(
        [str(CMAKE), "-P", str(script)], capture_output=True, text=True, timeout=HANG_SECONDS, check=True
    )
    assert f"fits: {str(fits).upper()}" in found.stderr
