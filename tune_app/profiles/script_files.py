"""A script's folder and output, stored with the training's record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tune_app.errors import TuneAppError
from tune_app.folder import Folder, LocalFolder
from tune_app.store.training_record import files_path, log_path
from tune_app.store.trial_log import TrialLog
from tune_app.tasks.script_state import ScriptState
from tune_app.training.trial import Training


@contextmanager
def script_files(training: Training, folder: Folder, name: str) -> Iterator[None]:
    """Make the script of the training `name` write to the store; does nothing if it is not a script.

    Its files stay even if the training fails: it may have trained for hours. On an object store, they are only written
    at the end, if it is reached.

    Raises:
        WorkFailed: the store cannot be written.
        TuneAppError: the block's own error, with the files' location added.
    """
    state = training.state
    if not isinstance(state, ScriptState):
        yield
        return
    log = TrialLog(folder, log_path(name))
    state.on_output = log.add
    with ExitStack() as ending:
        ending.callback(log.close)
        is_local = isinstance(folder, LocalFolder)
        place = Path(folder.path(files_path(name)) if is_local else ending.enter_context(TemporaryDirectory()))
        state.write_to(place)
        try:
            yield
        except TuneAppError as error:
            log.close()
            if not has_script_files(folder, name):
                folder.remove(files_path(name).rpartition("/")[0])  # it did not start: its folder is empty
                raise
            _keep(place, folder, name)
            kept = f"its files are in {folder.path(files_path(name))}, its output is {folder.path(log_path(name))}"
            hint = f"{error.hint}; {kept}" if error.hint else kept
            raise type(error)(error.message, where=error.where, hint=hint) from error
        _keep(place, folder, name)


def has_script_files(folder: Folder, name: str) -> bool:
    """Whether a script ran in the training `name`: it left at least its output or files."""
    return folder.exists(log_path(name)) or bool(folder.names(files_path(name)))


def _keep(place: Path, folder: Folder, name: str) -> None:
    """Copy the files to the store; on this machine they are already there."""
    for path in sorted(place.rglob("*")) if not isinstance(folder, LocalFolder) else ():
        if path.is_file():
            folder.write(f"{files_path(name)}/{path.relative_to(place).as_posix()}", path.read_bytes())
