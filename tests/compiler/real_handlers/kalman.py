"""A Kalman filter: position and velocity from noisy positions."""

from __future__ import annotations

from random import Random

import numpy as np

import pyringkernel as rk


@rk.message
class Z(rk.Message):
    z: rk.f64
    dt: rk.f64


@rk.message
class Estimate(rk.Message):
    x: rk.f64
    v: rk.f64


@rk.state
class Kalman:
    x: rk.Array[rk.f64, 2]
    p: rk.Array[rk.f64, 4] = [1000, 0, 0, 1000]  # noqa: RUF012
    q: rk.f64 = 0.01
    r: rk.f64 = 4


@rk.kernel
def kalman(ctx: rk.Context, state: Kalman, msg: Z) -> Estimate:
    x, v = state.x
    p00, p01, p10, p11 = state.p
    dt = msg.dt
    x += v * dt
    p00 += dt * (p10 + p01 + dt * p11) + state.q
    p01 += dt * p11
    p10 += dt * p11
    p11 += state.q
    s = p00 + state.r
    k0, k1 = p00 / s, p10 / s
    y = msg.z - x
    state.x = [x + k0 * y, v + k1 * y]
    state.p = [(1 - k0) * p00, (1 - k0) * p01, p10 - k1 * p00, p11 - k1 * p01]
    return Estimate(state.x[0], state.x[1])


def messages(random: Random) -> list[Z]:
    return [Z(z=0.5 * n + random.gauss(0.0, 2.0), dt=random.uniform(0.5, 1.5)) for n in range(100)]


TOLERANCE = 1e-12


def expected(given: list[Z]) -> list[Estimate]:
    x, p = np.zeros(2), np.diag([1000.0, 1000.0])
    answers = []
    for one in given:
        f = np.array([[1.0, one.dt], [0.0, 1.0]])
        x, p = f @ x, f @ p @ f.T + 0.01 * np.eye(2)
        gain = p[:, 0] / (p[0, 0] + 4.0)
        x, p = x + gain * (one.z - x[0]), p - np.outer(gain, p[0])
        answers.append(Estimate(x=x[0], v=x[1]))
    return answers
