"""Packages outside the base install that only some commands need, by extra."""

from __future__ import annotations

from importlib.util import find_spec

from tune_app.errors import InputError

EXTRAS = {
    "ui": ("streamlit", "plotly", "jinja2", "sklearn"),
    "api": ("fastapi", "starlette", "uvicorn", "httptools", "websockets", "anyio", "prometheus_client"),
    "tensorboard": ("tensorboardX",),
}
"""The import names of the packages in each extra of pyproject.toml."""


def missing(extra: str) -> str | None:
    """The first package of an extra that is not installed; None if all are. Nothing is imported."""
    return next((package for package in EXTRAS[extra] if find_spec(package) is None), None)


def require(extra: str, verb: str) -> None:
    """Check that a command has the packages it needs.

    Raises:
        InputError: a package of the extra is not installed.
    """
    package = missing(extra)
    if package is not None:
        raise InputError(
            f"`tune-app {verb}` needs {package}, which is not installed", hint=f"install tune-app[{extra}]"
        )
