"""A study, or one of its trials, as one HTML file: pictures and tables that open anywhere, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from itertools import islice
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment
from plotly.offline import get_plotlyjs

from tune_app.errors import NotFound, WorkFailed
from tune_app.readable import shown
from tune_app.results import plots, trial_plots
from tune_app.results.importance import by_association, importances
from tune_app.results.review import config_of, front_trials, ranked_trials, summary, trial_row
from tune_app.spaces.objective import figure_text, label_of
from tune_app.spaces.pruning import rungs
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import group_config
from tune_app.store.study import Study

Table = tuple[str, Sequence[str], Sequence[Sequence[Any]]]

LEADERS = 20
"""Trials in the table of a study's report, the best ones."""
AXES = 8
"""Variables that matter most, as axes of the parallel coordinates: with more, their names overlap."""
CONTOURS = 3
"""Pairs of the variables that matter most, each with a contour plot."""
SLICES = 6
"""Variables that matter most, each with a slice plot."""
HEIGHT = 450
"""Plotly's default height for a figure that sets none, in pixels."""


def study_report(study: Study) -> str:
    """The pictures and the leaderboard of a study.

    Raises:
        InputError: the study or its search space cannot be read.
    """
    spec = study.spec()
    trials = ranked_trials(study)
    epochs = study.table("epochs").to_pandas()
    notes, mattered = [], {}
    try:
        mattered = importances(spec, trials)
    except WorkFailed as error:
        notes.append(f"No importances: {error.message}.")
    # If they are unknown, use the order of association with the objective instead.
    first = [*mattered] or by_association(spec, trials)
    metric = f"metric/{spec.objective.metric}"
    figures = [
        plots.optimization_history(trials, spec.objective),
        plots.learning_curves(
            epochs,
            trials,
            metric,
            rungs=rungs(spec.pruning, spec.budget.epochs)[0],
            direction=spec.objective.direction,
        ),
        *([plots.pareto_front(trials, front_trials(study), spec)] if spec.objective.mode == "pareto" else []),
        plots.parallel_coordinates(trials, spec, first[:AXES]),
        *([plots.importances(mattered)] if mattered else []),
        *(plots.slice_plot(trials, spec, name) for name in first[:SLICES]),
        *(plots.contour_plot(trials, spec, x, y) for x, y in _pairs(spec, trials, first)),
        plots.timeline(trials),
    ]
    told = summary(study)
    facts = [
        ("Task", told["task"]),
        ("Data", told["dataset"]),
        ("State", told["state"]),
        ("Trials", told["trials"]),
        *((state, told[state]) for state in ("completed", "pruned", "failed")),
        (f"Best {label_of(spec.objective)}", figure_text("objective", told["best"], spec.objective)),
        ("Best trial", _shown(told["best_trial"])),
    ]
    if told["best"] is None:
        notes.append("No trial completed, so there is no best configuration.")
    return _page(f"Study {study.name}", _about(study), facts, notes, figures, _tables(spec, trials, first[:SLICES]))


def _tables(spec: Spec, trials: pd.DataFrame, variables: Sequence[str]) -> list[Table]:
    """The best trials with these variables, and the failures by kind."""
    columns = [
        "trial",
        "state",
        "objective",
        "epochs",
        "duration_s",
        *(spec.space.by_name[name].column for name in variables),
    ]
    leaders = trials.head(LEADERS)[columns]
    leaders["objective"] = [figure_text("objective", value, spec.objective) for value in leaders["objective"]]
    tables: list[Table] = [("Leaderboard", [c.rpartition("/")[2] for c in columns], _rows(leaders))]
    failed = trials[trials["state"] == "FAILED"]
    if len(failed):
        kinds = failed.groupby(["failure_kind", "error"], dropna=False).size().reset_index(name="trials")
        tables.append(("Failures", ["kind", "error", "trials"], _rows(kinds)))
    return tables


def trial_report(study: Study, number: int | None) -> str:
    """The pictures of trial `number`, the best one for None; of its network only if it has a checkpoint.

    Raises:
        NotFound: no such trial has ended.
        WorkFailed: the best one is requested and none completed; the task's code raised.
    """
    from tune_app.results.network.inspection import inspect_trial  # imports torch, which a study's report does not need

    row = trial_row(study, number)
    number = int(row["trial"])
    epochs = study.table("epochs").to_pandas().query("trial == @number").sort_values("epoch")
    figures, notes = [trial_plots.training_history(epochs), trial_plots.training_animation(epochs)], []
    health = [str(name) for name in epochs.columns if str(name).startswith("health/")]
    trials = pd.DataFrame({"trial": [number], "state": [row["state"]]})
    figures += [plots.learning_curves(epochs, trials, "health/overall")] if health else []
    try:
        inspection = inspect_trial(study, number)
    except NotFound as error:
        notes.append(f"{error.message}: there is no confusion matrix, gradient flow, histogram or activation map.")
    else:
        figures += [
            *([trial_plots.confusion_matrix(inspection)] if inspection.labels else []),
            trial_plots.gradient_flow(inspection),
            *map(trial_plots.weight_histograms, inspection.layers),
            *(
                [trial_plots.activation_maps(inspection, image) for image in range(len(inspection.images))]
                if inspection.images is not None and inspection.maps
                else []
            ),
        ]
    if row["error"]:
        notes.append(f"Failed ({row['failure_kind']}): {row['error']}")
    spec = study.spec()
    facts = [
        ("State", row["state"]),
        ("Objective", figure_text("objective", row["objective"], spec.objective)),
        ("Epochs", row["epochs"]),
        ("Duration", f"{_shown(row['duration_s'])} s"),
        ("Parameters", "–" if row["model_parameters"] is None else f"{int(row['model_parameters']):,}"),
        ("Device", row["device"] or "–"),
    ]
    groups = group_config(config_of(row, spec.space.variables), spec.space.variables)
    settings = [(group, name, _shown(value)) for group, named in groups.items() for name, value in named.items()]
    measured = [
        (str(name), figure_text(str(name), row[name]))
        for name in row.index
        if str(name).startswith(("metric/", "health/"))
    ]
    tables: list[Table] = [
        ("Figures", ["figure", "value"], measured),
        ("Configuration", ["group", "variable", "value"], settings),
    ]
    return _page(
        f"Trial {number} of {study.name}", _about(study), facts, notes, figures, tables, sample=row.get("sample")
    )


def _page(
    title: str,
    about: str,
    facts: Sequence[tuple[str, Any]],
    notes: Sequence[str],
    figures: Sequence[go.Figure],
    tables: Sequence[Table],
    sample: str | None = None,
) -> str:
    template = Environment(autoescape=True).from_string(
        (files("tune_app.results") / "report.html").read_text(encoding="utf-8")
    )
    # As plotly does for its own pages: nothing in a script may be parsed as markup.
    drawn = [(figure.to_json().replace("<", "\\u003c"), figure.layout.height or HEIGHT) for figure in figures]
    return template.render(
        title=title,
        about=about,
        facts=facts,
        notes=notes,
        figures=drawn,
        tables=tables,
        sample=sample,
        plotly=get_plotlyjs(),
    )


def _about(study: Study) -> str:
    facts = study.json("provenance.json")
    commit = (facts.get("code") or {}).get("git_commit")
    return f"{study.folder.url}" + (f", code {commit[:10]}" if commit else "")


def _pairs(spec: Spec, trials: pd.DataFrame, names: Sequence[str]) -> list[tuple[str, str]]:
    """At most `CONTOURS` pairs of names that vary together, earlier names first."""
    numbered = [(i + j, x, y) for i, x in enumerate(names) for j, y in enumerate(names) if i < j]
    ordered = ((x, y) for _, x, y in sorted(numbered, key=lambda pair: pair[0]))
    completed = trials[trials["state"] == "COMPLETED"]
    return list(islice((pair for pair in ordered if plots.vary_together(completed, spec, *pair)), CONTOURS))


def _rows(table: pd.DataFrame) -> list[list[str]]:
    return [[_shown(value) for value in row] for row in table.itertuples(index=False)]


def _shown(value: Any) -> str:
    return shown(value, absent="–")
