"""The same sweep three ways: tune-app, Ray Tune as its documentation writes it, plain Optuna with two processes.

Machine: printed with each line. Workload: 40 trials of search_spaces/digits_cnn.yaml, at most 15 epochs, two trials at
a time with one thread each, the same training code (`tune_app.training.trial.Training`), the same space, the same rungs
and reduction factor for stopping trials early. Wall time of the whole process, from its start to its end.
Peers: `tune` is Ray Tune with OptunaSearch and ASHAScheduler, every epoch reported, defaults elsewhere, as in
https://docs.ray.io/en/latest/tune/examples/optuna_example.html; `optuna` is two processes on one JournalStorage file
with SuccessiveHalvingPruner, as in
https://optuna.readthedocs.io/en/stable/tutorial/10_key_features/004_distributed.html.
Theoretical minimum: the training alone, summed over the trials and divided by two, plus importing torch once.
Ours does more than the peers: it checks the space first (preflight), keeps every epoch of every trial in Parquet, a
study for optuna-dashboard, and a checkpoint of each completed trial. Its workers keep freed memory (`freed_memory.py`).

    python benchmarks/peers.py [--runs 3] [--only ours optuna]

Prints one JSON line per run and one per comparison: the ratio of ours to the peer's time, run by run.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SPACE = ROOT / "search_spaces" / "digits_cnn.yaml"
PEERS = ("ours", "optuna", "tune")


def load(seed: int) -> tuple[Any, Any, Any]:
    """The space, the task and the data that all three use."""
    from tune_app.tasks import load_task
    from tune_app.tasks.spec_file import load_spec

    spec = load_spec(SPACE, {"search.seed": seed})
    task = load_task(spec.task)
    return spec, task, task.load_data(spec.dataset).without_test()


def suggest(trial: Any, space: Any) -> dict[str, Any]:
    """One configuration, as a user of Optuna would write it for this space."""
    from tune_app.search.study_search import _suggest

    distributions = space.distributions()
    return dict(space.fill(lambda name: _suggest(trial, name, distributions[name])))


def define(space: Any, trial: Any) -> None:
    """The same for Tune's `OptunaSearch`, which pickles the function."""
    suggest(trial, space)


def run_optuna_worker(path: str, seed: int, number: int) -> None:
    """One of the two processes of plain Optuna."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    from tune_app.spaces.pruning import rungs
    from tune_app.training.seed import derive_seed
    from tune_app.training.trial import Training

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spec, task, data = load(seed)
    found, factor = rungs(spec.pruning, spec.budget.epochs)
    study = optuna.create_study(
        study_name="peer",
        storage=JournalStorage(JournalFileBackend(path)),
        sampler=optuna.samplers.TPESampler(seed=seed + number),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=found[0], reduction_factor=factor),
        direction="maximize",
        load_if_exists=True,
    )

    def objective(trial: optuna.Trial) -> float:
        config = suggest(trial, spec.space)
        training = Training(
            task, config, data, epochs=spec.budget.epochs, seed=derive_seed(seed, trial.number), threads=1
        )
        value = 0.0
        while not training.finished:
            value = training.run_epoch().metrics["val_accuracy"]
            trial.report(value, training.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    study.optimize(objective, callbacks=[optuna.study.MaxTrialsCallback(spec.budget.trials, states=None)])


def run_optuna(seed: int, folder: Path) -> float:
    """Plain Optuna: two processes on one journal file; returns the best value."""
    path = str(folder / "optuna.journal")
    command = [sys.executable, __file__, "--worker", path, "--seed", str(seed)]
    processes = [subprocess.Popen([*command, "--number", str(n)]) for n in (0, 1)]
    assert [p.wait() for p in processes] == [0, 0]
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    study = optuna.load_study(study_name="peer", storage=JournalStorage(JournalFileBackend(path)))
    return float(study.best_value)


def run_tune(seed: int, folder: Path) -> float:
    """Ray Tune as its documentation writes it; returns the best value."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    spec, _, _ = load(seed)
    from tune_app.spaces.pruning import rungs

    found, factor = rungs(spec.pruning, spec.budget.epochs)

    def objective(config: dict[str, Any]) -> None:
        from tune_app.training.trial import Training

        spec, task, data = load(seed)
        full = {**spec.space.unsearched, **config}
        training = Training(task, full, data, epochs=spec.budget.epochs, seed=seed, threads=1)
        while not training.finished:
            tune.report(training.run_epoch().metrics)

    goal = {"metric": "val_accuracy", "mode": "max"}
    tuner = tune.Tuner(
        tune.with_resources(objective, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(functools.partial(define, spec.space), seed=seed, **goal),
            scheduler=ASHAScheduler(max_t=spec.budget.epochs, grace_period=found[0], reduction_factor=factor, **goal),
            num_samples=spec.budget.trials,
        ),
        run_config=tune.RunConfig(storage_path=str(folder), name="peer"),
    )
    results = tuner.fit()
    return max(r.metrics["val_accuracy"] for r in results if r.metrics and "val_accuracy" in r.metrics)


def run_ours(seed: int, folder: Path) -> float:
    """tune-app from the command line; returns the best value."""
    command = [sys.executable, "-m", "tune_app", "run", str(SPACE), "--seed", str(seed), "--concurrent", "2", "--json"]
    command += ["--store", str(folder), "--profiles", str(folder / "profiles")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["best"]["objective"])


def timed(peer: str, seed: int) -> dict[str, Any]:
    """Run one peer in a fresh process and folder; ours starts its own process."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        began = time.perf_counter()
        if peer == "tune":
            command = [sys.executable, __file__, "--peer", peer, "--seed", str(seed), "--folder", folder]
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
            )
            best = float(done.stdout.strip().splitlines()[-1])
        else:
            best = (run_ours if peer == "ours" else run_optuna)(seed, Path(folder))
        return {"peer": peer, "seed": seed, "wall_s": round(time.perf_counter() - began, 2), "best": round(best, 4)}


def main() -> None:
    """Run the peers in turn and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--peer")
    parser.add_argument("--folder")
    parser.add_argument("--worker")
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.worker:
        run_optuna_worker(given.worker, given.seed, given.number)
        return
    if given.peer:
        print(run_tune(given.seed, Path(given.folder)))
        return
    machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    times: dict[str, list[float]] = {peer: [] for peer in given.only}
    bests: dict[str, list[float]] = {peer: [] for peer in given.only}
    for seed in range(given.runs):
        for peer in given.only:
            figure = timed(peer, seed)
            times[peer].append(figure["wall_s"])
            bests[peer].append(figure["best"])
            print(json.dumps({**figure, **machine}), flush=True)
    for peer in given.only:
        if peer != "ours" and "ours" in times:
            ratios = [a / b for a, b in zip(times["ours"], times[peer], strict=True)]
            print(
                json.dumps(
                    {
                        "measure": f"wall time, ours / {peer}",
                        "median": round(statistics.median(ratios), 3),
                        "min": round(min(ratios), 3),
                        "max": round(max(ratios), 3),
                        "best_ours": statistics.median(bests["ours"]),
                        f"best_{peer}": statistics.median(bests[peer]),
                        "runs": given.runs,
                        **machine,
                    }
                )
            )


if __name__ == "__main__":
    main()
