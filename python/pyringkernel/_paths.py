"""Where the wheel keeps what C++ projects build with, and what device compilers are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _core
from .errors import UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path  # imported where it is used: 4 ms of `import pyringkernel`


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


def device_roots() -> list[Path]:
    """Folders that hold kernels/ and ringkernel/abi/: of the wheel, or of the source tree that this file is in.

    Raises UnsupportedError when they are not there.
    """
    from pathlib import Path

    package, tree, extension = Path(__file__).parent, Path(__file__).parents[2], Path(_core.__file__).parent
    choices = [(package / "device", package / "include"), (tree, tree / "cpp" / "include")]
    choices.append((extension / "device", extension / "include"))
    for kernels, headers in choices:
        if (kernels / "kernels" / "cuda").is_dir() and (headers / "ringkernel" / "abi" / "abi.h").is_file():
            return [kernels, headers]
    looked = " and ".join(dict.fromkeys(str(kernels) for kernels, _ in choices))
    raise UnsupportedError(f"found no kernels/cuda in {looked}: run 'pip install' on pyringkernel")


def _installed(folder: str, witness: str) -> str:
    from pathlib import Path

    # In an editable installation what was built lies beside the extension, and this file elsewhere.
    roots = dict.fromkeys((Path(__file__).parent, Path(_core.__file__).parent))
    for root in roots:
        if (root / folder / witness).is_file():
            return str(root / folder)
    looked = " and ".join(str(root / folder) for root in roots)
    raise UnsupportedError(
        f"found no {witness} in {looked}: only an installed pyringkernel has its C++ files; run 'pip install' on it"
    )
