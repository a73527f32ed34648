"""The form that starts a sweep: a search space, and its overrides."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from values import sentence

from tune_app.document import Document
from tune_app.errors import InputError, TuneAppError
from tune_app.readable import counted
from tune_app.spaces.override import describe
from tune_app.spaces.section import LEVELS, MODES, Budget, Pruning, Resources, Search, Section, read_section
from tune_app.spaces.space_file import default_spaces_folder
from tune_app.spaces.strategy import SAMPLERS

UPLOADED = "uploaded: "
SECTIONS: dict[str, type[Section]] = {
    "budget": Budget,
    "search": Search,
    "pruning": Pruning,
    "resources": Resources,
}


@dataclass(frozen=True)
class SweepSettings:
    """The contents of the form.

    Attributes:
        document: the search space file.
        overrides: by key in the file; only those that differ from it.
        problems: what is wrong with the entries, by key.
    """

    document: Document
    overrides: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """A text that differs for different settings."""
        return hashlib.sha256(repr((self.document.data, sorted(self.overrides.items()))).encode()).hexdigest()


def sweep_form() -> SweepSettings | None:
    """Show the form; None if no search space is chosen or it cannot be read."""
    document = _space()
    if document is None:
        return None
    st.caption(f"Task {document.data.get('task', 'by its data')}, searching {_searched(document)}.")
    try:
        read = {name: read_section(kind, document, name) for name, kind in SECTIONS.items()}
    except TuneAppError as error:
        st.error(sentence(error))
        return None
    # Each space has its own widgets, so they start with the values of its file.
    prefix = hashlib.sha256(f"{document.source}{document.data}".encode()).hexdigest()[:12]
    form = _Form(document, read, prefix)
    first, second = st.columns(4), st.columns(4)
    with first[0]:
        form.whole("budget.trials", "Trials")
    with first[1]:
        form.text("budget.time", "Time limit", placeholder="none; such as 30m or 2h")
    with first[2]:
        form.text("resources.concurrent", "Trials at once", read=_whole_or_text)
    with first[3]:
        form.whole("resources.devices", "Devices per trial")
    with second[0]:
        form.text("resources.gpus", "GPUs per device", read=_number_or_text, placeholder="0, 0.25, 1 or auto")
    with second[1]:
        form.choice("pruning.level", "Pruning", LEVELS)
    with second[2]:
        form.choice("search.sampler", "Sampler", tuple(SAMPLERS), help="\n".join(_strategies()))
    with second[3]:
        mode = document.mapping("objective").get("mode", "simple")
        form.choice("objective.mode", "Objective", MODES, default=mode if mode in MODES else "simple")
    return SweepSettings(document, form.overrides, form.problems)


def _strategies() -> list[str]:
    return [f"- {name}: {strategy.summary}" for name, strategy in SAMPLERS.items()]


def _space() -> Document | None:
    """The chosen or uploaded search space."""
    files = {path.stem: path for path in sorted(default_spaces_folder().glob("*.yaml")) if path.is_file()}
    left, right = st.columns(2, vertical_alignment="bottom")
    with right:
        upload = st.file_uploader("Or upload one", type=["yaml", "yml"], key="sweep_upload", max_upload_size=1)
    uploads: dict[str, str] = st.session_state.setdefault("sweep_uploads", {})
    if upload is not None:
        name = f"{UPLOADED}{upload.name}"
        if uploads.get(name) != (text := upload.getvalue().decode("utf-8-sig", errors="replace")):
            uploads[name] = text
            st.session_state["sweep_space"] = name
    options = [*uploads, *files]
    if not options:
        st.info(f"There are no search spaces in {default_spaces_folder().absolute()}. Upload one to start.")
        return None
    if "sweep_space" not in st.session_state:
        st.session_state["sweep_space"] = "digits_cnn" if "digits_cnn" in files else options[0]
    with left:
        chosen = str(st.selectbox("Search space", options, key="sweep_space", persist_state="session"))
    try:
        return Document.parse(uploads[chosen], chosen) if chosen in uploads else Document.read(files[chosen])
    except TuneAppError as error:
        st.error(sentence(error))
        return None


def _searched(document: Document) -> str:
    """How many variables the file searches."""
    parameters = document.data.get("parameters")
    groups = parameters.values() if isinstance(parameters, dict) else []
    count = sum(isinstance(value, dict) for group in groups if isinstance(group, dict) for value in group.values())
    data = f" on the data set {document.data['dataset']}" if "dataset" in document.data else ""
    return f"{counted(count, 'variable')}{data}"


def _whole_or_text(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


class _Form:
    """The entries above a search space; each is checked by its section."""

    def __init__(self, document: Document, read: dict[str, Section], prefix: str) -> None:
        self._document = document
        self._read = read
        self._prefix = prefix
        self.overrides: dict[str, Any] = {}
        self.problems: dict[str, str] = {}

    def whole(self, key: str, label: str) -> None:
        """A whole number."""
        value = st.number_input(
            label,
            value=self._in_file(key),
            step=1,
            key=self._widget(key),
            help=self._help(key),
            persist_state="session",
        )
        self._take(key, value, self._in_file(key))

    def text(self, key: str, label: str, *, read: Callable[[str], Any] = str, placeholder: str | None = None) -> None:
        """A text that `read` converts to a value; empty means None."""
        shown = _shown(self._in_file(key))
        text = st.text_input(
            label,
            value=shown,
            key=self._widget(key),
            help=self._help(key),
            placeholder=placeholder,
            persist_state="session",
        ).strip()
        self._take(key, read(text) if text else None, read(shown) if shown else None)

    def choice(
        self, key: str, label: str, options: tuple[str, ...], *, default: str | None = None, help: str | None = None
    ) -> None:
        """One of several."""
        default = default or str(self._in_file(key))
        value = st.selectbox(
            label,
            options,
            index=options.index(default),
            key=self._widget(key),
            help=help or self._help(key),
            persist_state="session",
        )
        self._take(key, value, default)

    def _widget(self, key: str) -> str:
        return f"sweep {self._prefix} {key}"

    def _in_file(self, key: str) -> Any:
        section, _, name = key.partition(".")
        return getattr(self._read[section], name)

    def _help(self, key: str) -> str:
        return describe(key)

    def _take(self, key: str, value: Any, in_file: Any) -> None:
        if value == in_file:
            return
        section, _, name = key.partition(".")
        self.overrides[key] = value
        if section in SECTIONS:
            try:
                read_section(SECTIONS[section], self._document.replaced((section, name), value), section)
            except InputError as error:
                self.problems[key] = error.message
                st.markdown(f":material/error: :red[{sentence(error.message)}]")


def _shown(value: Any) -> str:
    """A value of a section as a person would write it."""
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
