"""Kernels in a process of their own, which can be killed and started again when a handler hangs or a device is lost.

`channel` is what crosses the socket, `worker` the process, `runtime` and `kernel` what the user holds.
"""

from .accounts import Loss
from .kernel import IsolatedKernel
from .operation import IsolatedOperation
from .runtime import IsolatedRuntime

__all__ = ["IsolatedKernel", "IsolatedOperation", "IsolatedRuntime", "Loss"]
