"""Run a command inside the sandbox, with its rights there also if the user is not root.

`python -I enter.py PID FOLDER COMMAND ...`, PID being the process that holds the namespaces. nsenter
would do for root; for others the rights over the sandbox's network end with its own exec, unless they are
made ambient first.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

NAMESPACES = ("user", "net", "mnt", "uts", "pid_for_children")  # user first: it gives the right to the others
CAPABILITY_VERSION = 0x20080522  # of capget and capset: two words of 32 bits per set
PR_SET_PDEATHSIG = 1
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
LAST_CAPABILITY = "/proc/sys/kernel/cap_last_cap"

libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def join(pid: int) -> None:
    """Join the namespaces of a process. The process namespace takes effect for children."""
    kinds = NAMESPACES[1:] if os.geteuid() == 0 else NAMESPACES
    handles = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in kinds]
    for handle in handles:
        _check(libc.setns(handle, 0))
        os.close(handle)


def keep_rights() -> None:
    """Let the commands started from here keep the rights that this process has in the sandbox."""
    header, words = _Header(CAPABILITY_VERSION, 0), (_Word * 2)()
    _check(libc.capget(ctypes.byref(header), words))
    for word in words:
        word.inheritable = word.permitted
    _check(libc.capset(ctypes.byref(header), words))
    permitted = words[0].permitted | words[1].permitted << 32
    with open(LAST_CAPABILITY) as file:  # noqa: PTH123 (the mounts are the sandbox's by now; nothing to resolve)
        last = int(file.read())
    for capability in range(last + 1):
        if permitted >> capability & 1:
            _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def run(folder: str, command: list[str]) -> int:
    """Run a command as a child, which the process namespace asks for, and return its exit code."""
    child = os.fork()
    if child == 0:
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        try:
            os.chdir(folder)
            os.execvp(command[0], command)
        except OSError as error:
            print(f"{error.filename}: {error.strerror}", file=sys.stderr, flush=True)
            os._exit(127)
    for signum in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(signum, signal.SIG_IGN)  # the terminal sends them to the command as well
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda number, _: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _check(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    pid, folder, *command = sys.argv[1:]
    join(int(pid))
    if os.geteuid() != 0:
        keep_rights()
    sys.exit(run(folder, command))
