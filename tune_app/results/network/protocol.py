"""The protocol between the command and its client: JSON on standard output, with typed errors.

The command prints its answer and ends with 0, or it prints a mapping of ``kind``, ``message``, ``where`` and ``hint``
and ends with the error's own exit code. Standard error is free for the task's output.
"""

from __future__ import annotations

from typing import Any

from tune_app.errors import InputError, NotFound, TuneAppError, WorkFailed

KINDS: dict[str, type[TuneAppError]] = {kind.__name__: kind for kind in (NotFound, InputError, WorkFailed)}
"""The types of errors, most specific first."""


def written_error(error: TuneAppError) -> dict[str, str]:
    """`error` as a mapping."""
    kind = next((name for name, kind in KINDS.items() if isinstance(error, kind)), WorkFailed.__name__)
    return {"kind": kind, "message": error.message, "where": error.where, "hint": error.hint}


def read_error(told: Any) -> TuneAppError:
    """The inverse of `written_error`.

    Raises:
        LookupError, TypeError: `told` is not such a mapping.
    """
    return KINDS[told["kind"]](told["message"], where=told["where"], hint=told["hint"])
