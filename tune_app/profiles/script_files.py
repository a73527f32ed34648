"""What a script leaves of a training: its folder and its output, beside the training's record."""

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
    """Have the script of a training called `name` write to the store; nothing happens where it is no script.

    What it wrote stays also when the training fails: it may have trained for hours. Behind an object store its files
    are written there at the end, if that is reached.

    Raises:
        WorkFailed: the store cannot be written.
        TuneAppError: the block's own, which then names the files.
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
                folder.remove(files_path(name).rpartition("/")[0])  # it was not begun: its folder is empty
                raise
            _keep(place, folder, name)
            kept = f"its files are in {folder.path(files_path(name))}, what it printed is {folder.path(log_path(name))}"
            hint = f"{error.hint}; {kept}" if error.hint else kept
            raise type(error)(error.message, where=error.where, hint=hint) from error
        _keep(place, folder, name)


def has_script_files(folder: Folder, name: str) -> bool:
    """Whether a script has run in the training `name`: it has printed its command, at least, or left files."""
    return folder.exists(log_path(name)) or bool(folder.names(files_path(name)))


def _keep(place: Path, folder: Folder, name: str) -> None:
    """Put the files in the store; on this machine they are there already."""
    for path in sorted(place.rglob("*")) if not isinstance(folder, LocalFolder) else ():
        if path.is_file():
            folder.write(f"{files_path(name)}/{path.relative_to(place).as_posix()}", path.read_bytes())
