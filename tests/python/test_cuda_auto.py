"""backend="auto" takes the CPU and says why, whatever a driver or a compiler does at the start. On the doubles: no GPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_cuda_devices import HEAD

if TYPE_CHECKING:
    from collections.abc import Callable

    RunScript = Callable[..., tuple[int, str, str]]

DOUBLES = Path(__file__).resolve().parents[1] / "doubles" / "cuda"
pytestmark = pytest.mark.skipif(not (DOUBLES / "build.py").is_file(), reason="the doubles are not beside these tests")

# What a start cannot do without; the rest is for launches.
NEEDED = {
    "cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceTotalMem_v2",
    "cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain", "cuMemHostAlloc", "cuMemAlloc_v2", "cuStreamCreateWithPriority",
}  # fmt: skip


def test_every_call_of_the_driver_may_fail(run_script: RunScript) -> None:
    status, out, errors = run_script(
        HEAD
        + """
driver = ctypes.CDLL(os.environ["RINGKERNEL_CUDA_DRIVER"])
driver.rk_double_entry.restype = ctypes.c_char_p
number = 0
while (entry := driver.rk_double_entry(number)) is not None:
    number += 1
    for result in (2, 46, 100, 719, 802, 999):
        double("fail", entry, result, 0, -1)
        with rk.Runtime() as rt:
            if rt.backend == "cpu":
                assert rt.skipped["cuda"] and rt.device is None and rt.devices == ()
                assert list(rt.skipped) == ["cuda", "metal", "wgpu"]
                assert rt.launch(summer).call(Count(3), timeout=60.0) == Count(3)
                print(entry.decode())
        del rt  # it keeps the device open
        double("recover")
with rk.Runtime() as rt:
    print("at last", rt.backend, rt.launch(summer).call(Count(4), timeout=60.0).n)
"""
    )
    assert status == 0, errors
    *failed, last = out.splitlines()
    assert set(failed) >= NEEDED
    assert last == "at last cuda 4"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RK_DOUBLE_NVRTC_FAIL": "nvrtcVersion=11"}, "failed at telling its version"),
        ({"RK_DOUBLE_NVRTC_FAIL": "nvrtcGetNumSupportedArchs=2"}, "failed at telling what it compiles for"),
        ({"RK_DOUBLE_DEVICES": "0"}, "CUDA_ERROR_NO_DEVICE"),
        ({"RK_DOUBLE_DRIVER": "11080"}, "the CUDA driver is too old: found one for CUDA 11.8"),
        ({"RK_DOUBLE_COMPUTE": "61"}, "found compute capability 6.1, needed is 7.5 or newer"),
        ({"RK_DOUBLE_HIDE": "cuLaunchCooperativeKernel"}, "it has no cuLaunchCooperativeKernel"),
        ({"RK_DOUBLE_MEMORY": "4096"}, "memory"),
        ({"RK_DOUBLE_STICKY": "719"}, "CUDA_ERROR_LAUNCH_FAILED"),
        ({"RK_DOUBLE_NVRTC_VERSION": "99.0"}, "newer than the driver"),
        ({"RK_DOUBLE_NVRTC_ARCHS": "75"}, "the device has compute capability 9.0"),
        ({"nvrtc": "/nowhere/libnvrtc.so"}, "no NVRTC fits: /nowhere/libnvrtc.so"),
        ({"nvrtc": "libc.so.6"}, "it has no nvrtcVersion"),
        ({"driver": "/nowhere/libcuda.so"}, "no CUDA driver found"),
    ],
)
def test_auto_says_what_is_missing(run_script: RunScript, environment: dict[str, str], said: str) -> None:
    names = {"nvrtc": "RINGKERNEL_NVRTC", "driver": "RINGKERNEL_CUDA_DRIVER"}
    given = {names.get(name, name): value for name, value in environment.items()}
    status, out, errors = run_script(
        HEAD
        + f"""
os.environ.update({given!r})
for device in (0, [0], "all"):
    with rk.Runtime(device=device) as rt:
        print(rt.backend, rt.skipped["cuda"])
try:
    rk.Runtime(backend="cuda")
except (rk.BackendUnavailableError, rk.DeviceError) as error:
    print("cuda", error)
"""
    )
    assert status == 0, errors
    *auto, named = out.splitlines()
    assert [line.partition(" ")[0] for line in auto] == ["cpu"] * 3
    assert all(said in line for line in auto), auto
    assert named.startswith("cuda ")
    assert said in named
