"""A stream of vector additions: batches in, batches out, checked against NumPy."""

import argparse

import numpy as np

import pyringkernel as rk

WIDTH = 256


@rk.message
class Pair(rk.Message):
    index: rk.u32
    a: rk.Array[rk.f32, WIDTH]
    b: rk.Array[rk.f32, WIDTH]


@rk.message
class Sum(rk.Message):
    index: rk.u32
    c: rk.Array[rk.f32, WIDTH]


@rk.kernel
def add(ctx: rk.Context, msg: Pair) -> Sum:
    sum = Sum(index=msg.index, c=msg.a)
    for i in range(WIDTH):
        sum.c[i] += msg.b[i]
    return sum


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=10_000)
    parser.add_argument("--backend", default="auto", help="cpu, cuda, or what there is (auto)")
    given = parser.parse_args()
    count = given.vectors

    rng = np.random.default_rng(7)
    pairs = np.zeros(count, Pair.dtype)
    pairs["index"] = np.arange(count)
    pairs["a"] = rng.random((count, WIDTH), np.float32)
    pairs["b"] = rng.random((count, WIDTH), np.float32)

    sums = np.zeros(count, Sum.dtype)
    with rk.Runtime(backend=given.backend) as rt:
        kernel = rt.launch(add, capacity=1024)
        sent = received = 0
        while received < count:
            # No more under way than both rings hold: nobody has to wait for the other.
            sent += kernel.send_many(pairs[sent : min(count, received + 1024)])
            batch = kernel.receive_many(timeout=10.0)
            sums[received : received + len(batch)] = batch
            received += len(batch)
    right = np.array_equal(sums["index"], pairs["index"]) and np.array_equal(sums["c"], pairs["a"] + pairs["b"])
    print(f"{count} vectors of {WIDTH} floats: {'equal to NumPy' if right else 'WRONG'}")
    if not right:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
