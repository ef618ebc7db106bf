"""Lets mypy read ``rk.Array[rk.f32, 256]``: a number is no type to it otherwise. pyright needs no help.

In ``pyproject.toml``::

    [tool.mypy]
    plugins = ["pyringkernel.mypy_plugin"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mypy.plugin import AnalyzeTypeContext, Plugin

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy.types import Type

_SHAPES = {f"pyringkernel.scalars.{name}" for name in ("Array", "Vec", "Bytes")}


def _without_length(fullname: str) -> Callable[[AnalyzeTypeContext], Type]:
    def analyze(context: AnalyzeTypeContext) -> Type:
        return context.api.named_type(fullname, [])

    return analyze


class RingKernelPlugin(Plugin):
    """Reads a shaped field type as the plain class: its length means nothing to a type checker."""

    def get_type_analyze_hook(self, fullname: str) -> Callable[[AnalyzeTypeContext], Type] | None:
        """The hook of mypy's plugin interface."""
        return _without_length(fullname) if fullname in _SHAPES else None


def plugin(version: str) -> type[Plugin]:
    """mypy's entry point."""
    return RingKernelPlugin
