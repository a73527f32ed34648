"""A run of a script: starting, listening, saving, and ending."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tune_app.spaces.script import Script
from tune_app.tasks.script_environment import environment, program
from tune_app.tasks.script_failure import ScriptError, exit_failure, silence_failure
from tune_app.tasks.script_folder import pack, unpack
from tune_app.tasks.script_process import ScriptProcess
from tune_app.tasks.script_reports import Numbering, Told, open_source

POLL_S = 0.2
"""How often to check the files that the script writes."""
LEAST_END_S = 10.0
"""How long a script may take to end after its last report in `train`, or as long as its longest epoch."""


class ScriptState:
    """A run of a script.

    Attributes:
        on_output: called with all its output as it arrives, in another thread.
        working_folder: the folder where it starts.
    """

    def __init__(
        self,
        script: Script,
        metrics: Mapping[str, Any],
        config: Mapping[str, Any],
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
        self._told: deque[Told | Exception] = deque()
        self._change = threading.Condition()
        self._longest_s = 0.0

    @property
    def restorable(self) -> bool:
        """Whether its folder is saved so that it can continue from it; a given folder is kept by the caller."""
        return bool(self._script.resume) and self._folder_is_ours

    @property
    def trial_folder(self) -> Path:
        """The script's folder: unique to the trial, and removed when it ends."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="tune-app-trial-"))
        return self._folder

    def write_to(self, folder: Path) -> None:
        """Make the script write to `folder`, which is kept."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._folder_is_ours = folder, False

    @property
    def peak_memory_mb(self) -> float | None:
        """See `ScriptProcess.peak_memory_mb`."""
        return None if self._process is None else self._process.peak_memory_mb

    def state_dict(self) -> dict[str, Any]:
        """Its current folder, its progress, and reports beyond that, because it may be ahead of the listener."""
        folder = pack(
            self.trial_folder
        )  # first, so that the reports include everything that led to the folder's content
        ahead = [[told.step, told.metrics] for told in [*self._told] if isinstance(told, Told)]
        return {"epoch": self._numbering.epoch, "step": self._numbering.step, "ahead": ahead, "folder": folder}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore the folder; the script continues from it when it starts."""
        self.close()
        self._numbering = Numbering(self._script.report, saved["epoch"], saved["step"])
        self._told.extend(Told(step, metrics) for step, metrics in saved["ahead"])
        unpack(saved["folder"], self.trial_folder)
        self._resumed = True

    def go_on(self) -> Mapping[str, float | None]:
        """Wait until the script reports its next epoch; returns the report.

        Raises:
            ScriptError: it failed, ended too early, or its report is invalid.
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
            ScriptError: it failed in the meantime.
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
        command[0] = program(command[0], self.working_folder)
        self._source = open_source(self._script, self._metrics, str(self.trial_folder), self.working_folder)
        self.on_output(f"$ {shlex.join(command)}\n".encode())
        self._process = ScriptProcess(
            command,
            environment(self._device, command[0]),
            self.working_folder,
            str(self.trial_folder) if self._folder_is_ours else "",
            on_line=self._take_line,
            on_output=self._take_output,
            on_end=self._notify,
        )

    def _take_line(self, line: str) -> None:
        try:
            self._told.extend(self._source.line(line))
        except Exception as error:  # raised by the waiting thread: in the reading thread it would end the reading
            self._told.append(error)
        self._notify()

    def _take_output(self, content: bytes) -> None:
        try:
            self.on_output(content)
        except Exception as error:  # as above
            self._told.append(error)

    def _notify(self) -> None:
        with self._change:
            self._change.notify_all()

    def _next(self) -> Told | None:
        """The next metrics; None if there are none yet."""
        process = self._process
        assert process is not None
        ended = process.ended  # checked first, so that later output is read next time
        self._told.extend(self._source.poll(ended))
        if not self._told and ended:
            raise self._failure(process)
        if not self._told:
            with self._change:
                self._change.wait_for(lambda: self._told or process.ended, POLL_S)
            return None
        told = self._told.popleft()
        if isinstance(told, Exception):
            raise told
        if told.step is None and self._script.resume:
            raise ScriptError("a script with `resume` must report its step, so that repeated reports are recognized")
        return told

    def _failure(self, process: ScriptProcess) -> ScriptError:
        """The error of a script that has ended."""
        if process.code is None:
            return ScriptError("the script's supervisor process was killed")
        if process.code:
            return exit_failure(process.code, process.errors, process.lines, self.working_folder)
        report = f"{self._script.report.kind}: {self._script.report.source}"
        return silence_failure(self._epochs, self._numbering.epoch, report, process.errors, process.lines)
