"""Gravity between five bodies."""

from __future__ import annotations

import math
from random import Random

import numpy as np

import pyringkernel as rk

N = 5


@rk.message
class Vec3(rk.Message):
    x: rk.f64
    y: rk.f64
    z: rk.f64


@rk.message
class Body(rk.Message):
    p: Vec3
    v: Vec3
    mass: rk.f64


@rk.message
class Step(rk.Message):
    dt: rk.f64
    steps: rk.u16


@rk.message
class Energy(rk.Message):
    e: rk.f64


@rk.state
class System:
    bodies: rk.Array[Body, N]


@rk.device
def distance2(a: Vec3, b: Vec3) -> rk.f64:
    dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
    return dx * dx + dy * dy + dz * dz


@rk.device
def energy(s: System) -> rk.f64:
    e: rk.f64 = 0.0
    for i in range(N):
        b = s.bodies[i]
        e += 0.5 * b.mass * (b.v.x * b.v.x + b.v.y * b.v.y + b.v.z * b.v.z)
        for j in range(i + 1, N):
            e -= b.mass * s.bodies[j].mass / math.sqrt(distance2(b.p, s.bodies[j].p))
    return e


@rk.kernel
def nbody(ctx: rk.Context, state: System, msg: Step) -> Energy:
    for _ in range(msg.steps):
        for i in range(N):
            a = state.bodies[i]
            for j in range(i + 1, N):
                b = state.bodies[j]
                dx = a.p.x - b.p.x
                dy = a.p.y - b.p.y
                dz = a.p.z - b.p.z
                d2 = distance2(a.p, b.p)
                mag = msg.dt / (d2 * math.sqrt(d2))
                a.v.x -= dx * b.mass * mag
                a.v.y -= dy * b.mass * mag
                a.v.z -= dz * b.mass * mag
                b.v.x += dx * a.mass * mag
                b.v.y += dy * a.mass * mag
                b.v.z += dz * a.mass * mag
        for body in state.bodies:
            body.p.x += msg.dt * body.v.x
            body.p.y += msg.dt * body.v.y
            body.p.z += msg.dt * body.v.z
    return Energy(e=energy(state))


def messages(random: Random) -> list[Step]:
    return [Step(dt=random.uniform(0.001, 0.01), steps=random.randrange(5)) for _ in range(30)]


_START = [(math.cos(k), math.sin(2.0 * k), 0.3 * k, 0.1 * k, -0.2, 0.05, 1.0 + k) for k in range(N)]
TOLERANCE = 1e-9


def initial() -> System:
    return System(bodies=[Body(p=Vec3(*row[0:3]), v=Vec3(*row[3:6]), mass=row[6]) for row in _START])


def expected(given: list[Step]) -> list[Energy]:
    rows = np.array(_START)
    p, v, mass = rows[:, 0:3].copy(), rows[:, 3:6].copy(), rows[:, 6]
    answers = []
    for message in given:
        for _ in range(message.steps):
            off = p[:, None] - p[None, :]
            cubed = (off**2).sum(2) ** 1.5 + np.eye(N)
            v -= message.dt * (off * (mass[None, :] / cubed)[:, :, None]).sum(1)
            p += message.dt * v
        off = p[:, None] - p[None, :]
        distance = np.sqrt((off**2).sum(2)) + np.diag([math.inf] * N)
        energy = (mass * (v**2).sum(1)).sum() / 2 - (mass[:, None] * mass[None, :] / distance).sum() / 2
        answers.append(Energy(e=energy))
    return answers
