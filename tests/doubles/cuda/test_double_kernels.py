"""Kernels on the doubles of driver and compiler: what of a GPU they keep."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import sys
import time
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import build  # noqa: E402
import double_rig as rig  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the doubles are made by g++")

TEXT = """
typedef unsigned int u32;
typedef unsigned long long u64;
__device__ u64 kept[4] = {7, 8, 9, 10};
RK_KERNEL(add)(u64 address, u64 by) { reinterpret_cast<u64*>(address)[blockIdx.x * blockDim.x + threadIdx.x] += by; }
RK_KERNEL(pong)(u64 address, u64 turns) {
  u64* words = reinterpret_cast<u64*>(address);
  for (u64 turn = 1; turn <= turns; ++turn) {
    while (rk_ld_acquire_sys(words) != turn) rk_nanosleep(100);
    words[2] = words[2] * 3 + 1;
    rk_st_release_sys(words + 1, turn);
  }
}
RK_KERNEL(some_leave)(u64 address) {  // of eight threads, three
  u64* words = reinterpret_cast<u64*>(address);
  RK_SHARED(u64, sum);
  if (threadIdx.x == 0) sum = 0;
  if (threadIdx.x >= 5) return;
  for (u32 turn = 0; turn < 20; ++turn) {
    __syncthreads();
    atomicAdd(&sum, u64{1} + threadIdx.x);
    if (turn == 9 && threadIdx.x == 4) return;
    __syncthreads();
    words[threadIdx.x] = sum;
  }
  words[5] = __syncthreads_and(threadIdx.x != 2);
  words[6] = __syncthreads_and(1);
}
RK_KERNEL(warp)(u64 address) {
  u64* words = reinterpret_cast<u64*>(address);
  const u32 mask = 0xFFFFFFFFu >> (32 - (threadIdx.x < 32 ? 32 : blockDim.x - 32));
  for (int turn = 0; turn < 3; ++turn) {
    const u32 other = __shfl_sync(mask, threadIdx.x * 10, 3);
    const u32 odd = __ballot_sync(mask, threadIdx.x % 2 != 0);
    words[threadIdx.x] = other + (u64{odd} << 32);
  }
  __syncwarp(mask);
}
RK_KERNEL(meet)(u64 address, u64 mine, u64 other) {  // ends when the other grid runs at the same time
  u64* words = reinterpret_cast<u64*>(address);
  rk_st_release_sys(words + mine, u64{1});
  while (rk_ld_acquire_sys(words + other) == 0) rk_nanosleep(20000);
}
RK_KERNEL(stay)(u64 address) {
  u64* words = reinterpret_cast<u64*>(address);
  rk_add_relaxed_gpu(words + 1, 1u);
  while (rk_ld_acquire_sys(words) == 0) rk_nanosleep(20000);
}
RK_EXPORT_KERNEL(add)
RK_EXPORT_KERNEL(pong)
RK_EXPORT_KERNEL(some_leave)
RK_EXPORT_KERNEL(warp)
RK_EXPORT_KERNEL(meet)
RK_EXPORT_KERNEL(stay)
"""


@pytest.fixture(scope="module")
def nvrtc() -> rig.Nvrtc:
    build.use()
    return rig.Nvrtc(os.environ["RINGKERNEL_NVRTC"])


@pytest.fixture(scope="module")
def driver(nvrtc: rig.Nvrtc) -> rig.Driver:
    return rig.Driver(os.environ["RINGKERNEL_CUDA_DRIVER"])


@pytest.fixture
def module(driver: rig.Driver, nvrtc: rig.Nvrtc) -> Iterator[c_void_p]:
    made = driver.module(nvrtc.image(TEXT))
    yield made
    driver.do("cuModuleUnload", made)


def test_it_does_not_pass_for_a_gpu(driver: rig.Driver) -> None:
    name = ctypes.create_string_buffer(100)
    driver.do("cuDeviceGetName", name, 100, 0)
    assert name.value == b"CUDA double (CPU threads, not a GPU)"


def test_a_grid_reaches_all_of_its_elements(driver: rig.Driver, module: c_void_p) -> None:
    words, address = driver.words(16)
    stream = driver.stream()
    assert driver.launch(driver.function(module, "add"), stream, [address, 5], blocks=4, threads=4) == rig.OK
    driver.do("cuStreamSynchronize", stream)
    assert list(words) == [5] * 16
    driver.do("cuStreamDestroy_v2", stream)


def test_a_persistent_kernel_answers_through_mapped_memory(driver: rig.Driver, module: c_void_p) -> None:
    words, address = driver.words()
    stream = driver.stream()
    assert driver.launch(driver.function(module, "pong"), stream, [address, 100]) == rig.OK
    expected = 0
    for turn in range(1, 101):
        assert driver.call("cuStreamQuery", stream) == rig.NOT_READY
        words[2] = turn
        words[0] = turn
        rig.until(functools.partial(lambda wanted: words[1] == wanted, turn))
        expected = turn * 3 + 1
        assert words[2] == expected
    driver.do("cuStreamSynchronize", stream)
    assert driver.call("cuStreamQuery", stream) == rig.OK


def test_a_barrier_waits_for_those_that_have_not_left(driver: rig.Driver, module: c_void_p) -> None:
    words, address = driver.words()
    stream = driver.stream()
    assert driver.launch(driver.function(module, "some_leave"), stream, [address], threads=8) == rig.OK
    driver.do("cuStreamSynchronize", stream)
    assert list(words)[:4] == [10 * 15 + 10 * 10] * 4
    assert words[5:7] == [0, 1]


def test_lanes_see_each_other_in_full_and_partial_warps(driver: rig.Driver, module: c_void_p) -> None:
    words, address = driver.words(64)
    stream = driver.stream()
    assert driver.launch(driver.function(module, "warp"), stream, [address], threads=40) == rig.OK
    driver.do("cuStreamSynchronize", stream)
    assert list(words)[:40] == [30 + (0xAAAAAAAA << 32)] * 32 + [350 + (0xAA << 32)] * 8


def test_grids_on_two_streams_run_at_the_same_time(driver: rig.Driver, module: c_void_p) -> None:
    _, address = driver.words()
    function, streams = driver.function(module, "meet"), [driver.stream(), driver.stream()]
    assert driver.launch(function, streams[0], [address, 0, 1]) == rig.OK
    assert driver.launch(function, streams[1], [address, 1, 0]) == rig.OK
    for stream in streams:
        driver.do("cuStreamSynchronize", stream)


def test_a_cooperative_grid_fits_at_once_or_not_at_all(driver: rig.Driver, module: c_void_p) -> None:
    words, address = driver.words()
    function, streams, occupancy = driver.function(module, "stay"), [driver.stream(), driver.stream()], c_int()
    driver.do("cuOccupancyMaxActiveBlocksPerMultiprocessor", byref(occupancy), function, c_int(1024), c_size_t(200_000))
    assert occupancy.value == 1
    driver.do("cuOccupancyMaxActiveBlocksPerMultiprocessor", byref(occupancy), function, c_int(1), c_size_t(0))
    most = occupancy.value * 64
    assert driver.launch(function, streams[0], [address], blocks=most + 1) == rig.COOPERATIVE_TOO_LARGE
    assert driver.launch(function, streams[0], [address], blocks=most // 2) == rig.OK
    rig.until(lambda: words[1] == most // 2)
    assert driver.launch(function, streams[1], [address], blocks=most // 2 + 1) == rig.OK
    time.sleep(0.02)
    assert words[1] == most // 2  # the second one waits for room
    words[0] = 1
    for stream in streams:
        driver.do("cuStreamSynchronize", stream)
    assert words[1] == most + 1


def test_an_idle_grid_costs_next_to_nothing(driver: rig.Driver, module: c_void_p) -> None:
    words, address = driver.words()
    stream = driver.stream()
    assert driver.launch(driver.function(module, "stay"), stream, [address], blocks=16) == rig.OK
    rig.until(lambda: words[1] == 16)
    time.sleep(0.3)
    before = time.process_time()
    time.sleep(0.5)
    used = time.process_time() - before
    words[0] = 1
    driver.do("cuStreamSynchronize", stream)
    assert used < 0.25


def test_modules_are_each_their_own(driver: rig.Driver, nvrtc: rig.Nvrtc) -> None:
    text = "typedef unsigned long long u64;\nRK_KERNEL(f)(u64 a) {{ *(u64*)a = {n}; }}\nRK_EXPORT_KERNEL(f)\n"
    modules = [driver.module(nvrtc.image(text.format(n=n))) for n in (1, 2, 3)]
    words, address = driver.words()
    for n, module in enumerate(modules, 1):
        assert driver.launch(driver.function(module, "f"), c_void_p(), [address], cooperative=False) == rig.OK
        driver.do("cuCtxSynchronize")
        assert words[0] == n
        driver.do("cuModuleUnload", module)


def test_variables_memory_and_events(driver: rig.Driver, module: c_void_p) -> None:
    address, size, memory = c_uint64(), c_size_t(), c_uint64()
    driver.do("cuModuleGetGlobal_v2", byref(address), byref(size), module, b"kept")
    assert size.value == 32
    driver.do("cuMemAlloc_v2", byref(memory), c_size_t(32))
    driver.do("cuMemcpyHtoD_v2", memory, (c_uint64 * 4)(1, 2, 3, 4), c_size_t(32))
    out = (c_uint64 * 4)()
    driver.do("cuMemcpyDtoH_v2", out, memory, c_size_t(32))
    assert list(out) == [1, 2, 3, 4]
    assert driver.call("cuMemcpyDtoH_v2", out, memory, c_size_t(33)) == rig.INVALID_VALUE  # not all of it is there
    ordinal, kind = c_int(-1), c_uint()
    driver.do("cuPointerGetAttribute", byref(ordinal), 9, memory)
    driver.do("cuPointerGetAttribute", byref(kind), 2, memory)
    assert (ordinal.value, kind.value) == (0, 2)
    stream, events, elapsed = driver.stream(), [c_void_p(), c_void_p()], c_float()
    for event in events:
        driver.do("cuEventCreate", byref(event), 0)
        driver.do("cuEventRecord", event, stream)
        driver.do("cuEventSynchronize", event)
    driver.do("cuEventElapsedTime", byref(elapsed), *events)
    assert elapsed.value >= 0
    for event in events:
        driver.do("cuEventDestroy_v2", event)
    driver.do("cuMemFree_v2", memory)
    assert driver.call("cuMemFree_v2", memory) == rig.INVALID_VALUE


# -- the compiler ------------------------------------------------------------------------------------------------------


def test_errors_stand_where_line_says(nvrtc: rig.Nvrtc) -> None:
    text = 'int a;\n#line 40 "/home/me/my handlers.py"\nint b = not_there;\nint c = also_missing;\n'
    result, image, log = nvrtc.compile(text)
    assert (result, image) == (6, b"")
    lines = [line for line in log.splitlines() if line]
    assert lines[0].startswith("/home/me/my handlers.py(40): error: ")
    assert lines[1].startswith("/home/me/my handlers.py(41): error: ")
    assert lines[-1] == '2 errors detected in the compilation of "test.cu".'


def test_headers_come_by_name(nvrtc: rig.Nvrtc) -> None:
    headers = {"a/b.cuh": '#include "c.h"\nconstexpr int b = c;\n', "c.h": "#pragma once\nconstexpr int c = 3;\n"}
    text = '#include "a/b.cuh"\nstatic_assert(b == 3, "");\n'
    assert nvrtc.compile(text, headers=headers)[0] == rig.OK
    assert nvrtc.compile('#include "a/b.cuh"\n', headers={"a/b.cuh": "int b = c;\n"})[2].startswith(
        "a/b.cuh(1): error: "
    )
    result, _, log = nvrtc.compile('#include "none.h"\n')
    assert result == 6
    assert "test.cu(1): catastrophic error: " in log


def test_options_are_checked_and_virtual_architectures_make_no_image(nvrtc: rig.Nvrtc) -> None:
    assert nvrtc.compile("int a;", options=("--no-such-option",))[0] == 5
    assert nvrtc.compile("int a;", options=("-arch=sm_20",))[0] == 5
    assert nvrtc.compile("int a;", options=("-arch=compute_90",))[:2] == (0, b"")


def test_an_image_for_another_architecture_is_refused(driver: rig.Driver, nvrtc: rig.Nvrtc) -> None:
    image = nvrtc.compile("int a;", options=("-arch=sm_80",))[1]
    assert driver.call("cuModuleLoadData", byref(c_void_p()), image) == 209
    assert driver.call("cuModuleLoadData", byref(c_void_p()), c_char_p(b"\0" * 100)) == 200


def test_a_text_is_compiled_once(nvrtc: rig.Nvrtc) -> None:
    text = f"int once = {time.time_ns()};\n"
    first = nvrtc.image(text)
    start = time.perf_counter()
    assert nvrtc.image(text) == first
    assert time.perf_counter() - start < 0.1


# -- ThreadSanitizer ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    subprocess.run(["g++", "-print-file-name=libtsan.so"], capture_output=True, text=True).stdout.strip()
    == "libtsan.so",
    reason="g++ has no libtsan",
)
def test_threadsanitizer_sees_both_sides(tmp_path: Path) -> None:
    program, doubles = tmp_path / "ping_pong", build.build("thread")
    command = ["g++", "-std=c++20", "-O1", "-g1", "-fsanitize=thread", str(HERE / "ping_pong.cc"), "-o", str(program)]
    subprocess.run([*command, "-ldl"], check=True, timeout=120)
    libraries = [doubles["RINGKERNEL_CUDA_DRIVER"], doubles["RINGKERNEL_NVRTC"]]

    def outcome(load: str) -> tuple[int, str]:
        done = subprocess.run(
            ["setarch", "-R", str(program), *libraries, load],
            env={**os.environ, **doubles, "TSAN_OPTIONS": "halt_on_error=0"},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    code, text = outcome("rk_ld_acquire_sys")
    assert (code, text) == (0, "done\n")
    code, text = outcome("rk_ld_relaxed_sys")  # what is wrong on a GPU is found here
    assert code != 0
    assert "data race" in text
