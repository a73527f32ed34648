"""`tune-app data`: list, fetch and verify; exit codes and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tune_app.cli import main as cli_main
from tune_app.datasets.registry import DATASETS

if TYPE_CHECKING:
    from conftest import Server

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``tune-app data …`` in this process and return the exit code, stdout, and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli_main.run(["data", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def mirror(server: Server, real_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Server:
    """The user's own mirror, with tinyshakespeare."""
    content = real_data("tinyshakespeare").joinpath("input.txt").read_bytes()
    server.files = {"/tinyshakespeare/input.txt": content}
    monkeypatch.setenv("TUNE_APP_DATA_MIRROR", server.address)
    return server


def test_list(data: Command, cache: Path) -> None:
    code, out, err = data("list")
    assert (code, err) == (0, "")
    for name, entry in DATASETS.items():
        assert any(line.startswith(f"{name} ") and entry.license in line for line in out.splitlines())
    (cache / "mnist").mkdir(parents=True)
    (cache / "mnist" / DATASETS["mnist"].files[0].name).write_bytes(b"")
    found = {row["dataset"]: row for row in json.loads(data("list", "--json")[1])}
    assert list(found) == list(DATASETS)
    assert {name: found[name]["state"] for name in ("digits", "mnist", "imdb")} == {
        "digits": "embedded",
        "mnist": "incomplete",
        "imdb": "absent",
    }
    assert found["reuters"]["terms"].startswith("The copyright")
    assert found["mnist"]["files"][0]["addresses"][0].startswith("https://ossci-datasets")


def test_fetch_and_verify(data: Command, mirror: Server, cache: Path) -> None:
    path = cache / "tinyshakespeare" / "input.txt"
    source = f"{mirror.address}/tinyshakespeare/input.txt"
    row = {"dataset": "tinyshakespeare", "state": "downloaded", "path": str(path), "source": source}
    embedded = {"dataset": "digits", "state": "embedded", "path": None, "source": None}
    code, out, err = data("fetch", "tinyshakespeare", "digits", "tinyshakespeare", "--json")
    assert (code, json.loads(out), err) == (0, [row, embedded], "")
    assert "kept" in data("fetch", "tinyshakespeare")[1]
    code, out, _ = data("verify", "--json")
    assert (code, json.loads(out)) == (0, [row | {"state": "ready", "source": None}])
    path.write_bytes(path.read_bytes().replace(b"First", b"first"))
    code, out, err = data("verify", "--json")
    assert (code, json.loads(out)[0]["state"]) == (1, "damaged")
    assert err.startswith("error: damaged or missing files: 1 of 1")
    assert "`tune-app data fetch tinyshakespeare`" in err
    assert data("fetch", "tinyshakespeare")[0] == 0
    assert data("verify", "tinyshakespeare")[0] == 0


def test_verify_missing_files(data: Command) -> None:
    code, out, err = data("verify")
    assert (code, err) == (0, "")
    assert out.startswith("no data sets in ")
    assert data("verify", "--json") == (0, "[]\n", "")
    code, out, err = data("verify", "mnist")
    assert code == 1
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [["mnist", "missing"]] * 4
    code, out, _ = data("verify", "digits", "--json")
    assert (code, json.loads(out)[0]["state"]) == (0, "embedded")


def test_a_failed_download(data: Command, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.create_connection", lambda *_, **__: (_ for _ in ()).throw(OSError("unplugged")))
    code, out, err = data("fetch", "mnist", "--json")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 2
    assert err.startswith("error: ")
    assert err.count("cannot be reached (unplugged)") == 2


def test_terms(data: Command, cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_APP_DATA_MIRROR", server.address)
    code, out, err = data("fetch", "reuters")
    assert (code, out) == (2, "")
    assert "research purposes only" in err
    assert "--accept-terms" in err
    monkeypatch.setattr("socket.create_connection", lambda *_, **__: (_ for _ in ()).throw(OSError("unplugged")))
    assert data("fetch", "reuters", "--accept-terms")[0] == 1
    assert "research purposes only" in cache.joinpath("reuters", "terms-accepted.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch"], "Missing argument"),
        (["fetch", "minst"], "did you mean `mnist`?"),
        (["verify", "minst"], "did you mean `mnist`?"),
        (["fetchh"], "did you mean `fetch`?"),
    ],
)
def test_wrong_input(arguments: list[str], message: str, data: Command) -> None:
    code, out, err = data(*arguments)
    assert (code, out) == (2, "")
    assert message in err
