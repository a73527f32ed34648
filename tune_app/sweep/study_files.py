"""The files of a study, open for writing while its sweep runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tune_app import provenance
from tune_app.datasets.dataset import Dataset
from tune_app.extras import missing
from tune_app.folder import LocalFolder
from tune_app.search.optuna_journal import OptunaJournal
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Config
from tune_app.store.columns import column_types
from tune_app.store.event_log import History
from tune_app.store.study import Study
from tune_app.store.study_writer import StudyWriter
from tune_app.store.tensorboard_log import TensorBoardLog
from tune_app.tasks import load_task
from tune_app.tasks.catalogs import catalog_of


@dataclass(frozen=True)
class StudyFiles:
    """What a sweep writes to.

    Attributes:
        history: the content of the study, kept up to date by the writer.
        journal: the journal for optuna-dashboard; None on an object store.
        tensorboard: None on an object store, if disabled, or without tensorboardX.
    """

    study: Study
    history: History
    writer: StudyWriter
    journal: OptunaJournal | None
    tensorboard: TensorBoardLog | None

    def add_provenance(self, facts: Mapping[str, Any]) -> None:
        """Add to the record of where the results come from, what is only known at the end.

        Raises:
            WorkFailed: the store could not be written.
        """
        _write_provenance(self.study, {**self.study.json("provenance.json"), **facts})


@contextmanager
def open_study_files(
    spec: Spec,
    study: Study,
    history: History,
    data: Dataset,
    facts: Mapping[str, Any],
    start_with: Sequence[Config],
    tensorboard: bool,
) -> Iterator[StudyFiles]:
    """Write the definition of the study (space, catalog, provenance), and open the files that grow with it.

    Args:
        facts: additional facts for the record of a new study: the hardware, and what it started from.
        start_with: the configurations to start with; stored, so that a resumed sweep does not need them again.

    Raises:
        WorkFailed: the store could not be written.
    """
    folder = study.folder
    catalog = catalog_of(load_task(spec.task, spec.catalog), spec.task)
    folder.write(f"{study.base}/catalog.json", json.dumps(catalog.to_dict(), indent=1).encode())
    folder.write(f"{study.base}/spec.yaml", spec.to_yaml().encode())
    if not history.last_event:
        _write_provenance(study, {**_provenance(spec, data), **facts})
    journal: OptunaJournal | None = None
    board: TensorBoardLog | None = None
    if isinstance(folder, LocalFolder):
        path = folder.root / study.base
        journal = OptunaJournal(path / "optuna.journal", spec.name, spec.space, spec.objective)
        if tensorboard and not missing("tensorboard"):
            board = TensorBoardLog(path / "tensorboard", list(catalog.metrics))
    logs = [log for log in (journal, board) if log is not None]
    with StudyWriter(study, history, column_types(spec.space.variables)) as writer:
        try:
            writer.sweep_started(trials=spec.budget.trials, spec_sha256=spec.sha256(), start_with=list(start_with))
            for record in history.trials.values():
                if record.finished and journal is not None:
                    journal.add(record)
            yield StudyFiles(study, history, writer, journal, board)
        finally:
            for log in logs:
                log.close()
    for log in logs:
        if log.error is not None:
            raise log.error


def _write_provenance(study: Study, facts: Mapping[str, Any]) -> None:
    study.folder.write(f"{study.base}/provenance.json", json.dumps(facts, indent=2).encode())


def _provenance(spec: Spec, data: Dataset) -> dict[str, Any]:
    return {
        "study": spec.name,
        "spec_sha256": spec.sha256(),
        "dataset_sha256": data.sha256(),
        "code": provenance.code(),
        "machine": provenance.machine(),
    }
