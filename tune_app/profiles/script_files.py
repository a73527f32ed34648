"""What a script leaves of a training: its folder and its output, beside the training's record."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tune_app.folder import Folder, LocalFolder
from tune_app.store.training_record import files_path, log_path
from tune_app.store.trial_log import TrialLog
from tune_app.tasks.script_task import ScriptState
from tune_app.training.trial import Training


@contextmanager
def script_files(training: Training, folder: Folder, name: str) -> Iterator[None]:
    """Have the script of a training called `name` write to the store; nothing happens where it is no script.

    Behind an object store its files are written there at the end, if that is reached.

    Raises:
        WorkFailed: the store cannot be written.
    """
    state = training.state
    if not isinstance(state, ScriptState):
        yield
        return
    folder.remove(files_path(name))  # of a training that was interrupted
    folder.remove(log_path(name))
    log = TrialLog(folder, log_path(name))
    state.on_output = log.add
    try:
        if isinstance(folder, LocalFolder):
            state.write_to(folder.root / files_path(name))
            yield
            return
        with tempfile.TemporaryDirectory() as scratch:
            state.write_to(Path(scratch))
            yield
            for path in sorted(Path(scratch).rglob("*")):
                if path.is_file():
                    folder.write(f"{files_path(name)}/{path.relative_to(scratch).as_posix()}", path.read_bytes())
    finally:
        log.close()
