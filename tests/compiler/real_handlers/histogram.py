"""A histogram of four leading bits, and its quantiles."""

from __future__ import annotations

from random import Random

import pyringkernel as rk


@rk.message
class Latency(rk.Message):
    ns: rk.u64


@rk.message
class Quantile(rk.Message):
    permille: rk.u16


@rk.message
class Answer(rk.Message):
    upper: rk.u64
    count: rk.u64


@rk.state
class Histogram:
    buckets: rk.Array[rk.u32, 512]
    count: rk.u64


@rk.device
def bucket_of(ns: rk.u64) -> rk.u32:
    if ns < 8:
        return rk.u32(ns)
    exponent = 63 - rk.clz(ns)
    return rk.u32((exponent - 2) * 8 + ((ns >> (exponent - 3)) & 7))


@rk.device
def upper_of(bucket: rk.u32) -> rk.u64:
    if bucket < 8:
        return bucket
    exponent = bucket // 8
    rest = bucket % 8
    return (rk.u64(rest + 9) << (exponent - 1)) - 1


@rk.kernel
def histogram(ctx: rk.Context, state: Histogram, msg: Latency | Quantile) -> Answer | None:
    match msg:
        case Latency():
            state.buckets[bucket_of(msg.ns)] += 1
            state.count += 1
            return None
        case Quantile():
            need = (state.count * msg.permille + 999) // 1000
            seen: rk.u64 = 0
            for i, n in enumerate(state.buckets):
                seen += n
                if seen >= need:
                    return Answer(upper=upper_of(rk.u32(i)), count=seen)
            return Answer(upper=0, count=0)


def messages(random: Random) -> list[Latency | Quantile]:
    def one() -> Latency | Quantile:
        if random.random() < 0.2:
            return Quantile(permille=random.randrange(1001))
        return Latency(ns=random.randrange(1 << random.randrange(1, 65)))

    return [one() for _ in range(200)]


def expected(given: list[Latency | Quantile]) -> list[Answer | None]:
    seen: list[int] = []
    answers: list[Answer | None] = []
    for message in given:
        if isinstance(message, Latency):
            answers.append(None)
            shift = max(0, message.ns.bit_length() - 4)
            seen.append((((message.ns >> shift) + 1) << shift) - 1)  # the largest with the same four leading bits
            continue
        need = -(-len(seen) * message.permille // 1000)
        upper = sorted(seen)[max(need, 1) - 1] if need else 0
        answers.append(Answer(upper=upper, count=sum(one <= upper for one in seen)))
    return answers
