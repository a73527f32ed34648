"""A script as a task: small ones of Python, really run."""

from __future__ import annotations

import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from tune_app.datasets.dataset import Dataset
from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.profiles.profile import Profile
from tune_app.profiles.profile_document import read_document
from tune_app.profiles.profiles import differences
from tune_app.spaces.catalog import Catalog
from tune_app.tasks import load_task
from tune_app.tasks.catalogs import catalog_of, load_catalog
from tune_app.tasks.event_files import EventFiles, Scalar
from tune_app.tasks.script_environment import environment
from tune_app.tasks.script_failure import ScriptError
from tune_app.tasks.script_folder import unpack
from tune_app.tasks.script_reports import JsonLines
from tune_app.tasks.spec_file import read_spec
from tune_app.training.failure import Diverged, describe_error, failure_kind
from tune_app.training.trial import Training

NO_DATA = Dataset("none", "none", {}, {})
STDOUT = r"step (?P<step>\d+): val loss (?P<val_loss>\S+)"
LOOP = """
import argparse, pathlib, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--out", type=pathlib.Path)
parser.add_argument("--lr", type=float)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--resume", action="store_true")
given = parser.parse_args()
at = int((given.out / "step").read_text()) if given.resume else 0
print("hello", file=sys.stderr)
"""
TRAINING = """
while at <= 80:
    if at % 20 == 0:
        print(f"step {at}: val loss {given.lr + at}, done")
        (given.out / "step").write_text(str(at))
    at += 5
"""


def catalog(**sections: Any) -> Catalog:
    document = {
        "schema_version": 1,
        "name": "mine",
        "task": "script",
        "command": "python train.py --out={trial_folder}",
        "report": {"stdout": STDOUT, "every": 20},
        "metrics": {"val_loss": "minimize"},
        "seed": "--seed={seed}",
        "parameters": {"training": {"lr": {"type": "float", "low": 0.0, "high": 1.0}}},
        **sections,
    }
    return read_spec(Document.of(document, "space")).catalog


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a script, and give the training of it, which is ended with the test."""
    monkeypatch.chdir(tmp_path)
    begun: list[Training] = []

    def make(text: str, epochs: int = 4, **sections: Any) -> Training:
        Path("train.py").write_text(LOOP + text)
        task = load_task("script", catalog(**sections))
        begun.append(Training(task, {"lr": 0.5}, NO_DATA, epochs=epochs, seed=7, threads=1))
        return begun[-1]

    yield make
    for training in begun:
        training.close()


def losses(training: Training) -> list[Any]:
    while not training.finished:
        training.run_epoch()
    return [row.metrics["val_loss"] for row in training.history]


def test_each_report_is_an_epoch_and_the_step_before_the_first_is_none(script: Any) -> None:
    training = script(TRAINING)
    assert losses(training) == [20.5, 40.5, 60.5, 80.5]
    assert training.network is None
    assert training.model_parameters is None


def test_without_every_each_step_above_the_last_one_is_an_epoch(script: Any) -> None:
    training = script(TRAINING, epochs=5, report={"stdout": STDOUT})
    assert losses(training) == [0.5, 20.5, 40.5, 60.5, 80.5]
    assert losses(script(TRAINING, report={"stdout": STDOUT, "skip": [0]})) == [20.5, 40.5, 60.5, 80.5]


def test_without_a_step_each_line_is_an_epoch(script: Any) -> None:
    text = "for n in range(3): print('val loss', n, end='\\r'); print('val loss', n)"
    assert losses(script(text, epochs=6, report={"stdout": r"val loss (?P<val_loss>\d+)"})) == [0, 0, 1, 1, 2, 2]


def test_colors_of_a_terminal_are_no_part_of_a_line(script: Any) -> None:
    text = "print('\\x1b[2K\\x1b[?25lstep 20: val loss \\x1b[1;31m0.5\\x1b[0m')\nsys.exit('\\x1b[31mno more\\x1b[0m')"
    training = script(text)
    training.run_epoch()
    assert training.history[0].metrics == {"val_loss": 0.5}
    with pytest.raises(ScriptError, match=r"hello \| no more$"):
        training.run_epoch()


@pytest.mark.parametrize("after", [1, 3])
def test_a_resumed_script_goes_on_where_it_was_saved(script: Any, after: int, tmp_path: Path) -> None:
    cut, again = (script(TRAINING + "time.sleep(60)", resume=["--resume"]) for _ in range(2))
    for _ in range(after):
        cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    cut.close()
    again.restore(tmp_path / "checkpoint.pt")
    assert again.epoch == after
    assert losses(again) == [20.5, 40.5, 60.5, 80.5]


def test_a_file_that_is_written_just_after_the_report_is_saved_whole(script: Any, tmp_path: Path) -> None:
    text = """
print("step 20: val loss 1")
time.sleep(0.1)
with open(given.out / "step", "w") as file:
    time.sleep(0.15)
    file.write("2")
    file.flush()
    time.sleep(0.15)
    file.write("0")
time.sleep(60)
"""
    training = script(text, resume=["--resume"])
    training.run_epoch()
    training.save(tmp_path / "checkpoint.pt")
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]["folder"]
    unpack(saved, tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "step").read_text() == "20"


def test_without_resume_a_script_begins_anew(script: Any, tmp_path: Path) -> None:
    cut, again = script(TRAINING), script(TRAINING)
    cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    again.restore(tmp_path / "checkpoint.pt")
    assert again.epoch == 0
    assert (tmp_path / "checkpoint.pt").stat().st_size < 10_000


JSONL = """
import json
with open(given.out / "m.jsonl", "a") as file:
    for at in range(at, 81, 20):
        print(json.dumps({"step": at, "loss": 1.0}), file=file)
        print(json.dumps({"step": at, "val_loss": given.lr + at}), file=file, flush=True)
        (given.out / "step").write_text(str(at))
"""


def test_lines_of_a_file_are_epochs_also_when_it_is_resumed(script: Any, tmp_path: Path) -> None:
    report = {"jsonl": "{trial_folder}/m.jsonl", "every": 20}
    cut, again = (script(JSONL, resume=["--resume"], report=report) for _ in range(2))
    cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    again.restore(tmp_path / "checkpoint.pt")
    assert losses(again) == [20.5, 40.5, 60.5, 80.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(given.out / 'm.jsonl').write_text('3\\n')", "must be a JSON object, but got '3'"),
        ("(given.out / 'm.jsonl').write_text('[\\n')", "must be a JSON object, but got '['"),
        ("(given.out / 'm.jsonl').write_text('{\"val_loss\": 3}\\n')", "with `resume` must tell its step"),
        (
            "(given.out / 'm.jsonl').write_text('{\"val_loss\": 3, \"step\": NaN}\\n')",
            "`step` must be a whole number, but got nan in the line",
        ),
        ("(given.out / 'm.jsonl').write_text('{\"val_loss\": 1' + '0' * 400 + '}\\n')", "`val_loss` must be a number"),
        ("(given.out / 'm.jsonl').write_text('[' * 100_000 + '\\n')", "must be a JSON object, but got '[[["),
        ("", "but ended after 0; `jsonl: {trial_folder}/m.jsonl` told no more, and its last lines were: nothing"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(script: Any, text: str, message: str) -> None:
    with pytest.raises(ScriptError) as told:
        losses(script(text, report={"jsonl": "{trial_folder}/m.jsonl"}, resume=["--resume"]))
    assert message in str(told.value)


def test_a_text_in_a_line_of_a_file_may_hold_other_line_ends(script: Any) -> None:
    text = """
text = '{"step": 20, "note": "a\\u2028b\\u0085c\\x0bd", "val_loss": 1}\\r\\n\\r\\n{"step": 40, "val_loss": 2}\\n'
(given.out / "m.jsonl").write_bytes(text.encode())
"""
    assert losses(script(text, epochs=2, report={"jsonl": "{trial_folder}/m.jsonl"}, resume=["--resume"])) == [1, 2]


EVENTS = """
from tensorboardX import SummaryWriter
writer = SummaryWriter(given.out / "runs" / "today")
for epoch in range(3):
    writer.add_scalar("train/loss", 1.0, epoch)
    writer.add_scalar("val/loss", given.lr + epoch, epoch)
    writer.add_scalar("val/accuracy", 0.25 * epoch, epoch)
    writer.add_text("notes", "an epoch", epoch)
writer.close()
"""


def test_scalars_of_event_files_are_epochs(script: Any) -> None:
    pytest.importorskip("tensorboardX")
    metrics = {"val/loss": "minimize", "val/accuracy": "maximize"}
    training = script(EVENTS, epochs=3, report={"tensorboard": "{trial_folder}"}, metrics=metrics)
    while not training.finished:
        training.run_epoch()
    assert [row.metrics for row in training.history] == [
        {"val/loss": 0.5 + epoch, "val/accuracy": 0.25 * epoch} for epoch in range(3)
    ]


def test_event_files_are_read_as_they_grow_and_scalars_of_tensorflow_too(tmp_path: Path) -> None:
    value = b"\x0a\x04loss" + b"\x42\x08" + b"\x08\x01\x22\x04" + struct.pack("<f", 0.5)
    event = b"\x10\x81\x02" + bytes([0x2A, len(value) + 2, 0x0A, len(value)]) + value
    record = struct.pack("<Q", len(event)) + bytes(4) + event + bytes(4)
    path, files = tmp_path / "events.out.tfevents.1", EventFiles(tmp_path)
    path.write_bytes(record + record[:-3])
    assert files.poll() == [Scalar(257, "loss", 0.5)]
    path.write_bytes(record + record)
    assert files.poll() == [Scalar(257, "loss", 0.5)]
    assert files.poll() == []


def test_choices_by_name_and_names_with_dots_are_given_as_what_they_stand_for(script: Any) -> None:
    sizes = {"type": "categorical", "choices": {"small": [64], "wide": [64, 32]}}
    text = "import os"
    training = script(text)
    task = load_task("script", catalog(parameters={"architecture": {"model.sizes": sizes}}))
    state = task.start({"model.sizes": "wide"}, NO_DATA, epochs=1, seed=1, device=torch.device("cpu"))
    told: list[bytes] = []
    state.on_output = told.append  # type: ignore[attr-defined]
    with pytest.raises(ScriptError):
        task.train_epoch(state, 1, lambda fraction: None)
    state.close()  # type: ignore[attr-defined]
    assert b"'--model.sizes=[64, 32]'" in told[0]
    training.close()


def test_a_checkpoint_of_another_command_is_refused(script: Any, tmp_path: Path) -> None:
    cut, other = script(TRAINING), script(TRAINING, command="python train.py --out {trial_folder}")
    cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="its task differs"):
        other.restore(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize(
    ("text", "message", "kind"),
    [
        ("sys.exit('no such\\nfile')", "ended with exit code 1: hello | no such | file", "error"),
        ("raise MemoryError", "MemoryError", "oom"),
        ("raise RuntimeError('CUDA out of memory. Tried')", "out of memory", "oom"),
        ("import os; os.kill(os.getpid(), 9)", "ended with signal 9", "error"),
        ("print('loss: 3')", "must report each of 4 epochs, but ended after 0; `stdout: step", "error"),
        ("print('loss: 3')", "its last lines were: loss: 3", "error"),
        (
            "import logging; logging.warning('step 20: val loss 1')",
            "is not read: hello | WARNING:root:step",
            "error",
        ),
        ("print('step 20: val loss 1')", "must report each of 4 epochs, but ended after 1", "error"),
        ("print('step 20: val loss tiny')", "`val_loss` must be a number, but got 'tiny' in the line", "error"),
        ("print('step 60: val loss 1')", "reports step 60 where step 20 was due: `every: 20` says", "error"),
        ("print('step 20: val loss nan')", "a metric must be finite", "diverged"),
    ],
)
def test_what_went_wrong_with_a_script_is_said(script: Any, text: str, message: str, kind: str) -> None:
    training = script(text)
    with pytest.raises((ScriptError, Diverged)) as told:
        losses(training)
    assert message in describe_error(told.value)
    assert failure_kind(told.value) == kind


@pytest.mark.parametrize("step", ["nan", "inf", "1e999"])
def test_a_step_that_is_no_whole_number_is_named(script: Any, step: str) -> None:
    report = {"stdout": STDOUT.replace(r"\d+", r"\S+"), "every": 20}
    with pytest.raises(ScriptError, match=f"`step` must be a whole number, but got '{step}' in the line"):
        losses(script(f"print('step {step}: val loss 1')\ntime.sleep(60)", report=report))


def test_what_goes_wrong_where_output_is_heard_is_raised_by_who_waits(script: Any) -> None:
    training = script(TRAINING.replace("at <= 80", "at <= 40") + "time.sleep(60)")

    def hear(content: bytes) -> None:
        if b"step 40" in content:
            raise OSError("no room")

    training.state.on_output = hear
    with pytest.raises(OSError, match="no room"):
        losses(training)


def test_a_program_that_is_not_there_is_named(script: Any) -> None:
    with pytest.raises(InputError, match="there is no `pyton` on the PATH"):
        losses(script(TRAINING, command="pyton train.py"))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python elsewhere.py", "can't open file"),
        ("python -m elsewhere", "No module named elsewhere"),
        ("bash elsewhere.sh", "No such file or directory"),
        ("sh elsewhere.sh", "elsewhere.sh"),
    ],
)
def test_a_script_that_is_not_in_the_folder_is_said_to_be_looked_for_there(
    script: Any, tmp_path: Path, command: str, said: str
) -> None:
    with pytest.raises(ScriptError, match=said) as told:
        losses(script(TRAINING, command=command))
    assert told.value.hint == f"it was started in {tmp_path}: start tune-app in the folder of the script"


def test_a_script_that_runs_longer_is_stopped_with_all_that_it_started(script: Any) -> None:
    text = TRAINING.replace("at <= 80", "True")
    training = script("import subprocess\nsubprocess.Popen(['sleep', '61.25'], start_new_session=True)\n" + text)
    assert losses(training) == [20.5, 40.5, 60.5, 80.5]
    folder = training.state.trial_folder
    assert running("61.25")
    assert training.peak_memory_mb > 1
    training.close()
    assert not running("61.25")
    assert not running(str(folder))
    assert not folder.exists()


def running(word: str) -> list[str]:
    """Command lines of running processes that hold `word`; a supervisor ends a moment after its script."""
    found = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return [line for line in map(" ".join, found) if word in line and "supervisor.py" not in line]


SAVING = """
import pathlib, signal, sys, time
def save(*_):
    time.sleep(1)
    pathlib.Path(sys.argv[1], "saved").touch()
    sys.exit()
signal.signal(signal.SIGTERM, save)
print("step 20: val loss 1", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("shell", ["python save.py $1; true", "setsid python save.py $1; true"])
@pytest.mark.parametrize("ends", [False, True])
def test_what_a_script_started_may_save_too_before_it_is_killed(
    script: Any, tmp_path: Path, shell: str, ends: bool
) -> None:
    (tmp_path / "save.py").write_text(SAVING)
    (tmp_path / "run.sh").write_text(shell.replace("; true", " & sleep 1") if ends else shell)
    training = script("", command="bash run.sh {trial_folder}", seed=None, arguments={"lr": "{value}"})
    training.state.write_to(tmp_path / "kept")
    training.run_epoch()
    if ends:
        with pytest.raises(ScriptError, match="ended after 1"):
            training.run_epoch()
    training.close()
    assert (tmp_path / "kept" / "saved").exists()
    assert not running("save.py")


def test_a_script_that_ignores_sigterm_is_killed(script: Any) -> None:
    text = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('step 20: val loss 1')\ntime.sleep(60)"
    training = script(text)
    training.run_epoch()
    folder, began = str(training.state.trial_folder), time.monotonic()
    training.close()
    assert time.monotonic() - began < 8
    assert not running(folder)


def test_a_script_whose_supervisor_is_killed_dies_with_it(script: Any) -> None:
    training = script("print('step 20: val loss 1')\ntime.sleep(60)")
    training.run_epoch()
    folder = str(training.state.trial_folder)
    (process,) = (p for p in psutil.process_iter(["cmdline"]) if {"-S", folder} <= set(p.info["cmdline"] or ()))
    process.kill()
    with pytest.raises(ScriptError, match="the process that watches over the script was killed"):
        training.run_epoch()
    assert not running(folder)


def test_a_script_may_save_after_its_last_report_in_a_training(script: Any, tmp_path: Path) -> None:
    training = script(TRAINING + "time.sleep(0.5); (given.out / 'model').write_text('whole')")
    training.state.write_to(tmp_path / "kept")
    losses(training)
    assert training.task.finish(training.state) == {}
    training.close()
    assert (tmp_path / "kept" / "model").read_text() == "whole"
    assert not training.state.restorable


def test_one_that_fails_after_its_last_report_says_so_in_a_training(script: Any) -> None:
    training = script(TRAINING + "sys.exit(3)")
    losses(training)
    with pytest.raises(ScriptError, match="exit code 3"):
        training.task.finish(training.state)


def test_all_that_it_prints_is_told_with_its_command(script: Any) -> None:
    training = script(TRAINING)
    told: list[bytes] = []
    training.state.on_output = told.append
    losses(training)
    training.close()
    text = b"".join(told).decode()
    assert text.startswith(f"$ {sys.executable} train.py --out=")
    assert "--lr=0.5 --seed=7\n" in text
    assert "hello\n" in text
    assert "step 40: val loss 40.5, done\n" in text


def test_its_environment_is_the_share_of_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_APP_API_TOKEN", "secret")
    torch.set_num_threads(1)
    found = environment(torch.device("cpu"), "python3")
    assert (found["OMP_NUM_THREADS"], found["CUDA_VISIBLE_DEVICES"], found["PYTHONUNBUFFERED"]) == ("1", "", "1")
    assert "TUNE_APP_API_TOKEN" not in found
    assert found["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


@pytest.mark.parametrize(
    ("runs", "version", "options"),
    [
        (sys.executable, "2.13.0+cu130", "expandable_segments:True,per_process_memory_fraction:0.25"),
        (sys.executable, "2.9.1", "expandable_segments:True"),
        ("/usr/bin/python3", "2.13.0", "expandable_segments:True"),
    ],
)
def test_a_gpu_s_share_is_a_hint(monkeypatch: pytest.MonkeyPatch, runs: str, version: str, options: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda: 0.25)
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    found = environment(torch.device("cuda"), runs)
    assert found["PYTORCH_CUDA_ALLOC_CONF"] == options
    assert (found["CUDA_VISIBLE_DEVICES"], found["XLA_PYTHON_CLIENT_MEM_FRACTION"]) == ("3", "0.25")


def test_a_profile_holds_the_script() -> None:
    found = catalog()
    profile = Profile("best", found, "none", {"lr": 0.5}, (), {})
    written = Document.parse(profile.to_yaml(), "best.yaml")
    assert read_document(written, load_catalog).catalog == found
    assert catalog_of(load_task("script", found), "script") == found
    bare = Document.of({key: value for key, value in profile.to_dict().items() if key != "catalog"}, "best.yaml")
    with pytest.raises(InputError, match="the profile of a script must have its `catalog` with its command"):
        read_document(bare, load_catalog)


def test_profiles_of_two_commands_differ() -> None:
    one, other = (
        Profile("best", catalog(command=f"python {name} --out={{trial_folder}}"), "none", {"lr": 0.5})
        for name in ("a.py", "b.py")
    )
    assert differences(one, one) == {}
    assert differences(one, other)["command"] == (
        "python a.py '--out={trial_folder}'",
        "python b.py '--out={trial_folder}'",
    )


def test_a_script_without_a_command_is_no_task() -> None:
    with pytest.raises(InputError, match="the task `script` must have its `command`"):
        load_task("script")


def test_the_last_json_line_may_have_no_end_once_the_script_has_ended(tmp_path: Path) -> None:
    source = JsonLines(tmp_path / "m.jsonl", ["loss"])
    (tmp_path / "m.jsonl").write_text('{"loss": 1}\n{"loss": 2}')
    assert [told.metrics for told in source.poll(ended=False)] == [{"loss": 1.0}]
    assert [told.metrics for told in source.poll(ended=True)] == [{"loss": 2.0}]
    assert source.poll(ended=True) == []
