"""Level meter: streams a WAV file through a kernel; prints RMS and peak for each second and in total.

All channels count alike. Full scale is 1.0: 8 to 32-bit PCM is divided by half its range, float is taken as it is.
"""

import argparse
import math
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

import pyringkernel as rk

BLOCK = 4096  # samples a message


@rk.message
class Block(rk.Message):
    samples: rk.Vec[rk.f64, BLOCK]


@rk.message
class Ask(rk.Message):
    total: bool  # else: since the last time this was asked


@rk.message
class Level(rk.Message):
    samples: rk.u64
    rms: rk.f64
    peak: rk.f64


@rk.state
class Meter:
    count: rk.Array[rk.u64, 2]  # [this second, in total]
    squares: rk.Array[rk.f64, 2]
    peak: rk.Array[rk.f64, 2]


@rk.kernel
def meter(ctx: rk.Context, state: Meter, msg: Block | Ask) -> Level | None:
    if isinstance(msg, Block):
        squares: rk.f64 = 0.0
        peak: rk.f64 = 0.0
        for i in range(len(msg.samples)):
            squares += msg.samples[i] * msg.samples[i]
            peak = max(peak, abs(msg.samples[i]))
        for which in range(2):
            state.count[which] += len(msg.samples)
            state.squares[which] += squares
            state.peak[which] = max(state.peak[which], peak)
        return None
    asked = 1 if msg.total else 0
    count = state.count[asked]
    rms = math.sqrt(state.squares[asked] / rk.f64(max(count, 1)))
    level = Level(samples=count, rms=rms, peak=state.peak[asked])
    if not msg.total:
        state.count[0] = 0
        state.squares[0] = state.peak[0] = 0.0
    return level


class Format(NamedTuple):
    tag: int  # 1: PCM, 3: IEEE float
    channels: int
    rate: int
    bits: int
    frame: int  # bytes


def _need(condition: bool, text: str) -> None:
    if not condition:
        raise ValueError(text)


def parse_format(chunk: bytes) -> Format:
    """The `fmt ` chunk (RIFF/WAVE; the extensible form carries the real tag in its GUID)."""
    _need(len(chunk) >= 16, f"the fmt chunk has {len(chunk)} bytes, needs 16")
    tag, channels, rate, _, frame, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == 0xFFFE and len(chunk) >= 26:
        tag = struct.unpack_from("<H", chunk, 24)[0]
    good = (tag == 1 and bits in (8, 16, 24, 32)) or (tag == 3 and bits in (32, 64))
    _need(good, f"format tag {tag} with {bits} bits: need PCM of 8, 16, 24 or 32 bits, or float of 32 or 64")
    _need(channels > 0 and rate > 0, f"{channels} channels at {rate} Hz make no sound")
    _need(
        frame == channels * bits // 8,
        f"found {frame} bytes a frame, {channels} channels of {bits} bits need {channels * bits // 8}",
    )
    return Format(tag, channels, rate, bits, frame)


def find_data(file: BinaryIO) -> tuple[Format, int]:
    """Reads up to the samples. Returns their format and how many bytes of them there are at most."""
    head = file.read(12)
    _need(len(head) == 12 and head[:4] == b"RIFF" and head[8:] == b"WAVE", "this is no RIFF/WAVE file")
    form = None
    while len(header := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", header)
        if name == b"data":
            _need(form is not None, "the data chunk comes before the fmt chunk")
            assert form is not None
            return form, size
        body = file.read(size + size % 2)
        if name == b"fmt ":
            form = parse_format(body)
    raise ValueError("there is no data chunk")


def to_float(data: bytes, form: Format) -> np.ndarray:
    """Samples with full scale 1.0."""
    if form.tag == 3:
        return np.frombuffer(data, f"<f{form.bits // 8}").astype(np.float64)
    if form.bits == 8:
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128.0) / 128.0
    if form.bits == 24:
        bytes4 = np.zeros((len(data) // 3, 4), np.uint8)
        bytes4[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return bytes4.view("<i4")[:, 0].astype(np.float64) / 2.0**31
    return np.frombuffer(data, f"<i{form.bits // 8}").astype(np.float64) / 2.0 ** (form.bits - 1)


def seconds(file: BinaryIO, form: Format, size: int) -> Iterator[np.ndarray]:
    """The samples of one second after the other; a file that was cut off ends early."""
    while size >= form.frame:
        data = file.read(min(size // form.frame, form.rate) * form.frame)
        data = data[: len(data) // form.frame * form.frame]
        if not data:
            return
        size -= len(data)
        yield to_float(data, form)


def line(label: str, level: Level) -> str:
    def decibels(value: float) -> str:
        return f"{20.0 * math.log10(value):8.2f}" if value > 0.0 else "    -inf"

    return f"{label:>8}  {level.rms:.6f}  {level.peak:.6f}  {decibels(level.rms)}  {decibels(level.peak)}"


def measure(path: Path, backend: str) -> None:
    with path.open("rb") as file, rk.Runtime(backend=backend) as rt:
        form, size = find_data(file)
        kind = "float" if form.tag == 3 else "PCM"
        print(f"{path.name}: {form.bits}-bit {kind}, {form.channels} channels, {form.rate} Hz")
        print("  second       RMS      peak  RMS dBFS  peak dBFS")
        kernel = rt.launch(meter)
        for number, samples in enumerate(seconds(file, form, size)):
            for start in range(0, len(samples), BLOCK):
                kernel.send(Block(samples=samples[start : start + BLOCK]))
            print(line(str(number), kernel.call(Ask(total=False))))
        print(line("total", kernel.call(Ask(total=True))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--backend", default="auto", help="cpu, cuda, or what there is (auto)")
    given = parser.parse_args()
    path = given.file
    try:
        measure(path, given.backend)
    except (OSError, ValueError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
