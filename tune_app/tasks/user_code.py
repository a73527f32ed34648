"""Runs a user's code: imports its modules, and keeps it from ending the process."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn
from unittest.mock import patch

from tune_app.errors import InputError, one_line
from tune_app.import_path import put_last

GUARD = 'put code that should only run as a script, such as reading arguments, below `if __name__ == "__main__":`'
_parsing = threading.Lock()


class Exited(Exception):
    """A user's code raised `SystemExit`, `KeyboardInterrupt` or the like: a normal error that must not end the process.

    Its cause is the original exception.
    """


class _ParsesArguments(Exception):
    """A module read the command-line arguments, which are not its own."""


@contextmanager
def exits_as_errors() -> Iterator[None]:
    """Convert exceptions that are no `Exception` from a user's code to `Exited`; a real Ctrl-C still works.

    Besides `SystemExit` and `KeyboardInterrupt`, these are for example panics of packages written in Rust, and
    `asyncio.CancelledError`. Also a decorator.
    """
    pressed: list[int] = []
    with _noting_interrupts(pressed):
        try:
            yield
        except SystemExit as error:
            given = "" if error.code is None else repr(error.code)
            raise Exited(f"it calls sys.exit({given})").with_traceback(error.__traceback__) from error
        except KeyboardInterrupt as error:
            if pressed:
                raise
            raise Exited("it raised KeyboardInterrupt").with_traceback(error.__traceback__) from error
        except (Exception, GeneratorExit):
            raise
        except BaseException as error:
            told = f"it raised {type(error).__name__}: {error}"
            raise Exited(told).with_traceback(error.__traceback__) from error


@contextmanager
def _noting_interrupts(pressed: list[int]) -> Iterator[None]:
    """Append to `pressed` when the user interrupts; the interrupt still has its usual effect."""
    former = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(former):
        yield  # interrupts are not raised in this thread
        return

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        former(number, frame)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def import_module(name: str, task: str) -> ModuleType:
    """Import the module `name` of the task called `task`, also from the current folder, which is searched last.

    Raises:
        InputError: there is no such module, or importing it fails.
    """
    put_last(os.getcwd())
    where = f"task {task}"
    try:
        with exits_as_errors(), _arguments_unread():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            hidden = _hidden(error.name.partition(".")[0]) if "." in error.name else ""
            raise InputError(
                f"`task` must name a module that can be imported, but there is no module `{error.name}`",
                where=where,
                hint=hidden or f"looked in the current folder ({os.getcwd()}) and in the installed packages",
            ) from error
        raise InputError(f"importing `{name}` failed: {last_line(error)}", where=where) from error
    except (Exited, _ParsesArguments) as error:
        raise InputError(f"importing `{name}` failed: {last_line(error)}", where=where, hint=GUARD) from error
    except Exception as error:
        raise InputError(f"importing `{name}` failed: {last_line(error)}", where=where) from error


def looked_in(module: ModuleType) -> str:
    """The file of `module` in words, and whether it hides a file with the same name in the current folder."""
    return _hidden(module.__name__) or f"looked in {getattr(module, '__file__', None) or module.__name__}"


def _hidden(name: str) -> str:
    """What hides the current folder's file for the module `name`, in words; empty if nothing does."""
    top = name.partition(".")[0]
    found = importlib.import_module(top)
    place = getattr(found, "__file__", None) or "Python itself"
    own = [path for path in (Path(f"{top}.py"), Path(top, "__init__.py")) if path.is_file()]
    if not own or (Path(place).exists() and Path(place).samefile(own[0])):
        return ""
    return f"{own[0].absolute()} is hidden by the module of the same name in {place}; rename it"


@contextmanager
def _arguments_unread() -> Iterator[None]:
    """Make `argparse` raise errors instead of printing them and ending the process."""

    def refuse(parser: argparse.ArgumentParser, message: str) -> NoReturn:
        told = "" if message.startswith("unrecognized") else f": {message}"  # the unrecognized ones are our own
        raise _ParsesArguments(f"it reads the command-line arguments{told}")

    # Locked, because two threads that patch and restore concurrently could leave it patched.
    with _parsing, patch.object(argparse.ArgumentParser, "error", refuse):
        yield


def last_line(error: Exception) -> str:
    """The error and its place in the user's module."""
    ours = str(Path(__file__).parents[1])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    theirs = [f for f in frames if not f.filename.startswith((ours, "<", argparse.__file__))]
    place = next(iter((theirs or frames)[-1:]), None)
    kind = "" if isinstance(error, (Exited, _ParsesArguments)) else f"{type(error).__name__}: "
    return f"{kind}{one_line(error)}" + (f" ({place.filename}:{place.lineno})" if place else "")
