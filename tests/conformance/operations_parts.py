"""What the tests of operations share."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

W = 60.0


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """In an event loop, with a watchdog."""

    async def bounded() -> Any:
        async with asyncio.timeout(W):
            return await main

    return asyncio.run(bounded()) if sys.version_info >= (3, 11) else asyncio.run(main)


async def turns(condition: Callable[[], Any]) -> None:
    """Lets the loop go on until `condition`."""
    end = time.monotonic() + W
    while not condition():
        assert time.monotonic() < end, "what the test waits for did not happen within 60 s"
        await asyncio.sleep(0.001)
