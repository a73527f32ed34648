"""How the command and its client talk: JSON on standard output, and errors that arrive as what they were.

The command prints its answer and ends with 0, or it prints a mapping of ``kind``, ``message``, ``where`` and ``hint``
and ends with the error's own exit code. Standard error is free for whatever a task prints.
"""

from __future__ import annotations

from typing import Any

from tune_app.errors import InputError, NotFound, TuneAppError, WorkFailed

KINDS: dict[str, type[TuneAppError]] = {kind.__name__: kind for kind in (NotFound, InputError, WorkFailed)}
"""What an error may arrive as, the most special first."""


def written_error(error: TuneAppError) -> dict[str, str]:
    """The mapping that stands for `error`."""
    kind = next((name for name, kind in KINDS.items() if isinstance(error, kind)), WorkFailed.__name__)
    return {"kind": kind, "message": error.message, "where": error.where, "hint": error.hint}


def read_error(told: Any) -> TuneAppError:
    """The inverse of `written_error`.

    Raises:
        LookupError, TypeError: `told` is no such mapping.
    """
    return KINDS[told["kind"]](told["message"], where=told["where"], hint=told["hint"])
