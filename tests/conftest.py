"""Fixtures shared by several test modules: small studies, written by the real study writer, and one Ray node."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import fs

from tune_app import provenance
from tune_app.document import Document
from tune_app.environment import changed_environment
from tune_app.moment import now
from tune_app.spaces.feasibility import sample
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Config
from tune_app.store.columns import Row, column_types
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.study_writer import StudyWriter
from tune_app.store.trial_row import TrialRow, TrialState
from tune_app.tasks import load_task
from tune_app.tasks.catalogs import catalog_of
from tune_app.tasks.spec_file import read_spec
from tune_app.training.seed import derive_seed

SMALL_SPACE: dict[str, Any] = {
    "schema_version": 1,
    "name": "digits-small",
    "task": "image_cnn",
    "dataset": "digits",
    "objective": {"metric": "val_accuracy"},
    "budget": {"trials": 5, "epochs": 2},
    "parameters": {
        "architecture": {
            "filters": {"type": "categorical", "choices": [2, 4]},
            "batch_norm": {"type": "categorical", "choices": [True, False]},
            "conv_layers": {"type": "int", "low": 1, "high": 2},
        },
        "training": {
            "optimizer": {"type": "categorical", "choices": ["sgd", "adamw"]},
            "learning_rate": {"type": "float", "low": 1e-4, "high": 0.1, "log": True},
            "batch_size": 500,
        },
    },
    "constraints": ["filters * conv_layers <= 6"],
}
FIXTURES = Path(__file__).parent / "fixtures"
BUCKET = "results"
ENDS = ("COMPLETED", "PRUNED", "COMPLETED", "FAILED", "COMPLETED")

MakeStudy = Callable[..., Study]

gc.disable()  # imported modules stay alive: rescanning them costs each test process two seconds

# If a shell started the tests in the background, they ignore SIGINT, and so would every process they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the sweeps first: their files take longest, so none is left to a single process once the others are done."""
    items.sort(key=lambda item: item.path.parent.name != "ray_backend")


def pytest_collection_finish() -> None:
    """Turn garbage collection back on, but skip everything imported so far."""
    gc.freeze()
    gc.enable()


def small_spec(**sections: Any) -> Spec:
    return read_spec(Document.of({**SMALL_SPACE, **sections}, "small space"))


def trial_row(spec: Spec, number: int, state: str, config: Config, epochs: Mapping[int, Row]) -> TrialRow:
    """A row of the `trials` table, as a sweep would write it."""
    last = epochs[max(epochs)] if epochs else {}
    failed = state == "FAILED"
    return TrialRow(
        trial=number,
        trial_id=f"{spec.name}-{number:05d}",
        state=TrialState(state),
        objective=None if failed else last.get(f"metric/{spec.objective.metric}"),
        failure_kind="error" if failed else None,
        error="ValueError: no [/bracket] fits (task.py:3 in start)" if failed else None,
        epochs=max(epochs, default=0),
        started_at=now(),
        ended_at=now(),
        duration_s=1.5,
        node="127.0.0.1",
        device="cpu",
        gpu_fraction=0.0,
        peak_memory_mb=None if failed else 300.5,
        model_parameters=None if failed else 1234567 + number,
        seed=derive_seed(spec.search.seed, number),
        attempt=1,
        families={
            **{f"config/{v.group}/{v.name}": config[v.name] for v in spec.space.variables},
            **{key: value for key, value in last.items() if key.startswith("metric/")},
        },
    )


@pytest.fixture(scope="session")
def make_study() -> MakeStudy:
    """Write a study of made-up results under `root`: trial N of `ends` reaches accuracy 0.9 - 0.1 * N."""

    def make(root: str | Path, spec: Spec | None = None, ends: Sequence[str] = ENDS) -> Study:
        spec = spec or small_spec()
        study = Study(Store(root).folder, spec.name)
        facts = {
            "study": spec.name,
            "spec_sha256": spec.sha256(),
            "dataset_sha256": "0" * 64,
            "code": provenance.code(),
        }
        catalog = catalog_of(load_task(spec.task), spec.task)
        study.folder.write(f"{study.base}/catalog.json", json.dumps(catalog.to_dict()).encode())
        study.folder.write(f"{study.base}/spec.yaml", spec.to_yaml().encode())
        study.folder.write(f"{study.base}/provenance.json", json.dumps(facts).encode())
        rng = np.random.default_rng(spec.search.seed)
        with StudyWriter(study, study.history(), column_types(spec.space.variables)) as writer:
            writer.sweep_started(trials=spec.budget.trials)
            for number, state in enumerate(ends):
                config = sample(spec.space, rng)
                writer.trial_started(number, f"{spec.name}-{number:05d}", config, derive_seed(0, number), 1)
                rows = {
                    epoch: {
                        "trial": number,
                        "epoch": epoch,
                        "ended_at": now(),
                        "duration_s": 0.5,
                        "metric/val_accuracy": 0.9 - 0.1 * number - 0.01 * (spec.budget.epochs - epoch),
                        "metric/val_loss": 1.0 + number,
                    }
                    for epoch in range(1, {"PRUNED": 1, "FAILED": 0}.get(state, spec.budget.epochs) + 1)
                }
                if rows:
                    writer.epochs(list(rows.values()))
                writer.trial_ended(trial_row(spec, number, state, config, rows))
            writer.live({"state": "ended"})
            writer.sweep_ended(reason=None, message=None)
        return study

    return make


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., Spec]:
    """The specification of a small space; its sections may be replaced."""
    return small_spec


@pytest.fixture(scope="session")
def s3_access() -> Iterator[dict[str, str]]:
    """Environment variables for moto's S3 on loopback, run in a thread of this process; it has the bucket `BUCKET`."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    backend = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def app(environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with one_at_a_time:  # moto checks the condition and writes in two steps, S3 in one
            return list(backend(environment, start_response))

    class Quiet(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    access = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    try:
        make_bucket(access)
        yield access
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def make_bucket(access: dict[str, str]) -> None:
    filesystem = fs.S3FileSystem(
        access_key=access["AWS_ACCESS_KEY_ID"],
        secret_key=access["AWS_SECRET_ACCESS_KEY"],
        region=access["AWS_DEFAULT_REGION"],
        endpoint_override=access["AWS_ENDPOINT_URL"],
        allow_bucket_creation=True,
    )
    filesystem.create_dir(BUCKET)


@pytest.fixture
def s3_url(s3_access: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a separate S3 folder that `open_folder` can open."""
    for name, value in s3_access.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return f"s3://{BUCKET}/{tmp_path.parent.name}-{tmp_path.name}"


@pytest.fixture(scope="session")
def train_trials() -> Callable[[Study, Spec, Mapping[int, int]], None]:
    """Really train some trials of a made-up study, replacing their made-up results; maps trial numbers to epochs."""
    from tune_app.training.trial import Training, prepared  # imports torch: pytest-xdist's controller needs none

    def train(study: Study, spec: Spec, trained: Mapping[int, int]) -> None:
        history, task = study.history(), load_task(spec.task)
        data = task.load_data(spec.dataset).without_test()
        with StudyWriter(study, history, column_types(spec.space.variables)) as writer:
            for number, epochs in trained.items():
                record = history.trials[number]
                given = prepared(task, record.config, data)
                training = Training(task, record.config, given, epochs=spec.budget.epochs, seed=record.seed, threads=1)
                assert record.row is not None
                families = dict(record.row.families)
                writer.trial_started(number, record.trial_id, record.config, record.seed, 2)
                for epoch in (training.run_epoch() for _ in range(epochs)):
                    figures = {f"metric/{name}": value for name, value in epoch.metrics.items()}
                    figures |= {f"health/{name}": value for name, value in epoch.health.items()}
                    times = {"ended_at": now(), "duration_s": epoch.duration_s}
                    writer.epochs([{"trial": number, "epoch": epoch.epoch, **times, **figures}])
                    families |= figures
                size = training.model_parameters
                row = replace(record.row, ended_at=now(), epochs=epochs, model_parameters=size, families=families)
                writer.trial_ended(row)
                if row.state == TrialState.COMPLETED:
                    path = Path(study.folder.path(study.checkpoint(number)))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    training.save(path)

    return train


@pytest.fixture(scope="session")
def markers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tasks leave a marker that their process died once; the workers inherit the path."""
    folder = tmp_path_factory.mktemp("markers")
    os.environ["FAULTY_MARKERS"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def node(markers: Path) -> Iterator[str]:
    """The address of a Ray node with two slots on this machine."""
    from ray._private.ray_constants import ENABLE_RAY_CLUSTERS_ENV_VAR

    from tune_app.ray_backend.local_node import end_node, start_node

    started = start_node()
    with changed_environment({ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}):  # otherwise commands don't find a node on loopback
        yield started.address
    end_node(started)


@pytest.fixture
def sgd_task(monkeypatch: pytest.MonkeyPatch) -> str:
    """A task without a network that this process and its children can import."""
    monkeypatch.chdir(FIXTURES)
    monkeypatch.syspath_prepend(str(FIXTURES))
    return "sgd_digits:SGDDigits"


@pytest.fixture
def sgd_study(sgd_task: str, tmp_path: Path, make_study: MakeStudy, train_trials: Callable[..., None]) -> Study:
    """A study of `sgd_task` whose trial 0 was really trained and kept its checkpoint."""
    alpha = {"type": "float", "low": 1e-5, "high": 0.1, "log": True}
    sections = {"parameters": {"training": {"alpha": alpha}}, "constraints": []}
    spec = small_spec(name="sgd", task=sgd_task, budget={"trials": 2, "epochs": 4}, **sections)
    study = make_study(tmp_path / "results", spec, ends=("COMPLETED", "PRUNED"))
    train_trials(study, spec, {0: 4})
    return study
