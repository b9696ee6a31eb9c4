"""A child process that ends with its parent, however the parent ends (Linux; elsewhere it outlives a SIGKILL)."""

import ctypes
import multiprocessing
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def hold_on_to_parent() -> None:
    """Have the kernel kill this child of `multiprocessing` once the thread that started it is gone (prctl(2))."""
    parent = multiprocessing.parent_process()
    if sys.platform != "linux" or parent is None:
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent.pid:  # it died before the kernel was told
        os._exit(1)
