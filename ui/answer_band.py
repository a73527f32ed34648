"""The answer of a study in one band: who won, by how much, at what cost, what mattered, and what to do now."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
from columns import shown, title
from sources import epochs_of, stamp
from trial_actions import action, apply, architecture, review, train
from values import escaped, number

from tune_app.cli.progress import duration
from tune_app.readable import counted
from tune_app.results.answer import LAST_EPOCHS, Answer, Cost, answer_of, cost_of
from tune_app.results.review import front_of
from tune_app.spaces.objective import is_share
from tune_app.spaces.spec import Spec
from tune_app.store.study import Study

QUIET: dict[str, Any] = {"delta_color": "off", "delta_arrow": "off"}


def show_answer(study: Study, spec: Spec, trials: pd.DataFrame) -> None:
    """The band.

    Args:
        trials: all trials of the study, at least one.
    """
    written = (study.folder.address, study.name, stamp(study, "trials"), stamp(study, "epochs"))
    answer, cost, front = _found(written, study, spec, trials)
    with st.container(horizontal=True, gap="medium", key="answer-band"):
        if answer:
            _winner(spec, answer, front)
            _lead(spec, answer)
        _cost(spec, cost, len(trials))
        if answer and answer.variables:
            _variables(answer)


@st.cache_data(max_entries=8, show_spinner=False)
def _found(
    written: tuple[Any, ...], _study: Study, _spec: Spec, _trials: pd.DataFrame
) -> tuple[Answer | None, Cost, int]:
    """Answer, cost, and trials on the front; computed when the tables change, not for every filter."""
    front = len(front_of(_spec.objective, _trials))
    return answer_of(_spec, _trials, epochs_of(_study)), cost_of(_spec, _trials), front


def show_buttons(study: Study, trial: int) -> None:
    """What you can do with the winner."""
    key = f"{study.name}-winner"
    with st.container(horizontal=True, horizontal_alignment="right", gap="small", key="winner-buttons"):
        action("Review", "edit_note", f"{key}-review", review, study, trial, help=f"Edit trial {trial}")
        action(
            "Apply",
            "check",
            f"{key}-apply",
            apply,
            study,
            trial,
            help="Makes it the configuration that `tune-app train` uses",
        )
        action("Train", "model_training", f"{key}-train", train, study, trial, help="A full training run, as a job")
        action("Architecture", "deployed_code", f"{key}-architecture", architecture, study, trial)


def _winner(spec: Spec, answer: Answer, front: int) -> None:
    spread = "" if answer.spread is None else f" ± {_size(spec, answer.spread)}"
    first = "It is" if answer.first is None else f"Trial {answer.first} is"
    others = f", one of {front} on the front" if front else ""
    st.metric(
        f"Best {title('objective', spec.objective).lower()}, trial {answer.trial}{others}",
        f"{shown('objective', answer.value, spec.objective)}{spread}",
        delta=None if answer.gain is None else f"{_difference(spec, answer.gain)} better than trial {answer.first}",
        delta_color="green",
        help=f"± is the standard deviation around the trend of its last {LAST_EPOCHS} epochs. "
        f"{first} the first that completed.",
        width="content",
    )


def _lead(spec: Spec, answer: Answer) -> None:
    if answer.lead is None:
        st.metric("Lead", "–", delta="no other trial completed", width="content", **QUIET)
        return
    within = answer.spread is not None and answer.lead <= answer.spread
    words = "within its own spread" if within else "more than its own spread"
    st.metric(
        f"Lead over trial {answer.runner_up}",
        _difference(spec, answer.lead),
        delta=words if answer.spread is not None else "its spread is unknown",
        help="A lead within the spread of the last epochs may be chance.",
        width="content",
        delta_color="orange" if within else "off",
        delta_arrow="off",
    )


def _cost(spec: Spec, cost: Cost, ended: int) -> None:
    planned = cost.epochs + cost.saved
    saved = f"{cost.saved / planned:.0%} of the epochs saved" if cost.saved else counted(cost.epochs, "epoch")
    busy = "" if cost.gpu_utilization is None else f", GPU busy {cost.gpu_utilization:.0f}%"
    st.metric(
        "Trials",
        f"{ended:,} of {max(spec.budget.trials, ended):,}",
        delta=", ".join(f"{count:,} {state.lower()}" for state, count in cost.states.items()),
        width="content",
        **QUIET,
    )
    st.metric(
        "Cost",
        f"{duration(cost.device_s)} of {cost.device or 'device'}",
        delta=f"{saved}{busy}",
        help=f"Epochs trained: {cost.epochs:,}; saved by pruning: {cost.saved:,}. As long as the GPU is not "
        "always busy, more trials can share it: set a smaller share.",
        width="content",
        **QUIET,
    )


def _variables(answer: Answer) -> None:
    pairs = [f"{name} **{escaped(number(value))}**" for name, value in answer.variables.items()]
    lines = [" · ".join(pairs[start : start + 2]) for start in range(0, len(pairs), 2)]
    st.markdown(
        "  \n".join([":small[What mattered, with the winner's values]", *lines]),
        help="The variables most closely associated with the objective. *Importance* has more.",
        width="content",
    )


def _difference(spec: Spec, value: float) -> str:
    """How much better one objective is than another; in percentage points for shares."""
    return f"{100 * value:.3g} pp" if is_share("objective", spec.objective) else number(float(value))


def _size(spec: Spec, value: float) -> str:
    """A spread, in the unit of the objective next to it."""
    return f"{100 * value:.2g}%" if is_share("objective", spec.objective) else f"{value:.2g}"
