"""The preflight of a search space, in a separate process: a user's task may fail, hang, or need much memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from sweep_form import SweepSettings
from values import number, sentence

from tune_app.cli.progress import duration
from tune_app.credentials import inherited_environment
from tune_app.readable import counted
from tune_app.spaces.override import OVERRIDES

SPACE = "space.yaml"


@dataclass
class Preflight:
    """A preflight that runs or has ended.

    Attributes:
        settings: fingerprint of the requested settings.
        source: the search space as the person knows it.
        folder: what it reads and prints; removed with it.
    """

    settings: str
    source: str
    process: subprocess.Popen[bytes]
    folder: Path

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    @property
    def ended(self) -> bool:
        """Whether there is a result."""
        return self.process.poll() is not None

    def result(self) -> dict[str, Any] | str:
        """The forecast, or what is wrong, in words."""
        if self.process.returncode == 0:
            found: dict[str, Any] = json.loads((self.folder / "out").read_bytes())["forecast"]
            return found
        text = (self.folder / "err").read_text(encoding="utf-8", errors="replace").strip()
        text = text.replace(f"{self.folder / SPACE}:1", self.source)  # its lines are not the user's
        start = text.rfind("error: ")
        if start >= 0:
            return text[start + len("error: ") :]
        return text[-500:] or "the check died without an error message"


def begin(settings: SweepSettings) -> Preflight:
    """Start ``tune-app check`` for `settings`."""
    folder = Path(tempfile.mkdtemp(prefix="tune-app-check-"))
    space = folder / SPACE
    space.write_text(json.dumps(settings.document.data), encoding="utf-8")  # every JSON document is YAML
    above = {name: settings.overrides[key] for name, key in OVERRIDES.items() if key in settings.overrides}
    options = [part for name, value in above.items() for part in (f"--{name}", str(value))]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "tune_app", "check", str(space), "--json", *options],
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            env=inherited_environment(),
        )
    return Preflight(settings.fingerprint(), settings.document.source, process, folder)


def show_forecast(settings: SweepSettings) -> None:
    """The latest forecast, live while it is computed."""
    found: Preflight | None = st.session_state.get("preflight")
    if found is not None:
        st.fragment(_show, run_every=None if found.ended else 1.0)(settings.fingerprint())


def _show(settings: str) -> None:
    found: Preflight = st.session_state["preflight"]
    if not found.ended:
        st.session_state["preflight_waited"] = True
        st.info("Building and briefly training the smallest, the largest and some random configurations…")
        return
    if st.session_state.pop("preflight_waited", False):
        st.rerun()  # nothing is left to wait for
    if found.settings != settings:
        st.warning("The settings have changed since this forecast; run it again.")
    result = found.result()
    if isinstance(result, str):
        st.error(sentence(result), icon=":material/error:")
        return
    rungs = ", ".join(map(str, result["rungs"]))
    st.success(
        f"**About {duration(max(1, result['seconds']))}** for {counted(result['trials'], 'trial')}, "
        f"{result['slots']} at once: "
        f"{number(result['epochs'])} epochs in total, {result['device_hours']:.2g} device hours. "
        + (f"Bad trials stop at epoch {rungs}." if rungs else "Every trial runs to the end."),
        icon=":material/schedule:",
    )
    for note in result["notes"]:
        st.warning(sentence(note))
    st.table(
        {
            "Tried": [probe["label"] for probe in result["probes"]],
            "Parameters": [number(probe["model_parameters"]) for probe in result["probes"]],
            "An epoch takes": [_seconds(probe["epoch_s"]) for probe in result["probes"]],
            "Problem": [probe["error"] or "none" for probe in result["probes"]],
        }
    )


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g} s"
