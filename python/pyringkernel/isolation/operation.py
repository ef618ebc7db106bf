"""What ask() of an isolated kernel returns."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Generator
from typing import Any


class IsolatedOperation(concurrent.futures.Future[Any]):
    """A future: ``result(timeout)``, ``add_done_callback``, and ``await`` in an event loop."""

    def __await__(self) -> Generator[Any, Any, Any]:
        return asyncio.wrap_future(self).__await__()
