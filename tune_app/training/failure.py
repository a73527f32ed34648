"""Why a training failed: kinds of failure, and a readable line."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path
from typing import Literal

from tune_app.errors import TuneAppError, WorkFailed, one_line

FailureKind = Literal["error", "diverged", "oom"]
TRAINING = str(Path(__file__).with_name("trial.py"))
"""Where the task is called from: frames below in a traceback belong to the task."""
OOM_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "_ALLOC_FAILED")
"""Messages of a RuntimeError when CUDA, HIP, cuBLAS, cuDNN or torch's CPU allocator runs out of memory."""
LONGEST_ERROR = 1000
"""Maximum characters of an error in the store."""


class Diverged(WorkFailed):
    """A metric or a parameter is NaN or infinite."""


class TaskError(WorkFailed):
    """The task broke its contract while training."""


def failure_kind(error: BaseException) -> FailureKind:
    """The kind of failure of `error`, also considering its causes: `oom`, `diverged` or `error`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Diverged):
            return "diverged"
        # By name too: Ray has an error with that name, and this module does not import Ray.
        if isinstance(cause, MemoryError) or any(c.__name__ == "OutOfMemoryError" for c in type(cause).__mro__):
            return "oom"
        if isinstance(cause, RuntimeError) and any(sign in str(cause) for sign in OOM_SIGNS):
            return "oom"
        cause = cause.__cause__
    return "error"


def describe_error(error: BaseException) -> str:
    """One line for the store: ``Type: message (file:line in function)``.

    The place is the innermost frame of the task's own code, not of the libraries it calls. Our own errors include
    their place.
    """
    text = f"{type(error).__name__}: {_one_line(error)}"
    frame = None if isinstance(error, TuneAppError) else _innermost_frame(error)
    return f"{text} ({frame.filename}:{frame.lineno} in {frame.name})" if frame else text


def _innermost_frame(error: BaseException) -> traceback.FrameSummary | None:
    frames = list(traceback.extract_tb(error.__traceback__))
    ours = [number for number, frame in enumerate(frames) if frame.filename == TRAINING]
    # The task is below the training, and may be an installed package: its first frame is the fallback.
    below = frames[ours[-1] + 1 :] if ours else frames
    libraries = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platlib", "purelib")})
    own = [f for f in below if not f.filename.startswith((*libraries, "<"))]
    return own[-1] if own else below[0] if below else frames[-1] if frames else None


def _one_line(error: BaseException) -> str:
    text = one_line(error)
    return text if len(text) <= LONGEST_ERROR else text[: LONGEST_ERROR - 1] + "…"
