"""The process of a script: how it is started, read, and ended with everything that it started."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from tune_app.errors import InputError
from tune_app.tasks.script_environment import environment
from tune_app.tasks.script_failure import ScriptError
from tune_app.tasks.script_process import ScriptProcess


def test_all_its_output_is_reported_with_its_command(script: Any) -> None:
    training = script(script.TRAINING)
    told: list[bytes] = []
    training.state.on_output = told.append
    script.losses(training)
    training.close()
    text = b"".join(told).decode()
    assert text.startswith(f"$ {sys.executable} train.py --out=")
    assert "--lr=0.5 --seed=7\n" in text
    assert "hello\n" in text
    assert "step 40: val loss 40.5, done\n" in text


def test_an_error_in_the_output_callback_is_raised_in_the_waiting_thread(script: Any) -> None:
    training = script(script.TRAINING.replace("at <= 80", "at <= 40") + "time.sleep(60)")

    def hear(content: bytes) -> None:
        if b"step 40" in content:
            raise OSError("no room")

    training.state.on_output = hear
    with pytest.raises(OSError, match="no room"):
        script.losses(training)


def test_a_process_that_cannot_be_started_leaves_no_pipe(tmp_path: Path) -> None:
    def ignore(*told: Any) -> None:
        pass

    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        ScriptProcess(
            ["true"], {}, str(tmp_path / "none"), str(tmp_path), on_line=ignore, on_output=ignore, on_end=ignore
        )
    assert os.listdir("/proc/self/fd") == before


def test_a_missing_program_is_named(script: Any) -> None:
    with pytest.raises(InputError, match="there is no `pyton` on the PATH"):
        script.losses(script(script.TRAINING, command="pyton train.py"))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python elsewhere.py", "can't open file"),
        ("python -m elsewhere", "No module named elsewhere"),
        ("bash elsewhere.sh", "No such file or directory"),
        ("sh elsewhere.sh", "elsewhere.sh"),
    ],
)
def test_the_error_about_a_missing_script_names_the_folder(
    script: Any, tmp_path: Path, command: str, said: str
) -> None:
    with pytest.raises(ScriptError, match=said) as told:
        script.losses(script(script.TRAINING, command=command))
    assert told.value.hint == f"it was started in {tmp_path}; start tune-app in the folder of the script"


def test_a_script_that_runs_too_long_is_stopped_with_its_children(script: Any) -> None:
    text = script.TRAINING.replace("at <= 80", "True")
    training = script("import subprocess\nsubprocess.Popen(['sleep', '61.25'], start_new_session=True)\n" + text)
    assert script.losses(training) == [20.5, 40.5, 60.5, 80.5]
    folder = training.state.trial_folder
    assert running("61.25")
    assert training.peak_memory_mb > 1
    training.close()
    assert not running("61.25")
    assert not running(str(folder))
    assert not folder.exists()


def running(word: str) -> list[str]:
    """Command lines of running processes that contain `word`, minus supervisors, which outlive their script briefly."""
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
def test_a_scripts_children_can_save_before_they_are_killed(
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
    with pytest.raises(ScriptError, match="the script's supervisor process was killed"):
        training.run_epoch()
    assert not running(folder)


def test_its_environment_limits_it_to_the_trials_share(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_gpu_share_is_a_hint(monkeypatch: pytest.MonkeyPatch, runs: str, version: str, options: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda: 0.25)
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    found = environment(torch.device("cuda"), runs)
    assert found["PYTORCH_CUDA_ALLOC_CONF"] == options
    assert (found["CUDA_VISIBLE_DEVICES"], found["XLA_PYTHON_CLIENT_MEM_FRACTION"]) == ("3", "0.25")
