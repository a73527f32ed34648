"""The hierarchy of errors; each interface (command line, HTTP, page) translates it once.

Every message follows one pattern: the rule, the value, and its place; the hint names the nearest valid choice or what
to do. No message contains a password or a token: all of them pass through `credentials.redacted`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from tune_app.credentials import redacted
from tune_app.readable import writable


class TuneAppError(Exception):
    """An error reported with a message instead of a traceback.

    Attributes:
        message: the rule and the offending value.
        where: its place, such as ``search_spaces/a.yaml:12 parameters.training.dropout``; may be empty.
        hint: the nearest valid choice, or what to do; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        self.message, self.where, self.hint = redacted(message), redacted(where), redacted(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        first = f"{self.where}: {self.message}" if self.where else self.message
        return f"{first}\n  {self.hint}" if self.hint else first

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.where, self.hint)


def _rebuild(cls: type[TuneAppError], message: str, where: str, hint: str) -> TuneAppError:
    return cls(message, where=where, hint=hint)


class InputError(TuneAppError, ValueError):
    """The input was wrong: a file, an option, a name. Exit code 2."""

    exit_code = 2


class NotFound(InputError):
    """The named item does not exist. Exit code 2, HTTP status 404."""


class Conflict(InputError):
    """The request conflicts with the current state. Exit code 2, HTTP status 409."""


class WorkFailed(TuneAppError):
    """The input was valid, but the work failed. Exit code 1."""


class Interrupted(TuneAppError):
    """The user stopped the work; finished work is kept. Exit code 130."""

    exit_code = 130


class Terminated(Interrupted):
    """The process was asked to terminate; finished work is kept. Exit code 143."""

    exit_code = 143


def one_line(error: BaseException) -> str:
    """The message of a foreign error on one line, as valid Unicode and without passwords and tokens."""
    return redacted(str(writable(" ".join(str(error).split()))))


def nearest(name: object, valid: Iterable[str], *, limit: int = 8) -> str:
    """List the valid names, nearest first: ``did you mean `dropout`? Valid: dropout, filters, …``."""
    names = sorted(valid)
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    rest = [n for n in names if n not in close]
    shown = [*close, *rest]
    listed = ", ".join(shown[:limit]) + (f", … ({len(shown)} in all)" if len(shown) > limit else "")
    return f"did you mean `{close[0]}`? Valid: {listed}" if close else f"Valid: {listed}"
