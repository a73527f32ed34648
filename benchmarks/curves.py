"""Where the learning curves of `search.py` come from.

`TaskSet`: recorded curves of 1,000 configurations; a proposed configuration gets the curve of the nearest one.
`LCBench`: a published surrogate, which covers every configuration.
`OwnTable`: curves that tune-app trained, by `make_tables.py`, and a surrogate between them.

Every source is an error or a loss, so less is always better. A source has the noise of one training seed, which depends
only on the configuration, the epoch and the seed of the replay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow.parquet as pq
from surrogate import Surrogate

from tune_app.document import Document
from tune_app.spaces.section import Objective
from tune_app.spaces.space import Space
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Config, Domain, Float, Int, Variable
from tune_app.sweep.replay import Array, Curve, Curves
from tune_app.tasks.spec_file import read_spec

LOSS = Objective(metric="loss", direction="minimize")
ERROR = Objective(metric="error", direction="minimize")


class Source(Curves, Protocol):
    """The curves and the search space of one task.

    Attributes:
        epochs: of a full training.
    """

    epochs: int
    space: Space
    objective: Objective


class TaskSet:
    """One task of TaskSet (github google-research TaskSet, arXiv 2002.11887; CC BY 4.0).

    A `.npz` file with ``hp_names``, ``hp`` (configurations, variables) and ``valid`` (configurations, epochs + 1), a
    loss. They are means over five seeds, so the noise of one, 0.01 in the loss, is added. An epoch takes one second.
    """

    NOISE = 0.01
    objective = LOSS

    def __init__(self, path: Path, seed: int) -> None:
        data = np.load(path)
        self.losses = data["valid"][:, 1:].astype(float)
        self.epochs = self.losses.shape[1]
        points = data["hp"].astype(float)
        betas = [position for position, name in enumerate(data["hp_names"]) if str(name).startswith("beta")]
        points[:, betas] = 1 - points[:, betas]  # they were drawn uniformly in the logarithm
        logs = np.log(points)
        self._low, self._span = logs.min(0), np.ptp(logs, axis=0)
        self._points = (logs - self._low) / self._span
        self._names = [str(name) for name in data["hp_names"]]
        self._noise = np.random.default_rng(seed).normal(0.0, self.NOISE, self.losses.shape)
        low, high = points.min(0), points.max(0)
        self.space = _plain_space(
            {name: Float(float(a), float(b), log=True) for name, a, b in zip(self._names, low, high, strict=True)}
        )

    def curve(self, config: Config) -> Curve:
        """The curve of the nearest configuration in the table."""
        point = (np.log([float(config[name]) for name in self._names]) - self._low) / self._span
        row = int(((self._points - point) ** 2).sum(1).argmin())
        losses = self.losses[row]
        return Curve(losses + self._noise[row], np.arange(1.0, self.epochs + 1), float(losses[-1]))


class LCBench:
    """One OpenML task of YAHPO Gym's surrogate of LCBench (github slds-lmu/yahpo_data `lcbench`; Apache-2.0).

    A folder with ``model.onnx``, ``encoding.json`` and ``config_space.json``. The error is 100 minus the
    validation accuracy, in percent. The surrogate's first epoch is the untrained model, so its epochs 2 to 52 are ours.

    The surrogate is smooth. The noise of 0.3 percent is the standard deviation of an error of 10 percent on 10,000
    validation rows. Small data sets have more noise than that, large ones less.
    """

    NOISE = 0.3
    DOMAINS: dict[str, Domain] = {  # noqa: RUF012
        "batch_size": Int(16, 512, log=True),
        "learning_rate": Float(1e-4, 1e-1, log=True),
        "momentum": Float(0.1, 0.99),
        "weight_decay": Float(1e-5, 1e-1),
        "num_layers": Int(1, 5),
        "max_units": Int(64, 1024, log=True),
        "max_dropout": Float(0.0, 1.0),
    }
    """In the order in which the surrogate takes them, after the epoch; the ranges of its ``config_space.json``."""
    epochs = 51
    objective = ERROR

    def __init__(self, folder: Path, task: str, seed: int) -> None:
        self.space = _plain_space(self.DOMAINS)
        self._model, self._seed = _session(folder / "model.onnx"), seed
        self._task = np.full((self.epochs + 1, 1), _encoding(folder)[task], np.int32)
        self._known: dict[tuple[float, ...], Curve] = {}

    @staticmethod
    def tasks(folder: Path, half: str) -> list[str]:
        """The OpenML ids of the `odd` ones of ``encoding.json`` (the first, the third, …), or of the `even` ones."""
        parameters = json.loads((folder / "config_space.json").read_text(encoding="utf-8"))["hyperparameters"]
        trained = next(p["choices"] for p in parameters if p["name"] == "OpenML_task_id")
        known = [task for task in _encoding(folder) if task != "#na#"]
        return [task for task in known[half == "even" :: 2] if task in trained]

    def curve(self, config: Config) -> Curve:
        """What the surrogate predicts for `config`."""
        point = tuple(float(config[name]) for name in self.DOMAINS)
        if point not in self._known:
            self._known[point] = self._predict(point)
        return self._known[point]

    def _predict(self, point: tuple[float, ...]) -> Curve:
        rows = np.empty((self.epochs + 1, len(point) + 1), np.float32)
        rows[:, 0], rows[:, 1:] = np.arange(1, self.epochs + 2), point
        predicted = self._model.run(["output"], {"x_cat": self._task, "x_cont": rows})[0].astype(float)
        seconds, accuracies = predicted[1:, :2].T
        errors = 100 - accuracies
        times = np.maximum.accumulate(seconds)
        step = max((times[-1] - times[0]) / (self.epochs - 1), 1e-3)
        ends = times - times[0] + step * (1 + 1e-3 * np.arange(self.epochs))  # last part: no two ends are equal
        noise = _normal(point, self._seed, self.epochs)
        return Curve(errors + self.NOISE * noise, ends, float(errors[-1]))


class OwnTable:
    """A table of `make_tables.py` and the surrogate fitted to it.

    An accuracy becomes an error, 1 minus the accuracy.
    """

    def __init__(self, path: Path, seed: int) -> None:
        spec, self._surrogate = _fitted(path)
        self.space, self.epochs, self._seed = spec.space, spec.budget.epochs, seed
        self.objective = ERROR if spec.objective.direction == "maximize" else spec.objective

    def curve(self, config: Config) -> Curve:
        """What the surrogate predicts for `config`."""
        normal = _normal(self.space.params_of(config), self._seed, 1 + self.epochs)
        found = self._surrogate.predict(config, normal)
        return Curve(found.noisy, found.ends, float(found.values[-1]))


KINDS: dict[str, Callable[[Path, int], Source]] = {".npz": TaskSet, ".parquet": OwnTable}
"""The reader of a file of curves, by its extension."""


def read_table(path: Path) -> tuple[Spec, list[Config], Array, Array]:
    """The search space of a table, its configurations, and their values (lower is better) and seconds, by epoch."""
    table = pq.read_table(path)
    spec = read_spec(Document.parse(table.schema.metadata[b"search_space"].decode(), str(path)))
    columns = [table[f"config/{name}"].to_pylist() for name in spec.space.searched]
    settings = [dict(zip(spec.space.searched, row, strict=True)) for row in zip(*columns, strict=True)]
    values, seconds = (np.array(table[name].to_pylist(), dtype=float) for name in ("objective", "seconds"))
    errors = 1 - values if spec.objective.direction == "maximize" else values
    return spec, [spec.space.complete(row) for row in settings], errors, seconds


@cache
def _fitted(path: Path) -> tuple[Spec, Surrogate]:
    """A table's search space and surrogate, fitted once."""
    spec, configs, values, seconds = read_table(path)
    return spec, Surrogate(spec.space, configs, values, seconds, share=spec.objective.direction == "maximize")


def find_sources(paths: Iterable[Path], tasks: list[str] | None) -> Iterator[tuple[str, Callable[[int], Source]]]:
    """The names of the tasks behind `paths`, each with a function that makes its source for the seed of a replay.

    Args:
        paths: files, folders of them, or the folder of LCBench's surrogate.
        tasks: names of tasks, or all; for LCBench `odd`, `even` or OpenML ids, by default the even ones.
    """
    for path in paths:
        if (path / "model.onnx").exists():
            for task in [t for half in ("odd", "even") for t in LCBench.tasks(path, half) if _wanted(t, half, tasks)]:
                yield task, partial(LCBench, path, task)
        else:
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            for file in files:
                if file.suffix in KINDS and (tasks is None or file.stem in tasks):
                    yield file.stem, partial(KINDS[file.suffix], file)


def _wanted(task: str, half: str, tasks: list[str] | None) -> bool:
    return half == "even" if tasks is None else bool({task, half} & set(tasks))


def _plain_space(domains: dict[str, Domain]) -> Space:
    """A space of numbers without conditions and constraints, each searched over its whole domain."""
    return Space(
        tuple(Variable(name, "training", domain, _middle(domain), "") for name, domain in domains.items()),
        domains,
        {},
        {},
        (),
    )


def _middle(domain: Any) -> float | int:
    middle = float(np.sqrt(domain.low * domain.high)) if domain.log else (domain.low + domain.high) / 2
    return domain.nearest(middle)  # type: ignore[no-any-return]


def _normal(config: object, seed: int, count: int) -> Array:
    """Standard normal numbers that belong to a configuration and a seed."""
    digest = hashlib.blake2b(repr(config).encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest)]).standard_normal(count)


@cache
def _session(path: Path) -> Any:
    """The surrogate, read once, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options)


@cache
def _encoding(folder: Path) -> dict[str, int]:
    """The surrogate's number of each OpenML id."""
    content: dict[str, int] = json.loads((folder / "encoding.json").read_text(encoding="utf-8"))["OpenML_task_id"]
    return content
