"""What a study loses when processes of its sweep are killed at random moments: nothing, if all is well.

Each round runs a sweep of 12 small networks on this machine, kills one kind of process with SIGKILL at a random
moment, and continues with `resume`, as often as it takes. Kinds: the `driver` (the command itself), a `worker` (the
process that trains a trial), the `raylet` and the `gcs` of Ray, and `all` of them. Afterward every trial must have
one row, each epoch of every row must appear once, and no trial that had ended may have changed or run again.

    python benchmarks/kills.py [--kills 100] [--kinds driver worker raylet gcs all] [--seed 0] [--s3]

With `--s3` the store is in moto's S3 server on loopback. Prints one JSON line per kill, with what is wrong, and a
summary; ends with 1 if anything is.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.study_lock import STALE_S

ROOT = Path(__file__).resolve().parents[1]
TRIALS, EPOCHS = 12, 3
SPACE = ROOT / "search_spaces" / "digits_cnn.yaml"
SETTINGS = (
    *("--trials", str(TRIALS), "--epochs", str(EPOCHS), "--history", "none"),
    *("--set", "architecture.filters=8", "--no-preflight", "--no-tensorboard"),
)
KINDS = {
    "driver": ("tune_app run", "tune_app resume"),
    "worker": ("ray::",),
    "raylet": ("raylet/raylet",),
    "gcs": ("gcs_server",),
    "all": ("tune_app run", "tune_app resume", "ray::", "raylet/raylet", "gcs_server"),
}
"""What the command lines of each kind of process contain."""
ENDS_S = 90.0
"""A command that has not ended this long after a kill hangs."""
RESUMES = 4


def main() -> None:
    """Kill, resume and inspect, repeatedly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--s3", action="store_true")
    given = parser.parse_args()
    chance, found = random.Random(given.seed), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder, store_of(given.s3, Path(folder)) as (root, access):
        os.environ.update(access)
        began = time.monotonic()
        wrong, _ = end_of(start("run", str(SPACE), *SETTINGS, "--name", "whole", root=root))
        assert not wrong
        whole_s = time.monotonic() - began
        for number in itertools.count():
            if found["whole"] + found["wrong"] == given.kills:
                break
            kind = given.kinds[number % len(given.kinds)]
            facts = one_round(f"kill-{number}", kind, chance.uniform(0.0, whole_s), root)
            hit = bool(facts["killed"] or facts["wrong"])
            found[("wrong" if facts["wrong"] else "whole") if hit else "nothing to kill"] += 1
            print(json.dumps({"kill": number, "kind": kind, **facts}), flush=True)
    print(json.dumps({"summary": dict(found)}))
    sys.exit(1 if found["wrong"] else 0)


@contextmanager
def store_of(s3: bool, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The root of the store, and the environment for it."""
    if not s3:
        yield str(folder / "results"), {}
        return
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    access = {"AWS_ACCESS_KEY_ID": "kills", "AWS_SECRET_ACCESS_KEY": "kills", "AWS_ENDPOINT_URL": address}
    import boto3

    boto3.client("s3", endpoint_url=address, region_name="us-east-1", **_keys(access)).create_bucket(Bucket="kills")
    try:
        yield "s3://kills/results", {**access, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    finally:
        server.stop()


def _keys(access: dict[str, str]) -> dict[str, str]:
    return {name.lower(): access[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


def one_round(name: str, kind: str, after_s: float, root: str) -> dict[str, Any]:
    """A sweep that is killed after `after_s` seconds, and resumed until it is done."""
    fresh = ["run", str(SPACE), *SETTINGS, "--name", name]
    process = start(*fresh, root=root)
    time.sleep(after_s)
    killed = kill(process, kind)
    wrong, errors = end_of(process, killed)
    study, resumes = Study(Store(root).folder, name), 0
    kept = rows_of(study)
    if not wrong and study.being_written() and not is_killed(process, errors):
        wrong = "the command ended by itself and left the study locked"
    while not wrong and not (is_done(study) and is_closed(study)) and resumes < RESUMES:
        wait_for_lock(study)
        arguments = ["resume", name, "--no-tensorboard"] if study.exists() else fresh
        resumes += 1
        wrong, _ = end_of(start(*arguments, root=root))
    wrong = wrong or faults(study, kept)
    return {"after_s": round(after_s, 2), "killed": len(killed), "kept": len(kept), "resumes": resumes, "wrong": wrong}


def wait_for_lock(study: Study) -> None:
    """In an object store the lock of a killed process expires only after a while."""
    deadline = time.monotonic() + 2 * STALE_S
    while study.being_written() and time.monotonic() < deadline:
        time.sleep(1.0)


def start(*arguments: str, root: str) -> subprocess.Popen[str]:
    """Start a tune-app command in its own session."""
    command = [sys.executable, "-m", "tune_app", *arguments, "--store", root]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def kill(process: subprocess.Popen[str], kind: str) -> list[int]:
    """Kill the processes of `kind` below `process`, or one worker if there are several; returns their numbers."""
    with suppress(psutil.NoSuchProcess):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        those = [one for one in family if any(mark in command_line(one) for mark in KINDS[kind])]
        those = those[:1] if kind == "worker" else those
        for one in those:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        return [one.pid for one in those]
    return []


def command_line(process: psutil.Process) -> str:
    """The command line of a process; empty if it has ended."""
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return " ".join(process.cmdline())
    return ""


def end_of(process: subprocess.Popen[str], killed: Collection[int] = ()) -> tuple[str, str]:
    """Wait for the end of a command; returns what is wrong with it, if anything, and its stderr."""
    try:
        _, errors = process.communicate(timeout=ENDS_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"did not end within {ENDS_S:g} s", ""
    if "Traceback (most recent call last)" in errors:
        return "printed a traceback: " + errors[-300:], errors
    silent = process.returncode and "error: " not in errors
    if silent and process.pid not in killed:  # a process that was itself killed cannot say anything
        return f"ended with {process.returncode} without a word", errors
    return "", errors


def is_killed(process: subprocess.Popen[str], errors: str) -> bool:
    """Whether it was killed, or Ray's code ended it because its raylet was dead, so it could not clean up."""
    return process.returncode == -signal.SIGKILL or "killed, or Ray died" in errors


def is_done(study: Study) -> bool:
    """Whether all of its trials have ended for good."""
    return study.exists() and sum(record.finished for record in study.history().trials.values()) == TRIALS


def is_closed(study: Study) -> bool:
    """Whether its last command finished the files; if it was killed after the last trial ended, `resume` does."""
    return study.json("live.json").get("state") != "running"


def rows_of(study: Study) -> dict[int, Any]:
    """The rows of its trials that ended for good, by number."""
    trials = study.history().trials.values() if study.exists() else ()
    return {record.trial: record.row for record in trials if record.finished}


def faults(study: Study, kept: dict[int, Any]) -> str:
    """What is wrong with a study that should be whole."""
    if not is_done(study):
        return f"{len(rows_of(study))} of {TRIALS} trials ended, after {RESUMES} resumes"
    trials, epochs = study.table("trials").to_pandas(), study.table("epochs").to_pandas()
    rows = rows_of(study)
    checks = {
        "a trial has no row, or two": sorted(trials["trial"]) != list(range(TRIALS)),
        "an epoch is there twice": bool(epochs.duplicated(["trial", "epoch"]).any()),
        "epochs are missing": len(epochs) != trials["epochs"].sum(),
        "a trial that had ended has changed": any(rows[number] != row for number, row in kept.items()),
        "the live state says running": study.json("live.json").get("state") == "running",
    }
    return "; ".join(fault for fault, found in checks.items() if found)


if __name__ == "__main__":
    main()
