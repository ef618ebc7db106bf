"""Loops. Each can be stopped: its back edges poll the cancel word.

A For whose turns are of known, small work polls only once in POLL_EVERY statements: it becomes a loop over chunks around
a loop that LLVM can unroll and vectorise. One that is over sooner does not poll at all.
"""

from __future__ import annotations

from ..ir import ErrorCode, For, Loop, Type
from ..ops import highest
from .exprs import CANCEL, TASK
from .facts import POLL_EVERY, constant_of, overflow_flags, weight
from .ops import resize
from .stmts import Lowering, register
from .text import TYPES


def _poll(s: Lowering, goes_on: str, line: int) -> None:
    """To `goes_on`, unless the watchdog wants the handler to end.

    Volatile, so that it is not moved out of the loop; not "monotonic", which would make LLVM write all of the state
    back in each turn: to it, such a load might as well change memory."""
    pointer = s.call_field(CANCEL)
    word = s.w.fixed(f"call.{CANCEL}.value", f"load ptr, ptr {pointer}, align 8, !invariant.load !0")
    cancel = s.w.value(f"load atomic volatile i64, ptr {word} unordered, align 8")
    task = s.w.fixed("call.task", f"load i64, ptr {s.call_field(TASK)}, align 8")
    stop = s.w.label("cancelled")
    s.w.branch(s.w.value(f"icmp eq i64 {cancel}, {task}"), stop, goes_on, rare=True)
    s.w.begin(stop)
    s.fail(ErrorCode.CANCELLED, line)


def _loop(s: Lowering, stmt: Loop) -> None:
    begin, again, end = s.w.label("loop"), s.w.label("again"), s.w.label("end")
    s.w.begin(begin)
    s.loops.append((again, end))
    s.body(stmt.body)
    s.loops.pop()
    s.w.begin(again)
    _poll(s, begin, stmt.line)
    s.w.begin(end)


class _Counting:
    """A For: the items, and how far the loop is."""

    def __init__(self, s: Lowering, stmt: For) -> None:
        self.s, self.w, self.stmt = s, s.w, stmt
        self.text = TYPES[stmt.count.type]
        self.start, self.step, self.count = s.value(stmt.start), s.value(stmt.step), s.value(stmt.count)
        self.flags = overflow_flags(stmt, s.definitions)
        number = s.w.label("")
        self.done = s.w.variable(f"for.done{number}", self.text)  # turns before this chunk
        self.turn = s.w.variable(f"for.turn{number}", self.text)  # in this chunk
        self.begin, self.again, self.end = s.w.label("for"), s.w.label("again"), s.w.label("end")

    def get(self, variable: str) -> str:
        return self.w.value(f"load {self.text}, ptr {variable}")

    def put(self, value: str, variable: str) -> None:
        self.w.effect(f"store {self.text} {value}, ptr {variable}")

    def unless_empty(self, goes_on: str) -> None:
        self.w.branch(self.w.value(f"icmp eq {self.text} {self.count}, 0"), self.end, goes_on)

    def turns(self, limit: str) -> None:
        """Turns until `limit` of this chunk are done; what follows is written next."""
        self.w.begin(self.begin)
        turn = self.w.value(f"add nuw {self.text} {self.get(self.done)}, {self.get(self.turn)}")
        self.s.set(self.stmt.variable, self._item(turn))
        self.s.loops.append((self.again, self.end))
        self.s.body(self.stmt.body)
        self.s.loops.pop()
        self.w.begin(self.again)
        following = self.w.value(f"add nuw {self.text} {self.get(self.turn)}, 1")
        self.put(following, self.turn)
        more, over = self.w.value(f"icmp ult {self.text} {following}, {limit}"), self.w.label("over")
        self.more, self.over = more, over

    def _item(self, turn: str) -> str:
        kind: Type = self.stmt.variable.type
        text = TYPES[kind]
        factor = resize(self.w, self.text, text, False, turn)
        if self.step != "1":
            factor = self.w.value(f"mul{self.flags} {text} {factor}, {self.step}")
        return factor if self.start == "0" else self.w.value(f"add{self.flags} {text} {self.start}, {factor}")


def _for(s: Lowering, stmt: For) -> None:
    loop = _Counting(s, stmt)
    cost, count = weight(stmt.body, s.weights), constant_of(stmt.count)
    if cost is None:
        _for_polling(loop)
    elif count is not None and count * cost <= POLL_EVERY:
        _for_short(loop)
    else:
        _for_chunks(loop, min(max(POLL_EVERY // cost, 1), highest(stmt.count.type)))
    s.w.begin(loop.end)


def _for_polling(loop: _Counting) -> None:
    loop.put("0", loop.done)
    loop.put("0", loop.turn)
    loop.unless_empty(loop.begin)
    loop.turns(loop.count)
    loop.w.branch(loop.more, loop.over, loop.end)
    loop.w.begin(loop.over)
    _poll(loop.s, loop.begin, loop.stmt.line)


def _for_short(loop: _Counting) -> None:
    loop.put("0", loop.done)
    loop.put("0", loop.turn)
    loop.unless_empty(loop.begin)
    loop.turns(loop.count)
    loop.w.branch(loop.more, loop.begin, loop.end)


def _for_chunks(loop: _Counting, size: int) -> None:
    w = loop.w
    chunk = w.label("chunk")
    loop.put("0", loop.done)
    loop.unless_empty(chunk)
    w.begin(chunk)
    left = w.value(f"sub nuw {loop.text} {loop.count}, {loop.get(loop.done)}")
    limit = w.intrinsic(f"llvm.umin.{loop.text}", loop.text, (loop.text, left), (loop.text, str(size)))
    loop.put("0", loop.turn)
    loop.turns(limit)
    w.branch(loop.more, loop.begin, loop.over)
    w.begin(loop.over)
    done = w.value(f"add nuw {loop.text} {loop.get(loop.done)}, {limit}")
    loop.put(done, loop.done)
    following = w.label("next")
    w.branch(w.value(f"icmp ult {loop.text} {done}, {loop.count}"), following, loop.end)
    w.begin(following)
    _poll(loop.s, chunk, loop.stmt.line)


register(Loop, _loop)
register(For, _for)
