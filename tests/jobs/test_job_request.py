"""Job requests: validated where they are made, turned into a command where the job runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_app.errors import InputError
from tune_app.jobs.job import Job
from tune_app.jobs.job_request import command, sweep_request, training_request
from tune_app.profiles.profile import from_trial
from tune_app.profiles.profiles import Profiles
from tune_app.results.review import trial_row
from tune_app.store.store import Store
from tune_app.tasks.spec_file import load_spec

REPOSITORY = Path(__file__).parents[2]
DIGITS = REPOSITORY / "search_spaces" / "digits_cnn.yaml"
MakeJob = Callable[..., Job]


@pytest.fixture
def store(tmp_path: Path, make_study: Any) -> Store:
    """A store with the study `digits-small`."""
    make_study(tmp_path / "results")
    return Store(tmp_path / "results")


@pytest.fixture
def profiles(tmp_path: Path, store: Store) -> Profiles:
    """Profiles with `mine`."""
    found = Profiles(tmp_path / "profiles")
    study = store.study("digits-small")
    found.save(from_trial(study, trial_row(study, None), "mine"), loaded_revision=0)
    return found


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """The folder for a job's files."""
    found = tmp_path / "scratch"
    found.mkdir()
    return found


def test_a_sweeps_request_is_complete(store: Store, profiles: Profiles, scratch: Path, new_job: MakeJob) -> None:
    request = sweep_request(DIGITS, {"budget.trials": 7}, store, profiles, preflight=False)
    assert (request.kind, request.space, request.study) == ("sweep", "digits-cnn", None)
    job = new_job(3, space="digits-cnn", request=request.content)
    arguments = command(job, "s3://bucket/results", scratch)
    assert arguments[:4] == ["run", str(scratch / "digits-cnn.yaml"), "--name", "digits-cnn-3"]
    assert arguments[4] == "--no-preflight"
    assert arguments[5:7] == ["--store", "s3://bucket/results"]
    spec = load_spec(arguments[1], {"name": "digits-cnn-3"})
    assert spec.budget.trials == 7
    assert spec == load_spec(DIGITS, {"budget.trials": 7, "name": "digits-cnn-3"})


def test_profiles_that_it_starts_from_go_with_it(
    store: Store, profiles: Profiles, tmp_path: Path, scratch: Path, new_job: MakeJob, make_spec: Any
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(make_spec(name="again", search={"start_from": ["mine", "digits-small"]}).to_yaml())
    request = sweep_request(space, {}, store, profiles)
    command(new_job(request=request.content), "results", scratch)
    assert Profiles(scratch / "profiles").names() == ["mine"]
    assert Profiles(scratch / "profiles").load("mine") == profiles.load("mine")


def test_what_it_starts_from_must_exist(store: Store, profiles: Profiles, tmp_path: Path, make_spec: Any) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(make_spec(search={"start_from": ["nobody"]}).to_yaml())
    with pytest.raises(InputError, match="must list profiles or studies"):
        sweep_request(space, {}, store, profiles)


def test_a_name_is_for_the_study_and_runs_are_still_counted_by_space(store: Store) -> None:
    request = sweep_request(DIGITS, {"name": "mine"}, store, Profiles())
    assert (request.space, request.study) == ("digits-cnn", "mine")
    with pytest.raises(InputError, match="the study `digits-small` exists"):
        sweep_request(DIGITS, {"name": "digits-small"}, store, Profiles())


def test_an_invalid_space_is_rejected_before_a_job_is_made(store: Store, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump({**yaml.safe_load(DIGITS.read_text()), "budget": {"trials": 0}}))
    with pytest.raises(InputError, match="trials"):
        sweep_request(space, {}, store, Profiles())


def test_a_training_carries_its_profile(profiles: Profiles, scratch: Path, new_job: MakeJob) -> None:
    request = training_request(profiles.load("mine"), epochs=4, seed=None)
    assert (request.kind, request.space) == ("training", "train-mine")
    job = new_job(kind="training", study=None, request=request.content)
    arguments = command(job, "results", scratch)
    folder = str(scratch / "profiles")
    assert arguments == ["train", "mine", "--name", job.id, "--epochs", "4", "--store", "results", "--profiles", folder]
    assert Profiles(folder).load("mine").config == profiles.load("mine").config
