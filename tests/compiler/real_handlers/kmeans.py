"""Steps of k-means."""

from __future__ import annotations

import math
from random import Random

import numpy as np

import pyringkernel as rk

K = 4


@rk.message
class Point(rk.Message):
    x: rk.f32
    y: rk.f32


@rk.message
class Batch(rk.Message):
    points: rk.Vec[Point, 32]


@rk.message
class Centers(rk.Message):
    centers: rk.Array[Point, K]
    counts: rk.Array[rk.u32, K]
    inertia: rk.f32


@rk.state
class Model:
    centers: rk.Array[Point, K]


@rk.kernel
def kmeans(ctx: rk.Context, state: Model, msg: Batch) -> Centers:
    sx = rk.zeros(rk.f32, K)
    sy = rk.zeros(rk.f32, K)
    counts = rk.zeros(rk.u32, K)
    inertia = 0.0
    for p in msg.points:
        best = 0
        best_d = math.inf
        for k in range(K):
            dx = p.x - state.centers[k].x
            dy = p.y - state.centers[k].y
            d = dx**2 + dy**2
            if d < best_d:
                best, best_d = k, d
        sx[best] += p.x
        sy[best] += p.y
        counts[best] += 1
        inertia += best_d
    for k in range(K):
        if counts[k] > 0:
            c = state.centers[k]
            c.x = sx[k] / rk.f32(counts[k])
            c.y = sy[k] / rk.f32(counts[k])
    return Centers(centers=state.centers, counts=counts, inertia=inertia)


def messages(random: Random) -> list[Batch]:
    def near(at: float) -> Point:
        return Point(x=at + random.uniform(-1.0, 1.0), y=random.uniform(-1.0, 1.0))

    return [Batch(points=[near(5.0 * random.randrange(K)) for _ in range(random.randrange(33))]) for _ in range(40)]


def initial() -> Model:
    return Model(centers=[Point(x=4.0 * k, y=1.0) for k in range(K)])


def expected(given: list[Batch]) -> list[Centers]:
    f = np.float32
    centers = np.array([(4.0 * k, 1.0) for k in range(K)], f)
    answers = []
    for batch in given:
        sums, counts, inertia = np.zeros((K, 2), f), [0] * K, f(0)
        for point in batch.points:
            off = np.array((point["x"], point["y"]), f) - centers
            distances = off[:, 0] * off[:, 0] + off[:, 1] * off[:, 1]
            best = int(np.argmin(distances))
            sums[best] += np.array((point["x"], point["y"]), f)
            counts[best] += 1
            inertia += distances[best]
        for k in range(K):
            if counts[k]:
                centers[k] = sums[k] / f(counts[k])
        answers.append(Centers(centers=[Point(x=x, y=y) for x, y in centers], counts=counts, inertia=inertia))
    return answers
