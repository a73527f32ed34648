"""A training step as a CUDA graph against the same step launched kernel by kernel: the numbers and the time.

Machine: printed with each line; it needs a GPU that torch sees. Workload: our three tasks on their embedded data sets,
a few configurations each, `EPOCHS` epochs from one seed, trained as a sweep trains them. Peer: the same steps without
graphs. Theoretical minimum: what the GPU computes in a step, which nothing here lowers.

One JSON line per configuration: whether the metrics of all epochs and the last weights are `same` to the last digit
(otherwise the largest differences, and whether the peer repeats itself), how many shapes were `recorded` or `why_not`,
whether a checkpoint `restored` in the middle ends with the same weights in a new training and in the used one,
milliseconds per step of the last epoch both ways and their ratio, and torch's peak memory. The last line is a step that
cannot be recorded: it must train all the same. A case that raises prints its error; the others still run.

    python benchmarks/graph_step.py [--device cpu]

A CPU has no graphs: that only tests this script, on less work.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tune_app.datasets import load_dataset
from tune_app.datasets.dataset import Dataset
from tune_app.tasks import load_task
from tune_app.training.trial import Training, prepared

EPOCHS, SAVED_AFTER = 4, 2
DATA = {"image_cnn": "digits", "text_lstm": "stdlib_docs", "small_gpt": "python_reference"}
AUGMENTED = {"shift": 0.1, "rotation": 10.0, "crop": 0.1, "color_jitter": 0.1, "noise": 0.1, "cutout": 0.2}
CASES: dict[str, dict[str, dict[str, Any]]] = {
    "image_cnn": {
        "defaults": {},
        "dropout and augmentation": {"dropout": 0.4, "horizontal_flip": True, **AUGMENTED},
        "bf16": {"precision": "bf16"},
        "sgd, clipped": {"optimizer": "sgd", "learning_rate": 0.05, "gradient_clip": 1.0},
        "rmsprop": {"optimizer": "rmsprop", "learning_rate": 1e-3},
    },
    "text_lstm": {
        "defaults": {},
        "dropout": {"word_dropout": 0.1, "recurrent_dropout": 0.2, "dense_dropout": 0.5},
        "bf16": {"precision": "bf16"},
        "gru, sgd": {"cell": "gru", "optimizer": "sgd", "learning_rate": 0.05, "pooling": "last"},
    },
    "small_gpt": {
        "defaults": {},
        "dropout": {"dropout": 0.2, "norm": "layer", "bias": True, "position": "learned"},
        "bf16": {"precision": "bf16", "dropout": 0.1},
    },
}
ITERATIONS = 60
ON_A_CPU = {"image_cnn": {}, "text_lstm": {"max_length": 20}, "small_gpt": {"iterations": 5, "n_layer": 1}}


class Case:
    """One configuration, trained in several ways from the same seed."""

    def __init__(self, task_name: str, changes: dict[str, Any], device: str) -> None:
        self.task = load_task(task_name)
        self.config = {v.name: v.default for v in self.task.variables} | {"epochs": EPOCHS}
        self.config |= {"iterations": ITERATIONS} if task_name == "small_gpt" else {}
        self.config |= changes | (ON_A_CPU[task_name] if device == "cpu" else {})
        self.data: Dataset = prepared(self.task, self.config, load_dataset(DATA[task_name]))
        self.device = device

    def begin(self, graphs: bool = True) -> Training:
        """A training that has not started, with or without graphs."""
        training = Training(self.task, self.config, self.data, epochs=EPOCHS, seed=1, device=self.device)
        if not graphs:
            training.state.graphs.why_not = "this is the peer"  # type: ignore[attr-defined]
        return training

    def finish(self, training: Training, checkpoint: Path | None = None) -> dict[str, Any]:
        """Train to the end and return the results; `checkpoint` is written on the way."""
        state: Any = training.state
        while training.epoch < EPOCHS - 1:
            training.run_epoch()
            if training.epoch == SAVED_AFTER and checkpoint is not None:
                training.save(checkpoint)
        steps = state.optimization.steps // (EPOCHS - 1)
        with Clock(state.graphs, steps, self.device) as clock:
            training.run_epoch()
        found = {
            "metrics": [row.metrics for row in training.history],
            "weights": weights_of(training),
            "ms": 1000 * clock.seconds / steps,
        }
        if self.device == "cuda":
            found["reserved_mb"] = round(torch.cuda.max_memory_reserved() / 2**20)
        return found


class Clock:
    """Seconds of the `steps` steps of an epoch, on the host and on the GPU, without validation."""

    def __init__(self, graphs: Any, steps: int, device: str) -> None:
        self.graphs, self.steps, self.device, self.seconds = graphs, steps, device, 0.0
        self.done, self.begun = 0, 0.0

    def __enter__(self) -> Clock:
        run = self.graphs.run

        def timed(*arguments: Any) -> Tensor:
            if self.done == 0:
                self.begun = self.now()
            loss = run(*arguments)
            self.done += 1
            if self.done == self.steps:
                self.seconds = self.now() - self.begun
            return loss

        self.graphs.run = timed
        return self

    def __exit__(self, *error: object) -> None:
        del self.graphs.run  # the method is visible again

    def now(self) -> float:
        """The time when all work in progress is done."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def weights_of(training: Training) -> Tensor:
    """Parameters and buffers, as one row on the CPU."""
    network = training.network
    assert network is not None
    return torch.cat([value.detach().double().flatten().cpu() for value in network.state_dict().values()])


def difference(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """The largest differences of metrics and weights; empty if there are none."""
    pairs = zip(one["metrics"], other["metrics"], strict=True)
    metrics = max(abs((a[n] or 0.0) - (b[n] or 0.0)) for a, b in pairs for n in a)
    weights = float((one["weights"] - other["weights"]).abs().max())
    return {"metrics": metrics, "weights": weights} if metrics or weights else {}


def compare(case: Case) -> dict[str, Any]:
    """Train without and with graphs, then from the checkpoint of the latter."""
    fresh_memory(case.device)
    peer = case.finish(case.begin(graphs=False))
    fresh_memory(case.device)
    training = case.begin()
    graphs: Any = training.state.graphs  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.pt"
        ours = case.finish(training, checkpoint)
        found: dict[str, Any] = {"recorded": graphs.recorded, "why_not": graphs.why_not}
        found |= compared(case, peer, ours)
        found["restored"] = {}
        for name, restored in (("new", case.begin()), ("used", training)):
            restored.restore(checkpoint)
            found["restored"][name] = difference(ours, case.finish(restored)) or "same"
    found |= {"peer_ms": round(peer["ms"], 3), "ms": round(ours["ms"], 3), "ratio": round(peer["ms"] / ours["ms"], 2)}
    return found | {f"{name}_reserved_mb": r.get("reserved_mb") for name, r in (("peer", peer), ("our", ours))}


def compared(case: Case, peer: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Whether both are the same; if not, whether the peer is the same twice."""
    apart = difference(peer, ours)
    if not apart:
        return {"same": True}
    again = difference(peer, case.finish(case.begin(graphs=False)))
    return {"same": False, "largest_difference": apart, "peer_repeats_itself": again or "same"}


def waiting(case: Case) -> dict[str, Any]:
    """A step that reads its loss waits for the GPU, so it cannot be recorded; it trains as its peer does."""
    peer = case.finish(case.begin(graphs=False))
    training = case.begin()
    graphs: Any = training.state.graphs  # type: ignore[attr-defined]
    run = graphs.run

    def reading(step: Callable[..., Tensor], rows: Tensor, *sizes: int) -> Tensor:
        def step_that_waits(*arguments: Any) -> Tensor:
            loss = step(*arguments)
            loss.item()
            return loss

        return run(step_that_waits, rows, *sizes)

    graphs.run = reading
    while not training.finished:
        training.run_epoch()
    del graphs.run
    ours = {"metrics": [row.metrics for row in training.history], "weights": weights_of(training)}
    # Whether later steps in this process can still be recorded.
    after = case.begin()
    found = {"why_not": graphs.why_not, **compared(case, peer, ours), "after": compared(case, peer, case.finish(after))}
    return found | {"after_recorded": after.state.graphs.recorded}  # type: ignore[attr-defined]


def fresh_memory(device: str) -> None:
    """Free the memory of earlier trainings."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def checks() -> Iterator[tuple[str, str, dict[str, Any], Callable[[Case], dict[str, Any]]]]:
    """Task, name, changes to the defaults, and what is done."""
    for task, cases in CASES.items():
        for name, changes in cases.items():
            yield task, name, changes, compare
    yield "image_cnn", "a step that waits", {"dropout": 0.4}, waiting


def main() -> None:
    """Print one JSON line per case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    device = parser.parse_args().device
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no GPU here, so there is nothing to measure; --device cpu tries the script")
    torch.set_num_threads(1)
    machine = {"device": torch.cuda.get_device_name() if device == "cuda" else "cpu", "torch": torch.__version__}
    start = time.perf_counter()
    for task, name, changes, check in checks():
        line: dict[str, Any] = {"measure": "graph_step", "task": task, "case": name}
        begun = time.perf_counter()
        try:
            line |= check(Case(task, changes, device))
        except Exception:
            line["error"] = traceback.format_exc().splitlines()[-8:]
        print(json.dumps({**line, "seconds": round(time.perf_counter() - begun, 1), **machine}), flush=True)
    print(json.dumps({"measure": "graph_step", "seconds": round(time.perf_counter() - start, 1)}))


if __name__ == "__main__":
    main()
