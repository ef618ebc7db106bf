"""Makes a program that shows a difference smaller, line by line, as long as it still shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .expressions import plain
from .generate import Case

MOST_TRIES = 3000
Fails = Callable[[Case], bool]


def reduce(case: Case, fails: Fails, most_tries: int = MOST_TRIES) -> Case:
    """The smallest that was found. `fails`: whether a case shows the difference; it may not be a right program at all."""
    tries, at, progress = 0, 0, True
    while progress:
        progress = False
        candidates = list(_smaller(case))
        at = at if at < len(candidates) else 0
        for number in [*range(at, len(candidates)), *range(at)]:
            tries += 1
            if tries > most_tries:
                return case
            if fails(candidates[number]):
                case, at, progress = candidates[number], number, True  # what was before it failed to help
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    for n in range(len(case.inputs)):
        if len(case.inputs) > 1:
            yield replace(case, inputs=case.inputs[:n] + case.inputs[n + 1 :])
    for number in range(len(case.inputs)):
        name, payload = case.inputs[number]
        if any(payload):
            inputs = (*case.inputs[:number], (name, bytes(len(payload))), *case.inputs[number + 1 :])
            yield replace(case, inputs=inputs)
    if case.state and any(case.state):
        yield replace(case, state=bytes(len(case.state)))
    lines = case.marked.splitlines()
    for changed in _without(lines):
        marked = "\n".join(changed) + "\n"
        yield replace(case, marked=marked, source=plain(marked))


def _depth(line: str) -> int:
    return (len(line) - len(line.lstrip())) // 4


def _without(lines: list[str]) -> Iterator[list[str]]:
    """Without a statement and what is in it, largest first; then with what is in it in its place."""
    blocks = []
    for at, line in enumerate(lines):
        if not _depth(line) or line.strip() == "pass":
            continue
        end = at + 1
        while end < len(lines) and _depth(lines[end]) > _depth(line):
            end += 1
        blocks.append((at, end))
    for at, end in sorted(blocks, key=lambda block: block[0] - block[1]):
        yield lines[:at] + lines[end:]
        yield [*lines[:at], "    " * _depth(lines[at]) + "pass", *lines[end:]]
    for at, end in blocks:
        if end > at + 1:
            yield lines[:at] + [line[4:] for line in lines[at + 1 : end]] + lines[end:]
