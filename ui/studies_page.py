"""Studies: all of the store at a glance, and a few of them side by side."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
from figure_tools import show_chart
from sources import NO_STUDY, stamp, store, studies, trials_of
from values import number, sentence

from tune_app.errors import TuneAppError
from tune_app.readable import counted, in_words
from tune_app.results import plots
from tune_app.results.review import summary
from tune_app.results.study_comparison import MOST_STUDIES, cost_curves, winners
from tune_app.spaces.objective import figure_text
from tune_app.spaces.section import Objective
from tune_app.store.study import Study

COMPARED = "studies-compared"
CHART = "studies-compared-chart"
COLUMNS = {
    "study": "Study",
    "task": "Task",
    "dataset": "Data set",
    "state": "State",
    "trials": "Trials",
    "completed": "Completed",
    "pruned": "Pruned",
    "failed": "Failed",
    "metric": "Compared by",
    "best": "Best",
    "best_trial": "Best trial",
}


def show() -> None:
    """The part."""
    st.header("Studies", anchor=False)
    names = studies()
    if not names:
        st.info(NO_STUDY)
        return
    rows, damaged = _summaries(names)
    _list(rows)
    for problem in damaged:
        st.error(problem)
    chosen = [name for name in st.session_state.get(COMPARED, []) if name in names]
    if len(chosen) < 2:
        st.caption(f"A click opens a study. Tick 2 to {MOST_STUDIES} to compare them side by side.")
        return
    try:
        _compare([store().study(name) for name in chosen])
    except TuneAppError as error:
        st.error(sentence(error))


def _summaries(names: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """A row per study, and what is wrong with the others."""
    rows, damaged = [], []
    for name in names:
        try:
            study = store().study(name)
            rows.append(_summary(study, study.folder.address, name, stamp(study, "trials"), study.being_written()))
        except TuneAppError as error:
            damaged.append(f"**{name}**: {sentence(error)}")
    return rows, damaged


@st.cache_data(max_entries=2000, show_spinner=False)
def _summary(_study: Study, root: str, name: str, stamp: float, running: bool) -> dict[str, Any]:
    found = summary(_study)
    metric = f"metric/{found['metric']}"
    best = found["best_trial"]
    return {
        **found,
        "metric": in_words(found["metric"]),
        "trials": "/".join(f"{int(count):,}" for count in found["trials"].split("/")),
        "best": figure_text(metric, found["best"]),
        "best_trial": "–" if best is None else str(best),
    }


def _list(rows: list[dict[str, Any]]) -> None:
    table = pd.DataFrame(rows, columns=list(COLUMNS)).rename(columns=COLUMNS)

    def choose() -> None:
        chosen = st.session_state["studies-table"]["selection"]
        st.session_state[COMPARED] = [rows[row]["study"] for row in chosen["rows"][:MOST_STUDIES]]
        if chosen["cells"]:
            st.session_state["study_wanted"] = rows[chosen["cells"][0][0]]["study"]
            st.session_state["study_opened"] = True

    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "Study": st.column_config.Column(pinned=True),
            **{name: st.column_config.NumberColumn(format="localized") for name in ("Completed", "Pruned", "Failed")},
        },
        on_select=choose,
        selection_mode=["multi-row", "single-cell"],
        key="studies-table",
        alt="Studies of the store",
    )
    if st.session_state.pop("study_opened", False):
        st.switch_page(st.session_state["pages"]["trials"])


def _compare(chosen: list[Study]) -> None:
    """What each of them reached at what cost, and the winning configurations."""
    objectives = {study.name: Objective.model_validate(study.document()["objective"]) for study in chosen}
    first = objectives[chosen[0].name]
    others = [name for name, objective in objectives.items() if not _same(objective, first)]
    if others:
        st.warning(
            f"Compared studies must have the same metric, but **{chosen[0].name}** has {first.metric}, and "
            + ", ".join(f"**{name}** has {objectives[name].metric}" for name in others)
            + "."
        )
        return
    tables = {study.name: trials_of(study) for study in chosen}
    columns = ["study", "trial", "state", "epochs", "ended_at", "objective"]
    show_chart(
        CHART,
        "studies",
        plots.set_height(cost_curves(tables, first), 320),
        "The best so far of each study against its cost",
        lambda: pd.concat([table[columns] for table in tables.values()]),
    )
    table = winners(tables, first.direction)
    if table.empty:
        st.info("No trial of these studies completed, so there are no winners to compare.")
        return
    differs = table.astype(str).nunique(axis=1) > 1
    only = st.toggle("Only differences", value=True, key="studies-only-differences", persist_state="session")
    shown = (table[differs] if only else table).map(number).rename_axis("Winner's").reset_index()
    st.dataframe(shown, hide_index=True, placeholder="–", alt="The winners' configurations side by side")
    verb = "differs" if differs.sum() == 1 else "differ"
    st.caption(f"{int(differs.sum())} of {counted(len(table), 'variable')} {verb} between the winners.")


def _same(one: Objective, other: Objective) -> bool:
    return (one.metric, one.mode, one.direction) == (other.metric, other.mode, other.direction)
