"""A child process that ends with its parent, however the parent ends (Linux; elsewhere it outlives a SIGKILL)."""

import ctypes
import multiprocessing
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def hold_on_to_parent() -> None:
    """Have this child of `multiprocessing` end with the thread that started it."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        hold_on_to(parent.pid)


def hold_on_to(parent: int) -> None:
    """Have the kernel kill this process once the thread of `parent` that started it is gone (prctl(2))."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)
