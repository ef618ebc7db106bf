"""Where the wheel keeps what C++ projects build with."""

from __future__ import annotations

from pathlib import Path

from . import _core
from .errors import UnsupportedError


def get_include() -> str:
    """The folder of the C++ headers, for ``-I``: ``#include "ringkernel/native.h"`` and all others.

    Raises UnsupportedError when they are not there.
    """
    return _installed("include", "ringkernel/native.h")


def get_cmake_dir() -> str:
    """The folder of the CMake package, for ``-Dringkernel_DIR=`` and ``find_package(ringkernel CONFIG)``.

    Raises UnsupportedError when it is not there.
    """
    return _installed("share/cmake/ringkernel", "ringkernelConfig.cmake")


def _installed(folder: str, witness: str) -> str:
    # In an editable installation what was built lies beside the extension, and this file elsewhere.
    roots = dict.fromkeys((Path(__file__).parent, Path(_core.__file__).parent))
    for root in roots:
        if (root / folder / witness).is_file():
            return str(root / folder)
    looked = " and ".join(str(root / folder) for root in roots)
    raise UnsupportedError(
        f"found no {witness} in {looked}: only an installed pyringkernel has its C++ files; run 'pip install' on it"
    )
