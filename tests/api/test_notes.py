"""Notes on trials, and changes to a running sweep, over HTTP."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import httpx

from tune_app.store.sweep_changes import SweepChange, SweepChanges

NOTE = "/jobs/ended-1/trials/2/note"


def test_a_trial_gets_a_star_tags_and_a_note(client: httpx.Client) -> None:
    before = client.get(NOTE).json()
    assert before == {"trial": 2, "star": False, "tags": [], "note": None, "edits": 0, "by": None}
    said = client.post(NOTE, json={"note": "Look again", "star": True, "tags": ["odd", "run 2"]}).json()
    assert (said["note"], said["star"], said["tags"], said["edits"]) == ("Look again", True, ["odd", "run 2"], 1)
    assert said["by"] == "127.0.0.1 over HTTP"
    assert client.get("/jobs/ended-1/notes").json() == [said]
    unseen = client.post(NOTE, json={"note": "Mine"})
    assert (unseen.status_code, "wrote `Look again`" in unseen.json()["error"]["message"]) == (409, True)
    after = client.post(NOTE, json={"note": "Seen", "edits": 1, "star": False, "untags": ["odd"]}).json()
    assert (after["note"], after["star"], after["tags"]) == ("Seen", False, ["run 2"])
    assert client.post(NOTE, json={"tags": ["<b>"]}).status_code == 422
    missing = client.post("/jobs/ended-1/trials/9/note", json={"star": True})
    assert (missing.status_code, missing.json()["error"]["hint"]) == (404, "its trials: 0 to 4")
    assert client.get("/jobs/train-mine-1/trials/0/note").status_code == 404


def test_a_running_sweep_is_asked_for_changes(client: httpx.Client, place: Any) -> None:
    study = place.store.study("running-1")
    path = "/jobs/running-1/change"
    assert client.post(path, json={"stop": [1]}).status_code == 409
    assert "there is nothing to change" in client.post(path, json={}).json()["error"]["message"]
    assert client.post(path, json={"concurrent": 0}).status_code == 422
    asked: list[SweepChange] = []

    def sweep() -> None:
        """Answer like a sweep."""
        live = study.json("live.json")
        while len(asked) < 4:
            asked[:] = SweepChanges(study).read()
            told = {**live, "changes": len(asked), "answer": f"answer {len(asked)}"}
            study.folder.write(f"{study.base}/live.json", json.dumps(told).encode())
            time.sleep(0.02)

    with study.writing():
        answering = threading.Thread(target=sweep, daemon=True)
        answering.start()
        answer = client.post(path, json={"stop": [5], "retry": [3], "trials": 12, "concurrent": "auto"})
        answering.join(20)
    assert answer.json() == {"answers": [f"answer {number}" for number in (1, 2, 3, 4)]}
    kinds = [(change.kind, change.value, change.by) for change in asked]
    by = "127.0.0.1 over HTTP"
    assert kinds == [("stop", 5, by), ("trials", 12, by), ("concurrent", 0, by), ("retry", 3, by)]
