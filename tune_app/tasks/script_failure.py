"""Describes why a script failed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from tune_app.errors import WorkFailed
from tune_app.readable import counted

OOM_SIGNS = (
    *("out of memory", "outofmemoryerror", "memoryerror", "cannot allocate memory", "can't allocate memory"),
    *("resource_exhausted", "std::bad_alloc", "_alloc_failed"),
)
"""Out-of-memory messages of PyTorch, CUDA, JAX, NumPy and C++, in lowercase."""
NOT_THERE = re.compile(r"can't open file|cannot open|: No such file( or directory)?$|: No module named [\w.]+$")
"""Messages of Python and shells about a missing script."""
LONGEST_TAIL = 700
"""Maximum characters of a script's last lines in a message."""


class ScriptError(WorkFailed):
    """A script failed, or its reports are invalid."""


class OutOfMemoryError(ScriptError):
    """A script ran out of memory; `tune_app.training.failure` recognizes it by name."""


def exit_failure(code: int, errors: Collection[str], lines: Iterable[str], working_folder: str) -> ScriptError:
    """The error of a script that ended with a nonzero exit code, negative for a signal.

    Args:
        errors: the last lines of its standard error.
        lines: those of its standard output, shown if there are no errors.
        working_folder: the folder that it was started in.
    """
    said = _tail(errors)
    how = f"exit code {code}" if code > 0 else f"signal {-code}"
    kind = OutOfMemoryError if any(sign in said.lower() for sign in OOM_SIGNS) else ScriptError
    lost = any(NOT_THERE.search(line.rstrip()) for line in errors)
    hint = f"it was started in {working_folder}; start tune-app in the folder of the script" if lost else ""
    return kind(f"the script ended with {how}: {said or _tail(lines) or 'it printed nothing'}", hint=hint)


def silence_failure(epochs: int, epoch: int, report: str, errors: Iterable[str], lines: Iterable[str]) -> ScriptError:
    """The error of a script that exited normally after `epoch` of `epochs` epochs.

    Args:
        report: where reports were expected.
        errors: the last lines of its standard error, where Python's ``logging`` writes.
        lines: those of its standard output.
    """
    found = f"the script must report {counted(epochs, 'epoch')}, but ended after {epoch}"
    aside = f"; the last lines of standard error, which is not read: {said}" if (said := _tail(errors)) else ""
    return ScriptError(
        f"{found}; `{report}` reported nothing else, and the last lines were: {_tail(lines) or 'nothing'}{aside}"
    )


def _tail(lines: Iterable[str]) -> str:
    text = " | ".join(line.strip() for line in lines)
    return text if len(text) <= LONGEST_TAIL else f"…{text[-LONGEST_TAIL:]}"
