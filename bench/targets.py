"""What the benchmarks are held against. Ratios of times: below 1 we are faster."""

from collections.abc import Callable
from dataclasses import dataclass

THROUGHPUT = "rk packed throughput"
WAITING = "rk turn latency +pause"  # as the library's own wait looks: with a pause between two looks
KERNELS = "rk 2 workers"
A_THIRD = 0.333
NATIVE = "Python, native, Python"
COMPILED = "Python, compiled, Python"
ALONE = "handler alone"
SAXPY = "SAXPY of 2**20 floats"


def peers(row: dict) -> bool:
    return not row["ours"]


def everybody(row: dict) -> bool:
    return True


def named(*starts: str) -> Callable[[dict], bool]:
    return lambda row: row["name"].startswith(starts)


@dataclass(frozen=True)
class Target:
    what: str
    scenario: str
    case: str | tuple[str, ...]  # cases that start with it; their geometric mean, if there are several
    ours: str
    limit: float = 0.0
    is_peer: Callable[[dict], bool] = peers
    against_case: str = ""  # where the peers are, if not in the same case
    key: str = "median"
    worst: bool = False  # the worst case, instead of the mean
    limit_ns: float = 0.0  # an absolute limit, instead of a ratio


def balanced(size: int, limit: float) -> Target:
    return Target(f"SPSC, one message of {size} B per call", "spsc_shapes", f"balanced/{size}", THROUGHPUT, limit)


def asks(answered: str) -> list[Target]:
    """Against futures of asyncio that a thread completes."""
    ways = {"one at a time": 1.0, "64 outstanding": 0.2}
    return [Target(f"ask {answered}, {way}", f"ask {answered}, {way}", "", "Kernel.ask", ways[way]) for way in ways]


SHAPES = ("balanced/", "slow")  # not the floor

TARGETS = [
    Target(
        "SPSC, the worst of 16 load shapes against the best ring in it",
        "spsc_shapes",
        SHAPES,
        THROUGHPUT,
        1.7,
        is_peer=everybody,
        worst=True,
    ),
    balanced(8, 0.8),
    balanced(64, 0.9),
    balanced(256, 0.35),
    Target("SPSC, spans of 32 messages of 8 B", "spsc_span", "span/8", f"{THROUGHPUT} spans of 32", 0.65),
    Target(
        "SPSC, round trip of 56 B against one line's",
        "spsc_round_trip",
        "round trip/56",
        WAITING,
        1.3,
        against_case="floor",
    ),
    Target(
        "SPSC, round trip of 56 B against Boost",
        "spsc_round_trip",
        "round trip/56",
        WAITING,
        0.5,
        is_peer=named("boost"),
    ),
    Target("SPSC, 20 M/s of 64 B, p99 of the latency", "spsc_paced", "paced", "rk turn latency", 0.5, key="p99"),
    Target(
        "MPSC, 1, 2, 4 producers, 8, 64, 256 B, against atomic_queue",
        "mpsc",
        ("1 ", "2 ", "4 "),
        "rk lanes throughput",
        0.3,
        is_peer=named("atomic_queue"),
    ),
    Target(
        "MPSC, the same against moodycamel with tokens",
        "mpsc",
        ("1 ", "2 ", "4 "),
        "rk lanes throughput",
        0.2,
        is_peer=named("moodycamel"),
    ),
    Target("HLC tick, 1 thread, against a mutex clock", "hlc", "tick/1", "rk sharded", 0.4),
    Target("HLC tick, 2 threads, against a mutex clock", "hlc", "tick/2", "rk sharded", 0.15),
    Target(
        "HLC tick against its own clock's read",
        "hlc",
        "tick/1",
        "rk sharded",
        1.3,
        is_peer=named("rk HostClock"),
        against_case="clock/1",
    ),
    Target("HLC merge of a stamp that is not ahead", "hlc", "merge/1", "rk shared", limit_ns=1.0),
    Target(
        "C++ handler, round trip from the host, against two rings",
        "actors",
        "round trip/56",
        "rk kernel",
        1.5,
        is_peer=named(WAITING),
    ),
    Target("C++ handlers, one sends to another", "actors", "pipeline/2", KERNELS, limit_ns=1e9 / 20e6),
    Target("C++ handlers, ping-pong against CAF", "actors", "ping-pong", KERNELS, A_THIRD),
    Target("C++ handlers, eight send to one, against CAF", "actors", "fan-in", KERNELS, A_THIRD),
    Target("a kernel that sleeps is woken, against a futex", "actors", "wake", "rk kernel", 1.3),
    Target(NATIVE, NATIVE, "", "send_many + receive_many", limit_ns=1e9 / 10e6),
    Target("Python handler against Pykka", "Python handler", "", "Kernel.send", 0.2, is_peer=named("pykka")),
    Target("Python handler against a bare thread", "Python handler", "", "Kernel.send", 1.0, is_peer=named("thread")),
    Target("compiled handler, LLVM, against C++ -O2", ALONE, "", "rk LLVM", 1.1, is_peer=named("C++")),
    Target("compiled handler, bytecode, against C++ -O2", ALONE, "", "rk bytecode", 10.0, is_peer=named("C++")),
    Target("compiled handler, LLVM, against numba.cfunc", ALONE, "", "rk LLVM", 1.0, is_peer=named("numba")),
    Target(COMPILED, COMPILED, "", "send_many + receive_many, llvm", limit_ns=1e9 / 15e6),
    Target("call of a compiled handler, p50", "call, compiled handler", "", "Kernel.call, llvm", limit_ns=2000.0),
    Target("compiled SAXPY against NumPy in place", SAXPY, "", "rk LLVM", 1.0 / 0.9, is_peer=named("NumPy, in place")),
    *asks("Python"),
    *asks("native"),
]
