"""The actors that make objects for all trials die at different moments, and trials still get their objects."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from tune_app.errors import WorkFailed
from tune_app.ray_backend.data_sharing import shared_by, start_sharing
from tune_app.ray_backend.made_object import made_object
from tune_app.tasks.user_code import Exited


@pytest.fixture(scope="module")
def sharing(connected: str) -> Iterator[Any]:
    actor = start_sharing(str(Path(__file__).parent))
    yield actor
    ray.kill(actor)


def test_data_whose_loading_kills_its_process_once_is_loaded_again(sharing: Any, tmp_path: Path) -> None:
    def load(marker: str) -> list[int]:
        if not os.path.exists(marker):
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [1, 2, 3]

    assert shared_by(sharing, "once", load, (str(tmp_path / "marker"),)) == [1, 2, 3]


def test_data_whose_loading_always_kills_its_process_is_an_error(sharing: Any) -> None:
    def load() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkFailed, match="the process that loads shared data died in each of 3 attempts"):
        shared_by(sharing, "always", load, ())


def test_an_object_whose_actor_dies_after_its_answer_is_requested_again(sharing: Any) -> None:
    asked = []

    def ask() -> Any:
        answer = sharing.get.remote("lost", ray.cloudpickle.dumps(lambda: b"x" * 2**20), ())
        if not asked:
            (made,) = ray.get(answer)
            ray.kill(sharing, no_restart=False)
            wait_until_lost(made)
        asked.append(answer)
        return answer

    assert len(made_object(sharing, ask, "process that loads shared data")) == 2**20
    assert len(asked) == 2


def wait_until_lost(made: Any) -> None:
    """The object's bytes stay on the node until Ray notices that their owner has died."""
    for _ in range(100):
        try:
            ray.get(made)
        except ray.exceptions.ObjectLostError:
            return
        time.sleep(0.1)


def test_an_error_in_the_users_code_is_raised_at_once(sharing: Any) -> None:
    def load() -> None:
        raise ValueError("no such file")

    with pytest.raises(ValueError, match="no such file"):
        shared_by(sharing, "raises", load, ())


def test_code_that_would_end_the_process_is_an_error_at_once(sharing: Any) -> None:
    def load() -> None:
        raise SystemExit("no license")

    with pytest.raises(Exited, match="no license"):
        shared_by(sharing, "exits", load, ())
