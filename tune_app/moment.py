"""This moment, as files have it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """This moment in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat()
