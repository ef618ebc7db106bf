"""A PID controller with a limit that its integral respects."""

from __future__ import annotations

from random import Random

import numpy as np

import pyringkernel as rk


@rk.message
class Measure(rk.Message):
    value: rk.f32
    dt: rk.f32


@rk.message
class Output(rk.Message):
    u: rk.f32
    saturated: bool


@rk.state
class Pid:
    kp: rk.f32 = 1.2
    ki: rk.f32 = 0.5
    kd: rk.f32 = 0.05
    setpoint: rk.f32 = 10.0
    integral: rk.f32
    last: rk.f32
    first: bool = True


@rk.kernel
def pid(ctx: rk.Context, state: Pid, msg: Measure) -> Output:
    error = state.setpoint - msg.value
    p = state.kp * error
    if not state.first:
        d = state.kd * (error - state.last) / msg.dt
    else:
        d = 0.0
        state.first = False
    state.last = error
    candidate = state.integral + error * msg.dt
    u = p + state.ki * candidate + d
    saturated = not -5.0 <= u <= 5.0
    if saturated:
        u = min(max(u, -5.0), 5.0)
    else:
        state.integral = candidate
    return Output(u=u, saturated=saturated)


def messages(random: Random) -> list[Measure]:
    return [Measure(value=random.uniform(5.0, 15.0), dt=random.uniform(0.01, 0.1)) for _ in range(120)]


def expected(given: list[Measure]) -> list[Output]:
    f = np.float32
    integral, last = f(0), None
    answers = []
    for message in given:
        value, dt = f(message.value), f(message.dt)
        error = f(10) - value
        slope = f(0) if last is None else f(0.05) * (error - last) / dt
        last, area = error, integral + error * dt
        raw = f(1.2) * error + f(0.5) * area + slope
        limited = np.clip(raw, f(-5), f(5))
        integral = area if limited == raw else integral
        answers.append(Output(u=limited, saturated=bool(limited != raw)))
    return answers
