"""The cluster files: checked against Ray's own schema if there is one, and for what they promise."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tune_app import __version__
from tune_app.cli.main import cli

ROOT = Path(__file__).parents[2]
FILES = ("cluster.yaml", "clusters/on_prem.yaml")


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", FILES)
def test_the_launcher_accepts_it(name: str) -> None:
    validate_config(prepare_config(read(name)))
    with pytest.raises(jsonschema.ValidationError, match="max_wrokers"):  # so accepting a file means something
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
def test_rsync_excludes_no_part_of_the_program(name: str) -> None:
    """To rsync, a pattern that begins with / means the top folder; one without it matches a name at any depth."""
    patterns = read(name)["rsync_exclude"]
    anchored = {pattern[1:] for pattern in patterns if pattern.startswith("/")}
    anywhere = {pattern.removeprefix("**/") for pattern in patterns if not pattern.startswith("/")}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for file in tracked.splitlines():
        parts = Path(file).parts
        assert parts[0] not in anchored, file
        assert not anywhere & set(parts), file


KUBERAY = "clusters/kuberay_job.yaml"


def pods() -> list[dict[str, Any]]:
    """The pods of the head and the workers."""
    cluster = read(KUBERAY)["spec"]["rayClusterSpec"]
    return [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def test_the_ray_job_has_what_kuberay_requires() -> None:
    document = read(KUBERAY)
    assert (document["apiVersion"], document["kind"]) == ("ray.io/v1", "RayJob")
    cluster = document["spec"]["rayClusterSpec"]
    for group in cluster["workerGroupSpecs"]:
        assert {"groupName", "minReplicas", "maxReplicas", "template"} <= group.keys()
        assert group["minReplicas"] == group["replicas"] == 0 < group["maxReplicas"]
    for pod in pods():
        (container,) = pod["containers"]
        assert {mount["name"] for mount in container.get("volumeMounts", [])} == {
            v["name"] for v in pod.get("volumes", [])
        }
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
        # KubeRay rejects `autoscalerOptions.version` together with the variable that it sets because of it.
        assert not [one for one in container.get("env", []) if one["name"] == "RAY_enable_autoscaler_v2"]
    assert cluster["autoscalerOptions"]["version"] == "v1", (
        "`ray_backend/autoscaling.py` does not know the other version"
    )
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}


def test_the_ray_job_runs_a_space_with_options_that_exist() -> None:
    program, verb, space, *options = shlex.split(read(KUBERAY)["spec"]["entrypoint"])
    assert (program, verb) == ("tune-app", "run")
    assert (ROOT / space).is_file()
    # A command keeps the --help settings of its first context, and another test prints the help.
    parent = click.Context(cli, info_name="tune-app", **cli.context_settings)
    with cli.commands[verb].make_context(verb, [space, *options], parent=parent) as context:
        assert (context.params["address"], context.params["gpus"]) == ("auto", 0.25)


def test_versions_match_the_project() -> None:
    (ray,) = re.findall(r"^ray==(.*)$", (ROOT / "requirements.lock").read_text(), re.M)
    assert read(KUBERAY)["spec"]["rayClusterSpec"]["rayVersion"] == ray
    images = {container["image"] for pod in pods() for container in pod["containers"]}
    named = {
        text
        for name in (KUBERAY, "clusters/Dockerfile")
        for text in re.findall(r"\S+/tune-app:\S+", (ROOT / name).read_text())
    }
    assert named == images == {f"registry.example.org/tune-app:{__version__}"}


def test_the_image_has_what_its_installation_reads_and_what_jobs_need() -> None:
    lines = (ROOT / "clusters" / "Dockerfile").read_text().splitlines()
    copied = [words[1:-1] for words in map(str.split, lines) if words[:1] == ["COPY"]]
    for source in (source for sources in copied for source in sources):
        assert (ROOT / source).exists()
    before = {source for sources in copied[:-1] for source in sources}
    assert before == {"Makefile", "pyproject.toml", "requirements.lock", "README.md", "tune_app", "ui"}
    ignored = (ROOT / "clusters" / "Dockerfile.dockerignore").read_text().split()
    assert not {*before, "search_spaces", "profiles", "clusters"} & set(ignored)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed (Debian: shellcheck)")
def test_shellcheck_finds_nothing_in_the_slurm_script() -> None:
    checked = subprocess.run(["shellcheck", ROOT / "clusters" / "slurm.sh"], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "")
