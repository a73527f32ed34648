"""What the parts of the page show: the store, the chosen study, its tables, jobs and profiles."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import streamlit as st
from values import sentence

from tune_app.errors import TuneAppError
from tune_app.folder import LocalFolder
from tune_app.jobs.jobs import Jobs
from tune_app.profiles.profiles import Profiles
from tune_app.results.review import default_store, load_epochs, load_trials
from tune_app.spaces.spec import Spec
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.trial_notes import TrialNotes

NO_STUDY = "There are no studies yet. Start a sweep on the **Sweep** page, or with `tune-app run`."


def store() -> Store:
    """The store that the page shows: ``TUNE_APP_STORE``, else ``./results``."""
    return Store(default_store())


def jobs() -> Jobs:
    """The jobs of the store."""
    return Jobs(store())


def profiles() -> Profiles:
    """The profiles: ``TUNE_APP_PROFILES``, else ``./profiles``."""
    return Profiles(may_import=imports_nothing)


def imports_nothing(task: str) -> bool:
    """The page never runs user code: a catalog comes with a study, next to a profile, or from a separate process."""
    return False


def studies() -> list[str]:
    """The studies of the store, most recently written first."""
    opened = store()
    return sorted(opened.studies(), key=lambda name: _last_written(opened.study(name)), reverse=True)


def _last_written(study: Study) -> str:
    try:
        return str(study.json("live.json").get("at", ""))
    except TuneAppError:  # a damaged live state; the error appears where the study is shown
        return ""


def choose_study() -> None:
    """The study of all parts, in the sidebar; initially the newest one."""
    names = studies()
    # Set by a part or by the address: a widget's value can only be set before the widget exists.
    wanted = st.session_state.pop("study_wanted", None)
    if wanted in names:
        st.session_state["study"] = wanted
    elif wanted is not None:
        st.warning(f"There is no study `{wanted}` in the store.")
    if names:
        # Streamlit drops the widget's value when one part opens another.
        former = st.session_state.setdefault("study", st.session_state.get("study_shown"))
        if former not in names:
            st.session_state["study"] = names[0]
            if former is not None:
                st.warning(f"The study `{former}` is no longer in the store. This is the newest one, `{names[0]}`.")
        st.session_state["study_shown"] = st.sidebar.selectbox("Study", names, key="study")
    else:
        st.session_state.pop("study", None)
    st.sidebar.caption(f"Store: {store().folder.url}")


def chosen_study() -> Study:
    """The chosen study; if there is none, the part says so and ends here."""
    name = st.session_state.get("study")
    if name is None:
        st.info(NO_STUDY)
        st.stop()
    with said():
        return store().study(name)
    st.stop()


@contextmanager
def said() -> Iterator[None]:
    """Show one of our errors as a sentence, and end the part there."""
    try:
        yield
    except TuneAppError as error:
        st.error(sentence(error))
        st.stop()


def spec_of(study: Study) -> Spec:
    """The search space as the study ran it, read against the catalog stored with the study."""
    with said():
        return read_spec(study)


def read_spec(study: Study) -> Spec:
    """See `spec_of`.

    Raises:
        InputError: one of the two is damaged.
    """
    files = tuple(study.folder.read(f"{study.base}/{name}") for name in ("spec.yaml", "catalog.json"))
    return _spec(study, study.folder.address, study.name, files)


@st.cache_resource(max_entries=8, show_spinner=False)
def _spec(_study: Study, root: str, name: str, files: tuple[bytes | None, ...]) -> Spec:
    # Reading it samples configurations to check its constraints, which takes a tenth of a second with every rerun.
    return _study.spec()


def trials_of(study: Study, told: bool = False) -> pd.DataFrame:
    """The study's trials; read again only when the file changes.

    Args:
        told: the page already shows what else is wrong.
    """
    with said():
        noted = str(TrialNotes(study).stamp())
        trials, problems = _trials(study.name, study.folder.address, stamp(study, "trials"), noted)
        for problem in () if told else problems:
            st.warning(sentence(problem))
        return trials


def epochs_of(study: Study) -> pd.DataFrame:
    """The study's epochs; read again only when the file changes."""
    with said():
        return _epochs(study.name, study.folder.address, stamp(study, "epochs"))


@st.cache_data(max_entries=8, show_spinner=False)
def _trials(name: str, root: str, stamp: float, noted: str) -> tuple[pd.DataFrame, list[str]]:
    """The table, and what else is wrong."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        trials = load_trials(name, root).sort_values("trial", ignore_index=True)
    return trials, [str(warning.message) for warning in told if warning.category is UserWarning]


@st.cache_data(max_entries=8, show_spinner=False)
def _epochs(name: str, root: str, stamp: float) -> pd.DataFrame:
    return load_epochs(name, root)


def stamp(study: Study, kind: str) -> float:
    """A number that changes with each write of a table; on an object store every two seconds, to save requests."""
    if isinstance(study.folder, LocalFolder):
        path = study.folder.root / kind / f"study={study.name}" / "data.parquet"
        return path.stat().st_mtime if path.exists() else 0.0
    return pd.Timestamp.now().timestamp() // 2
