"""Become another program, and end when the process that asked for it ends.

Run as a file, by the interpreter alone (`python -I -S leash.py ...`), between a parent and a server:

    leash.py PARENT_PID SIGNAL ACCOUNT PROGRAM ARGUMENT...

SIGNAL is the number that the kernel sends to PROGRAM once the parent's starting thread is gone
(prctl(2), PR_SET_PDEATHSIG); ACCOUNT is the name of the account to run as, or `-` for the same one.
"""

import ctypes
import os
import pwd
import sys

_PR_SET_PDEATHSIG = 1
_CANNOT_EXECUTE = 126  # what a shell says when a program may not be run


def _become(account: str) -> None:
    entry = pwd.getpwnam(account)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _hold(parent: int, signal_number: int) -> None:
    # After the change of account: that clears the setting.
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:  # it died before the kernel was told
        sys.exit(0)


def main() -> None:
    """Change the account, hold on to the parent, become the program."""
    parent, signal_number, account, *command = sys.argv[1:]
    if account != "-":
        _become(account)
    _hold(int(parent), int(signal_number))
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(_CANNOT_EXECUTE)


if __name__ == "__main__":
    main()
