"""Runs `command.py` in a process with fast start and exit, see `client.py`."""

from __future__ import annotations

from tune_app.process import run_and_leave


def _run() -> int:
    from tune_app.results.network.command import main  # it imports torch

    return main()


if __name__ == "__main__":
    run_and_leave(_run)
