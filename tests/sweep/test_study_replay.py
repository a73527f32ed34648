"""A study replayed from its own curves: what pruning would have found, and which studies can't be replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tune_app.errors import InputError
from tune_app.spaces.spec import Spec
from tune_app.store.columns import column_types
from tune_app.store.study import Study
from tune_app.store.study_writer import StudyWriter
from tune_app.store.trial_row import FailureKind, TrialState
from tune_app.sweep.recorded_study import RecordedStudy, read_study
from tune_app.sweep.study_replay import PROPOSING, replay_study

CURVES = {
    0: [0.5, 0.6, 0.7, 0.8],
    1: [0.4, 0.5, 0.6, 0.7],
    2: [0.3, 0.4, 0.5, 0.6],
    3: [0.2, 0.3, 0.4, 0.5],
    4: [0.1, 0.2, 0.5, 0.95],  # the best at the end but the worst at the start
    5: [0.6, 0.7, 0.8, 0.9],
}
"""Accuracy by trial and epoch; an epoch takes half a second."""
MakeStudy = Callable[..., Study]
MakeSpec = Callable[..., Spec]
Write = Callable[..., Study]


@pytest.fixture
def write(tmp_path: Path, make_study: MakeStudy, make_spec: MakeSpec) -> Write:
    """A study with the curves above; some trials may have failed, and its sections may be replaced."""

    def make(
        failed: Mapping[int, tuple[FailureKind, int]] | None = None,
        health: Sequence[float | None] = (),
        ends: Sequence[str] = ("COMPLETED",) * len(CURVES),
        **sections: Any,
    ) -> Study:
        spec = make_spec(name="whole", budget={"trials": len(CURVES), "epochs": 4}, **sections)
        study = make_study(tmp_path, spec, ends=ends)
        with StudyWriter(study, study.history(), column_types(spec.space.variables)) as writer:
            for number in range(len(ends)):
                record = study.history().trials[number]
                assert record.row is not None
                kind, epochs = (failed or {}).get(number, (None, 4))
                for epoch, row in record.epochs.items():
                    figures = {"metric/val_accuracy": CURVES[number][epoch - 1]}
                    figures |= {"health/overall": health[epoch - 1]} if health else {}
                    writer.epochs([row | figures])
                if kind:
                    writer.trial_ended(
                        replace(record.row, state=TrialState.FAILED, failure_kind=kind, epochs=epochs, objective=None)
                    )
        return study

    return make


def test_only_pruning_changes_the_result_and_the_cost(write: Write) -> None:
    recorded = read_study(write())
    assert (recorded.epochs, recorded.best.trial, recorded.left_out, recorded.workers) == (24, 4, 0, 1)
    off = replay_study(recorded, "off", None, seed=0, workers=1)
    assert (off.best, off.trial, off.place, off.found_s) == (0.95, 4, 1, 10.0)
    assert (off.best_state, off.best_epochs) == (TrialState.COMPLETED, 4)
    assert (off.epochs, off.share, off.seconds) == (24, 1.0, 12.0)
    # Three trials reach the first rung before it stops any; then 3 and 4 are the worst there, and 5 is the best.
    pruned = replay_study(recorded, "normal", None, seed=0, workers=1)
    assert (pruned.best, pruned.trial, pruned.place, pruned.found_s) == (0.9, 5, 2, 9.0)
    assert (pruned.best_state, pruned.best_epochs) == (TrialState.PRUNED, 1)
    assert (pruned.epochs, pruned.share, pruned.seconds) == (18, 0.75, 9.0)


def test_workers_share_the_time(write: Write) -> None:
    recorded = read_study(write())
    assert replay_study(recorded, "off", None, seed=0, workers=2).seconds == 6.0
    assert replay_study(recorded, "off", None, seed=0, workers=50).seconds == 2.0


def test_seeds_shuffle_the_order_and_repeat(write: Write) -> None:
    recorded = read_study(write())
    found = [replay_study(recorded, "normal", None, seed, 1) for seed in range(8)]
    assert found == [replay_study(recorded, "normal", None, seed, 1) for seed in range(8)]
    assert len({run.epochs for run in found}) > 1
    assert len({run.trial for run in found}) > 1


@pytest.mark.parametrize("sampler", PROPOSING)
def test_a_sampler_runs_every_recorded_configuration_once(write: Write, sampler: str) -> None:
    recorded = read_study(write())
    for seed in range(2):
        run = replay_study(recorded, "off", sampler, seed, workers=2)
        assert (run.epochs, run.best, run.trial) == (24, 0.95, 4)
    pruned = replay_study(recorded, "aggressive", sampler, 0, workers=2)
    assert pruned.epochs < 24
    assert pruned == replay_study(recorded, "aggressive", sampler, 0, workers=2)


@pytest.mark.parametrize("scheduler", ["hyperband", "median", "none"])
def test_the_studys_scheduler_is_kept(write: Write, scheduler: str) -> None:
    def found(**pruning: str) -> list[int]:
        recorded = read_study(write(pruning={**pruning, "level": "off"}))
        return [replay_study(recorded, "normal", None, seed, workers=1).epochs for seed in range(6)]

    epochs = found(scheduler=scheduler)
    assert min(epochs) < 24
    assert (epochs == found()) == (scheduler == "none"), "without a scheduler, the default one is used"


def test_failures_caused_by_the_configuration_count_and_others_are_left_out(write: Write) -> None:
    recorded = read_study(write({1: ("diverged", 2), 2: ("oom", 0), 3: ("error", 1)}))
    assert recorded.left_out == 1
    assert [trial.trial for trial in recorded.trials] == [0, 1, 2, 4, 5]
    assert [len(trial.curve.values) for trial in recorded.trials] == [4, 3, 1, 4, 4]
    off = replay_study(recorded, "off", None, seed=0, workers=1)
    assert (off.epochs, off.trial) == (16, 4)
    # The failed trials took 1.5 s, including the epoch in which they failed.
    assert off.seconds == 3 * 2.0 + 2 * 1.5


def test_health_counts_if_every_epoch_has_it(write: Write) -> None:
    objective = {"mode": "health", "metric": "val_accuracy", "health_weight": 0.5}
    recorded = read_study(write(health=[0.1, 0.2, 0.3, 0.5], objective=objective))
    assert recorded.objective.metric == "objective"
    assert replay_study(recorded, "off", None, 0, 1).best == pytest.approx((0.95 + 0.5) / 2)
    with pytest.raises(InputError, match=r"objective of every epoch, but trial 0 has none after epoch 1\n.*health"):
        read_study(write(health=[None, 0.2, 0.3, 0.5], objective=objective))


def test_a_pareto_front_is_rejected(write: Write) -> None:
    objective = {"mode": "pareto", "metric": "val_accuracy", "against": "size"}
    with pytest.raises(InputError, match=r"has two: val_accuracy and size\n.*never stops a trial early"):
        read_study(write(objective=objective, pruning={"scheduler": "none"}))


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (["COMPLETED", "PRUNED", *["COMPLETED"] * 4], r"`whole` pruned 1 of 6 trials.*\n.*--pruning off"),
        (["COMPLETED"] * 4, r"`whole` has 2 of 6 trials left\n.*tune-app resume whole"),
        ([], r"`whole` has 6 of 6 trials left\n.*tune-app resume whole"),
        (["FAILED"] * 6, r"no trial of `whole` completed\n.*tune-app trials whole"),
    ],
    ids=["pruned", "unfinished", "empty", "failed"],
)
def test_studies_that_cannot_be_replayed_are_rejected(write: Write, ends: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_study(write(ends=ends))


def test_a_running_study_must_end_first(write: Write) -> None:
    study = write(ends=["COMPLETED"] * 4)
    with study.writing(), pytest.raises(InputError, match="it is running: wait until it ends"):
        read_study(Study(study.folder, study.name))


def test_a_sampler_that_cannot_search_the_space_says_so(write: Write) -> None:
    parameters = {"training": {"learning_rate": {"type": "float", "low": 1e-4, "high": 0.1, "log": True}}}
    recorded: RecordedStudy = read_study(write(parameters=parameters, constraints=[]))
    with pytest.raises(InputError, match="cma-es needs two or more searched numbers"):
        replay_study(recorded, "normal", "cma-es", 0, 1)
