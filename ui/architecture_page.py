"""Architecture: the network of one trial, layer by layer and in three dimensions, and its files."""

from __future__ import annotations

import json

import pandas as pd
import streamlit as st
from columns import shown, title
from following import PERIOD_S, say_state
from network import read_layers, read_statistics
from network_scene import merged, scene_file, show_scene
from sources import chosen_study, spec_of, trials_of
from trial_choice import BEST, choose_trial, row_of
from trial_log import has_log, show_log
from trial_report import show_report
from values import number, sentence

from tune_app.errors import NotFound, TuneAppError
from tune_app.readable import counted
from tune_app.results.network import client
from tune_app.results.network.client import Layers
from tune_app.spaces.spec import Spec
from tune_app.store.study import Study


def show() -> None:
    """The part."""
    st.header("Architecture")
    study = chosen_study()
    spec = spec_of(study)
    trials = trials_of(study)
    if not say_state(study, trials, follow=False):
        return
    chosen = choose_trial(trials, spec.objective, study.name)
    if chosen == BEST and study.being_written():
        _follow_best(study, spec)
    else:
        _show_network(study, spec, chosen)


@st.fragment(run_every=PERIOD_S)
def _follow_best(study: Study, spec: Spec) -> None:
    """The best trial's network while the sweep runs; the drawing changes only when another trial takes the lead."""
    if not study.being_written():
        st.rerun()
    _show_network(study, spec, BEST)


def _show_network(study: Study, spec: Spec, chosen: int | str) -> None:
    """The network of the chosen trial, or of the current best one."""
    row = row_of(trials_of(study), chosen, spec.objective)
    trial, ended_at = int(row["trial"]), str(row["ended_at"])
    try:
        with st.spinner(f"The network of trial {trial} is being built from its configuration…"):
            layers = read_layers(study.folder.address, study.name, trial, ended_at)
    except NotFound as error:  # a task without a network still has a model and pictures of its training
        st.info(sentence(error))
        if has_log(study, trial):
            with st.expander("Log", expanded=True):
                show_log(study, trial)
        _offer_weights(study, trial)
        show_report(study, trial, ended_at)
        return
    except TuneAppError as error:
        st.error(sentence(error))
        return
    statistics, lacking = _statistics(study, trial, ended_at, str(row["state"]))
    name = f"{study.name}, trial {trial}"
    _say_sums(row, layers, spec)
    if lacking:
        st.caption(f":material/info: {lacking}")
    drawn = merged(layers, statistics)
    if not drawn:
        st.info("This network has no layers that torch knows as modules.")
        return
    # The key omits the trial, so the view stays put when another trial takes the lead.
    show_scene(drawn, name, key=f"{study.name}-scene")
    _show_files(study, trial, drawn, name)
    show_report(study, trial, ended_at)
    with st.expander("The layers as a table"):
        st.dataframe(_table(drawn), hide_index=True, placeholder="–", alt=f"Layers of the network of {name}")


def _statistics(study: Study, trial: int, ended_at: str, state: str) -> tuple[Layers, str]:
    """The measurements of the layers, and the reason if there are none."""
    if not _has_weights(study, trial):
        return [], (
            f"Trial {trial} ({state.lower()}) has no checkpoint, so its layers have sizes but no health or "
            "activation measurements, and there is no model to download. Only the best completed trials keep one."
        )
    try:
        with st.spinner("Inspecting the trained network…"):
            return read_statistics(study.folder.address, study.name, trial, ended_at), ""
    except TuneAppError as error:
        return [], sentence(error)


def _say_sums(row: pd.Series, layers: Layers, spec: Spec) -> None:
    total = sum(layer["parameters"] for layer in layers)
    score = f"{title('objective', spec.objective)} {shown('objective', row['objective'], spec.objective)}"
    sizes = f"{counted(len(layers), 'layer')} · {counted(total, 'parameter')}"
    st.markdown(f"**Trial {row['trial']}** ({str(row['state']).lower()}): {score} · {sizes}")


def _show_files(study: Study, trial: int, layers: Layers, name: str) -> None:
    file = f"{study.name}-{trial}"
    places = st.container(key="network-files").columns(3)
    places[0].download_button(
        "Layers (JSON)",
        json.dumps(layers, indent=1),
        f"{file}-layers.json",
        "application/json",
        icon=":material/data_object:",
        on_click="ignore",
        width="stretch",
    )
    places[1].download_button(
        "Drawing (HTML, one file)",
        lambda: scene_file(layers, name),
        f"{file}.html",
        "text/html",
        icon=":material/deployed_code:",
        on_click="ignore",
        width="stretch",
    )
    with places[2]:
        _offer_weights(study, trial)


def _has_weights(study: Study, trial: int) -> bool:
    """Whether the trial kept a checkpoint."""
    return study.folder.exists(study.checkpoint(trial))


def _offer_weights(study: Study, trial: int) -> None:
    there = _has_weights(study, trial)
    st.download_button(
        "Model (weights and configuration)",
        lambda: client.read_weights(study.folder.address, study.name, trial),
        f"{study.name}-{trial}.pt",
        "application/octet-stream",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
        disabled=not there,
        help="For `torch.load(file, weights_only=True)`."
        if there
        else "Only the best completed trials keep their weights.",
    )


def _table(layers: Layers) -> pd.DataFrame:
    """One row per layer, with shapes as text."""

    def shape(axes: list[int] | None) -> str:
        return " × ".join(map(str, axes[1:])) if axes else "–"

    return pd.DataFrame(
        [
            {
                "Layer": layer["name"] or "(the network itself)",
                "Type": layer["type"],
                "Input": ", ".join(map(shape, layer["input_shapes"])) or "–",
                "Output": shape(layer["output_shape"]),
                "Parameters": layer["parameters"],
                "Units used": f"{layer['seen']['used']} of {layer['seen']['units']}"
                if layer["seen"] and layer["seen"]["units"]
                else "–",
                "Mean gradient": number(layer["seen"]["gradient"] if layer["seen"] else None),
                "Settings": layer["settings"],
            }
            for layer in layers
        ]
    )
