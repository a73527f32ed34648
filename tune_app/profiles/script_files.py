"""What a script leaves of a training: its folder and its output, beside the training's record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tune_app.folder import Folder, LocalFolder
from tune_app.store.training_record import files_path, log_path
from tune_app.store.trial_log import TrialLog
from tune_app.tasks.script_state import ScriptState
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
    with ExitStack() as ending:
        ending.callback(log.close)
        is_local = isinstance(folder, LocalFolder)
        place = Path(folder.path(files_path(name)) if is_local else ending.enter_context(TemporaryDirectory()))
        state.write_to(place)
        try:
            yield
        except Exception:  # a training that failed leaves nothing
            log.close()
            folder.remove(files_path(name).rpartition("/")[0])
            raise
        for path in sorted(place.rglob("*")) if not is_local else ():
            if path.is_file():
                folder.write(f"{files_path(name)}/{path.relative_to(place).as_posix()}", path.read_bytes())
