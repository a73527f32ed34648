"""The supervisor process of a script: ends the script and all its children if the training process is gone.

    python -I supervisor.py CONTROL STATUS FOLDER COMMAND…

It runs alone, using only the standard library. CONTROL is the reading end of a pipe: when it is closed, by a byte or by
the death of the process at its other end, SIGTERM and, after `GRACE_S`, SIGKILL end the script and everything it
started; processes that outlive a script are ended in the same way. Without a byte, no other process can remove FOLDER,
so this one does. It writes the script's process id to STATUS, then its exit code, negative for a signal,
and its peak memory from ``getrusage``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

GRACE_S = 5.0
LAST_S = 2.0
"""How long to wait for processes to disappear after SIGKILL."""
NOT_STARTED = 127
End = tuple[int, int]
"""Exit code and peak memory of a process."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of Linux's prctl(2)


def main() -> None:
    """Run the command in the arguments."""
    control, status, folder, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    if os.fork():
        os._exit(0)  # Ray kills the children of a worker, but would miss theirs
    os.setsid()
    waking, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)  # processes left by the script become children of this one
    me = os.getpid()
    script = os.fork()
    if script == 0:
        _become(command, me, (control, status))
    os.write(status, f"{script}\n".encode())
    _let_go_of_output()
    end = _stop(script, _watch(script, control, waking))
    _kill_rest()
    with contextlib.suppress(OSError):  # there may be no reader left
        os.write(status, f"{end[0]} {end[1]}\n".encode())
    os.close(status)
    if _abandoned(control):
        shutil.rmtree(folder, ignore_errors=True)


def _become(command: list[str], parent: int, ours: tuple[int, ...]) -> NoReturn:
    """Become the script, as the leader of its own process group."""
    try:
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in ours:
            os.close(descriptor)
        if os.getppid() == parent:
            os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(NOT_STARTED)


def _let_go_of_output() -> None:
    """Make the script's output end with the script."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


def _watch(script: int, control: int, waking: int) -> End | None:
    """The end of the script; None if it is to be ended before."""
    while True:
        ready, _, _ = select.select([control, waking], [], [])
        if waking in ready:
            numbers = os.read(waking, 4096)
            if (end := _reap(script)) is not None:
                return end
            if any(number != signal.SIGCHLD for number in numbers):
                return None
        if control in ready:
            return None


def _stop(script: int, end: End | None) -> End:
    """End the script, if it is still running, and all its children; returns the script's end.

    Each process has `GRACE_S` to save its work: if the script is a shell, a child does the work.
    """
    _signal_group(script, signal.SIGTERM)
    asked = {script}
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline:
        end = _reap(script) or end
        children = _children()
        if end is not None and not children and not _group_lives(script):
            return end
        _ask_strays(script, children, asked)
        time.sleep(0.05)
    _signal_group(script, signal.SIGKILL)
    return end or _wait(script, LAST_S) or (-signal.SIGKILL, 0)


def _ask_strays(script: int, children: list[int], asked: set[int]) -> None:
    """Send SIGTERM, once, to those with their own process group."""
    for child in children:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if child not in asked and os.getpgid(child) != script:
                os.kill(child, signal.SIGTERM)
        asked.add(child)


def _group_lives(script: int) -> bool:
    try:
        os.killpg(script, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal_group(script: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(script, number)


def _wait(script: int, limit_s: float) -> End | None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if (end := _reap(script)) is not None:
            return end
        time.sleep(0.02)
    return None


def _reap(script: int) -> End | None:
    """Reap ended processes; returns the end of the script, if it is among them."""
    found = None
    while True:
        try:
            ended, status, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if ended == 0:
            return found
        if ended == script:
            found = os.waitstatus_to_exitcode(status), used.ru_maxrss


def _kill_rest() -> None:
    """End everything the script left behind, including separate process groups."""
    deadline = time.monotonic() + LAST_S
    while (children := _children()) and time.monotonic() < deadline:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
        _reap(0)


def _children() -> list[int]:
    """Children of this process: on Linux, the script's processes whose own parents have ended."""
    found, me = [], str(os.getpid())
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if parent == me and state != "Z":
                found.append(int(path.parent.name))
    return found


def _abandoned(control: int) -> bool:
    """Whether the process at the other end has died, or dies before it takes over the cleanup."""
    return os.read(control, 1) == b""


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(AttributeError, OSError):  # only on Linux
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
