"""What is wrong with a script that failed, in words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from tune_app.errors import WorkFailed

OOM_SIGNS = (
    *("out of memory", "outofmemoryerror", "memoryerror", "cannot allocate memory", "can't allocate memory"),
    *("resource_exhausted", "std::bad_alloc", "_alloc_failed"),
)
"""What PyTorch, CUDA, JAX, NumPy and C++ say when memory has run out, in small letters."""
NOT_THERE = re.compile(r"can't open file|cannot open|: No such file( or directory)?$|: No module named [\w.]+$")
"""What Python and shells say of a script that is not where its command looks for it."""
LONGEST_TAIL = 700
"""Characters of a script's last lines in a message."""


class ScriptError(WorkFailed):
    """A script failed, or reports otherwise than it should."""


class OutOfMemoryError(ScriptError):
    """A script ended because memory ran out; by this name `tune_app.training.failure` knows it."""


def exit_failure(code: int, errors: Collection[str], lines: Iterable[str], working_folder: str) -> ScriptError:
    """The error of a script that ended with another exit code than 0, negative for a signal.

    Args:
        errors: the last lines of its standard error.
        lines: those of its standard output, shown where there are no errors.
        working_folder: the folder that it was started in.
    """
    said = _tail(errors)
    how = f"exit code {code}" if code > 0 else f"signal {-code}"
    kind = OutOfMemoryError if any(sign in said.lower() for sign in OOM_SIGNS) else ScriptError
    lost = any(NOT_THERE.search(line.rstrip()) for line in errors)
    hint = f"it was started in {working_folder}: start tune-app in the folder of the script" if lost else ""
    return kind(f"the script ended with {how}: {said or _tail(lines) or 'it printed nothing'}", hint=hint)


def silence_failure(epochs: int, epoch: int, report: str, errors: Iterable[str], lines: Iterable[str]) -> ScriptError:
    """The error of a script that ended well after `epoch` of `epochs` epochs.

    Args:
        report: where more were looked for.
        errors: the last lines of its standard error, where Python's ``logging`` writes.
        lines: those of its standard output.
    """
    found = f"the script must report each of {epochs} epochs, but ended after {epoch}"
    aside = f"; those of standard error, which is not read: {said}" if (said := _tail(errors)) else ""
    return ScriptError(f"{found}; `{report}` told no more, and its last lines were: {_tail(lines) or 'nothing'}{aside}")


def _tail(lines: Iterable[str]) -> str:
    text = " | ".join(line.strip() for line in lines)
    return text if len(text) <= LONGEST_TAIL else f"…{text[-LONGEST_TAIL:]}"
