"""Random expressions with side effects: what Python's order of evaluation gives, on 32-bit integers that wrap."""

from __future__ import annotations

import itertools
import linecache
from typing import Any

from frontend_run import run
from hypothesis import given, settings
from hypothesis import strategies as st

import pyringkernel as rk
from pyringkernel.compiler.ir import ErrorCode


@rk.message
class Case:
    a: rk.i32
    b: rk.i32
    v: rk.Array[rk.i32, 4]


@rk.state
class Trace:
    n: rk.i32
    w: rk.Array[rk.i32, 4]


@rk.message
class Result:
    x: rk.i32
    flag: rk.boolean


@rk.device
def bump(state: Trace, by: rk.i32) -> rk.i32:
    state.n = state.n * 3 + by
    state.w[1] = state.n
    return state.n


class Wrapped(int):
    """An i32."""

    @staticmethod
    def of(value: int) -> Wrapped:
        return Wrapped((int(value) + 2**31) % 2**32 - 2**31)

    def __add__(self, other: Any) -> Any:
        return Wrapped.of(int(self) + int(other))

    def __sub__(self, other: Any) -> Any:
        return Wrapped.of(int(self) - int(other))

    def __mul__(self, other: Any) -> Any:
        return Wrapped.of(int(self) * int(other))

    def __and__(self, other: Any) -> Any:
        return Wrapped.of(int(self) & int(other))

    def __neg__(self) -> Any:
        return Wrapped.of(-int(self))

    def __lshift__(self, other: Any) -> Any:
        return Wrapped.of(int(self) << int(other))

    def __rshift__(self, other: Any) -> Any:
        return Wrapped.of(int(self) >> int(other))


class Model:
    """The same in Python; errors are counted as the language says."""

    def __init__(self, message: Case) -> None:
        self.errors: list[int] = []
        self.n, self.w = Wrapped(1), [Wrapped(0)] * 4
        self.a, self.b, self.v = Wrapped(message.a), Wrapped(message.b), [Wrapped(int(x)) for x in message.v]

    def bump(self, by: int) -> Wrapped:
        self.n = self.n * 3 + by
        self.w[1] = self.n
        return self.n

    def load(self, array: list[Wrapped], index: int) -> Wrapped:
        if 0 <= index < 4:
            return array[index]
        self.errors.append(ErrorCode.INDEX)
        return Wrapped(0)

    def divide(self, left: Wrapped, right: Wrapped, op: str) -> Wrapped:
        if right == 0:
            self.errors.append(ErrorCode.DIVISION_BY_ZERO)
            return Wrapped(0)
        return Wrapped.of(int(left) // int(right) if op == "//" else int(left) % int(right))


# A pair of texts: for the compiler, and for the model.
Texts = tuple[str, str]
_leaves: list[Texts] = [
    ("msg.a", "m.a"),
    ("msg.b", "m.b"),
    ("state.n", "m.n"),
    ("state.w[1]", "m.w[1]"),
    ("rk.i32(3)", "W(3)"),
    ("rk.i32(0)", "W(0)"),
    ("x", "x"),
]


def _extend(inner: st.SearchStrategy[Texts]) -> st.SearchStrategy[Texts]:
    def binary(op: str, left: Texts, right: Texts) -> Texts:
        return f"({left[0]} {op} {right[0]})", f"({left[1]} {op} {right[1]})"

    def divide(op: str, left: Texts, right: Texts) -> Texts:
        return f"({left[0]} {op} {right[0]})", f"m.divide({left[1]}, {right[1]}, {op!r})"

    def index(array: str, at: Texts) -> Texts:
        owner = "msg" if array == "v" else "state"
        return f"{owner}.{array}[{at[0]}]", f"m.load(m.{array}, {at[1]})"

    def choose(left: Texts, op: str, right: Texts, then: Texts, otherwise: Texts) -> Texts:
        a, b = (f"({then[i]} if {left[i]} {op} {right[i]} else {otherwise[i]})" for i in (0, 1))
        return a, b

    def word(left: Texts, op: str, right: Texts, then: Texts) -> Texts:
        a = f"({then[0]} if {left[0]} > 0 {op} {right[0]} < 0 else {left[0]})"
        b = f"({then[1]} if {left[1]} > 0 {op} {right[1]} < 0 else {left[1]})"
        return a, b

    def chain(left: Texts, middle: Texts, right: Texts) -> Texts:
        a, b = (f"(W(1) if {left[i]} < {middle[i]} <= {right[i]} else W(2))" for i in (0, 1))
        return a.replace("W(", "rk.i32("), b

    return st.one_of(
        st.builds(binary, st.sampled_from(["+", "-", "*", "&"]), inner, inner),
        st.builds(divide, st.sampled_from(["//", "%"]), inner, inner),
        st.builds(index, st.sampled_from(["v", "w"]), inner),
        st.builds(lambda by: (f"bump(state, {by[0]})", f"m.bump({by[1]})"), inner),
        st.builds(choose, inner, st.sampled_from(["<", "==", ">="]), inner, inner, inner),
        st.builds(word, inner, st.sampled_from(["and", "or"]), inner, inner),
        st.builds(chain, inner, inner, inner),
        st.builds(lambda one: (f"(-{one[0]})", f"(-{one[1]})"), inner),
    )


_expressions = st.recursive(st.sampled_from(_leaves), _extend, max_leaves=12)
_small = st.one_of(st.integers(-3, 5), st.integers(-(2**31), 2**31 - 1))
_numbers = itertools.count()


def _handler(texts: list[str]) -> Any:
    """Of statements that assign x and an element of the state, in a file that inspect finds."""
    lines = ["def h(ctx, state: Trace, msg: Case) -> Result:\n", "    x = msg.a\n"]
    lines += [f"    {text}\n" for text in texts]
    lines.append("    return Result(x=x, flag=x > 0)\n")
    file = f"<order {next(_numbers)}>"
    linecache.cache[file] = (1, None, lines, file)
    names: dict[str, Any] = {"rk": rk, "Trace": Trace, "Case": Case, "Result": Result, "bump": bump}
    exec(compile("".join(lines), file, "exec"), names)
    return names["h"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_expressions, _expressions), min_size=1, max_size=3), _small, _small)
def test_the_order_of_evaluation_is_pythons(parts: list[tuple[Texts, Texts]], a: int, b: int) -> None:
    message = Case(a=a, b=b, v=[5, -6, 7, 0])
    texts = []
    model = Model(message)
    x = model.a
    for number, (value, at) in enumerate(parts):
        names = {"m": model, "W": Wrapped, "x": x}
        if number % 3 == 0:
            texts.append(f"x = {value[0]}")
            x = eval(value[1], names)
        elif number % 3 == 1:  # the value, then the index, then the store
            texts.append(f"state.w[{at[0]}] = {value[0]}")
            stored = eval(value[1], names)
            where = eval(at[1], names)
            if 0 <= where < 4:
                model.w[where] = stored
            else:
                model.errors.append(ErrorCode.INDEX)
        else:  # the index, the old value, the value, the store
            texts.append(f"state.w[{at[0]}] += {value[0]}")
            where = eval(at[1], names)
            old = model.load(model.w, where)
            new = old + eval(value[1], names)
            if 0 <= where < 4:
                model.w[where] = new
    out = run(_handler(texts), message, Trace(n=1, w=[0, 0, 0, 0]))
    assert out.reply.x == x
    assert (out.state.n, list(out.state.w)) == (model.n, model.w)
    assert out.report.errors == len(model.errors)
    assert out.report.last_error == (model.errors[-1] if model.errors else 0)
