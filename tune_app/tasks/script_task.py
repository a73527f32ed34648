"""A user's script as a task: a command that trains one configuration, and prints how it goes."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tune_app.credentials import inherited_environment
from tune_app.datasets.dataset import Dataset
from tune_app.errors import InputError
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.script import SCRIPT, Script
from tune_app.spaces.variable import Config, DatasetReference
from tune_app.tasks.script_folder import pack, unpack
from tune_app.tasks.script_process import ScriptProcess, search_path
from tune_app.tasks.script_reports import Numbering, ScriptError, Told, open_source
from tune_app.tasks.task import Progress

POLL_S = 0.2
"""Files that the script writes are looked into this often."""
LEAST_END_S = 10.0
"""So long, or as long as its longest epoch took, a script may take to end after its last report of a `train`."""
LONGEST_TAIL = 700
"""Characters of a script's last lines in a message."""
OOM_SIGNS = ("out of memory", "OutOfMemoryError", "MemoryError", "cannot allocate memory", "can't allocate memory",
             "RESOURCE_EXHAUSTED", "std::bad_alloc", "_ALLOC_FAILED")  # fmt: skip
"""What PyTorch, CUDA, JAX, NumPy and C++ say when memory has run out."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class OutOfMemoryError(ScriptError):
    """A script ended because memory ran out; by this name `tune_app.training.failure` knows it."""


class ScriptTask:
    """A script under the contract of `tune_app.tasks.task.Task`.

    Attributes:
        open: True: its variables and metrics are those of the search space.
        catalog: what the search space says of them.
    """

    data_kind = "none"
    open = True

    def __init__(self, catalog: Catalog) -> None:
        """Take the script of `catalog`.

        Raises:
            InputError: there is none.
        """
        if catalog.script is None:
            raise InputError(
                f"the task `{SCRIPT}` must have its `command`, but there is none",
                where=f"task {SCRIPT}",
                hint="a search space or a profile of a script holds it; docs/own_task.md has an example",
            )
        self.script, self.catalog = catalog.script, catalog
        self.variables, self.constraints, self.metrics = catalog.variables, catalog.constraints, catalog.metrics

    def load_data(self, dataset: DatasetReference) -> Dataset:
        """Nothing: the script loads its own."""
        return Dataset("none", self.data_kind, {}, {})

    def start(self, config: Config, data: Dataset, *, epochs: int, seed: int, device: torch.device) -> ScriptState:
        """A run of the script that has not begun; it begins with the first epoch."""
        return ScriptState(self.script, self.catalog.metrics, dict(config), epochs=epochs, seed=seed, device=device)

    def train_epoch(self, state: ScriptState, epoch: int, progress: Progress) -> Mapping[str, float | None]:
        """Wait for the script's next report."""
        return state.go_on()

    def evaluate(self, state: ScriptState, arrays: Mapping[str, Any]) -> Mapping[str, float | None]:
        """Nothing: all that a script tells are its reports."""
        return {}

    def finish(self, state: ScriptState) -> Mapping[str, float | None]:
        """Let the script end by itself, so that it saves what it trained; it tells no figures of a test part."""
        state.finish()
        return {}


class ScriptState:
    """A run of a script.

    Attributes:
        on_output: told all that it prints, as it comes, in another thread.
        working_folder: the folder that it is started in.
    """

    def __init__(
        self,
        script: Script,
        metrics: Mapping[str, Any],
        config: Config,
        *,
        epochs: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self._script, self._metrics, self._config = script, tuple(metrics), config
        self._epochs, self._seed, self._device = epochs, seed, device
        self.on_output: Callable[[bytes], None] = lambda content: None
        self.working_folder = os.getcwd()
        self._numbering = Numbering(script.report)
        self._folder: Path | None = None
        self._folder_is_ours = True
        self._resumed = False
        self._process: ScriptProcess | None = None
        self._told: deque[Told | ScriptError] = deque()
        self._change = threading.Condition()
        self._longest_s = 0.0

    @property
    def restorable(self) -> bool:
        """Whether its folder is saved, from which it can go on; one that was given is kept by who gave it."""
        return bool(self._script.resume) and self._folder_is_ours

    @property
    def trial_folder(self) -> Path:
        """The folder that the script writes to: one for the trial alone, removed when it ends."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="tune-app-trial-"))
        return self._folder

    def write_to(self, folder: Path) -> None:
        """Have the script write to `folder`, which stays."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._folder_is_ours = folder, False

    @property
    def peak_memory_mb(self) -> float | None:
        """See `ScriptProcess.peak_memory_mb`."""
        return None if self._process is None else self._process.peak_memory_mb

    def state_dict(self) -> dict[str, Any]:
        """Its folder as it is now, how far it is, and what it told beyond that: it may be ahead of who listens."""
        folder = pack(self.trial_folder)  # first, so that what is told has all that led to what the folder holds
        ahead = [[told.step, told.metrics] for told in [*self._told] if isinstance(told, Told)]
        return {"epoch": self._numbering.epoch, "step": self._numbering.step, "ahead": ahead, "folder": folder}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Put the folder back; the script goes on from it when it is begun."""
        self.close()
        self._numbering = Numbering(self._script.report, saved["epoch"], saved["step"])
        self._told.extend(Told(step, metrics) for step, metrics in saved["ahead"])
        unpack(saved["folder"], self.trial_folder)
        self._resumed = True

    def go_on(self) -> Mapping[str, float | None]:
        """Wait until the script reports its next epoch; what it reports.

        Raises:
            ScriptError: it failed, ended before, or reports otherwise than it should.
        """
        began = time.monotonic()
        if self._process is None:
            self._begin()
        while True:
            told = self._next()
            if told is not None and self._numbering.is_next(told.step):
                self._longest_s = max(self._longest_s, time.monotonic() - began)
                return dict(told.metrics)

    def finish(self) -> None:
        """Wait for the script's end, as long as its longest epoch took; then end it.

        Raises:
            ScriptError: it failed meanwhile.
        """
        process = self._process
        if process is None:
            return
        ended = process.wait(max(LEAST_END_S, self._longest_s))
        process.end()
        if ended and process.code:
            raise self._failure(process)

    def close(self) -> None:
        """End the script, and remove its folder."""
        if self._process is not None:
            self._process.end()
        self._process = None
        self._told.clear()
        if self._folder is not None and self._folder_is_ours:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _begin(self) -> None:
        command = self._script.command_line(self._config, str(self.trial_folder), self._seed, self._resumed)
        if command[0] == "python":
            command[0] = sys.executable
        if not any(map(shutil.which, _places(command[0], self.working_folder))):
            place = f"in {self.working_folder}" if "/" in command[0] else "on the PATH"
            rule = f"`command` must begin with a program, but there is no `{command[0]}` {place}"
            raise InputError(rule, where=f"task {SCRIPT}", hint="`python` is the Python that runs tune-app")
        self._source = open_source(self._script, self._metrics, str(self.trial_folder), self.working_folder)
        self.on_output(f"$ {' '.join(command)}\n".encode())
        self._process = ScriptProcess(
            command,
            environment(self._device),
            self.working_folder,
            str(self.trial_folder) if self._folder_is_ours else "",
            on_line=self._take_line,
            on_output=lambda content: self.on_output(content),
            on_end=self._notify,
        )

    def _take_line(self, line: str) -> None:
        try:
            self._told.extend(self._source.line(line))
        except ScriptError as error:
            self._told.append(error)
        self._notify()

    def _notify(self) -> None:
        with self._change:
            self._change.notify_all()

    def _next(self) -> Told | None:
        """The next figures; None where there are none yet."""
        process = self._process
        assert process is not None
        ended = process.ended  # asked before: what comes in between is seen the next time
        self._told.extend(self._source.poll())
        if not self._told and ended:
            raise self._failure(process)
        if not self._told:
            with self._change:
                self._change.wait_for(lambda: self._told or process.ended, POLL_S)
            return None
        told = self._told.popleft()
        if isinstance(told, ScriptError):
            raise told
        if told.step is None and self._script.resume:
            raise ScriptError("a script with `resume` must tell its step: what it tells twice is known by it")
        return told

    def _failure(self, process: ScriptProcess) -> ScriptError:
        """What is wrong with a script that has ended."""
        errors = _tail(process.errors)
        if process.code:
            how = f"exit code {process.code}" if process.code > 0 else f"signal {-process.code}"
            kind = OutOfMemoryError if any(sign.lower() in errors.lower() for sign in OOM_SIGNS) else ScriptError
            return kind(f"the script ended with {how}: {errors or _tail(process.lines) or 'it printed nothing'}")
        if process.code is None:
            return ScriptError("the process that watches over the script was killed")
        report, epoch = self._script.report, self._numbering.epoch
        found = f"the script must report each of {self._epochs} epochs, but ended after {epoch}"
        last = _tail(process.lines) or "nothing"
        return ScriptError(f"{found}; `{report.kind}: {report.source}` told no more, and its last lines were: {last}")


def _places(program: str, folder: str) -> list[str]:
    """Where a program may lie: in `folder` by its path, else in one of those that are searched."""
    return [os.path.join(where, program) for where in ([folder] if "/" in program else search_path().split(os.pathsep))]


def _tail(lines: deque[str]) -> str:
    text = " | ".join(line.strip() for line in lines)
    return text if len(text) <= LONGEST_TAIL else f"…{text[-LONGEST_TAIL:]}"


def environment(device: torch.device) -> dict[str, str]:
    """The environment of a script: what the trial has of the machine, and lines that come when they are printed."""
    threads = dict.fromkeys(THREAD_VARIABLES, str(torch.get_num_threads()))
    found = {**inherited_environment(), **threads, "PYTHONUNBUFFERED": "1", "PATH": search_path()}
    if device.type != "cuda":
        return {**found, "CUDA_VISIBLE_DEVICES": ""}
    share = torch.cuda.get_per_process_memory_fraction()
    if share < 1:
        found["PYTORCH_CUDA_ALLOC_CONF"] = f"per_process_memory_fraction:{share:g}"
        found["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{share:g}"
    found.setdefault("CUDA_VISIBLE_DEVICES", "0")
    return found
