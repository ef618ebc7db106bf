"""Anomaly detector: reads `name,value` lines from a file or standard input, and prints those that are far from what is usual.

Each name has a moving average and variance of its own in the state of a compiled kernel. A line is printed when its
value is more than --sigma standard deviations away from the average of the values before it.

    python examples/anomalies.py < values.csv
    python examples/anomalies.py --demo
"""

import argparse
import math
import random
import sys
from collections.abc import Iterable, Iterator

import pyringkernel as rk

NAMES = 1024  # different ones at most
WARM = 16  # values of a name before anything is unusual


@rk.message
class Value(rk.Message):
    line: rk.u64
    name: rk.u32
    value: rk.f64


@rk.message
class Setting(rk.Message):
    alpha: rk.f64  # weight of a new value in the average
    sigma: rk.f64


@rk.message
class Anomaly(rk.Message):
    line: rk.u64
    name: rk.u32
    value: rk.f64
    mean: rk.f64
    score: rk.f64


@rk.message
class Series(rk.Message):
    seen: rk.u64
    mean: rk.f64
    variance: rk.f64


@rk.state
class Detector:
    alpha: rk.f64
    sigma: rk.f64
    series: rk.Array[Series, NAMES]


@rk.kernel
def detector(ctx: rk.Context, state: Detector, msg: Value | Setting) -> Setting | None:
    if isinstance(msg, Setting):
        state.alpha = msg.alpha
        state.sigma = msg.sigma
        return msg
    series = state.series[msg.name]
    away = msg.value - series.mean
    if series.seen >= WARM and abs(away) > state.sigma * math.sqrt(series.variance):
        score = away / math.sqrt(series.variance)
        ctx.send("host", Anomaly(line=msg.line, name=msg.name, value=msg.value, mean=series.mean, score=score))
    if series.seen == 0:
        series.mean = msg.value
    else:
        step = state.alpha * away
        series.mean += step
        series.variance = (1.0 - state.alpha) * (series.variance + away * step)
    series.seen += 1
    return None


def demo() -> Iterator[str]:
    """Two sensors; every 1000th value of the first is wrong."""
    source = random.Random(7)
    for number in range(1, 5001):
        yield f"oven,{source.gauss(180.0, 2.0) + (60.0 if number % 1000 == 0 else 0.0)}"
        yield f"room,{source.gauss(21.0, 0.5)}"


def values(lines: Iterable[str], names: dict[str, int]) -> Iterator[Value]:
    """The lines as messages; a name gets the next number. What is no value is told, and left out."""
    for number, line in enumerate(lines, 1):
        name, _, text = line.strip().rpartition(",")
        try:
            value = float(text)
            if not name or not math.isfinite(value):
                raise ValueError
        except ValueError:
            print(f"line {number}: found {line.strip()!r}, need name,value", file=sys.stderr)
            continue
        if names.setdefault(name, len(names)) >= NAMES:
            raise ValueError(f"line {number}: more than {NAMES} names")
        yield Value(line=number, name=names[name], value=value)


def watch(lines: Iterable[str], alpha: float, sigma: float, backend: str) -> None:
    names: dict[str, int] = {}
    with rk.Runtime(backend=backend) as rt:
        kernel = rt.launch(detector)
        setting = Setting(alpha=alpha, sigma=sigma)
        kernel.call(setting)
        count = found = 0

        def report() -> int:
            told = 0
            while True:
                try:
                    one = kernel.receive(timeout=0.0)
                except rk.ReceiveTimeoutError:
                    return told
                name = list(names)[one.name]
                print(f"line {one.line}: {name} {one.value:g}, usual is {one.mean:g} ({one.score:+.1f} sigma)")
                told += 1

        for count, value in enumerate(values(lines, names), 1):
            kernel.send(value)
            if count % 256 == 0:
                found += report()
        kernel.call(setting)  # its answer comes behind all that was found
        found += report()
        print(f"{count} values of {len(names)} names, {found} anomalies")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", help="default: standard input")
    parser.add_argument("--alpha", type=float, default=0.05, help="weight of a new value in the average (0.05)")
    parser.add_argument("--sigma", type=float, default=6.0, help="standard deviations that are unusual (6)")
    parser.add_argument("--demo", action="store_true", help="values of two sensors, made here")
    parser.add_argument("--backend", default="auto", help="cpu, cuda, or what there is (auto)")
    given = parser.parse_args()
    try:
        if given.demo:
            watch(demo(), given.alpha, given.sigma, given.backend)
        elif given.file:
            with open(given.file, encoding="utf-8") as file:
                watch(file, given.alpha, given.sigma, given.backend)
        else:
            watch(sys.stdin, given.alpha, given.sigma, given.backend)
    except (OSError, ValueError) as error:
        print(f"{given.file or 'input'}: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
