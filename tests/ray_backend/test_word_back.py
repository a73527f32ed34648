"""A sweep in another process: what a second terminal sees of it, and who is notified of its end."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SECRET = "marked-webhook-0123456789"


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a server that accepts every POST, and the documents that it received."""
    told: list[dict[str, Any]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *given: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    yield f"http://127.0.0.1:{server.server_port}/{SECRET}", told
    server.shutdown()
    server.server_close()


def test_a_sweep_is_watched_from_elsewhere_and_notifies_of_its_end(
    command: Any, space_file: Any, hook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, told = hook
    monkeypatch.setenv("TUNE_APP_NOTIFY", f"http://127.0.0.1:9/{SECRET}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    training = {"level": {"type": "float", "low": 0.0, "high": 0.9}, "fault": "start"}
    space = space_file(notify=address, budget={"trials": 8, "epochs": 2}, parameters={"training": training})
    watching, sweeping = command("watch", "faulty", "--wait"), command("run", space, "--no-preflight")
    printed = [text for process in (sweeping, watching) for text in process.communicate(timeout=90)]
    assert (sweeping.returncode, watching.returncode) == (1, 1), printed

    (summary,) = told
    assert (summary["state"], summary["reason"], summary["trials"]) == ("FAILED", "fuse", {"FAILED": 5})
    assert summary["message"].startswith("the sweep was stopped: the first 5 trials all failed: error: ValueError")
    errors = {"error: " + summary["message"]}
    assert errors < set(printed[1].splitlines()), "the run must report it"
    assert errors < set(printed[3].splitlines()), "and so must the watcher"
    live = json.loads((tmp_path / "results/studies/faulty/live.json").read_text())
    assert live["suggestions"]["count"] >= 4, "the first trial uses the defaults, without asking the sampler"
    assert live["suggestions"]["seconds"] > 0
    kept = [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert [text.count(SECRET) for text in (*printed, *kept) if SECRET in text] == [1], "only the search space has it"
