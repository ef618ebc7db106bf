"""How far a value is from the moving average, in standard deviations."""

from __future__ import annotations

import math
from random import Random

import pyringkernel as rk

ALPHA = 0.1


@rk.message
class Reading(rk.Message):
    value: rk.f64


@rk.message
class Score(rk.Message):
    z: rk.f64
    anomaly: bool


@rk.state
class Ewma:
    mean: rk.f64
    variance: rk.f64
    count: rk.u64


@rk.kernel
def ewma(ctx: rk.Context, state: Ewma, msg: Reading) -> Score:
    state.count += 1
    if state.count == 1:
        state.mean = msg.value
        return Score(z=0.0, anomaly=False)
    diff = msg.value - state.mean
    std = math.sqrt(state.variance)
    z = diff / std if std > 0 else 0.0
    incr = ALPHA * diff
    state.mean += incr
    state.variance = (1 - ALPHA) * (state.variance + diff * incr)
    return Score(z=z, anomaly=abs(z) > 3 and state.count > 10)


def messages(random: Random) -> list[Reading]:
    return [Reading(value=random.gauss(5.0, 1.0) + 20.0 * (n % 50 == 49)) for n in range(150)]


def expected(given: list[Reading]) -> list[Score]:
    mean, variance = given[0].value, 0.0
    answers = [Score(z=0.0, anomaly=False)]
    for number, reading in enumerate(given[1:], 2):
        off = reading.value - mean
        z = off / math.sqrt(variance) if variance else 0.0
        answers.append(Score(z=z, anomaly=number > 10 and not -3.0 <= z <= 3.0))
        mean, variance = mean + ALPHA * off, (1 - ALPHA) * (variance + off * (ALPHA * off))
    assert sum(answer.anomaly for answer in answers) >= 1
    return answers
