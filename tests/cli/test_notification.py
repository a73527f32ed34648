"""Notifications of a sweep's end, sent to a loopback server that answers as each test wants."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tune_app.cli import notification, webhook
from tune_app.cli.notification import EndNotification, body_for
from tune_app.credentials import NOTIFY
from tune_app.document import Document
from tune_app.errors import InputError, Interrupted, WorkFailed
from tune_app.spaces.webhook import read_webhooks
from tune_app.store.store import Store
from tune_app.store.study import Study

SECRET = "T0123/B0456/wJalrXUtnFEMI"
LIVE = {"trials": {"COMPLETED": 3, "PRUNED": 2, "RUNNING": 0}, "total": 5, "best": {"trial": 4, "objective": 0.9123}}


class Hook(ThreadingHTTPServer):
    """Returns the statuses in `answers` one by one, then repeats the last one; 0 means no answer at all."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.answers = [200]
        self.headers: dict[str, str] = {}
        self.told: list[dict[str, Any]] = []
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{SECRET}"


class Answer(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == f"/{SECRET}"
        answer = self.server.answers[min(len(self.server.told), len(self.server.answers) - 1)]
        self.server.told.append({**json.loads(body), "authorization": self.headers["Authorization"]})
        if answer == 0:
            self.server.over.wait(20)
            return
        self.send_response(answer)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *given: Any) -> None:
        pass


@pytest.fixture
def make_hook() -> Iterator[Callable[[], Hook]]:
    hooks: list[Hook] = []

    def make() -> Hook:
        hooks.append(Hook())
        threading.Thread(target=hooks[-1].serve_forever, args=(0.01,)).start()
        return hooks[-1]

    yield make
    for hook in hooks:
        hook.over.set()
        hook.shutdown()
        hook.server_close()


@pytest.fixture
def hook(make_hook: Callable[[], Hook]) -> Hook:
    return make_hook()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "PAUSES_S", (0.01, 0.02))
    monkeypatch.setattr(notification, "WAIT_S", 3.0)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(NOTIFY, raising=False)


@pytest.fixture
def end(make_spec: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """End a sweep, optionally with an error; returns the warnings on standard error."""

    def ended(*given: str, error: Exception | None = None, reason: str | None = None, **sections: Any) -> list[str]:
        spec = make_spec(**sections)
        with contextlib.suppress(*([type(error)] if error else [])), EndNotification(given) as telling:
            telling.about(spec, Study(Store(tmp_path).folder, spec.name))
            telling.live, telling.reason = LIVE, reason
            if error is not None:
                raise error
        shown = capsys.readouterr()
        assert SECRET not in shown.out + shown.err
        return [line for line in shown.err.splitlines() if line.startswith("warning: ")]

    return ended


def test_a_successful_sweep_sends_a_summary(hook: Hook, end: Any, tmp_path: Path) -> None:
    assert end(hook.address) == []
    (told,) = hook.told
    assert told.pop("elapsed_s") >= 0
    assert {"at", "host"} <= told.keys()
    del told["at"], told["host"], told["authorization"]
    assert told == {
        "schema_version": 1,
        "study": "digits-small",
        "task": "image_cnn",
        "store": str(tmp_path),
        "objective": {"metric": "val_accuracy", "direction": "maximize"},
        "total": 5,
        "state": "SUCCEEDED",
        "reason": None,
        "message": None,
        "best": {"trial": 4, "objective": 0.9123},
        "trials": {"COMPLETED": 3, "PRUNED": 2},
        "look_with": f"tune-app show digits-small --store {tmp_path}",
    }


@pytest.mark.parametrize(
    ("error", "reason", "told"),
    [
        (WorkFailed("the sweep was stopped: all failed"), "fuse", ("FAILED", "fuse")),
        (Interrupted("stopped by the user"), "interrupt", ("CANCELLED", "interrupt")),
        (ZeroDivisionError("division by zero"), None, ("FAILED", "error")),
    ],
)
def test_an_unsuccessful_end_says_why(error: Any, reason: Any, told: Any, hook: Hook, end: Any) -> None:
    assert end(hook.address, error=error, reason=reason) == []
    assert (hook.told[0]["state"], hook.told[0]["reason"]) == told
    assert str(error) in hook.told[0]["message"]


def test_a_server_that_fails_twice_is_tried_a_third_time(hook: Hook, end: Any) -> None:
    hook.answers = [500, 503, 200]
    assert end(hook.address) == []
    assert len(hook.told) == 3


def test_a_server_that_refuses_is_not_tried_again(hook: Hook, end: Any) -> None:
    hook.answers = [404]
    assert end(hook.address) == [f"warning: http://127.0.0.1:{hook.server_port} was not notified: it answered 404"]
    assert len(hook.told) == 1


def test_a_server_that_never_answers_causes_no_long_wait(hook: Hook, end: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification, "WAIT_S", 0.5)
    hook.answers = [0]
    began = time.monotonic()
    (line,) = end(hook.address)
    assert time.monotonic() - began < 1.5
    assert line.endswith("was not notified: no answer within 0.5 s")


def test_each_try_has_a_time_limit(hook: Hook, end: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.1)
    hook.answers = [0]
    (line,) = end(hook.address)
    assert line.endswith("was not notified: no answer within 0.1 s")
    assert len(hook.told) == 3


def test_an_unreachable_server_gives_one_line(end: Any) -> None:
    assert end(f"http://127.0.0.1:9/{SECRET}") == ["warning: http://127.0.0.1:9 was not notified: connection refused"]


def test_a_redirect_is_not_followed(make_hook: Any, end: Any) -> None:
    hook, other = make_hook(), make_hook()
    hook.answers, hook.headers = [307], {"Location": other.address}
    (line,) = end(hook.address)
    assert "it answered 307, a redirect, which is not followed" in line
    assert other.told == []


def test_a_password_in_the_address_goes_into_a_header(hook: Hook, end: Any) -> None:
    assert end(hook.address.replace("http://", "http://me:hid%20den@")) == []
    assert hook.told[0]["authorization"] == "Basic bWU6aGlkIGRlbg=="


def test_the_option_overrides_the_search_space_which_overrides_the_environment(
    make_hook: Any, end: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    option, file, default = make_hook(), make_hook(), make_hook()
    monkeypatch.setenv(NOTIFY, default.address)
    end(option.address, notify=file.address)
    end(notify=[file.address])
    end()
    assert [len(hook.told) for hook in (option, file, default)] == [1, 1, 1]


def test_slack_gets_its_own_format(make_spec: Any) -> None:
    told = {
        "study": "digits", "state": "FAILED", "host": "gpu1", "elapsed_s": 75.0, "message": "loss < 0 & worse",
        "trials": {"COMPLETED": 1, "FAILED": 9}, "total": 40, "best": {"trial": 3, "objective": 0.51239},
        "objective": {"metric": "val_accuracy", "direction": "maximize"}, "look_with": "tune-app show digits",
    }  # fmt: skip
    assert body_for(f"https://hooks.slack.com/services/{SECRET}", told) == {
        "text": "*digits* FAILED on gpu1 after 1 min 15 s\nloss &lt; 0 &amp; worse\n"
        "10/40 trials: 1 completed, 9 failed\nbest val_accuracy 0.5124 (trial 3)\n`tune-app show digits`"
    }
    assert body_for(f"https://hooks.slack.com.example.org/services/{SECRET}", told) is told


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (f"ftp://example.org/{SECRET}", "one that starts with `ftp://`"),
        (f"/{SECRET}", "another string"),
        (f"https:///{SECRET}", "one that starts with `https://`"),
        (f"https://example.org/a b {SECRET}", "one that starts with `https://`"),
        (["https://example.org/a", 7], "int"),
        ({"url": SECRET}, "dict"),
    ],
)
def test_an_invalid_address_is_rejected_without_being_shown(given: object, found: str) -> None:
    with pytest.raises(InputError, match=f"must be an http or https address, but got {found}") as caught:
        read_webhooks(Document.of({"notify": given}, "a.yaml"))
    assert SECRET not in str(caught.value)


def test_no_text_shows_the_whole_address(make_spec: Any) -> None:
    spec = make_spec(notify=f"https://example.org:8443/{SECRET}?token=1")
    assert str(InputError(f"cannot reach {spec.notify[0]}")) == "cannot reach https://example.org:8443/…"
    assert SECRET not in str(InputError(f"POST /{SECRET}?token=1 failed"))
    assert SECRET not in spec.to_yaml() + repr(spec)
    assert spec.sha256() == make_spec().sha256()
