"""What several test modules use: small studies, written by the one writer of studies."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import fs

from tune_app import provenance
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Config
from tune_app.store.store import Row, Store, Study, column_types, now
from tune_app.store.study_writer import StudyWriter
from tune_app.training.trial import derive_seed

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
BUCKET = "results"
ENDS = ("COMPLETED", "PRUNED", "COMPLETED", "FAILED", "COMPLETED")

MakeStudy = Callable[..., Study]


def small_spec(**sections: Any) -> Spec:
    return Spec.from_dict({**SMALL_SPACE, **sections}, "small space")


def trial_row(spec: Spec, number: int, state: str, config: Config, epochs: Mapping[int, Row]) -> Row:
    """A row of the `trials` table as a sweep writes it."""
    last = epochs[max(epochs)] if epochs else {}
    failed = state == "FAILED"
    return {
        "trial": number,
        "trial_id": f"{spec.name}-{number:05d}",
        "state": state,
        "objective": None if failed else last.get(f"metric/{spec.objective.metric}"),
        "failure_kind": "error" if failed else None,
        "error": "ValueError: no [/bracket] fits (task.py:3 in start)" if failed else None,
        "epochs": max(epochs, default=0),
        "started_at": now(),
        "ended_at": now(),
        "duration_s": 1.5,
        "node": "127.0.0.1",
        "device": "cpu",
        "gpu_fraction": 0.0,
        "peak_memory_mb": None if failed else 300.5,
        "model_parameters": None if failed else 1234567 + number,
        "seed": derive_seed(spec.search.seed, number),
        "attempt": 1,
        "checkpoint": None,
        **{f"config/{v.group}/{v.name}": config[v.name] for v in spec.space.variables},
        **{key: value for key, value in last.items() if key.startswith("metric/")},
    }


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
        study.folder.write(f"{study.base}/spec.yaml", spec.to_yaml().encode())
        study.folder.write(f"{study.base}/provenance.json", json.dumps(facts).encode())
        rng = np.random.default_rng(spec.search.seed)
        with StudyWriter(study, study.history(), column_types(spec.space.variables)) as writer:
            writer.sweep_started(trials=spec.budget.trials)
            for number, state in enumerate(ends):
                config = spec.space.sample(rng)
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
    """The environment that leads to moto's S3 on loopback, in a thread of this process; it has the bucket `BUCKET`."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    backend = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def app(environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with one_at_a_time:  # moto looks at a condition and puts in two steps, S3 in one
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
    """A folder of its own behind S3, which `open_folder` reaches."""
    for name, value in s3_access.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return f"s3://{BUCKET}/{tmp_path.parent.name}-{tmp_path.name}"
