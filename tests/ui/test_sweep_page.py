"""The Sweep page: the start form, the forecast, the view of a running sweep, and the error messages."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from tune_app.jobs import jobs as jobs_module
from tune_app.jobs.job import Job
from tune_app.jobs.jobs import Jobs
from tune_app.moment import now
from tune_app.store.columns import column_types
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.study_writer import StudyWriter

UI = Path(__file__).parents[2] / "ui"
SCRIPT = f"""
import sys
sys.path.insert(0, {str(UI)!r})
from sources import choose_study
import sweep_page
choose_study()
sweep_page.show()
"""
NOWHERE = "http://127.0.0.1:1"
"""The address of a job server that does not answer."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_spec: Any) -> Store:
    """An empty store, next to one search space."""
    (tmp_path / "search_spaces").mkdir()
    document = make_spec(budget={"trials": 3, "epochs": 1}).to_dict()
    (tmp_path / "search_spaces" / "small.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("TUNE_APP_STORE", str(tmp_path / "results"))
    monkeypatch.setenv("TUNE_APP_PROFILES", str(tmp_path / "profiles"))
    monkeypatch.setenv("TUNE_APP_SEARCH_SPACES", str(tmp_path / "search_spaces"))
    monkeypatch.setenv("RAY_ADDRESS", NOWHERE)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    return Store(tmp_path / "results")


@pytest.fixture
def page(store: Store) -> AppTest:
    return clean(AppTest.from_string(SCRIPT, default_timeout=60).run())


def clean(page: AppTest) -> AppTest:
    """The page, after a check that its run raised no exception."""
    assert not page.exception, page.exception
    return page


def texts(page: AppTest) -> str:
    """All text on the page."""
    kinds = (page.markdown, page.caption, page.error, page.warning, page.success, page.info)
    return "\n".join(element.value for kind in kinds for element in kind)


def labeled(page: AppTest, kind: str, label: str) -> Any:
    return next(found for found in getattr(page, kind) if found.label == label)


def press(page: AppTest, label: str) -> AppTest:
    return clean(labeled(page, "button", label).click().run())


def until(page: AppTest, holds: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, texts(page)
        time.sleep(0.1)
        clean(page.run())


def test_an_empty_store_shows_a_form_that_is_ready_to_start(page: AppTest) -> None:
    assert "There are no studies yet" in texts(page)
    assert labeled(page, "selectbox", "Search space").value == "small"
    assert labeled(page, "number_input", "Trials").value == 3
    assert labeled(page, "text_input", "Trials at once").value == "auto"
    assert "searching 5 variables on the data set digits" in texts(page)
    assert not labeled(page, "button", "Start").disabled


def test_an_invalid_entry_shows_its_error_and_disables_start(page: AppTest) -> None:
    clean(labeled(page, "text_input", "Time limit").set_value("soon").run())
    assert "`time` must be a time above 0 such as 90s, 30m, 2h" in texts(page)
    assert labeled(page, "button", "Start").disabled
    assert labeled(page, "button", "Preflight").disabled
    clean(labeled(page, "text_input", "Time limit").set_value("30m").run())
    assert not labeled(page, "button", "Start").disabled


def test_each_start_rereads_the_users_task_without_importing_it_into_the_page(
    page: AppTest, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = (Path(__file__).parents[1] / "ray_backend" / "faulty.py").read_text()
    (tmp_path / "own_task.py").write_text(task.replace('"level"', '"former"') + "\nprint('hello')\n")
    space = {"schema_version": 1, "name": "own", "task": "own_task:Faulty", "dataset": "none",
             "objective": {"metric": "score"}, "budget": {"trials": 3, "epochs": 2}, "search": {"sampler": "random"},
             "parameters": {"training": {"level": {"type": "float", "low": 0.0, "high": 0.9}}}}  # fmt: skip
    (tmp_path / "search_spaces" / "own.yaml").write_text(yaml.safe_dump(space))
    clean(page.run())
    clean(labeled(page, "selectbox", "Search space").set_value("own").run())
    press(page, "Start")
    assert "must be a variable of the task" in texts(page), page.error[0].value
    (tmp_path / "own_task.py").write_text(task)
    press(page, "Start")
    assert [job.space for job in Jobs(store).records.all()] == ["own"]
    assert "own_task" not in sys.modules
    (tmp_path / "own_task.py").write_text("import os; os._exit(7)")
    until(page, lambda: Jobs(store).records.all()[0].ended)
    press(page, "Start")
    assert "importing the task ended its process with 7" in texts(page)


def test_start_records_the_entries_even_if_no_job_server_answers(page: AppTest, store: Store) -> None:
    labeled(page, "number_input", "Trials").set_value(2)
    labeled(page, "text_input", "Time limit").set_value("1h")
    labeled(page, "text_input", "Trials at once").set_value("1")
    labeled(page, "text_input", "GPUs per device").set_value("0.5")
    labeled(page, "selectbox", "Pruning").set_value("gentle")
    labeled(page, "selectbox", "Sampler").set_value("random")
    labeled(page, "selectbox", "Objective").set_value("health")
    press(page, "Start")
    (job,) = Jobs(store).records.all()
    asked = yaml.safe_load(job.request["space"])
    assert asked["budget"] == {"trials": 2, "epochs": 1, "time": 3600.0, "trial_time": None}
    assert (asked["resources"]["concurrent"], asked["resources"]["gpus"]) == (1, 0.5)
    assert (asked["pruning"]["level"], asked["search"]["sampler"]) == ("gentle", "random")
    assert asked["objective"]["mode"] == "health"
    until(page, lambda: page.error)
    assert f"no job server answers at `{NOWHERE}`" in page.error[0].value


def test_an_uploaded_space(page: AppTest, make_spec: Any) -> None:
    content = yaml.safe_dump(replace(make_spec(), name="mine").to_dict()).encode()
    clean(page.file_uploader[0].set_value(("mine.yaml", content, "application/yaml")).run())
    assert labeled(page, "selectbox", "Search space").value == "uploaded: mine.yaml"
    assert labeled(page, "number_input", "Trials").value == 5
    clean(page.file_uploader[0].set_value(("bad.yaml", b"budget: [", "application/yaml")).run())
    assert "YAML must be well-formed" in texts(page)


def test_the_preflight_forecasts_in_a_separate_process(page: AppTest) -> None:
    press(page, "Preflight")
    assert "Building and briefly training the smallest, the largest" in texts(page)
    until(page, lambda: page.success)
    assert "for 3 trials, " in page.success[0].value
    assert list(page.table[0].value["Tried"]) == ["smallest", "largest", "random", "random"]
    clean(labeled(page, "number_input", "Trials").set_value(30).run())
    assert "The settings have changed since this forecast" in texts(page)


def test_the_preflight_reports_what_it_finds(page: AppTest, make_spec: Any) -> None:
    document = {**make_spec().to_dict(), "dataset": "nothing-like-this"}
    content = yaml.safe_dump(document).encode()
    clean(page.file_uploader[0].set_value(("bad.yaml", content, "application/yaml")).run())
    press(page, "Preflight")
    until(page, lambda: page.error)
    said = page.error[0].value.replace("\\", "")
    assert "nothing-like-this" in said
    assert said.startswith("uploaded: bad.yaml")
    assert "Traceback" not in page.error[0].value


@pytest.fixture
def running(store: Store, make_study: Any, make_spec: Any) -> Iterator[Study]:
    """A study that is being written: five trials have ended, two are running."""
    study: Study = make_study(store.folder.root, make_spec())  # type: ignore[attr-defined]
    spec = make_spec()
    with study.writing(), StudyWriter(study, study.history(), column_types(spec.space.variables)) as writer:
        live = {
            "state": "running",
            "at": now(),
            "total": 9,
            "slots": 2,
            "trials": {"COMPLETED": 3, "PRUNED": 1, "FAILED": 1, "RUNNING": 2},
            "running": [
                {
                    "trial": 5,
                    "epoch": 1,
                    "epochs": 2,
                    "fraction": 0.25,
                    "value": 0.81234,
                    "seconds": 12.3,
                    "source": "model",
                },
                {
                    "trial": 6,
                    "epoch": 0,
                    "epochs": 2,
                    "fraction": None,
                    "value": None,
                    "seconds": 1.0,
                    "source": "random",
                },
            ],
            "latest": None,
            "metric": "val_accuracy",
            "best": {"trial": 0, "objective": 0.9},
            "elapsed_s": 75.0,
            "left_s": 190.0,
            "mean_duration_s": 1.23456,
        }
        writer.live(live)
        yield study


def test_while_it_runs(running: Study) -> None:
    page = clean(AppTest.from_string(SCRIPT, default_timeout=60).run())
    tiles = {tile.label: tile.value for tile in page.metric}
    assert tiles == {
        "Completed": "3",
        "Pruned": "1",
        "Failed": "1",
        "Running": "2",
        "Best val accuracy": "90%",
        "Best score (trial 0)": "90%",
        "Average duration": "1.235 s",
        "Time left (estimate)": "3 min 10 s",
    }
    bars = [element.proto.text for element in page.get("progress")]
    assert bars[0] == "5 of 9 trials ended"
    assert bars[1] == "trial 5 · epoch 2 of 2, 25% of its batches · val accuracy 81.23% · 12 s"
    assert bars[2] == "trial 6 · epoch 1 of 2 · 1 s"
    assert "Trial 3 raised an error: ValueError: no [/bracket] fits" in page.error[0].value.replace("\\", "")
    said = texts(page)
    assert "has been running for 1 min 15 s" in said
    assert "trial 5 is ahead with 81.23%" in said
    assert "Configurations so far: 1 from the sampler's model, 1 from a random draw." in said
    assert len(page.get("plotly_chart")) == 2, "the best so far, and the curves of what runs"


def test_the_log_of_a_running_trial_is_shown_and_stays_when_it_has_ended(running: Study) -> None:
    page = clean(AppTest.from_string(SCRIPT, default_timeout=60).run())
    assert not page.code
    choice = next(box for box in page.selectbox if box.label == "Log of a trial")
    assert choice.options == ["Trial 5", "Trial 6"]
    clean(choice.set_value(5).run())
    assert "Trial 5 has printed nothing yet." in texts(page)
    running.folder.append(running.log(5), b"step 1: loss 2.5\nstep 2: loss 2.1\n")
    assert [code.value for code in clean(page.run()).code] == ["step 1: loss 2.5\nstep 2: loss 2.1"]
    live = running.json("live.json")
    running.folder.write(f"{running.base}/live.json", json.dumps({**live, "running": live["running"][1:]}).encode())
    assert [code.value for code in clean(page.run()).code] == ["step 1: loss 2.5\nstep 2: loss 2.1"]
    choice = next(box for box in page.selectbox if box.label == "Log of a trial")
    assert choice.options == ["Trial 5", "Trial 6"]


def test_a_study_whose_sweep_died(store: Store, make_study: Any) -> None:
    study = make_study(store.folder.root)  # type: ignore[attr-defined]
    study.folder.write(f"{study.base}/live.json", b'{"state": "running"}')
    page = clean(AppTest.from_string(SCRIPT, default_timeout=60).run())
    assert "No trial of **digits-small** has started" in texts(page)
    live = {"state": "running", "total": 9, "trials": {"COMPLETED": 3}, "running": [], "best": None}
    study.folder.write(f"{study.base}/live.json", json.dumps(live).encode())
    assert "was interrupted. `tune-app resume digits-small` continues it." in texts(clean(page.run()))
    study.folder.write(f"{study.base}/live.json", b"{")
    assert page.run().error


def test_only_failures(store: Store, make_study: Any) -> None:
    make_study(store.folder.root, ends=("FAILED",) * 7)  # type: ignore[attr-defined]
    study = store.study("digits-small")
    live = {
        "state": "ended",
        "total": 7,
        "trials": {"FAILED": 7},
        "running": [],
        "best": None,
        "metric": "x",
        "left_s": 9.0,
    }
    study.folder.write(f"{study.base}/live.json", json.dumps(live).encode())
    page = clean(AppTest.from_string(SCRIPT, default_timeout=60).run())
    tiles = {tile.label: tile.value for tile in page.metric}
    assert (tiles["Failed"], tiles["Best val accuracy"], tiles["Duration"]) == ("7", "–", "–")
    assert "Time left (estimate)" not in tiles
    assert len(page.error) == 5
    assert "and 2 more" in texts(page)


def add_job(store: Store) -> Job:
    """A sweep that was submitted to a job server that no longer answers."""

    def make(run: int) -> Job:
        return Job(
            id="mine-1",
            kind="sweep",
            space="mine",
            run=run,
            study="mine-1",
            request={},
            requested_by="someone@here",
            requested_at=now(),
            address=NOWHERE,
            host="elsewhere",
            folder="/",
            submission_id="mine-1-abcd",
        )

    records = Jobs(store).records
    records.create("mine", make)
    return records.submitted("mine-1")


def test_a_waiting_job_stops_at_once_and_a_failed_stop_shows_an_error(
    page: AppTest, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "YIELD_S", 0.1)
    add_job(store)
    clean(page.run())
    assert "Job **mine-1**: waiting for Ray" in texts(page)
    press(page, "Stop")
    assert Jobs(store).records.get("mine-1").state == "CANCELLED"
    Jobs(store).records.remove("mine-1")
    add_job(store)
    Jobs(store).records.change("mine-1", lambda job: job.moved("RUNNING"))
    Jobs(store).records.beat("mine-1")
    clean(page.run())
    press(page, "Stop")
    assert "was asked to stop but has not yet, and Ray cannot end it" in page.error[0].value


def test_an_older_study_is_not_shown_under_a_job_that_waits(store: Store, make_study: Any) -> None:
    make_study(store.folder.root)  # type: ignore[attr-defined]
    study = store.study("digits-small")
    live = {"state": "ended", "total": 5, "trials": {"COMPLETED": 3}, "running": [], "best": None}
    study.folder.write(f"{study.base}/live.json", json.dumps(live).encode())
    page = clean(AppTest.from_string(SCRIPT, default_timeout=60).run())
    assert page.metric
    add_job(store)
    page = clean(page.run())
    assert "Job **mine-1**: waiting for Ray" in texts(page)
    assert not page.metric
    assert not page.get("plotly_chart")


def test_after_a_start_the_form_stays_closed_and_its_forecast_is_gone(
    page: AppTest, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "YIELD_S", 0.1)
    form = page.expander[0]
    assert form.proto.expanded
    page.session_state["preflight"] = SimpleNamespace(settings="", ended=False)
    assert "Building and briefly training" in texts(clean(page.run()))
    press(page, "Start")
    assert not page.expander[0].proto.expanded
    until(page, lambda: page.error)
    assert not page.expander[0].proto.expanded
    assert "Building and briefly training" not in texts(page)


@pytest.mark.usefixtures("page")
def test_after_a_stop_the_form_stays_closed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "YIELD_S", 0.1)
    add_job(store)
    page = clean(AppTest.from_string(SCRIPT, default_timeout=60).run())
    assert not page.expander[0].proto.expanded, "a sweep is waiting"
    press(page, "Stop")
    assert Jobs(store).records.get("mine-1").state == "CANCELLED"
    for _ in range(2):
        assert not clean(page.run()).expander[0].proto.expanded
    assert "Building and briefly training" not in texts(page)


def test_a_job_whose_server_cannot_be_reached(page: AppTest, store: Store) -> None:
    add_job(store)
    records = Jobs(store).records
    records.change("mine-1", lambda job: job.moved("RUNNING"))
    silent = datetime.now(UTC) - timedelta(seconds=30)
    records.folder.write("jobs/mine-1/heartbeat", silent.isoformat().encode())
    records.add_to_log("mine-1", b"forecast: 3 trials\n")
    clean(page.run())
    assert "Job **mine-1**: running." in texts(page)
    assert "No heartbeat for 3" in page.warning[0].value
    assert f"{NOWHERE} does not know what happened to it." in page.warning[0].value
    assert page.code[0].value == "forecast: 3 trials"


def test_nothing_heavy_is_imported_before_it_is_needed(store: Store) -> None:
    code = f"import sys; sys.path.insert(0, {str(UI)!r}); import sweep_page, review_form, profiles_page; "
    code += "print(*{'torch', 'ray'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
