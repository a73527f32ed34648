"""YAML documents as plain data with the line number of each key."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from tune_app.errors import InputError

MAX_VALUES = 10_000
MAX_DEPTH = 20
MAX_BYTES = 200_000
MAX_OPENED = 1_000
"""Maximum opening brackets and braces in a file: ruamel.yaml takes cubic time for nested ones, 0.2 s for these."""

KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """A mapping from a file or a caller.

    Attributes:
        source: the file, or another name for messages.
        data: mappings, lists, strings, numbers, booleans and None.
        places: the place of the key at each path: ``FILE:LINE``.
    """

    source: str
    data: dict[str, Any]
    places: Mapping[KeyPath, str]

    @classmethod
    def read(cls, path: str | Path) -> Document:
        """Read a YAML 1.2 file.

        Raises:
            InputError: the file does not exist, or is not a well-formed UTF-8 mapping with unique keys.
        """
        return cls.parse(_text(Path(path)), str(path))

    @classmethod
    def parse(cls, text: str, source: str) -> Document:
        """Read the text of such a file; messages call it `source`.

        Raises:
            InputError: it is not a well-formed mapping with unique keys.
        """
        return cls._of(source, _parse(source, text), "a file must hold a mapping")

    @classmethod
    def of(cls, data: Mapping[str, Any], source: str) -> Document:
        """Use `data` from a caller; messages call it `source`.

        Raises:
            InputError: it contains values that YAML cannot.
        """
        return cls._of(source, data, "a document must be a mapping")

    @classmethod
    def _of(cls, source: str, data: object, rule: str) -> Document:
        if not isinstance(data, Mapping):
            found = "nothing" if data is None else f"{type(_plain(data, (), source, {})).__name__} {shown(data)}"
            hint = "write `key: value` lines, such as `name: digits-cnn`"
            raise InputError(f"{rule}, but got {found}", where=source, hint=hint)
        places: dict[KeyPath, str] = {}
        return cls(source, _plain(data, (), source, places), places)

    def where(self, *path: str) -> str:
        """The place of the key at `path`: ``FILE:LINE key.path``, with the line of its parent if it is missing."""
        known = next((self.places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.places), self.source)
        return f"{known} {'.'.join(path)}".strip()

    def mapping(self, *path: str) -> dict[str, Any]:
        """The mapping at `path`; empty if it is missing.

        Raises:
            InputError: it is not a mapping.
        """
        found: Any = self.data
        for depth, key in enumerate(path):
            found = {} if found.get(key) is None else found[key]
            if not isinstance(found, dict):
                here = path[: depth + 1]
                raise InputError(f"`{key}` must be a mapping, but got {shown(found)}", where=self.where(*here))
        return dict(found)

    def replaced(self, path: KeyPath, value: object) -> Document:
        """This document with a new value at `path`, whose place becomes ``override``.

        Raises:
            InputError: a parent of it is not a mapping.
        """
        for depth in range(len(path) - 1, -1, -1):
            value = self.mapping(*path[:depth]) | {path[depth]: value}
        assert isinstance(value, dict)
        kept = {p: place for p, place in self.places.items() if p[: len(path)] != path}
        added = {path[:n]: "override" for n in range(1, len(path) + 1) if path[:n] not in kept}
        return Document(self.source, _plain(value, (), self.source, {}), kept | added)


def to_yaml(document: Mapping[str, Any], *, compact: bool) -> str:
    """The YAML text from which `Document` reads `document` back.

    Args:
        compact: write each mapping or list of plain values, such as a domain, on one line.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = None if compact else False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 2**20  # if ruamel.yaml wraps an escaped string, it reads back an extra space
    # ruamel.yaml writes these line ends and marks literally, but reads them back differently.
    yaml.allow_unicode = not re.search("[\x80-\x9f\u2028\u2029\ufeff]", _texts(document))
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()


UNSAFE_PLAIN = re.compile(r"^[?:]|:\?")
"""What ruamel.yaml writes without quotes, although in a list or a mapping on one line it needs them."""


class _Representer(SafeRepresenter):
    """ruamel.yaml's, which leaves out quotes that `[?a]`, `{a: :0}` and `[0:?]` need: it reads the first as a list of
    one mapping, and libyaml rejects the others."""

    def represent_str(self, data: str) -> ScalarNode:
        """The string, in quotes if a reader would not take it for one without them."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="'" if UNSAFE_PLAIN.search(data) else None)


_Representer.add_representer(str, _Representer.represent_str)


def _texts(value: object) -> str:
    """All strings in a document, concatenated."""
    if isinstance(value, Mapping):
        return "".join(str(key) + _texts(child) for key, child in value.items())
    if isinstance(value, (list, tuple)):
        return "".join(map(_texts, value))
    return value if isinstance(value, str) else ""


def shown(value: object) -> str:
    """A value for messages, truncated if it is long."""
    text = repr(value) if isinstance(value, (str, int, float)) else str(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _text(path: Path) -> str:
    hint = "pass a YAML file, or the name of a search space that ships with tune-app, such as digits_cnn"
    if path.is_dir():
        raise InputError("a search space must be a file, but got a folder", where=str(path), hint=hint)
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"the file must be readable, but {reason}", where=str(path), hint=hint) from None
    if len(content) > MAX_BYTES:
        raise InputError(f"a file must have at most {MAX_BYTES:,} bytes, but got {len(content):,}", where=str(path))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"a file must be YAML text in UTF-8, but {error.reason} at byte {error.start}", where=str(path), hint=hint
        ) from None


def _parse(source: str, text: str) -> object:
    if len(text) > MAX_BYTES:
        raise InputError(f"a file must have at most {MAX_BYTES:,} characters, but got {len(text):,}", where=source)
    opened = text.count("[") + text.count("{")
    if opened > MAX_OPENED:
        rule = f"a file may open at most {MAX_OPENED:,} brackets and braces"
        raise InputError(f"{rule}, but got {opened:,}", where=source)
    try:
        return YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}" if mark else source
        if isinstance(error, DuplicateKeyError):
            place += " " + str(error.problem).split('"')[1]
        problem = " ".join(str(error.problem or error.context).split())
        raise InputError(f"YAML must be well-formed with unique keys, but {problem}", where=place) from None
    except YAMLError as error:
        problem = str(error).splitlines()[0]
        raise InputError(f"a file must be YAML text, but {problem}", where=source) from None
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError, AssertionError) as error:
        # ruamel.yaml raises these for broken tags, impossible dates and deep nesting.
        problem = (str(error).splitlines() or [""])[0][:100]
        raise InputError(f"YAML must be well-formed, but {problem or type(error).__name__}", where=source) from None


def _plain(value: object, path: KeyPath, source: str, places: dict[KeyPath, str]) -> Any:
    """Copy loaded YAML to plain types, filling `places`; bounded, because aliases can expand a small file
    enormously."""
    if len(path) > MAX_DEPTH or len(places) > MAX_VALUES:
        raise InputError(
            f"a file may have at most {MAX_DEPTH} levels and {MAX_VALUES:,} values, but got more", where=source
        )
    children: list[tuple[Any, object]] = []
    if isinstance(value, Mapping):
        children = list(value.items())
    elif isinstance(value, (list, tuple)):
        children = list(enumerate(value))
    elif value is None or isinstance(value, (bool, int, float, str)):
        return _scalar(value, path, source, places)
    else:
        raise InputError(
            f"a value must be a string, a number, true/false, a list or a mapping, but got {shown(value)}",
            where=_place(path, source, places),
            hint="put quotes around a string that looks like something else, such as a date",
        )
    plain: list[tuple[str, Any]] = []
    for key, child in children:
        if isinstance(value, Mapping) and not isinstance(key, str):
            raise InputError(f"a key must be a string, but got {shown(key)}", where=_place(path, source, places))
        here = (*path, str(key))
        places[here] = _line(value, key, source) or places.get(path, source)
        plain.append((str(key), _plain(child, here, source, places)))
    return dict(plain) if isinstance(value, Mapping) else [child for _, child in plain]


def _scalar(value: Any, path: KeyPath, source: str, places: Mapping[KeyPath, str]) -> object:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        if value.bit_length() > 63:
            raise InputError("a whole number must fit in 64 bits, but got more", where=_place(path, source, places))
        return int(value)
    if isinstance(value, float):
        return float(value)
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON allows
        raise InputError(
            f"a string must be Unicode, but got {value!a:.100}", where=_place(path, source, places)
        ) from None
    return str(value)


def _place(path: KeyPath, source: str, places: Mapping[KeyPath, str]) -> str:
    return f"{places.get(path, source)} {'.'.join(path)}".strip()


def _line(holder: object, key: object, source: str) -> str:
    if not isinstance(holder, CommentedBase) or key not in (holder.lc.data or {}):
        return ""
    return f"{source}:{holder.lc.data[key][0] + 1}"
