"""States as arrays of others, in place."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pyringkernel as rk
from pyringkernel.views import CUDA, FieldView


@rk.message
class Step:
    by: rk.f32 = 1.0


@rk.state
class Model:
    steps: rk.u64
    live: rk.boolean
    weights: rk.Array[rk.f32, 8]
    recent: rk.Vec[rk.i16, 4]


@rk.kernel
def train(ctx: rk.Context, state: Model, msg: Step) -> Step:
    state.steps += 1
    state.live = True
    for i in range(8):
        state.weights[i] += msg.by * rk.f32(i)
    return msg


@rk.kernel
def stateless(ctx: rk.Context, msg: Step) -> Step:
    return msg


@pytest.fixture(params=[{}, {"compiled": False}], ids=["compiled", "python"])
def kernel(request: pytest.FixtureRequest) -> Iterator[rk.Kernel]:
    with rk.Runtime(backend="cpu") as rt:
        made = rt.launch(train, instances=2, **request.param)
        made.call(Step(), instance=1)
        made.deactivate()
        yield made


def test_a_view_shows_the_state_where_it_is(kernel: rk.Kernel) -> None:
    view = kernel.state_view(1)
    assert list(view) == ["steps", "live", "weights", "recent"]
    weights = np.asarray(view["weights"])
    np.testing.assert_array_equal(weights, np.arange(8, dtype=np.float32))
    assert np.asarray(view["steps"]) == 1
    assert np.asarray(view["live"]) == np.True_
    weights[:] = 100
    kernel.activate()
    kernel.call(Step(), instance=1)
    np.testing.assert_array_equal(weights, np.arange(8) + 100)
    assert np.asarray(kernel.state_view(0)["steps"]) == 0
    assert np.asarray(view.whole)["steps"] == 2


def test_dlpack_is_the_same_memory(kernel: rk.Kernel) -> None:
    field = kernel.state_view(1)["weights"]
    assert field.__dlpack_device__() == (1, 0)
    tensor = np.from_dlpack(field)
    assert tensor.ctypes.data == field.address
    np.testing.assert_array_equal(tensor, np.arange(8, dtype=np.float32))
    assert np.from_dlpack(kernel.state_view(1)["steps"]) == 1
    with pytest.raises(BufferError, match="DLPack has no type"):
        kernel.state_view(1).whole.__dlpack__()
    gc.collect()


def test_a_tensor_keeps_the_kernel_and_its_memory() -> None:
    with rk.Runtime(backend="cpu") as rt:
        kernel = rt.launch(train, name="kept")
        kernel.call(Step())
        tensor = np.from_dlpack(kernel.state_view()["weights"])
    del kernel, rt
    gc.collect()
    np.testing.assert_array_equal(tensor, np.arange(8, dtype=np.float32))


def test_an_unused_capsule_gives_its_memory_back(kernel: rk.Kernel) -> None:
    field = kernel.state_view(1)["weights"]
    for _ in range(1000):
        field.__dlpack__(stream=None, max_version=(1, 0))


def test_each_memory_has_its_own_protocol() -> None:
    there = FieldView(None, 0x1000, np.dtype(np.float32), (2,), (4,), 3)
    assert not hasattr(there, "__array_interface__")
    interface: dict[str, Any] = there.__cuda_array_interface__
    assert interface["data"] == (0x1000, False)
    assert (interface["shape"], interface["typestr"], interface["version"]) == ((2,), "<f4", 3)
    assert there.__dlpack_device__() == (CUDA, 3)
    here = FieldView(None, 0x1000, np.dtype(np.float32), (2,), (4,), -1)
    assert not hasattr(here, "__cuda_array_interface__")


def test_what_has_no_state_or_field_says_so(kernel: rk.Kernel) -> None:
    with pytest.raises(KeyError, match="no field 'bias'"):
        kernel.state_view()["bias"]
    with pytest.raises(rk.InvalidArgumentError, match="instance: found 2, need 0 to 1"):
        kernel.state_view(2)
    with rk.Runtime(backend="cpu") as rt, pytest.raises(rk.InvalidArgumentError, match="has no state"):
        rt.launch(stateless).state_view()
