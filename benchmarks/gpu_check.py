"""Does everything work on a GPU, and how many trials an hour does one GPU run?

Machine: printed first; one GPU that torch and Ray see, about 16 cores. Each check prints a JSON line with `passed`,
its measurements and its seconds; a failing one says why, and the others still run. `pace` trains one configuration of
each task repeatedly, 1, 2, 4, 8 and 16 in parallel; its peer is one trial at a time. `mps` is `pace` with NVIDIA's
Multi-Process Service, on nodes that have it. Checks that need no GPU also run on a CPU.

    python benchmarks/gpu_check.py [--device cpu] [--only halves pace …] [--shares 1 2 4 8 16] [--limit 270]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
import yaml

from tune_app import load_epochs, load_trials
from tune_app.datasets.cache import state_of
from tune_app.datasets.dataset import Dataset
from tune_app.datasets.registry import DATASETS
from tune_app.spaces.variable import Categorical, Float, Variable

ROOT = Path(__file__).resolve().parents[1]
PACED = {
    "digits": ("image_cnn", "val_accuracy", 15),
    "mnist": ("image_cnn", "val_accuracy", 3),
    "fashion_mnist": ("image_cnn", "val_accuracy", 3),
    "stdlib_docs": ("text_lstm", "val_accuracy", 12),
    "python_reference": ("small_gpt", "val_bits_per_character", 8),
}
"""Data set: its task, its metric, and epochs, those of the shipped search spaces but fewer for the larger images. A
missing data set is left out."""
SCRIPT = """
import argparse
import time
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--floats", type=float)
parser.add_argument("--epochs", type=int, default=4)
given = parser.parse_args()
device = "cuda" if torch.cuda.is_available() else "cpu"
weights = torch.zeros(512, 512, device=device, requires_grad=True)
target = torch.eye(512, device=device)
if device == "cuda":
    taken = torch.empty(int(given.floats), device=device)
for epoch in range(1, given.epochs + 1):
    ends = time.monotonic() + 0.5
    while time.monotonic() < ends:
        loss = (weights @ target - target).square().mean()
        loss.backward()
        with torch.no_grad():
            weights -= given.lr * weights.grad
            weights.grad = None
    print(f"epoch {epoch} loss {loss.item():.6f} on {device}", flush=True)
"""
"""A user's script, of which this program sees only the output; 1e12 floats are more than any GPU holds."""
FUNCTION = """
import torch

def tune(config, report):
    rows = torch.randn(4096, 64, generator=torch.Generator().manual_seed(0)).to(report.device)
    classes = rows[:, :8].argmax(1)
    width = config["width"]
    model = torch.nn.Sequential(torch.nn.Linear(64, width), torch.nn.GELU(), torch.nn.Linear(width, 8))
    model = model.to(report.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"])
    loss = lambda some: torch.nn.functional.cross_entropy(model(rows[some]), classes[some])
    first = torch.arange(64, device=report.device)
    for _ in range(report.restore(model=model, optimizer=optimizer), report.epochs):
        for batch in torch.randperm(4096, device=report.device).split(64):
            optimizer.zero_grad()
            loss(batch).backward()
            optimizer.step()
        accuracy = (model(rows).argmax(1) == classes).float().mean().item()
        report({"accuracy": accuracy}, probe=lambda: loss(first))
"""
"""A user's function."""
READ = ["latency_ms", "health/neuron_utilization", "health/gradient_health", "health/parameter_efficiency"]
"""Measured on the device for trainings of any length."""


class Greedy:
    """A task that trains nothing and takes `taken` of the GPU's memory, to test the cap."""

    data_kind: ClassVar[str] = "none"
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable("taken", "training", Categorical((0.05, 0.8)), 0.05, "Share of the GPU's memory."),
        Variable("score", "training", Float(0.0, 1.0), 0.5, "What is reported."),
    )
    constraints: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[Mapping[str, str]] = {"score": "maximize"}

    def load_data(self, dataset: str) -> Dataset:
        """Nothing to read."""
        return Dataset("none", "none", {"x": torch.zeros(1).numpy()}, {})

    def start(self, config: dict[str, Any], data: Dataset, *, device: torch.device, **_: Any) -> Greedy.State:
        """The state, on its device."""
        return Greedy.State(config, torch.device(device))

    def train_epoch(self, state: Greedy.State, epoch: int, progress: Any) -> Mapping[str, float]:
        """Take the memory in the second epoch, when its neighbors train."""
        time.sleep(0.3)
        if epoch == 2 and state.device.type == "cuda":
            total = torch.cuda.get_device_properties(state.device).total_memory
            state.held = torch.empty(int(state.config["taken"] * total), dtype=torch.uint8, device=state.device)
        return {"score": state.config["score"]}

    def evaluate(self, state: State, arrays: Mapping[str, Any]) -> Mapping[str, float]:
        """Nothing to measure."""
        return {}

    class State:
        """A layer that nobody trains."""

        def __init__(self, config: dict[str, Any], device: torch.device) -> None:
            self.config, self.device = config, device
            self.model = torch.nn.Linear(1, 1).to(device)
            self.held: torch.Tensor | None = None

        def state_dict(self) -> dict[str, Any]:
            return {"model": self.model.state_dict()}

        def load_state_dict(self, saved: dict[str, Any]) -> None:
            self.model.load_state_dict(saved["model"])


class Checks:
    """All checks; each returns its measurements, and raises AssertionError if they are wrong."""

    def __init__(self, device: str, folder: Path, shares: Sequence[int], ends: float) -> None:
        self.gpu, self.folder, self.shares, self.ends = device != "cpu", folder, shares, ends
        self.store = folder / "store"

    def run(self, space: str | Path, name: str, *options: Any, **process: Any) -> str:
        """One sweep; returns its stderr."""
        words = ["run", space, "--store", self.store, "--name", name, "--json", "--no-preflight", "--no-tensorboard"]
        return self.command(*words, "--no-fuse", *options, **process).stderr

    def command(
        self,
        *words: Any,
        code: int = 0,
        environment: Mapping[str, str] | None = None,
        folder: Path = ROOT / "benchmarks",
    ) -> subprocess.CompletedProcess[str]:
        """`tune-app` in a separate process."""
        paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])
        settings = {**os.environ, "PYTHONPATH": paths, **(environment or {})}
        done = subprocess.run(
            [sys.executable, "-m", "tune_app", *map(str, words)],
            capture_output=True,
            text=True,
            cwd=folder,
            env=settings,
            timeout=150,
        )
        assert done.returncode == code, f"exit code {done.returncode}: {done.stderr[-1500:]}"
        return done

    def gpus(self, share: float) -> list[Any]:
        """The options that give each trial this share of a GPU, or a core without a GPU."""
        return ["--gpus", share] if self.gpu else ["--gpus", 0, "--concurrent", 2]

    def space(self, name: str, **parts: Any) -> Path:
        """Write a search space."""
        path = self.folder / f"{name}.yaml"
        search = {"sampler": "random", "seed": 1}
        parts = {"schema_version": 1, "name": name, "search": search, "pruning": {"level": "off"}, **parts}
        path.write_text(yaml.safe_dump(parts))
        return path

    def halves(self) -> dict[str, Any]:
        """Two trials on half a GPU each, at once."""
        self.run(ROOT / "search_spaces" / "digits_cnn.yaml", "halves", *self.gpus(0.5), "--trials", 4, "--epochs", 8)
        table = load_trials("halves", self.store)
        assert set(table["state"]) <= {"COMPLETED", "PRUNED"}, table[["state", "error"]].to_dict("records")
        assert _together(table) == 2, f"{_together(table)} at once"
        if self.gpu:
            assert (table["device"] != "cpu").all(), list(table["device"])
            assert (table["gpu_fraction"] == 0.5).all(), list(table["gpu_fraction"])
            known = find_spec("pynvml") is not None
            assert (table["gpu_utilization"].between(0, 100) == known).all(), list(table["gpu_utilization"])
        busy = table["gpu_utilization"].astype(float).mean()
        return {
            "device": table["device"].iloc[0],
            "peak_memory_mb": round(float(table["peak_memory_mb"].max())),
            "gpu_utilization": round(busy, 1) if self.gpu else None,
        }

    def own(self) -> dict[str, Any]:
        """A user's script and function on half a GPU each; a script that runs out of memory fails alone as `oom`."""
        (self.folder / "script.py").write_text(SCRIPT)
        (self.folder / "function.py").write_text(FUNCTION)
        parts = {"schema_version": 1, "search": {"sampler": "random", "seed": 1}, "pruning": {"level": "off"}}
        script = {
            "name": "own-script",
            "task": "script",
            "command": f"{sys.executable} script.py",
            "report": {"stdout": r"epoch (?P<step>\d+) loss (?P<loss>\S+)"},
            "metrics": {"loss": "minimize"},
            "budget": {"trials": 4, "epochs": 4},
            "parameters": {
                "training": {"lr": _float(0.1, 1), "floats": {"type": "categorical", "choices": [1e6, 1e12]}}
            },
        }
        function = {
            "name": "own-function",
            "task": "function:tune",
            "metrics": {"accuracy": "maximize"},
            "budget": {"trials": 2, "epochs": 3},
            "parameters": {
                "architecture": {"width": {"type": "int", "low": 64, "high": 256}},
                "training": {"lr": _float(1e-3, 1e-2)},
            },
        }
        return {"script": self._script({**parts, **script}), "function": self._function({**parts, **function})}

    def _script(self, space: Mapping[str, Any]) -> dict[str, Any]:
        path = self.folder / "own-script.yaml"
        path.write_text(yaml.safe_dump(dict(space)))
        self.run(path, "own-script", *self.gpus(0.5), folder=self.folder)
        table = load_trials("own-script", self.store)
        much = self.gpu & (table["config/training/floats"] > 1e9)
        assert (table.loc[~much, "state"] == "COMPLETED").all(), table[["state", "error"]].to_dict("records")
        assert (table.loc[much, "failure_kind"] == "oom").all(), table[["failure_kind", "error"]].to_dict("records")
        assert _together(table) == 2, f"{_together(table)} at once"
        facts = table.loc[~much, ["device", "gpu_utilization"]]
        return {"oom": int(much.sum()), "completed": int((~much).sum()), **json.loads(facts.iloc[0].to_json())}

    def _function(self, space: Mapping[str, Any]) -> dict[str, Any]:
        path = self.folder / "own-function.yaml"
        path.write_text(yaml.safe_dump(dict(space)))
        self.run(path, "own-function", *self.gpus(0.5), folder=self.folder)
        return self.repeated("own-function", 1, folder=self.folder)

    def greedy(self) -> dict[str, Any]:
        """A trial that takes more than its share fails alone as `oom`; its neighbors continue."""
        parameters = {"training": {"taken": {"type": "categorical", "choices": [0.05, 0.8]}, "score": _float(0, 1)}}
        space = self.space(
            "greedy",
            task="gpu_check:Greedy",
            dataset="none",
            objective={"metric": "score"},
            budget={"trials": 8, "epochs": 4},
            parameters=parameters,
        )
        self.run(space, "greedy", *self.gpus(0.5))
        table = load_trials("greedy", self.store)
        much = table["config/training/taken"] == 0.8
        assert 0 < much.sum() < len(table), list(table["config/training/taken"])
        if not self.gpu:
            return {"oom": "nothing to cap without a GPU"}
        assert (table.loc[much, "failure_kind"] == "oom").all(), table.loc[much, ["state", "error"]].to_dict("records")
        assert (table.loc[~much, "state"] == "COMPLETED").all(), table.loc[~much, ["state", "error"]].to_dict("records")
        return {"oom": int(much.sum()), "completed": int((~much).sum()), "error": str(table.loc[much, "error"].iloc[0])}

    def auto(self) -> dict[str, Any]:
        """`gpus: auto` measures the share."""
        space = ROOT / "search_spaces" / "python_reference_gpt.yaml"
        said = self.run(space, "auto", "--gpus", "auto", "--trials", 2, "--epochs", 1, "--set", "training.iterations=5")
        table = load_trials("auto", self.store)
        share = float(table["gpu_fraction"].iloc[0])
        assert (0 < share <= 1) if self.gpu else share == 0, share
        return {"share": share, "said": [line for line in said.splitlines() if "GPU" in line][:2]}

    def bf16(self) -> dict[str, Any]:
        """All three tasks in half precision."""
        found = {}
        for name in ("digits_cnn", "stdlib_docs_lstm", "python_reference_gpt"):
            small = ["--set", "training.iterations=10"] if "gpt" in name else []
            options = [*self.gpus(0.5), "--trials", 2, "--epochs", 1, "--set", "training.precision=bf16", *small]
            self.run(ROOT / "search_spaces" / f"{name}.yaml", f"bf16-{name[:6]}".replace("_", "-"), *options)
            table = load_trials(f"bf16-{name[:6]}".replace("_", "-"), self.store)
            assert set(table["state"]) <= {"COMPLETED", "PRUNED"}, table[["state", "error"]].to_dict("records")
            found[name] = float(table["objective"].iloc[0])
        return found

    def again(self) -> dict[str, Any]:
        """Rows of sweeps trained again, alone, to the last digit, with health and latency."""
        return {name: self.again_of(name) for name in ("digits_cnn", "stdlib_docs_lstm", "python_reference_gpt")}

    def again_of(self, name: str) -> dict[str, Any]:
        """See `again`, for one search space."""
        study = f"again-{name.split('_')[0]}"
        small = ["--set", "training.iterations=20"] if "gpt" in name else []
        options = [*self.gpus(0.5), "--trials", 2, "--epochs", 3, "--pruning", "off", *small]
        self.run(ROOT / "search_spaces" / f"{name}.yaml", study, *options)
        return self.repeated(study, 1)

    def repeated(self, study: str, number: int, **process: Any) -> dict[str, Any]:
        """Train a trial again, alone: every metric to the last digit."""
        row = load_trials(study, self.store).set_index("trial").loc[number]
        done = self.command("train", "--trial", f"{study}:{number}", "--store", self.store, "--json", **process)
        trained = json.loads(done.stdout)["metrics"]
        was = {n.removeprefix("metric/"): row[n] for n in row.index if str(n).startswith("metric/")}
        differs = {n: (v, trained[n]) for n, v in was.items() if pd.notna(v) and v != trained[n]}
        assert not differs, differs
        assert row[READ].notna().all(), row[READ].to_dict()
        return {n: float(row[n]) for n in READ}

    def refused(self) -> dict[str, Any]:
        """More devices than available give an error message."""
        space = ROOT / "search_spaces" / "digits_cnn.yaml"
        words = ["run", space, "--store", self.store, "--gpus", 1, "--devices", 2, "--no-preflight", "--trials", 2]
        said = self.command(*words, code=2).stderr.strip()
        assert "Traceback" not in said, said
        return {"said": said}

    def pace(self) -> dict[str, Any]:
        """Trials per hour by how many train in parallel; stops when the time is up."""
        return self._pace(self.shares, list(PACED), None)

    def mps(self) -> dict[str, Any]:
        """The same with NVIDIA's Multi-Process Service, which lets processes use the GPU at the same time."""
        if not (self.gpu and shutil.which("nvidia-cuda-mps-control")):
            return {"skipped": "this node has no nvidia-cuda-mps-control"}
        pipe = {"CUDA_MPS_PIPE_DIRECTORY": str(self.folder / "mps"), "CUDA_MPS_LOG_DIRECTORY": str(self.folder / "mps")}
        (self.folder / "mps").mkdir()
        subprocess.run(["nvidia-cuda-mps-control", "-d"], check=True, env={**os.environ, **pipe}, timeout=20)
        try:
            found = self._pace(self.shares[-1:], list(PACED)[::-1], pipe)
            space = ROOT / "search_spaces" / "digits_cnn.yaml"
            said = self.command("check", space, "--gpus", 0.5, "--store", self.store, environment=pipe).stdout
            assert "MPS is running on this machine" in said, said
            return found
        finally:
            subprocess.run(
                ["nvidia-cuda-mps-control"], input="quit\n", text=True, env={**os.environ, **pipe}, timeout=20
            )

    def _pace(
        self, shares: Sequence[int], names: Sequence[str], environment: Mapping[str, str] | None
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for share in shares:
            for name in names:
                if state_of(DATASETS[name]) not in ("embedded", "fetched"):
                    continue
                if time.monotonic() > self.ends:
                    found[f"{name}, {share}"] = "skipped: out of time"
                    continue
                try:
                    found[f"{name}, {share}"] = self._paced(name, share, environment)
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    found[f"{name}, {share}"] = f"failed: {error}"[:1500]
        assert not any(str(value).startswith("failed") for value in found.values()), found
        return found

    def _paced(self, name: str, share: int, environment: Mapping[str, str] | None) -> dict[str, Any]:
        task, metric, epochs = PACED[name]
        study = f"pace-{name.replace('_', '-')}-{share}{'-mps' if environment else ''}"
        small = {"iterations": 5} if task == "small_gpt" and not self.gpu else {}
        space = self.space(
            study,
            task=task,
            dataset=name,
            objective={"metric": metric},
            budget={"trials": 4 * share + 2, "epochs": epochs},
            parameters={"training": {"learning_rate": _float(1e-3, 2e-3), **small}},
        )
        cores = min(1.0, (os.cpu_count() or 1) / share)
        options = ["--cpus", cores, "--concurrent", share, "--gpus", 1 / share if self.gpu else 0]
        with _watched_gpu(self.gpu) as use:
            self.run(space, study, *options, environment=environment)
        table = load_trials(study, self.store)
        assert (table["state"] == "COMPLETED").all(), table[["state", "error"]].to_dict("records")
        ends = table["ended_at"].sort_values().iloc[share - 1 : len(table) - share + 1]  # no slot is starting or idle
        epoch_s = load_epochs(study, self.store).query("epoch > 1" if epochs > 1 else "trial >= @share")["duration_s"]
        return {
            "trials_per_hour": round(3600 * (len(ends) - 1) / (ends.iloc[-1] - ends.iloc[0]).total_seconds()),
            "epoch_s": round(float(epoch_s.median()), 3),
            "trial_s": round(float(table["duration_s"].median()), 2),
            "peak_memory_mb": round(float(table["peak_memory_mb"].max())),
            **use,
        }


def _float(low: float, high: float) -> dict[str, Any]:
    return {"type": "float", "low": low, "high": high}


def _together(table: pd.DataFrame) -> int:
    """The largest number of trials that ran at once."""
    moments = [(t, 1) for t in table["started_at"]] + [(t, -1) for t in table["ended_at"]]
    running = most = 0
    for _, step in sorted(moments):
        running += step
        most = max(most, running)
    return most


@contextlib.contextmanager
def _watched_gpu(gpu: bool) -> Iterator[dict[str, Any]]:
    """A dict that holds nvidia-smi's figures after the block: the busiest five seconds and the peak memory."""
    use: dict[str, Any] = {}
    if not gpu:
        yield use
        return
    query = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-lms", "250"]
    with subprocess.Popen(query, stdout=subprocess.PIPE, text=True) as watcher:
        lines: list[str] = []
        assert watcher.stdout is not None
        reader = threading.Thread(target=lines.extend, args=(watcher.stdout,))
        reader.start()
        try:
            yield use
        finally:
            watcher.terminate()
            reader.join()
    rows = [tuple(map(int, line.split(","))) for line in lines if line.count(",") == 1]
    if rows:
        busiest = sorted((row[0] for row in rows), reverse=True)[:20]
        use["gpu_utilization"] = round(sum(busiest) / len(busiest))
        use["gpu_memory_mb"] = max(row[1] for row in rows)


def main() -> None:
    """Print a line per check; exit with 1 if one failed."""
    names = ["refused", "halves", "greedy", "own", "again", "auto", "bf16", "pace", "mps"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--shares", type=int, nargs="+", default=[1, 16, 4, 8, 2])
    parser.add_argument("--limit", type=float, default=300, help="seconds after which `pace` starts nothing new")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no GPU here; --device cpu runs what needs none")
    machine = torch.cuda.get_device_name() if given.device == "cuda" else platform.processor()
    print(json.dumps({"machine": machine, "cores": os.cpu_count(), "torch": torch.__version__}), flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        checks = Checks(given.device, Path(folder), given.shares, time.monotonic() + given.limit)
        for name in given.only:
            failed |= not _check(name, getattr(checks, name))
    sys.exit(failed)


def _check(name: str, check: Callable[[], dict[str, Any]]) -> bool:
    start, seen, passed = time.monotonic(), {}, True
    try:
        seen = check()
    except Exception as error:  # whatever went wrong, the other checks are still worth running
        passed, seen = False, {"why": str(error)[-3000:], "at": traceback.format_exc(limit=-1)[-600:]}
    seconds = round(time.monotonic() - start, 1)
    print(json.dumps({"check": name, "passed": passed, "seconds": seconds, **seen}), flush=True)
    return passed


if __name__ == "__main__":
    main()
