"""Handlers in C (native_handlers.c beside this file): what they are given, and what they can do."""

from __future__ import annotations

import ctypes
import gc
import shutil
import subprocess
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pyringkernel as rk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = Path(__file__).with_name("native_handlers.c")
INCLUDE = Path(__file__).resolve().parents[2] / "cpp" / "include"
COMPILER = shutil.which("cc") or shutil.which("gcc")
NEEDS = COMPILER is None or not (INCLUDE / "ringkernel" / "native.h").is_file()

OK, FULL, CLOSED, TOO_LARGE, UNDECLARED, INVALID = 0, 1, 3, 5, 6, 64
POISON = 0xDEAD


@rk.message
class Whole:
    n: rk.u64 = 0


@rk.message
class Stranger:
    n: rk.u64 = 0


@rk.message
class Order:
    target: rk.u32 = 0
    kind: rk.u32 = Whole.type_id
    size: rk.u32 = 8
    priority: rk.u32 = 1
    no_payload: rk.u32 = 0
    padding: rk.u32 = 0
    value: rk.u64 = 0


@rk.message
class Notice:
    kind: rk.u32 = Whole.type_id
    retain: rk.u32 = 0
    no_topic: rk.u32 = 0
    topic: rk.Bytes[1200] = b""


@rk.message(type_id=7001)
class Verdict:
    code: rk.i32
    delivered: rk.u32


@rk.message(type_id=7002)
class Facts:
    size: rk.u32
    version: rk.u32
    instance: rk.u32
    payload_off: rk.u32
    header_off: rk.u32
    state_off: rk.u32
    has_state: rk.u32
    header_fits: rk.u32
    gil: rk.i32
    padding: rk.u32
    time: rk.u64


@rk.state
class Sums:
    seen: rk.u64
    total: rk.u64


@rk.state
class Odd:
    """A state of no round size, with defaults."""

    text: rk.Bytes[77] = b"start"


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The handlers, compiled."""
    if NEEDS:
        pytest.skip("needs a C compiler, and the C++ headers beside these tests")
    made = tmp_path_factory.mktemp("native") / "handlers.so"
    strict = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-I", str(INCLUDE)]
    command = [str(COMPILER), *strict, "-shared", "-fPIC", str(SOURCE), "-o", str(made)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr
    return ctypes.CDLL(str(made))


@pytest.fixture
def rt() -> Iterator[rk.Runtime]:
    """A runtime with two workers, whatever the machine has."""
    with rk.Runtime(workers=2) as runtime:
        yield runtime


def until(condition: Callable[[], Any]) -> Any:
    """Waits for what a kernel does on its own."""
    end = time.monotonic() + 60
    while not (answer := condition()):
        assert time.monotonic() < end, "what the test waits for did not happen within 60 s"
        time.sleep(0.001)
    return answer


def native(pointer: Any, accepts: Any = Whole, replies: Any = Whole, **options: Any) -> rk.NativeHandler:
    return rk.NativeHandler(pointer, accepts=[accepts], replies=[replies], **options)


def counter(lib: ctypes.CDLL) -> rk.NativeHandler:
    return native(lib.count, state=Sums)


def forwarder(lib: ctypes.CDLL, *targets: str) -> rk.NativeHandler:
    return native(lib.forward, Order, Verdict, publishes_to=targets)


def sent(kernel: rk.Kernel, **order: Any) -> int:
    """What context->send answered."""
    return int(kernel.call(Order(**order), timeout=60).code)


def collector(into: list[Any], accepts: Any = Whole) -> Callable[..., None]:
    """A Python handler that keeps value and priority of what comes."""

    def collect(ctx: rk.Context, msg: Any) -> None:
        into.append((msg.n, msg.header.priority))

    collect.__annotations__["msg"] = accepts
    return collect


# -- messages


@pytest.mark.parametrize("how", ["ctypes", "int", "address"])
def test_a_c_function_answers(rt: rk.Runtime, lib: ctypes.CDLL, how: str) -> None:
    class Compiled:
        """As numba's cfunc."""

        __name__ = "compiled"
        address = ctypes.cast(lib.echo, ctypes.c_void_p).value

        def __call__(self) -> None: ...

    pointer = {"ctypes": lib.echo, "int": Compiled.address, "address": Compiled()}[how]
    handler = native(pointer)
    assert handler.pointer == Compiled.address
    kernel = rt.launch(handler)
    assert kernel.name == {"ctypes": "echo", "int": f"native_{Compiled.address:x}", "address": "compiled"}[how]
    for n in (0, 1, 2**64 - 1):
        assert kernel.call(Whole(n), timeout=60) == Whole(n)


def test_a_python_callback_of_ctypes_is_a_c_function(rt: rk.Runtime) -> None:
    seen = []

    def callback(context: int, state: int, message: int) -> int:
        seen.append((bool(context), state, bool(message)))
        return 0

    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(callback)
    kernel = rt.launch(native(function, id="callback"))
    del function
    gc.collect()
    kernel.send(Whole(1))
    until(lambda: kernel.telemetry().processed == 1)
    assert seen == [(True, None, True)]


@pytest.mark.parametrize("state", [None, Sums, Odd], ids=["none", "Sums", "Odd"])
def test_what_a_handler_is_given_is_as_the_header_promises(rt: rk.Runtime, lib: ctypes.CDLL, state: Any) -> None:
    kernel = rt.launch(native(lib.describe, Whole, Facts, state=state), instances=3)
    for instance in range(3):
        before = rt.now().time
        facts = kernel.call(Whole(1), timeout=60, instance=instance)
        assert (facts.size, facts.version, facts.instance) == (80, 1, instance)
        assert (facts.payload_off, facts.header_off, facts.state_off) == (0, 0, 0)
        assert (facts.has_state, facts.header_fits, facts.gil) == (int(state is not None), 1, 0)
        assert before < facts.time < rt.now().time


def test_batches_pass_through(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    np = pytest.importorskip("numpy")
    kernel = rt.launch(native(lib.echo), capacity=8192)
    rows = np.zeros(5000, Whole.dtype)
    rows["n"] = np.arange(5000)
    assert kernel.send_many(rows, timeout=60) == 5000
    back: list[int] = []
    while len(back) < 5000:
        back += kernel.receive_many(timeout=60)["n"].tolist()
    assert back == list(range(5000))


def test_two_instances_run_at_the_same_time(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    ctypes.c_int.in_dll(lib, "inside").value = 0
    kernel = rt.launch(native(lib.meet), instances=2)
    asked = [kernel.ask(Whole(n), instance=n) for n in range(2)]
    assert [one.result(120) for one in asked] == [Whole(0), Whole(1)]


def test_python_runs_while_a_handler_does(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    flag = ctypes.c_int.in_dll(lib, "let_go")
    flag.value = 0
    kernel = rt.launch(native(lib.wait_for_python))
    asked = kernel.ask(Whole(5))
    until(lambda: kernel.busy)
    flag.value = 1
    assert asked.result(120) == Whole(5)


# -- state


def test_each_instance_and_each_launch_has_its_own_state(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    handler = counter(lib)
    kernel, other = rt.launch(handler, instances=3), rt.launch(handler, name="other")
    for instance, n in [(0, 1), (0, 2), (2, 5)]:
        kernel.call(Whole(n), timeout=60, instance=instance)
    kernel.deactivate()
    assert [(one.seen, one.total) for one in kernel.states] == [(2, 3), (0, 0), (1, 5)]
    assert kernel.state_object == Sums(2, 3)
    assert other.state_object == Sums(0, 0)


def test_the_initial_state_is_copied(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    first = Sums(seen=0, total=50)
    kernel = rt.launch(counter(lib), state=first, instances=2)
    first.total = 1000
    assert kernel.call(Whole(1), timeout=60, instance=0) == Whole(51)
    assert kernel.call(Whole(2), timeout=60, instance=1) == Whole(52)
    assert first.total == 1000


def test_a_state_begins_with_its_defaults(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    kernel = rt.launch(native(lib.echo, state=Odd), instances=2)
    assert [one.text.rstrip(b"\0") for one in kernel.states] == [b"start"] * 2


def test_the_state_object_shows_the_live_bytes_and_outlives_the_kernel(lib: ctypes.CDLL) -> None:
    rt = rk.Runtime()
    kernel = rt.launch(counter(lib))
    state = kernel.state_object
    kernel.call(Whole(4), timeout=60)
    kernel.deactivate()
    assert state == Sums(1, 4)
    state.total = 100
    kernel.activate()
    assert kernel.call(Whole(1), timeout=60) == Whole(101)
    rt.close()
    del rt, kernel
    gc.collect()
    assert state == Sums(2, 101)


def test_a_kernel_without_state_has_none(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    kernel = rt.launch(native(lib.echo), instances=2)
    assert kernel.state_object is None
    assert kernel.states == [None, None]


def test_a_restart_resets_the_state_of_the_instance_that_failed(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    kernel = rt.launch(counter(lib), supervisor=rt.supervisor(), instances=2, state=Sums(0, 50))
    for instance in range(2):
        assert kernel.call(Whole(1), timeout=60, instance=instance) == Whole(51)
    with pytest.raises(rk.HandlerError):
        kernel.call(Whole(POISON), timeout=60, instance=1)
    assert kernel.call(Whole(2), timeout=60, instance=1) == Whole(52)
    assert kernel.call(Whole(2), timeout=60, instance=0) == Whole(53)
    assert kernel.restarts == 1


def test_without_a_supervisor_the_state_is_kept(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    kernel = rt.launch(counter(lib))
    kernel.call(Whole(5), timeout=60)
    with pytest.raises(rk.HandlerError):
        kernel.call(Whole(POISON), timeout=60)
    assert kernel.call(Whole(1), timeout=60) == Whole(6)
    assert kernel.state_object == Sums(3, 6)


def test_a_snapshot_holds_the_state_of_all_instances(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    kernel = rt.launch(counter(lib), instances=3)
    for instance in (0, 2):
        kernel.call(Whole(instance + 7), timeout=60, instance=instance)
    saved = kernel.snapshot(timeout=60)
    kernel.terminate(timeout=60)
    again = rt.launch(counter(lib), instances=3, restore=saved)
    totals = [again.call(Whole(1), timeout=60, instance=n).n for n in range(3)]
    assert totals == [8, 1, 10]


# -- failures


@pytest.mark.parametrize("code", [1, 7, 2**31 - 1, -1, -(2**31)])
def test_what_is_returned_is_the_failure(rt: rk.Runtime, lib: ctypes.CDLL, code: int) -> None:
    kernel = rt.launch(native(lib.fail))
    text = f"native handler returned {code}"
    with pytest.raises(rk.HandlerError, match=text):
        kernel.call(Whole(code & 0xFFFFFFFF), timeout=60)
    (letter,) = rt.dead_letters.browse()
    assert (letter.reason, letter.error) == (rk.DeadLetterReason.HANDLER_FAILED, text)
    assert letter.message == Whole(code & 0xFFFFFFFF)
    assert kernel.error_count == 1


def test_failures_are_told_apart_by_their_message(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    kernel = rt.launch(native(lib.fail), instances=4, max_failures=64)
    asked = [(code, kernel.ask(Whole(code), instance=code % 4)) for code in range(1, 41)]
    for code, one in asked:
        with pytest.raises(rk.HandlerError, match=rf"native handler returned {code}$"):
            one.result(60)


def test_too_many_failures_fail_the_kernel(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    kernel = rt.launch(native(lib.fail), max_failures=1)
    for _ in range(2):
        kernel.send(Whole(3))
    until(lambda: kernel.state is rk.KernelState.FAILED)
    assert rt.launch(native(lib.echo)).call(Whole(1), timeout=60) == Whole(1)


def test_a_reported_error_is_counted_and_no_failure(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    kernel = rt.launch(native(lib.complain), max_failures=0)
    assert kernel.call(Whole(12), timeout=60) == Whole(12)
    assert kernel.error_count == 1
    assert kernel.state is rk.KernelState.ACTIVE
    assert len(rt.dead_letters) == 0


def test_a_handler_can_ask_for_the_end(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    kernel = rt.launch(native(lib.stop))
    assert kernel.call(Whole(), timeout=60) == Whole(2)  # not before it asked, but after
    until(lambda: kernel.state is rk.KernelState.TERMINATED)


# -- wrong types


def test_a_host_cannot_send_another_class(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    kernel = rt.launch(native(lib.echo))
    with pytest.raises(rk.WrongMessageError):
        kernel.send(Stranger(1))
    assert kernel.accepts == (Whole,)


def test_a_message_of_another_type_does_not_reach_the_function(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    counting = rt.launch(counter(lib), max_failures=0)
    kernel = rt.launch(forwarder(lib, "count"))
    assert sent(kernel, kind=Stranger.type_id) == OK
    letters = until(lambda: rt.dead_letters.browse(reason=rk.DeadLetterReason.WRONG_TYPE))
    assert [letter.error for letter in letters] == [
        f"the handler does not accept type id 0x{Stranger.type_id:08x}",
    ]
    assert counting.call(Whole(1), timeout=60) == Whole(1)
    assert counting.state_object.seen == 1


@pytest.mark.parametrize("size", [0, 4, 7, 9, 64])
@pytest.mark.parametrize("receiver", ["native", "python"])
def test_a_message_of_another_size_reaches_no_handler(
    rt: rk.Runtime, lib: ctypes.CDLL, receiver: str, size: int
) -> None:
    seen: list[Any] = []
    target = rt.launch(counter(lib) if receiver == "native" else collector(seen), name="target")
    kernel = rt.launch(forwarder(lib, "target"))
    assert sent(kernel, size=size, value=2**64 - 1) == OK
    until(lambda: len(rt.dead_letters) == 1)
    target.send(Whole(1))
    until(lambda: target.telemetry().processed == 2)
    assert target.state_object == Sums(1, 1) if receiver == "native" else seen == [(1, rk.Priority.NORMAL)]


def test_a_reply_of_another_size_is_no_message(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    pytest.importorskip("numpy")
    kernel = rt.launch(native(lib.cut))
    with pytest.raises(rk.InvalidMessageError, match="found 4 bytes, need 8"):
        kernel.call(Whole(2**64 - 1), timeout=60)
    for _ in range(2):  # together they have the bytes of one
        kernel.send(Whole(2**64 - 1))
    until(lambda: kernel.telemetry().processed == 3)
    with pytest.raises(rk.InvalidMessageError):
        kernel.receive_many(timeout=60)


# -- sending


def test_a_target_is_an_index_in_publishes_to(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    seen: dict[str, list[Any]] = {"a": [], "b": []}
    for name, into in seen.items():
        rt.launch(collector(into), name=name)
    kernel = rt.launch(forwarder(lib, "b", "a"))
    assert sent(kernel, target=0, value=10) == OK
    assert sent(kernel, target=1, value=11, priority=rk.Priority.HIGH) == OK
    assert sent(kernel, target=0, value=12) == OK
    until(lambda: len(seen["a"]) == 1 and len(seen["b"]) == 2)
    assert seen == {"a": [(11, rk.Priority.HIGH)], "b": [(10, rk.Priority.NORMAL), (12, rk.Priority.NORMAL)]}


@pytest.mark.parametrize("target", [2, 3, 2**32 - 1])
def test_a_target_that_is_not_declared_is_refused(rt: rk.Runtime, lib: ctypes.CDLL, target: int) -> None:
    for name in ("a", "b"):
        rt.launch(collector([]), name=name)
    assert sent(rt.launch(forwarder(lib, "a", "b")), target=target) == UNDECLARED
    assert sent(rt.launch(forwarder(lib), name="nobody"), target=0) == UNDECLARED


@pytest.mark.parametrize(
    "order", [{"kind": 0}, {"priority": 4}, {"priority": 257}, {"no_payload": 1}], ids=lambda order: str(order)
)
def test_arguments_that_cannot_be_are_refused(rt: rk.Runtime, lib: ctypes.CDLL, order: dict[str, int]) -> None:
    seen: list[Any] = []
    rt.launch(collector(seen), name="target")
    kernel = rt.launch(forwarder(lib, "target"))
    assert sent(kernel, **order) == INVALID
    assert sent(kernel, value=5) == OK
    until(lambda: seen == [(5, rk.Priority.NORMAL)])


def test_what_is_too_large_or_has_no_room_is_refused(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    target = rt.launch(collector([]), name="target", capacity=2)
    kernel = rt.launch(forwarder(lib, "target"))
    assert sent(kernel, size=100_000) == TOO_LARGE
    target.deactivate()
    assert [sent(kernel) for _ in range(3)] == [OK, OK, FULL]


def test_the_name_counts_and_not_the_kernel_that_had_it_first(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    first: list[Any] = []
    second: list[Any] = []
    target = rt.launch(collector(first), name="target")
    kernel = rt.launch(forwarder(lib, "target"))
    assert sent(kernel, value=1) == OK
    target.terminate(timeout=60)
    assert sent(kernel, value=2) == CLOSED
    rt.launch(collector(second), name="target")
    assert sent(kernel, value=3) == OK
    until(lambda: second)
    assert ([n for n, _ in first], [n for n, _ in second]) == ([1], [3])


def test_a_target_that_was_never_launched_stops_the_launch(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    with pytest.raises(rk.UnknownKernelError, match="nowhere"):
        rt.launch(forwarder(lib, "nowhere"))
    assert rt.kernels == {}


def test_the_host_can_be_a_target(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    kernel = rt.launch(forwarder(lib, "host"))
    assert sent(kernel, value=6) == OK
    assert kernel.receive(timeout=60) == Whole(6)


# -- topics


def publish(kernel: rk.Kernel, topic: bytes, **notice: Any) -> tuple[int, int]:
    verdict = kernel.call(Notice(topic=topic, **notice), timeout=60)
    return verdict.code, verdict.delivered


def test_a_handler_publishes(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    kernel = rt.launch(native(lib.tell, Notice, Verdict))
    with rt.subscribe("news/*") as one, rt.subscribe("#") as other:
        assert publish(kernel, "news/größe".encode()) == (OK, 2)
        assert publish(kernel, b"other", retain=1) == (OK, 1)
        assert one.receive(timeout=60) == Whole(77)
        assert [other.receive(timeout=60), other.receive(timeout=60)] == [Whole(77)] * 2
        assert one.try_receive() is None
    with rt.subscribe("other") as late:
        assert late.receive(timeout=60) == Whole(77)


@pytest.mark.parametrize(
    ("topic", "notice"),
    [
        (b"", {}),
        (b"a//b", {}),
        (b"/a", {}),
        (b"a/*", {}),
        (b"#", {}),
        (b"\xff", {}),
        (b"x" * 1025, {}),
        (b"a", {"kind": 0}),
        (b"a", {"no_topic": 1}),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_a_malformed_topic_is_refused(rt: rk.Runtime, lib: ctypes.CDLL, topic: bytes, notice: dict[str, int]) -> None:
    kernel = rt.launch(native(lib.tell, Notice, Verdict))
    with rt.subscribe("#") as everything:
        assert publish(kernel, topic, **notice) == (INVALID, 0)
        assert publish(kernel, b"x" * 1024) == (OK, 1)
        assert everything.receive(timeout=60) == Whole(77)
        assert everything.try_receive() is None


# -- launching, and what is kept alive


def test_launch_checks_the_state(rt: rk.Runtime, lib: ctypes.CDLL) -> None:
    with pytest.raises(rk.InvalidArgumentError, match="state"):
        rt.launch(native(lib.echo), state=Sums(0, 0))
    with pytest.raises(rk.InvalidArgumentError, match="state"):
        rt.launch(counter(lib), state=Odd())
    assert rt.kernels == {}


class Kept:
    """What a library would be."""


def test_what_is_kept_alive_lives_as_long_as_the_kernel(lib: ctypes.CDLL) -> None:
    kept = Kept()
    gone = weakref.ref(kept)
    with rk.Runtime() as rt:
        kernel = rt.launch(native(lib.echo, keep_alive=kept))
        del kept
        gc.collect()
        assert kernel.call(Whole(1), timeout=60) == Whole(1)
        assert gone() is not None
    del kernel, rt
    until(lambda: gc.collect() >= 0 and gone() is None)


def test_a_library_that_knows_the_runtime_is_collected_with_it(lib: ctypes.CDLL) -> None:
    kept: Any = Kept()
    gone = weakref.ref(kept)
    kept.runtime = rk.Runtime()
    kept.kernel = kept.runtime.launch(native(lib.echo, keep_alive=kept))
    kept.runtime.close()
    del kept
    until(lambda: gc.collect() >= 0 and gone() is None)
