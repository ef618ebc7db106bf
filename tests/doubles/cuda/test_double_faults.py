"""The doubles can be told to fail, at every entry point and in every way that the library has to live with.

Each test has a process of its own: what is planted lasts, as a fault of a GPU does.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from ctypes import byref, c_int, c_size_t, c_uint64, c_void_p
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import build  # noqa: E402
import double_rig as rig  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the doubles are made by g++")

TEXT = """
typedef unsigned long long u64;
RK_KERNEL(stay)(u64 address) {
  u64* words = reinterpret_cast<u64*>(address);
  rk_add_relaxed_gpu(words + 1, 1u);
  for (u64 turn = 1; rk_ld_acquire_sys(words) == 0; ++turn) {
    __syncthreads();
    if (threadIdx.x == 0) rk_st_relaxed_sys(words + 2, turn);
    rk_nanosleep(2000);
  }
}
RK_KERNEL(trap)(u64 address) {
  if (threadIdx.x == 1) rk_trap();
  for (;;) __syncthreads();
}
RK_KERNEL(bad)(u64 address) { *reinterpret_cast<volatile u64*>(address) = 1; }
RK_KERNEL(spin)(u64 address) {
  unsigned word = 0;
  while (rk_load_cancel(&word) == 0) {}
}
RK_EXPORT_KERNEL(stay)
RK_EXPORT_KERNEL(trap)
RK_EXPORT_KERNEL(bad)
RK_EXPORT_KERNEL(spin)
"""


def _child(test: Callable[[], None], variables: dict[str, str], tell: Any) -> None:
    os.environ.update(variables)
    try:
        test()
        tell.send("")
    except BaseException as error:
        tell.send(f"{type(error).__name__}: {error}")
    tell.close()
    os._exit(0)


def alone(test: Callable[[], None], **variables: str) -> None:
    """Runs it in a process of its own, with these variables."""
    build.use()
    context = get_context("fork")
    hear, tell = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(test, variables, tell))
    process.start()
    tell.close()
    try:
        assert hear.poll(40), "hangs"
        said = hear.recv()
    finally:
        process.kill()
        process.join()
    assert said == "", said


def driver() -> rig.Driver:
    return rig.Driver(os.environ["RINGKERNEL_CUDA_DRIVER"])


def image() -> bytes:
    return rig.Nvrtc(os.environ["RINGKERNEL_NVRTC"]).image(TEXT)


def started(one: rig.Driver, name: str, *, threads: int = 2, address: int | None = None) -> tuple[Any, c_void_p]:
    """A kernel that runs: its words, its stream."""
    words, mapped = one.words()
    stream = one.stream()
    function = one.function(one.module(image()), name)
    assert one.launch(function, stream, [mapped if address is None else address], threads=threads) == rig.OK
    return words, stream


def ended_by(one: rig.Driver, stream: c_void_p, result: int) -> None:
    rig.until(lambda: one.call("cuStreamQuery", stream) not in (rig.OK, rig.NOT_READY))
    assert one.call("cuStreamQuery", stream) == result
    assert one.call("cuMemAlloc_v2", byref(c_uint64()), c_size_t(8)) == result  # and so does every other call
    assert one.call("cuDriverGetVersion", byref(c_int())) == rig.OK  # that needs the context
    rig.until(lambda: one.control("living", "grids") == 0)


def every_entry_point_fails_when_told() -> None:
    one = driver()
    names = one.entries()
    assert len(names) > 50
    nothing = [c_void_p()] * 11
    for name in names:
        before = one.control("calls", name)
        one.control("fail", name, 702, 1, 1)
        if name in ("cuCtxSynchronize", "cuDriverGetVersion", "cuCtxGetCurrent"):
            out = [byref(c_int())] if name == "cuDriverGetVersion" else [byref(c_void_p())]
            assert one.call(name, *out) == rig.OK, name  # after one call
        else:
            one.control("fail", name, 702, 0, 1)
        assert one.call(name, *nothing) == 702, name
        assert one.control("calls", name) > before
    one.do("cuCtxSynchronize")
    one.control("fail", "cuCtxSynchronize", 702, 0, -1)
    assert [one.call("cuCtxSynchronize") for _ in range(3)] == [702] * 3
    one.control("forget_failures")
    one.do("cuCtxSynchronize")


def a_trap_is_for_ever_and_for_all() -> None:
    one = driver()
    _, other = started(one, "stay")
    _, stream = started(one, "trap")
    ended_by(one, stream, rig.LAUNCH_FAILED)
    assert one.call("cuStreamQuery", other) == rig.LAUNCH_FAILED


def a_bad_address_is_a_result() -> None:
    one = driver()
    _, stream = started(one, "bad", address=8)
    ended_by(one, stream, rig.ILLEGAL_ADDRESS)


def a_lost_device_takes_its_grids_with_it() -> None:
    one = driver()
    words, stream = started(one, "stay")
    started(one, "spin")
    rig.until(lambda: words[1] == 2)
    one.control("lose_device")
    ended_by(one, stream, rig.UNKNOWN)
    assert one.call("cuDeviceGetCount", byref(c_int())) == rig.UNKNOWN


def a_sticky_error_can_be_planted_and_taken_back() -> None:
    one = driver()
    one.control("sticky", 714)
    assert one.call("cuCtxSynchronize") == 714
    one.control("recover")
    one.do("cuCtxSynchronize")
    words, stream = started(one, "stay")
    words[0] = 1
    one.do("cuStreamSynchronize", stream)


def grids_hang_and_freeze() -> None:
    one = driver()
    one.control("hang", 1)
    words, stream = started(one, "stay")
    assert one.call("cuStreamQuery", stream) == rig.NOT_READY
    assert words[1] == 0
    one.control("hang", 0)
    rig.until(lambda: words[2] > 3)
    one.control("freeze", 1)
    last = [0]

    def still() -> bool:
        before, last[0] = last[0], words[2]
        return before == last[0]

    rig.until(still)
    words[0] = 1
    assert one.call("cuStreamQuery", stream) == rig.NOT_READY
    one.control("freeze", 0)
    one.do("cuStreamSynchronize", stream)


def memory_runs_out() -> None:
    one, address, more = driver(), c_uint64(), c_uint64()
    one.do("cuMemAlloc_v2", byref(address), c_size_t(3000))
    assert one.call("cuMemAlloc_v2", byref(more), c_size_t(2000)) == rig.OUT_OF_MEMORY
    assert one.control("living", "memory") == 1
    one.do("cuMemFree_v2", address)
    one.do("cuMemAlloc_v2", byref(more), c_size_t(2000))


def devices_are_what_they_are_said_to_be() -> None:
    one, value, can = driver(), c_int(), c_int()
    one.do("cuDeviceGetCount", byref(value))
    assert value.value == 2
    for attribute, expected in ((16, 3), (75, 12), (76, 1)):
        one.do("cuDeviceGetAttribute", byref(value), attribute, 1)
        assert value.value == expected
    one.do("cuDeviceCanAccessPeer", byref(can), 0, 1)
    assert can.value == 1
    peer = c_void_p()
    one.do("cuDevicePrimaryCtxRetain", byref(peer), 1)
    one.do("cuCtxEnablePeerAccess", peer, 0)
    assert one.call("cuCtxEnablePeerAccess", peer, 0) == 704
    one.do("cuDriverGetVersion", byref(value))
    assert value.value == 11040


def what_is_hidden_is_missing() -> None:
    library = ctypes.CDLL(os.environ["RINGKERNEL_CUDA_DRIVER"])
    assert not hasattr(library, "cuFuncLoad")
    assert not hasattr(library, "cuMemAlloc_v2")
    assert hasattr(library, "cuMemFree_v2")
    found, status = c_void_p(), c_int()
    assert library.cuGetProcAddress_v2(b"cuMemAlloc", byref(found), 12000, c_uint64(0), byref(status)) == 500
    assert library.cuGetProcAddress_v2(b"cuMemFree", byref(found), 12000, c_uint64(0), byref(status)) == 0


def there_is_no_device() -> None:
    assert ctypes.CDLL(os.environ["RINGKERNEL_CUDA_DRIVER"]).cuInit(0) == 100


def variables_plant_failures_too() -> None:
    one = driver()
    assert [one.call("cuCtxSynchronize") for _ in range(4)] == [0, 700, 700, 0]
    assert one.call("cuStreamCreate", byref(c_void_p()), 0) == 2


def a_failure_can_stay_from_a_call_on() -> None:
    one = driver()
    words, stream = started(one, "stay")
    rig.until(lambda: words[1] == 2)
    assert [one.call("cuCtxSynchronize") for _ in range(2)] == [719, 719]
    assert one.call("cuStreamQuery", stream) == 719
    rig.until(lambda: one.control("living", "grids") == 0)
    one.control("recover")
    rig.until(lambda: one.call("cuStreamQuery", stream) == rig.OK)


def freeing_waits_for_grids() -> None:
    one, address = driver(), c_uint64()
    one.do("cuMemAlloc_v2", byref(address), c_size_t(256))
    words, stream = started(one, "stay")
    rig.until(lambda: words[1] == 2)
    results: list[int] = []

    def free() -> None:
        one.do("cuCtxSetCurrent", one.context)
        results.append(one.call("cuMemFree_v2", address))

    waiting = threading.Thread(target=free)
    before = one.control("calls", "cuMemFree_v2")
    waiting.start()
    rig.until(lambda: one.control("calls", "cuMemFree_v2") > before)
    turns = words[2]
    rig.until(lambda: words[2] > turns + 50)  # the grid goes on
    assert results == []
    words[0] = 1
    waiting.join(20)
    assert results == [rig.OK]


def nothing_is_left_over() -> None:
    one = driver()
    words, address = one.words()
    stream, module = one.stream(), one.module(image())
    assert one.launch(one.function(module, "stay"), stream, [address]) == rig.OK
    rig.until(lambda: words[1] == 1)
    assert one.control("living", "grids") == 1
    one.do("cuModuleUnload", module)  # its code stays until the grid has ended
    words[0] = 1
    one.do("cuStreamSynchronize", stream)
    one.do("cuStreamDestroy_v2", stream)
    one.do("cuMemFreeHost", ctypes.c_void_p(ctypes.addressof(words)))
    assert one.call("cuStreamQuery", stream) == 400
    kinds = ("memory", "host_memory", "streams", "events", "modules", "grids")
    assert [one.control("living", kind) for kind in kinds] == [0] * len(kinds)


def the_compiler_fails_too() -> None:
    nvrtc = rig.Nvrtc(os.environ["RINGKERNEL_NVRTC"])
    assert nvrtc.library.nvrtcVersion(byref(c_int()), byref(c_int())) == 11
    result, _, log = nvrtc.compile("int a;")
    assert result == 1
    assert "planted" in log


CASES: list[tuple[Callable[[], None], dict[str, str]]] = [
    (every_entry_point_fails_when_told, {}),
    (a_trap_is_for_ever_and_for_all, {}),
    (a_bad_address_is_a_result, {}),
    (a_lost_device_takes_its_grids_with_it, {}),
    (a_sticky_error_can_be_planted_and_taken_back, {}),
    (grids_hang_and_freeze, {}),
    (memory_runs_out, {"RK_DOUBLE_MEMORY": "4096"}),
    (devices_are_what_they_are_said_to_be, {
        "RK_DOUBLE_DEVICES": "2", "RK_DOUBLE_SMS": "3", "RK_DOUBLE_COMPUTE": "121", "RK_DOUBLE_PEER": "1",
        "RK_DOUBLE_DRIVER": "11040",
    }),
    (what_is_hidden_is_missing, {"RK_DOUBLE_HIDE": "cuFuncLoad,cuMemAlloc_v2"}),
    (there_is_no_device, {"RK_DOUBLE_DEVICES": "0"}),
    (variables_plant_failures_too, {"RK_DOUBLE_FAIL": "cuCtxSynchronize=700@1*2,cuStreamCreate=2"}),
    (a_failure_can_stay_from_a_call_on, {"RK_DOUBLE_FAIL": "cuCtxSynchronize=719!"}),
    (freeing_waits_for_grids, {"RK_DOUBLE_SYNC": "1"}),
    (nothing_is_left_over, {}),
    (the_compiler_fails_too, {"RK_DOUBLE_NVRTC_FAIL": "nvrtcVersion=11,nvrtcCompileProgram=1"}),
]  # fmt: skip


@pytest.mark.parametrize(("case", "variables"), CASES, ids=[case.__name__ for case, _ in CASES])
def test_double(case: Callable[[], None], variables: dict[str, str]) -> None:
    alone(case, **variables)


def test_build_prints_what_another_process_needs() -> None:
    done = subprocess.run([sys.executable, str(HERE / "build.py")], capture_output=True, text=True, check=True)
    assert "export RINGKERNEL_CUDA_DRIVER=" in done.stdout
