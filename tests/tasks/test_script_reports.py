"""Which parts of a script's output and files count as epochs."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from tune_app.tasks.event_files import EventFiles, Scalar
from tune_app.tasks.script_failure import ScriptError
from tune_app.tasks.script_reports import JsonLines


def test_each_report_is_an_epoch_but_step_zero_is_not(script: Any) -> None:
    training = script(script.TRAINING)
    assert script.losses(training) == [20.5, 40.5, 60.5, 80.5]
    assert training.network is None
    assert training.model_parameters is None


def test_without_every_each_step_above_the_last_one_is_an_epoch(script: Any) -> None:
    training = script(script.TRAINING, epochs=5, report={"stdout": script.STDOUT})
    assert script.losses(training) == [0.5, 20.5, 40.5, 60.5, 80.5]
    assert script.losses(script(script.TRAINING, report={"stdout": script.STDOUT, "skip": [0]})) == [
        20.5,
        40.5,
        60.5,
        80.5,
    ]


def test_without_a_step_each_line_is_an_epoch(script: Any) -> None:
    text = "for n in range(3): print('val loss', n, end='\\r'); print('val loss', n)"
    assert script.losses(script(text, epochs=6, report={"stdout": r"val loss (?P<val_loss>\d+)"})) == [0, 0, 1, 1, 2, 2]


def test_terminal_colors_are_stripped(script: Any) -> None:
    text = "print('\\x1b[2K\\x1b[?25lstep 20: val loss \\x1b[1;31m0.5\\x1b[0m')\nsys.exit('\\x1b[31mno more\\x1b[0m')"
    training = script(text)
    training.run_epoch()
    assert training.history[0].metrics == {"val_loss": 0.5}
    with pytest.raises(ScriptError, match=r"hello \| no more$"):
        training.run_epoch()


@pytest.mark.parametrize("step", ["nan", "inf", "1e999"])
def test_the_error_names_a_step_that_is_not_a_whole_number(script: Any, step: str) -> None:
    report = {"stdout": script.STDOUT.replace(r"\d+", r"\S+"), "every": 20}
    with pytest.raises(ScriptError, match=f"`step` must be a whole number, but got '{step}' in the line"):
        script.losses(script(f"print('step {step}: val loss 1')\ntime.sleep(60)", report=report))


JSONL = """
import json
with open(given.out / "m.jsonl", "a") as file:
    for at in range(at, 81, 20):
        print(json.dumps({"step": at, "loss": 1.0}), file=file)
        print(json.dumps({"step": at, "val_loss": given.lr + at}), file=file, flush=True)
        (given.out / "step").write_text(str(at))
"""


def test_lines_of_a_file_are_epochs_even_after_a_resume(script: Any, tmp_path: Path) -> None:
    report = {"jsonl": "{trial_folder}/m.jsonl", "every": 20}
    cut, again = (script(JSONL, resume=["--resume"], report=report) for _ in range(2))
    cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    again.restore(tmp_path / "checkpoint.pt")
    assert script.losses(again) == [20.5, 40.5, 60.5, 80.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(given.out / 'm.jsonl').write_text('3\\n')", "must be a JSON object, but got '3'"),
        ("(given.out / 'm.jsonl').write_text('[\\n')", "must be a JSON object, but got '['"),
        ("(given.out / 'm.jsonl').write_text('{\"val_loss\": 3}\\n')", "with `resume` must report its step"),
        (
            "(given.out / 'm.jsonl').write_text('{\"val_loss\": 3, \"step\": NaN}\\n')",
            "`step` must be a whole number, but got nan in the line",
        ),
        ("(given.out / 'm.jsonl').write_text('{\"val_loss\": 1' + '0' * 400 + '}\\n')", "`val_loss` must be a number"),
        ("(given.out / 'm.jsonl').write_text('[' * 100_000 + '\\n')", "must be a JSON object, but got '[[["),
        (
            "",
            "but ended after 0; `jsonl: {trial_folder}/m.jsonl` reported nothing else, and the last lines were: "
            "nothing",
        ),
    ],
)
def test_errors_in_a_file_are_named(script: Any, text: str, message: str) -> None:
    with pytest.raises(ScriptError) as told:
        script.losses(script(text, report={"jsonl": "{trial_folder}/m.jsonl"}, resume=["--resume"]))
    assert message in str(told.value)


def test_strings_in_a_json_line_may_contain_other_line_breaks(script: Any) -> None:
    text = """
text = '{"step": 20, "note": "a\\u2028b\\u0085c\\x0bd", "val_loss": 1}\\r\\n\\r\\n{"step": 40, "val_loss": 2}\\n'
(given.out / "m.jsonl").write_bytes(text.encode())
"""
    assert script.losses(script(text, epochs=2, report={"jsonl": "{trial_folder}/m.jsonl"}, resume=["--resume"])) == [
        1,
        2,
    ]


def test_the_last_json_line_needs_no_newline_after_the_script_has_ended(tmp_path: Path) -> None:
    source = JsonLines(tmp_path / "m.jsonl", ["loss"])
    (tmp_path / "m.jsonl").write_text('{"loss": 1}\n{"loss": 2}')
    assert [told.metrics for told in source.poll(ended=False)] == [{"loss": 1.0}]
    assert [told.metrics for told in source.poll(ended=True)] == [{"loss": 2.0}]
    assert source.poll(ended=True) == []


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


def test_growing_event_files_are_read_including_tensorflow_scalars(tmp_path: Path) -> None:
    value = b"\x0a\x04loss" + b"\x42\x08" + b"\x08\x01\x22\x04" + struct.pack("<f", 0.5)
    event = b"\x10\x81\x02" + bytes([0x2A, len(value) + 2, 0x0A, len(value)]) + value
    record = struct.pack("<Q", len(event)) + bytes(4) + event + bytes(4)
    path, files = tmp_path / "events.out.tfevents.1", EventFiles(tmp_path)
    path.write_bytes(record + record[:-3])
    assert files.poll() == [Scalar(257, "loss", 0.5)]
    path.write_bytes(record + record)
    assert files.poll() == [Scalar(257, "loss", 0.5)]
    assert files.poll() == []
