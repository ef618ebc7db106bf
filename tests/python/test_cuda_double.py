"""What Python sees of a runtime with a GPU, on the doubles of driver and compiler: CPU threads, and no GPU.

Each test has a process of its own: a process has one driver.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    RunScript = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).resolve().parents[2]
DOUBLES = ROOT / "tests" / "doubles" / "cuda"
USE = f"sys.path.insert(0, {str(DOUBLES)!r}); import build; build.use()\n"

pytestmark = pytest.mark.skipif(not (DOUBLES / "build.py").is_file(), reason="the doubles are not beside these tests")

HANDLERS = '''
import linecache
@rk.message
class Number:
    value: rk.u32

@rk.message
class Moment:
    time: rk.u64

@rk.message
class Block:
    words: rk.Array[rk.u32, 250_000]

@rk.state
class Sum:
    value: rk.u64

def plain(ctx: rk.Context, msg: Number) -> Number:
    return Number(value=msg.value + 1000)

TEXT = """
@rk.kernel(publishes_to=["host"])
def add(ctx: rk.Context, state: Sum, msg: Number) -> Number:
    assert msg.value != 13, "bad luck"
    state.value += msg.value
    return Number(value=rk.u32(state.value))

@rk.kernel(block_size=64)
def wide(ctx: rk.Context, msg: Number) -> Number:
    sums = ctx.shared(rk.u32, 1)
    ctx.atomic_add(sums[0], 1)
    ctx.sync_threads()
    return Number(value=sums[0] * msg.value)

@rk.kernel
def stamped(ctx: rk.Context, msg: Number) -> Moment:
    return Moment(time=ctx.now().time)

@rk.kernel
def turned(ctx: rk.Context, msg: Block) -> Block:
    for i in range(250_000):
        msg.words[i] += rk.u32(i)
    return msg
"""
linecache.cache["handlers.py"] = (len(TEXT), None, TEXT.splitlines(True), "handlers.py")
exec(compile(TEXT, "handlers.py", "exec"), globals())
'''


@pytest.fixture
def run(run_script: RunScript) -> Callable[[str], list[str]]:
    """run(code) gives the lines that a script printed, with handlers and the doubles at hand."""

    def in_process(code: str) -> list[str]:
        lines = code.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        status, out, errors = run_script(USE + HANDLERS + "\n".join(line[indent:] for line in lines) + "\n")
        assert status == 0, errors
        return out.splitlines()

    return in_process


def test_auto_takes_a_gpu_and_shows_which(run: Callable[[str], list[str]]) -> None:
    out = run("""
        with rk.Runtime() as rt:
            print(rt.backend, list(rt.skipped), rt.device.index, rt.device.sm_count > 0)
            print(rt.device.name)
    """)
    assert out[0] == "cuda ['metal', 'wgpu'] 0 True"
    assert "double" in out[1].lower()  # nobody takes it for a GPU


def test_each_handler_says_where_it_runs(run: Callable[[str], list[str]]) -> None:
    out = run("""
        with rk.Runtime(backend="cuda") as rt:
            for name, handler, options in (
                ("gpu", add, {}), ("named", add, {"engine": "cuda"}), ("vm", add, {"engine": "vm"}),
                ("debug", add, {"compiled": False}), ("plain", plain, {}),
            ):
                kernel = rt.launch(handler, name=name, **options)
                answer = kernel.call(Number(value=7), timeout=30.0).value
                print(name, kernel.backend, kernel.engine, kernel.mode, answer)
    """)
    assert out == [
        "gpu cuda cuda persistent 7",
        "named cuda cuda persistent 7",
        "vm cpu vm persistent 7",
        "debug cpu python persistent 7",
        "plain cpu python persistent 1007",
    ]


def test_the_state_of_a_resting_kernel_is_that_of_the_device(run: Callable[[str], list[str]]) -> None:
    out = run("""
        with rk.Runtime(backend="cuda") as rt:
            kernel = rt.launch(add, state=Sum(value=5))
            for number in range(10):
                kernel.call(Number(value=number), timeout=30.0)
            kernel.deactivate()
            print(kernel.state_object.value)
            kernel.terminate()
            print(kernel.state_object.value, kernel.telemetry().processed)
    """)
    assert out == ["50", "50 10"]


def test_a_failure_is_told_with_the_users_file_and_line(run: Callable[[str], list[str]]) -> None:
    out = run("""
        with rk.Runtime(backend="cuda") as rt:
            try:
                rt.launch(add).call(Number(value=13), timeout=30.0)
            except rk.HandlerError as error:
                print(error)
    """)
    assert "bad luck" in out[0]
    assert "handlers.py" in out[0]
    assert "4" in out[0]


def test_all_threads_of_a_block_run_the_handler(run: Callable[[str], list[str]]) -> None:
    out = run("""
        with rk.Runtime(backend="cuda") as rt:
            print(rt.launch(wide).call(Number(value=3), timeout=30.0).value)
    """)
    assert out == ["192"]


def test_more_instances_than_fit_are_refused_and_the_rest_runs_on(run: Callable[[str], list[str]]) -> None:
    out = run("""
        with rk.Runtime(backend="cuda") as rt:
            first = rt.launch(add, name="first")
            try:
                rt.launch(add, name="many", instances=2000)
            except rk.InsufficientSmsError as error:
                print("refused", "kernel 'many' needs 2001 resident blocks" in str(error))
            print(first.call(Number(value=1), timeout=30.0).value, [one.name for one in rt.kernels.values()])
    """)
    assert out == ["refused True", "1 ['first']"]


def test_large_messages_go_and_huge_ones_are_refused(run: Callable[[str], list[str]]) -> None:
    out = run("""
        with rk.Runtime(backend="cuda") as rt:
            kernel = rt.launch(turned)
            for start in range(20):
                words = kernel.call(Block(words=[start] * 250_000), timeout=60.0).words
                assert list(words) == list(range(start, start + 250_000))
            print("1 MB")
            try:
                rt.launch(add, max_message_size=(16 << 20) + 1)
            except rk.UnsupportedOnTargetError as error:
                print("16 MiB" in str(error), "engine='llvm'" in str(error))
            print(rt.launch(add, name="cpu", max_message_size=(16 << 20) + 1, engine="llvm").backend)
    """)
    assert out == ["1 MB", "True True", "cpu"]


def test_leases_come_and_go_beneath_a_kernel(run: Callable[[str], list[str]]) -> None:
    out = run("""
        with rk.Runtime(backend="cuda", lease=0.005, sm_budget=2) as rt:
            kernel = rt.launch(add)
            end = time.monotonic() + 0.2
            count = 0
            while time.monotonic() < end:
                kernel.call(Number(value=1), timeout=30.0)
                count += 1
            print(kernel.call(Number(value=0), timeout=30.0).value == count)
        with rk.Runtime(backend="cuda", lease=None) as rt:
            print(rt.launch(add).call(Number(value=2), timeout=30.0).value)
    """)
    assert out == ["True", "2"]


@pytest.mark.parametrize("ahead_ms", [-3_600_000, -500, 500, 3_600_000])
@pytest.mark.parametrize("ppm", [-150, 150])
def test_a_device_whose_clock_is_wrong_tells_the_hosts_time(
    run: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch, ahead_ms: int, ppm: int
) -> None:
    monkeypatch.setenv("RK_DOUBLE_AHEAD_MS", str(ahead_ms))
    monkeypatch.setenv("RK_DOUBLE_FAST_PPM", str(ppm))
    out = run("""
        import time
        with rk.Runtime(backend="cuda", lease=0.05) as rt:
            kernel, worst = rt.launch(stamped), 0
            for n in range(60):
                told = kernel.call(Number(value=n), timeout=30.0, deadline=10.0).time
                worst = max(worst, abs(rt.now().time - told) / 2**32)
                time.sleep(0.005)
            print(worst < 0.2, kernel.telemetry().expired, len(rt.dead_letters))
    """)
    assert out == ["True 0 0"]


def test_a_device_that_is_not_there_is_said_by_its_number(run: Callable[[str], list[str]]) -> None:
    out = run("""
        try:
            rk.Runtime(backend="cuda", device=99)
        except rk.BackendUnavailableError as error:
            print(error)
        with rk.Runtime(device=99) as rt:
            print(rt.backend, rt.skipped["cuda"])
    """)
    assert "there is no CUDA device 99" in out[0]
    assert out[1].startswith("cpu there is no CUDA device 99")


def test_a_forked_child_takes_the_cpu_at_once(run: Callable[[str], list[str]]) -> None:
    out = run("""
        with rk.Runtime() as rt:
            kernel = rt.launch(add)
            kernel.call(Number(value=1), timeout=30.0)
            pid = fork()
            if pid == 0:
                began = time.monotonic()
                with rk.Runtime() as mine:
                    print(mine.backend, mine.skipped["cuda"], flush=True)
                os._exit(0 if time.monotonic() - began < 3 else 1)  # and not after it has waited for the parent's grid
            print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            print(kernel.call(Number(value=2), timeout=30.0).value)
    """)
    assert out == [
        "cpu the parent process has opened CUDA, which does not survive fork()",
        "child 0",
        "3",
    ]


def test_the_second_launch_needs_no_compiler(run: Callable[[str], list[str]]) -> None:
    out = run("""
        from pyringkernel.compiler.cuda import nvrtc
        with rk.Runtime(backend="cuda") as rt:
            rt.launch(add, name="first")
            add._engines.clear()
            nvrtc.Nvrtc.compile = None
            print(rt.launch(add, name="second").call(Number(value=4), timeout=30.0).value)
    """)
    assert out == ["4"]


def test_devices_names_driver_compiler_and_device(run: Callable[[str], list[str]]) -> None:
    out = run("""
        from pyringkernel.__main__ import main
        raise SystemExit(main(["devices"]))
    """)
    told = {line.split()[0]: line for line in out}
    assert {"cpu", "cuda", "nvrtc", "cuda:0"} <= set(told)
    assert told["cuda:0"].endswith(": available")


@pytest.mark.parametrize(
    ("example", "arguments"),
    [
        ("hello_kernel", []),
        ("vector_add", ["--vectors", "64"]),
        ("ping_pong", ["--rally", "50"]),
        ("anomalies", ["--demo"]),
    ],
)
def test_an_example_runs_on_a_gpu(run: Callable[[str], list[str]], example: str, arguments: list[str]) -> None:
    path = ROOT / "examples" / f"{example}.py"
    out = run(f"""
        import runpy
        sys.argv = ["example", "--backend", "cuda", *{arguments!r}]
        runpy.run_path({str(path)!r}, run_name="__main__")
    """)
    assert out
    assert "WRONG" not in "\n".join(out)
