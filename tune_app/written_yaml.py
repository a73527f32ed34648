"""YAML that this program wrote, read in a tenth of the time of `document.py`, which tracks lines and comments."""

from __future__ import annotations

from typing import Any, ClassVar

import yaml
from ruamel.yaml.resolver import implicit_resolvers


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's loader, libyaml's if available, with the plain values of YAML 1.2: `off` is a string."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


for _versions, _tag, _pattern, _first in implicit_resolvers:
    if (1, 2) in _versions:
        _Loader.add_implicit_resolver(_tag, _pattern, _first)


def read_yaml(content: bytes | str) -> Any:
    """The value of a document.

    Raises:
        ValueError: it is not YAML.
    """
    try:
        return yaml.load(content, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
