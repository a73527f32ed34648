"""The files for Ray's cluster launcher, against Ray's own schema and what they promise."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
FILES = ("cluster.yaml", "clusters/on_prem.yaml")


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", FILES)
def test_it_is_what_the_launcher_takes(name: str) -> None:
    validate_config(prepare_config(read(name)))
    with pytest.raises(jsonschema.ValidationError, match="max_wrokers"):  # so what it takes means something
        validate_config(prepare_config({**read(name), "max_wrokers": 3}))


@pytest.mark.parametrize("name", FILES)
def test_jobs_and_the_dashboard_listen_on_the_head_only(name: str) -> None:
    assert "--dashboard-host=127.0.0.1" in " ".join(read(name)["head_start_ray_commands"])


def test_the_cloud_scales_from_nothing_and_the_head_trains_nothing() -> None:
    types = read("cluster.yaml")["available_node_types"]
    assert types["gpu_worker"]["min_workers"] == 0
    assert types["gpu_worker"]["max_workers"] == read("cluster.yaml")["max_workers"]
    assert types["head"]["resources"] == {"CPU": 0, "GPU": 0}


@pytest.mark.parametrize("name", FILES)
def test_nothing_of_the_program_is_left_behind(name: str) -> None:
    """As rsync reads them: a pattern that begins with / means the top, one without it a name at any depth."""
    patterns = read(name)["rsync_exclude"]
    anchored = {pattern[1:] for pattern in patterns if pattern.startswith("/")}
    anywhere = {pattern.removeprefix("**/") for pattern in patterns if not pattern.startswith("/")}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for file in tracked.splitlines():
        parts = Path(file).parts
        assert parts[0] not in anchored, file
        assert not anywhere & set(parts), file
