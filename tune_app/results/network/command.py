"""The command of `__main__.py`, which inspects networks for other processes; `protocol.py` defines its output.

    python -m tune_app.results.network layers STORE TRAINING
    python -m tune_app.results.network layers STORE STUDY TRIAL
    python -m tune_app.results.network statistics STORE STUDY TRIAL
    python -m tune_app.results.network weights STORE STUDY TRIAL FILE
    python -m tune_app.results.network report STORE STUDY TRIAL FILE

The first three answer with a list of layers, the last two write FILE and answer with null.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tune_app.errors import NotFound, TuneAppError
from tune_app.results.network.architecture import layers_of
from tune_app.results.network.inspection import inspect_trial
from tune_app.results.network.protocol import written_error
from tune_app.results.network.rebuild import of_training, of_trial
from tune_app.results.network.weights import write_weights
from tune_app.standard_output import reserved
from tune_app.store.store import Store

Given = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the requested output or an error; returns the exit code."""
    given = _parser().parse_args(arguments)
    torch.set_num_threads(1)  # leave the cores to the sweep
    try:
        with reserved():  # a user's task may print
            answer = VERBS[given.verb](Store(given.store), given)
    except TuneAppError as error:
        print(json.dumps(written_error(error)))
        return error.exit_code
    print(json.dumps(answer))
    return 0


def _layers(store: Store, given: Given) -> list[dict[str, Any]]:
    trains = given.trial is None
    source = of_training(store, given.name) if trains else of_trial(store.study(given.name), given.trial)
    return [asdict(layer) for layer in layers_of(source)]


def _statistics(store: Store, given: Given) -> list[dict[str, Any]]:
    return [asdict(layer) for layer in inspect_trial(store.study(given.name), given.trial).layers]


def _weights(store: Store, given: Given) -> None:
    study = store.study(given.name)
    record = study.history().trials.get(given.trial)
    if record is None:
        raise NotFound(f"the study `{study.name}` has no trial {given.trial}")
    write_weights(study, record, given.file)


def _report(store: Store, given: Given) -> None:
    from tune_app.results.report import trial_report  # plotly imports slowly, and layers do not need it

    given.file.write_text(
        trial_report(store.study(given.name), given.trial), encoding="utf-8", errors="backslashreplace"
    )


VERBS: dict[str, Callable[[Store, Given], Any]] = {
    "layers": _layers,
    "statistics": _statistics,
    "weights": _weights,
    "report": _report,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tune_app.results.network")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in VERBS:
        verb = verbs.add_parser(name)
        verb.add_argument("store")
        verb.add_argument("name", help="of a study; without a trial, `layers` takes a training")
        verb.add_argument("trial", type=int, nargs="?" if name == "layers" else None)
        if name in ("weights", "report"):
            verb.add_argument("file", type=Path)
    return parser
