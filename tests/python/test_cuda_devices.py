"""Runtimes with several GPUs, on the doubles of driver and compiler: CPU threads, and no GPU.

Each test has a process of its own: a process has one driver.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    RunScript = Callable[..., tuple[int, str, str]]
    Run = Callable[..., list[str]]

HERE = Path(__file__).resolve().parent
DOUBLES = HERE.parent / "doubles" / "cuda"
HEAD = f"""
sys.path[:0] = [{str(DOUBLES)!r}, {str(HERE)!r}]
import build, ctypes; build.use()
from isolated_handlers import Count, Sum, summer
def double(name, *values):
    return getattr(ctypes.CDLL(os.environ["RINGKERNEL_CUDA_DRIVER"]), "rk_double_" + name)(*values)
def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "what the test waits for did not happen within 60 s"
        time.sleep(0.002)
"""

pytestmark = pytest.mark.skipif(not (DOUBLES / "build.py").is_file(), reason="the doubles are not beside these tests")


@pytest.fixture
def run(run_script: RunScript, monkeypatch: pytest.MonkeyPatch) -> Run:
    """run(code, VARIABLE=value) gives the lines that a script printed; two devices unless told otherwise."""

    def in_process(code: str, **environment: str) -> list[str]:
        for name, value in {"RK_DOUBLE_DEVICES": "2", **environment}.items():
            monkeypatch.setenv(name, value)
        lines = code.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        status, out, errors = run_script(HEAD + "\n".join(line[indent:] for line in lines) + "\n")
        assert status == 0, errors
        return out.splitlines()

    return in_process


def test_all_devices_or_those_that_are_named(run: Run) -> None:
    out = run(
        """
        for given in (0, 1, [1], [1, 0], (0, 2), "all"):
            for backend in ("cuda", "auto"):
                with rk.Runtime(backend=backend, device=given) as rt:
                    print(given, rt.backend, [one.index for one in rt.devices], rt.device.index)
        with rk.Runtime(backend="cpu", device="all") as rt:
            print(rt.backend, rt.devices, rt.device, rt.launch(summer, device=1).device)
        """,
        RK_DOUBLE_DEVICES="3",
    )
    numbers = {"0": [0], "1": [1], "[1]": [1], "[1, 0]": [1, 0], "(0, 2)": [0, 2], "all": [0, 1, 2]}
    expected = [f"{given} cuda {found} {found[0]}" for given, found in numbers.items() for _ in range(2)]
    assert out == [*expected, "cpu () None None"]


def test_numbers_are_those_that_this_process_sees(run: Run) -> None:
    out = run(
        """
        with rk.Runtime(device="all") as rt:
            print([(one.index, one.pci_address) for one in rt.devices])
            print([rt.launch(summer, name=f"k{i}", device=i).call(Count(i), timeout=60.0).n for i in (0, 1)])
        with rk.Runtime(device=2) as rt:
            print(rt.backend, rt.skipped["cuda"])
        """,
        RK_DOUBLE_DEVICES="3",
        RK_DOUBLE_VISIBLE="2,0",
    )
    assert out[:2] == ["[(0, '0000:17:02.0'), (1, '0000:17:00.0')]", "[0, 1]"]
    assert out[2].startswith("cpu there is no CUDA device 2: the driver shows 2 to this process")


def test_a_number_that_does_not_exist_is_said(run: Run) -> None:
    out = run("""
        try:
            rk.Runtime(backend="cuda", device=[0, 7])
        except rk.BackendUnavailableError as error:
            print(error)
        with rk.Runtime(device=[7, 1]) as rt:
            print(rt.backend, [one.index for one in rt.devices], rt.skipped["cuda:7"])
        with rk.Runtime(device=[7, 8]) as rt:
            print(rt.backend, rt.devices, rt.skipped["cuda"])
    """)
    assert out[0].startswith("there is no CUDA device 7: the driver shows 2 to this process")
    assert out[1].startswith("cuda [1] there is no CUDA device 7")
    assert out[2].startswith("cpu () there is no CUDA device 7")


def test_a_device_that_cannot_be_opened_is_left_out_of_all(run: Run) -> None:
    out = run(
        """
        double("sticky_on", 0, 719)
        with rk.Runtime(backend="cuda", device="all") as rt:
            print([one.index for one in rt.devices], list(rt.skipped))
            print(rt.launch(summer).call(Count(3), timeout=60.0).n)
        """,
    )
    assert out == ["[1] ['cuda:0']", "3"]


def test_no_device_at_all(run: Run) -> None:
    out = run(
        """
        try:
            rk.Runtime(backend="cuda", device="all")
        except rk.BackendUnavailableError as error:
            print("refused")
        with rk.Runtime(device="all") as rt:
            print(rt.backend, bool(rt.skipped["cuda"]))
        """,
        RK_DOUBLE_DEVICES="0",
    )
    assert out == ["refused", "cpu True"]


def test_kernels_fill_the_first_device_then_the_next(run: Run) -> None:
    out = run(
        """
        with rk.Runtime(backend="cuda", device=[1, 0], sm_budget=1) as rt:
            kernels = [rt.launch(summer, name=f"k{i}", instances=7) for i in range(2)]
            print([one.device.index for one in kernels])
            for options in ({}, {"device": 1}):
                try:
                    rt.launch(summer, name="more", instances=7, **options)
                except rk.InsufficientSmsError as error:
                    print("cuda:1" in str(error) and "cuda:0" in str(error), "kernel 'more' needs 8" in str(error))
            kernels[0].terminate()
            again = rt.launch(summer, name="again", instances=7)
            print(again.device.index, again.call(Count(5), timeout=60.0).n, sorted(rt.kernels))
        """,
        RK_DOUBLE_BLOCKS_PER_SM="8",
    )
    assert out == ["[1, 0]", "True True", "False True", "1 5 ['again', 'k1']"]


def test_a_device_that_is_lost_takes_its_own_kernels_only(run: Run) -> None:
    out = run("""
        with rk.Runtime(backend="cuda", device="all") as rt:
            first, second = [rt.launch(summer, name=f"on{i}", device=i) for i in range(2)]
            print([one.call(Count(1), timeout=60.0).n for one in (first, second)])
            double("sticky_on", 0, 719)
            until(lambda: first.state == rk.KernelState.FAILED)
            print(second.call(Count(2), timeout=60.0).n, second.state.name)
            try:
                first.call(Count(1), timeout=60.0)
            except rk.RingKernelError as error:
                print(type(error).__name__)
            after = rt.launch(summer, name="after")  # the first device is left out
            print(after.device.index, after.call(Count(4), timeout=60.0).n)
            try:
                rt.launch(summer, name="there", device=0)
            except rk.DeviceLostError as error:
                print("CUDA device 0 is lost" in str(error))
            started = time.monotonic()
        print("closed", time.monotonic() - started < 30)
    """)
    assert out[:2] == ["[1, 1]", "3 ACTIVE"]
    assert out[2] in ("KernelTerminatedError", "DeviceLostError", "KernelFailedError")
    assert out[3:] == ["1 4", "True", "closed True"]


def test_a_lost_devices_kernel_is_its_supervisors_business(run: Run) -> None:
    out = run("""
        with rk.Runtime(backend="cuda", device=[0, 1]) as rt:
            boss = rt.supervisor("one_for_one")
            first, second = [rt.launch(summer, name=f"on{i}", device=i, supervisor=boss) for i in range(2)]
            print([one.call(Count(1), timeout=60.0).n for one in (first, second)])
            double("sticky_on", 1, 719)
            until(lambda: second.state == rk.KernelState.FAILED)
            print(first.call(Count(1), timeout=60.0).n)
    """)
    assert out == ["[1, 1]", "2"]


def test_two_runtimes_have_a_device_each_or_share_one(run: Run) -> None:
    out = run("""
        with rk.Runtime(backend="cuda", device=[0, 1]) as a, rk.Runtime(backend="cuda", device=1) as b:
            kernels = [a.launch(summer), a.launch(summer, name="other", device=1), b.launch(summer)]
            print([one.device.index for one in kernels], [k.call(Count(6), timeout=60.0).n for k in kernels])
    """)
    assert out == ["[0, 1, 1] [6, 6, 6]"]
