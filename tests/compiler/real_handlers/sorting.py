"""Insertion sort, binary search and a heap."""

from __future__ import annotations

import heapq
from random import Random

import pyringkernel as rk


@rk.message
class SortValues(rk.Message):
    data: rk.Vec[rk.i32, 32]
    needle: rk.i32


@rk.message
class Sorted(rk.Message):
    data: rk.Vec[rk.i32, 32]
    heap: rk.Vec[rk.i32, 32]
    found: rk.i32


@rk.device
def insertion_sort(data: rk.Vec[rk.i32, 32]) -> None:
    for i in range(1, len(data)):
        x = data[i]
        j = rk.i32(i) - 1
        while j >= 0 and data[j] > x:
            data[j + 1] = data[j]
            j -= 1
        data[j + 1] = x


@rk.device
def find(data: rk.Vec[rk.i32, 32], x: rk.i32) -> rk.i32:
    lo, hi = 0, rk.i32(len(data))
    while lo < hi:
        mid = (lo + hi) // 2
        if data[mid] < x:
            lo = mid + 1
        else:
            hi = mid
    if lo < rk.i32(len(data)) and data[lo] == x:
        return lo
    return -1


@rk.device
def heap_push(heap: rk.Vec[rk.i32, 32], x: rk.i32):
    heap.append(x)
    i = len(heap) - 1
    while i > 0:
        parent = (i - 1) // 2
        if heap[parent] <= heap[i]:
            break
        heap[parent], heap[i] = heap[i], heap[parent]
        i = parent


@rk.kernel
def sorting(ctx: rk.Context, msg: SortValues) -> Sorted:
    out = Sorted(data=msg.data, heap=[], found=-1)
    insertion_sort(out.data)
    for x in msg.data:
        heap_push(out.heap, x)
    out.found = find(out.data, msg.needle)
    return out


def messages(random: Random) -> list[SortValues]:
    def one() -> SortValues:
        data = [random.randrange(-50, 50) for _ in range(random.randrange(33))]
        return SortValues(data=data, needle=random.randrange(-50, 50))

    return [one() for _ in range(80)]


def expected(given: list[SortValues]) -> list[Sorted]:
    answers = []
    for values in given:
        data, heap = sorted(values.data.tolist()), []
        for one in values.data.tolist():
            heapq.heappush(heap, one)
        found = data.index(values.needle) if values.needle in data else -1
        answers.append(Sorted(data=data, heap=heap, found=found))
    return answers
