"""Runtimes where there is no GPU: what "auto" does, what "cuda" says, and which arguments cannot be. Needs no GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import pyringkernel as rk
from pyringkernel import __main__ as command_line
from pyringkernel import _core, _devices, devices, launching

if TYPE_CHECKING:
    from collections.abc import Callable

NO_DRIVER = "os.environ['RINGKERNEL_CUDA_DRIVER'] = '/nowhere/libcuda.so'\n"


@rk.message
class Number:
    value: rk.u32


@rk.kernel
def same(ctx: rk.Context, msg: Number) -> Number:
    return msg


class FakeCore:
    """What the extension says of a GPU."""

    index, name, compute_capability, sm_count, memory = 0, "Fake GPU", (9, 0), 132, 80 << 30
    max_threads_per_block, max_shared_per_block, kernel_timeout = 1024, 232448, False
    driver_version, pci_address = 13020, "0000:17:00.0"


def open_fake(index: int) -> Any:
    core: Any = FakeCore()
    return devices.CudaDevice(core, SimpleNamespace())  # type: ignore[arg-type]


# -- without a driver


def test_auto_takes_the_cpu_and_says_why_not_cuda(run_script: Callable[..., tuple[int, str, str]]) -> None:
    code = """
        with rk.Runtime() as rt:
            print(rt.backend, rt.device, list(rt.skipped))
            print(rt.skipped["cuda"])
    """
    status, out, errors = run_script(NO_DRIVER + _dedented(code))
    assert status == 0, errors
    first, why = out.splitlines()
    assert first == "cpu None ['cuda', 'metal', 'wgpu']"
    assert why.startswith("no CUDA driver found: /nowhere/libcuda.so")
    assert "Install" not in why  # what to do is said by who asks for it


def test_cuda_by_name_says_what_to_do(run_script: Callable[..., tuple[int, str, str]]) -> None:
    code = """
        try:
            rk.Runtime(backend="cuda")
        except rk.BackendUnavailableError as error:
            print(error)
    """
    status, out, errors = run_script(NO_DRIVER + _dedented(code))
    assert status == 0, errors
    assert "no CUDA driver found: /nowhere/libcuda.so" in out
    assert "Install an NVIDIA driver for CUDA 12.0 or newer" in out
    assert 'backend="cpu"' in out


def test_a_library_that_is_no_driver_is_said_by_what_it_lacks(
    run_script: Callable[..., tuple[int, str, str]],
) -> None:
    status, out, errors = run_script("""
        os.environ["RINGKERNEL_CUDA_DRIVER"] = "libc.so.6"
        with rk.Runtime() as rt:
            print(rt.skipped["cuda"])
    """)
    assert status == 0, errors
    assert "libc.so.6 is too old or no driver: it has no cuInit" in out


def test_devices_are_listed_without_a_driver(run_script: Callable[..., tuple[int, str, str]]) -> None:
    status, out, errors = run_script(
        NO_DRIVER + "from pyringkernel.__main__ import main\nraise SystemExit(main(['devices']))\n"
    )
    assert status == 0, errors
    told = {line.split()[0]: line for line in out.splitlines()}
    assert set(told) == {"cpu", "cuda", "metal", "wgpu"}
    assert "available: " in told["cpu"]
    assert "not available: no CUDA driver found" in told["cuda"]


def _dedented(code: str) -> str:
    return "\n".join(line.removeprefix(" " * 8) for line in code.splitlines()) + "\n"


# -- a driver without what else is needed


def test_auto_takes_the_cpu_when_there_is_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(index: int) -> Any:
        raise rk.NvrtcError("no NVRTC found, which compiles handlers: pip install it")

    monkeypatch.setattr(devices, "open_cuda", refuse)
    with rk.Runtime() as rt:
        assert rt.backend == "cpu"
        assert rt.skipped["cuda"] == "no NVRTC found, which compiles handlers: pip install it"


@pytest.mark.parametrize("kind", [rk.DeviceLostError, rk.DeviceMemoryError, rk.BackendUnavailableError])
def test_auto_takes_the_cpu_when_the_device_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def refuse(index: int) -> Any:
        raise kind("cuda:0 does not answer: cuInit says 999. Restart it.\nMore.")

    monkeypatch.setattr(devices, "open_cuda", refuse)
    with rk.Runtime() as rt:
        assert rt.skipped["cuda"] == "cuda:0 does not answer: cuInit says 999"
        assert rt.launch(same).call(Number(value=3), timeout=10).value == 3


def test_what_is_no_failure_of_a_device_is_not_hidden_by_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(index: int) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(devices, "open_cuda", fail)
    with pytest.raises(ZeroDivisionError):
        rk.Runtime()


def test_every_device_is_listed_with_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def core_of(index: int) -> Any:
        if index == 1:
            raise rk.BackendUnavailableError("CUDA device 1 (Old GPU) cannot be used: found compute capability 6.1")
        return FakeCore()

    monkeypatch.setattr(_core, "cuda_driver", lambda: ("libcuda.so.1", 13020, 2))
    monkeypatch.setattr(_core, "CudaDevice", core_of)
    monkeypatch.setattr(_devices, "open_cuda", open_fake)
    assert command_line.main(["devices"]) == 0
    out = capsys.readouterr().out
    assert "driver libcuda.so.1 for CUDA 13.2, 2 devices" in out
    assert "cuda:0      Fake GPU, 132 SMs, compute capability 9.0, 81920 MiB, PCI 0000:17:00.0: available" in out
    assert "cuda:1      not available: CUDA device 1 (Old GPU) cannot be used" in out


# -- arguments


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"device": -1}, "device: found -1"),
        ({"device": True}, "device: found True"),
        ({"device": []}, "device: found [], need the number of a GPU, from 0; of a runtime also a list"),
        ({"device": [0, 0]}, "device: found [0, 0], need different numbers"),
        ({"device": [0, "1"]}, "device: found '1'"),
        ({"device": "some"}, "device: found 'some'"),
        ({"lease": 0}, "lease: found 0, need seconds from 0.001, or None"),
        ({"lease": "long"}, "lease: found 'long'"),
        ({"lease": float("nan")}, "lease: found nan"),
        ({"sm_budget": 0}, "sm_budget: found 0, need a number of multiprocessors from 1, or None"),
        ({"sm_budget": 2.5}, "sm_budget: found 2.5"),
        ({"backend": "metal"}, "the Metal backend is not part of this release"),
        ({"backend": "rocm"}, "backend: found 'rocm', need 'auto', 'cuda' or 'cpu'"),
    ],
)
def test_what_cannot_be_is_refused(option: dict[str, Any], said: str) -> None:
    with pytest.raises((rk.InvalidArgumentError, rk.BackendUnavailableError)) as caught:
        rk.Runtime(**option)
    assert said in str(caught.value)


def test_the_options_of_gpus_may_be_given_for_the_cpu_too() -> None:
    with rk.Runtime(backend="cpu", device=3, lease=None, sm_budget=4) as rt:
        assert (rt.backend, rt.device, rt.skipped) == ("cpu", None, {})


# -- engines


def test_cuda_is_no_engine_of_a_runtime_without_a_gpu() -> None:
    with rk.Runtime(backend="cpu") as rt, pytest.raises(rk.UnsupportedError, match=r"Runtime\(backend='cuda'\)"):
        rt.launch(same, engine="cuda")


def test_a_runtime_with_a_gpu_gives_it_what_is_compiled_and_keeps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    there = open_fake(0)
    made = SimpleNamespace(name="cuda", keep=SimpleNamespace(image=b"\x7fELF", arch="sm_90"))
    monkeypatch.setattr(rk.CompiledHandler, "device_engine", lambda self, device: made)

    def engine_of(handler: Any, *, compiled: bool = True, engine: str = "auto") -> str:
        return launching._code(handler, compiled, engine, there)[0]

    def plain(ctx: rk.Context, msg: Number) -> None: ...

    assert engine_of(same) == "cuda"
    assert engine_of(same, engine="cuda") == "cuda"
    assert engine_of(same, engine="vm") == "vm"
    assert engine_of(same, compiled=False) == "python"
    assert engine_of(plain) == "python"
    with pytest.raises(rk.InvalidArgumentError, match="only compiled handlers have a choice"):
        engine_of(plain, engine="cuda")
    code = launching._code(same, True, "auto", there)[1]
    assert code is not None
    assert (code["image"], code["arch"], code["block_size"]) == (b"\x7fELF", "sm_90", 1)


def test_a_gpu_is_shown_with_what_counts() -> None:
    facts = open_fake(0).facts
    assert str(facts) == "cuda:0 Fake GPU, 132 SMs, compute capability 9.0"
    assert facts.driver == "13.2"


# -- errors


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (rk.NvrtcError, (rk.BackendUnavailableError, RuntimeError)),
        (rk.DeviceError, (rk.RingKernelError, RuntimeError)),
        (rk.DeviceLostError, (rk.DeviceError, ConnectionError)),
        (rk.DeviceMemoryError, (rk.DeviceError, MemoryError)),
        (rk.InsufficientSmsError, (rk.DeviceError,)),
        (rk.AbiMismatchError, (rk.DeviceError,)),
        (rk.DeviceCompileError, (rk.KernelError, RuntimeError)),
    ],
)
def test_errors_are_also_the_builtin_that_fits(error: type[Exception], bases: tuple[type[Exception], ...]) -> None:
    assert all(issubclass(error, base) for base in bases)
    assert str(error("what happened")) == "what happened"
