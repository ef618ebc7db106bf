"""rk.NativeHandler: what can be one, and what is refused before anything runs."""

from __future__ import annotations

import copy
import ctypes
import pickle
from typing import Any

import pytest

import pyringkernel as rk


@rk.message
class Natural:
    n: rk.u64 = 0


@rk.message
class Foreign:
    n: rk.u64 = 0


@rk.state
class Held:
    seen: rk.u64
    total: rk.u64


def native(pointer: Any, **options: Any) -> rk.NativeHandler:
    return rk.NativeHandler(pointer, accepts=[Natural], **options)


def sink(ctx: rk.Context, msg: Natural) -> None:
    return None


FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
ADDRESS = 4096  # of no function: nothing that is made of it is launched


class WithAddress:
    """Has an address and cannot be called."""

    address = ADDRESS


class BadAddress:
    address = "0x1000"

    def __call__(self) -> None: ...


@pytest.mark.parametrize("pointer", [0, -1, 2**64, FUNCTION(), FUNCTION(0)], ids=repr)
def test_an_address_that_cannot_be_is_refused(pointer: Any) -> None:
    with pytest.raises(rk.InvalidArgumentError, match="pointer: found the address"):
        native(pointer)


@pytest.mark.parametrize(
    "pointer",
    [
        None,
        True,
        4096.0,
        "4096",
        b"",
        object(),
        len,
        lambda: 0,
        FUNCTION,
        WithAddress(),
        BadAddress(),
        ctypes.c_void_p(1),
    ],
    ids=lambda pointer: type(pointer).__name__,
)
def test_what_is_no_function_is_refused(pointer: Any) -> None:
    with pytest.raises(rk.HandlerSignatureError, match="pointer: found .*need an int, a ctypes function"):
        native(pointer)


def test_a_kernel_has_an_address_and_is_no_function() -> None:
    with rk.Runtime() as rt:
        kernel = rt.launch(sink)
        with pytest.raises(rk.HandlerSignatureError, match="pointer: found <Kernel"):
            native(kernel)


def test_a_function_of_other_parameters_is_refused() -> None:
    two = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(lambda a, b: 0)
    with pytest.raises(rk.HandlerSignatureError, match="2 parameters, need"):
        native(two)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"accepts": []}, "accepts: found none"),
        ({"accepts": Natural}, "accepts: found .*Natural"),
        ({"accepts": None}, "accepts: found None"),
        ({"accepts": "Natural"}, "accepts: found 'Natural'"),
        ({"accepts": [Natural, int]}, "accepts: found <class 'int'>"),
        ({"accepts": [Natural()]}, "accepts: found Natural"),
        ({"accepts": [rk.Message]}, "accepts: found"),
        ({"replies": [5]}, "replies: found 5"),
        ({"replies": Natural}, "replies: found"),
        ({"state": Natural}, "state: found .*@rk.state"),
        ({"state": Held(0, 0)}, "state: found"),
        ({"id": 5}, "id: found 5"),
        ({"publishes_to": "ab"}, "publishes_to: found 'ab'"),
        ({"publishes_to": [1]}, "publishes_to: found 1"),
    ],
    ids=str,
)
def test_arguments_of_the_wrong_kind_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(rk.HandlerSignatureError, match=text):
        rk.NativeHandler(ADDRESS, **{"accepts": [Natural], **options})


@pytest.mark.parametrize(
    "options", [{"id": ""}, {"publishes_to": ["a", ""]}, {"publishes_to": ["a", "b", "a"]}], ids=str
)
def test_names_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(rk.InvalidArgumentError, match="found '(a' twice)?"):
        native(ADDRESS, **options)


# -- the object


def test_it_tells_what_it_was_given_and_does_not_change() -> None:
    classes = (cls for cls in (Natural, Foreign, Natural))
    kept = object()
    handler = rk.NativeHandler(
        ADDRESS, accepts=classes, replies=[Foreign], state=Held, id="it", publishes_to=["a", "b"], keep_alive=kept
    )
    assert (handler.pointer, handler.id, handler.keep_alive) == (ADDRESS, "it", kept)
    assert (handler.accepts, handler.replies, handler.state) == ((Natural, Foreign), (Foreign,), Held)
    assert handler.publishes_to == ("a", "b")
    assert repr(handler) == "<NativeHandler 'it' at 0x1000: (Held, Natural | Foreign) -> Foreign>"
    assert repr(rk.NativeHandler(ADDRESS, [Natural])) == "<NativeHandler 'native_1000' at 0x1000: (Natural) -> None>"
    for name in ("pointer", "id", "accepts", "state", "keep_alive", "__rk_kernel__", "anything"):
        with pytest.raises(AttributeError, match=name):
            setattr(handler, name, 1)
    with pytest.raises(AttributeError):
        del handler.pointer
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(handler)
    assert copy.copy(handler) is handler
    assert copy.deepcopy([handler])[0] is handler
