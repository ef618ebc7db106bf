"""The handlers that are measured. Every one checks what it gets: content, and order where there is one.

A message's check is its words, each times an odd weight of its own, plus the parts of its number; modulo 2**32. Threads
of a block add up parts of it. What is found wrong is counted in the state, and told when somebody asks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import pyringkernel as rk

SIZES = (64, 256, 1024)


@rk.message
class Block64(rk.Message):
    seq: rk.u64
    check: rk.u32
    words: rk.Array[rk.u32, 13]


@rk.message
class Block256(rk.Message):
    seq: rk.u64
    check: rk.u32
    words: rk.Array[rk.u32, 61]


@rk.message
class Block1024(rk.Message):
    seq: rk.u64
    check: rk.u32
    words: rk.Array[rk.u32, 253]


BLOCKS: dict[int, Any] = {64: Block64, 256: Block256, 1024: Block1024}


@rk.message
class Ask(rk.Message):
    """Answered with Totals, after everything that was sent before it."""

    n: rk.u64


@rk.message
class Totals(rk.Message):
    instance: rk.u32
    count: rk.u64
    wrong: rk.u64
    reordered: rk.u64


@rk.state
class Tally:
    next: rk.u64
    count: rk.u64
    wrong: rk.u64
    reordered: rk.u64


@rk.device
def weight(i: rk.u32) -> rk.u32:
    return i * 2 + 5


@rk.device
def check_of_seq(seq: rk.u64) -> rk.u32:
    return rk.u32(seq) + rk.u32(seq >> 32) * 3


def words_in(size: int) -> int:
    return (size - 12) // 4


def check_bases(words: Any) -> Any:
    """The words' part of the checks of messages, as u32."""
    weights = np.arange(words.shape[-1], dtype=np.uint64) * 2 + 5
    return ((words.astype(np.uint64) * weights).sum(axis=-1) & 0xFFFFFFFF).astype(np.uint32)


def checks_of_seqs(seqs: Any, bases: Any) -> Any:
    """The same as the handlers compute."""
    high = seqs >> np.uint64(32)
    return ((seqs + high * np.uint64(3) + np.asarray(bases).astype(np.uint64)) & 0xFFFFFFFF).astype(np.uint32)


def blocks(size: int, count: int, first: int = 0) -> Any:
    """`count` messages with different words, numbered from `first`."""
    made = np.zeros(count, BLOCKS[size].dtype)
    made["seq"] = np.arange(first, first + count, dtype=np.uint64)
    made["words"] = np.random.default_rng(first + size).integers(0, 2**32, (count, words_in(size)), np.uint32)
    made["check"] = checks_of_seqs(made["seq"], check_bases(made["words"]))
    return made


def make_echo(threads: int = 1) -> Any:
    """64 B there and back; the reply has the check that the handler computed."""

    @rk.kernel(id="echo", block_size=threads)
    def echo(ctx: rk.Context, msg: Block64) -> Block64:
        part: rk.u32 = 0
        for i in range(ctx.thread_id(), 13, ctx.block_dim()):
            part += msg.words[i] * weight(rk.u32(i))
        msg.check = ctx.warp_reduce(part, "add") + check_of_seq(msg.seq)
        return msg

    return echo


@rk.message
class Request(rk.Message):
    words: rk.Array[rk.u32, 16]


@rk.message
class Answer(rk.Message):
    words: rk.Array[rk.u32, 16]
    check: rk.u32
    unused: rk.u32


def make_mirror(threads: int) -> Any:
    """What the launches of echo.cuh do, as a handler: the request, and the checksum of loop.cc."""

    @rk.kernel(id="mirror", block_size=threads)
    def mirror(ctx: rk.Context, msg: Request) -> Answer:
        part: rk.u32 = 0
        for i in range(ctx.thread_id(), 16, ctx.block_dim()):
            part += msg.words[i] * (rk.u32(i) * 2 + 1)
        return Answer(words=msg.words, check=ctx.warp_reduce(part, "add"), unused=0)

    return mirror


def make_sink(size: int, threads: int) -> Any:
    """Counts and checks; its messages come in order of their numbers."""
    block, count = BLOCKS[size], words_in(size)

    @rk.kernel(id=f"sink{size}", block_size=threads)
    def sink(ctx: rk.Context, state: Tally, msg: block | Ask) -> Totals | None:  # type: ignore[valid-type]
        if isinstance(msg, Ask):
            return Totals(ctx.instance_id(), state.count, state.wrong, state.reordered)
        part: rk.u32 = 0
        for i in range(ctx.thread_id(), count, ctx.block_dim()):
            part += msg.words[i] * weight(rk.u32(i))
        total = ctx.warp_reduce(part, "add") + check_of_seq(msg.seq)
        if ctx.thread_id() == 0:
            if total != msg.check:
                state.wrong += 1
            if msg.seq < state.next and msg.seq != 0:  # 0: begins again
                state.reordered += 1
            state.next = msg.seq + 1
            state.count += 1
        return None

    return sink


def make_spring(size: int, threads: int) -> Any:
    """Sends `seq` messages to the host for one that it gets: the same words, numbers from 0."""
    block = BLOCKS[size]

    @rk.kernel(id=f"spring{size}", block_size=threads)
    def spring(ctx: rk.Context, state: Tally, msg: block) -> None:  # type: ignore[valid-type]
        for i in range(ctx.thread_id(), rk.u32(msg.seq), ctx.block_dim()):
            number = state.next + rk.u64(i)
            ctx.send("host", block(seq=number, check=msg.check + check_of_seq(number), words=msg.words))
        ctx.sync_threads()
        if ctx.thread_id() == 0:
            state.next += msg.seq

    return spring


# -- between kernels


@rk.message
class Ball(rk.Message):
    left: rk.u64
    hits: rk.u64
    words: rk.Array[rk.u32, 12]


def make_player(name: str, partner: str) -> Any:
    @rk.kernel(id=name, publishes_to=[partner])
    def player(ctx: rk.Context, msg: Ball) -> None:
        msg.hits += 1
        if msg.left == 0:
            ctx.send("host", msg)
        else:
            msg.left -= 1
            ctx.send(partner, msg)

    return player


@rk.message
class Go(rk.Message):
    """How many, and how many before a credit comes back."""

    count: rk.u64
    chunk: rk.u64


@rk.message
class Credit(rk.Message):
    n: rk.u64


@rk.state
class Sent:
    next: rk.u64
    count: rk.u64
    chunk: rk.u64


def make_pair_source() -> Any:
    """Two chunks are under way at once: a credit stands for one that was handled."""

    @rk.kernel(id="pair_source", publishes_to=["pair_sink"])
    def pair_source(ctx: rk.Context, state: Sent, msg: Go | Credit) -> None:
        chunks: rk.u64 = 1
        if isinstance(msg, Go):
            chunks = 2
            state.next = 0
            state.count = msg.count
            state.chunk = msg.chunk
        words = rk.zeros(rk.u32, 13)
        words[0] = rk.u32(state.count)
        words[1] = rk.u32(state.chunk)
        for _ in range(chunks * state.chunk):
            if state.next < state.count:
                words[12] = rk.u32(state.next) * 7
                total = check_of_seq(state.next)
                total += words[0] * weight(0) + words[1] * weight(1) + words[12] * weight(12)
                made = Block64(seq=state.next, check=total, words=words)
                ctx.send("pair_sink", made, instance=ctx.instance_id())
                state.next += 1

    return pair_source


def make_pair_sink() -> Any:
    @rk.kernel(id="pair_sink", publishes_to=["pair_source"])
    def pair_sink(ctx: rk.Context, state: Tally, msg: Block64) -> None:
        total: rk.u32 = check_of_seq(msg.seq)
        for i in range(13):
            total += msg.words[i] * weight(rk.u32(i))
        if total != msg.check:
            state.wrong += 1
        if msg.seq != state.next:
            state.reordered += 1
        state.next = msg.seq + 1
        state.count += 1
        if state.count % rk.u64(msg.words[1]) == 0:
            ctx.send("pair_source", Credit(state.count), instance=ctx.instance_id())
        if state.count == rk.u64(msg.words[0]):
            ctx.send("host", Totals(ctx.instance_id(), state.count, state.wrong, state.reordered))
            state.count = 0
            state.next = 0

    return pair_sink


# -- pipeline


@rk.message
class Event(rk.Message):
    """32 bytes."""

    seq: rk.u64
    value: rk.u64
    count: rk.u64
    chunk: rk.u64


STAGES = ("stage1", "stage2", "stage3", "stage4")


def make_first_stage() -> Any:
    @rk.kernel(id="stage1", publishes_to=["stage2"])
    def stage1(ctx: rk.Context, state: Sent, msg: Go | Credit) -> None:
        chunks: rk.u64 = 1
        if isinstance(msg, Go):
            chunks = 2
            state.next = 0
            state.count = msg.count
            state.chunk = msg.chunk
        for _ in range(chunks * state.chunk):
            if state.next < state.count:
                event = Event(seq=state.next, value=state.next * 3 + 1, count=state.count, chunk=state.chunk)
                ctx.send("stage2", event, instance=ctx.instance_id())
                state.next += 1

    return stage1


def make_middle_stage(number: int) -> Any:
    following = f"stage{number + 1}"

    @rk.kernel(id=f"stage{number}", publishes_to=[following])
    def stage(ctx: rk.Context, msg: Event) -> None:
        msg.value = msg.value * 5 + number
        ctx.send(following, msg, instance=ctx.instance_id())

    return stage


def make_last_stage() -> Any:
    @rk.kernel(id="stage4", publishes_to=["stage1"])
    def stage4(ctx: rk.Context, state: Tally, msg: Event) -> None:
        if msg.value != ((msg.seq * 3 + 1) * 5 + 2) * 5 + 3:
            state.wrong += 1
        if msg.seq != state.next:
            state.reordered += 1
        state.next = msg.seq + 1
        state.count += 1
        if state.count % msg.chunk == 0:
            ctx.send("stage1", Credit(state.count), instance=ctx.instance_id())
        if state.count == msg.count:
            ctx.send("host", Totals(ctx.instance_id(), state.count, state.wrong, state.reordered))
            state.count = 0
            state.next = 0

    return stage4


# -- fan-out


@rk.message
class Stamp(rk.Message):
    time: rk.u64


@rk.message
class Ack(rk.Message):
    instance: rk.u32
    time: rk.u64


@rk.message
class FanOut(rk.Message):
    """NTP64: sent, the last one had it, the last acknowledgement was there."""

    sent: rk.u64
    last: rk.u64
    gathered: rk.u64
    acks: rk.u64


@rk.state
class Hub:
    sent: rk.u64
    last: rk.u64
    acks: rk.u64
    wanted: rk.u64


def make_hub(threads: int) -> Any:
    @rk.kernel(id="hub", block_size=threads, publishes_to=["leaf"])
    def hub(ctx: rk.Context, state: Hub, msg: Go | Ack) -> None:
        if isinstance(msg, Go):
            if ctx.thread_id() == 0:
                state.sent = ctx.now().time
                state.last = 0
                state.acks = 0
                state.wanted = msg.count
            ctx.sync_threads()
            for i in range(ctx.thread_id(), rk.u32(msg.count), ctx.block_dim()):
                ctx.send("leaf", Stamp(state.sent), instance=i)
        elif ctx.thread_id() == 0:
            state.acks += 1
            state.last = max(state.last, msg.time)
            if state.acks == state.wanted:
                ctx.send("host", FanOut(state.sent, state.last, ctx.now().time, state.acks))

    return hub


def make_leaf() -> Any:
    @rk.kernel(id="leaf", publishes_to=["hub"])
    def leaf(ctx: rk.Context, msg: Stamp) -> None:
        ctx.send("hub", Ack(ctx.instance_id(), ctx.now().time))

    return leaf


# -- life


def make_fragile() -> Any:
    """Fails at check 1, never ends at check 2, answers everything else."""

    @rk.kernel(id="fragile")
    def fragile(ctx: rk.Context, state: Tally, msg: Block64) -> Block64:
        assert msg.check != 1, "as asked"
        n: rk.u64 = 0
        while msg.check == 2 and n != 7:
            n += 2
        state.count += 1
        msg.seq = state.count
        return msg

    return fragile
