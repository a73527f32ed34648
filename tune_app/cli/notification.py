"""The message about a sweep's end to the addresses in `notify`, and when it is sent."""

from __future__ import annotations

import os
import shlex
import socket
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from tune_app.credentials import NOTIFY, host_of, redacted
from tune_app.errors import Interrupted, Terminated, TuneAppError, one_line
from tune_app.moment import now

if TYPE_CHECKING:
    from tune_app.spaces.spec import Spec
    from tune_app.store.study import Study

SCHEMA_VERSION = 1
WAIT_S = 15.0
"""How long the command waits for responses after its sweep has ended."""
TERMINATED_WAIT_S = 1.0
"""How long after SIGTERM, when it must exit within seconds."""
SLACK_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")

notify_option = click.option(
    "--notify",
    multiple=True,
    metavar="URL",
    help=f"POST a summary to this address when the sweep ends or fails; repeatable. Default: {NOTIFY}.",
)


def default_webhooks() -> tuple[str, ...]:
    """The addresses from the environment, which `tune_app.cli.main` removes from it.

    Raises:
        InputError: one of them is not an address.
    """
    from tune_app.spaces.webhook import checked_webhooks

    context = click.get_current_context(silent=True)
    given = context.meta.get(NOTIFY) if context else os.environ.get(NOTIFY)
    return checked_webhooks((given or "").split(), NOTIFY)


class EndNotification:
    """Within a ``with`` block, sends a message about how the block ends; errors still propagate.

    Args:
        given: addresses that override those of the search space, which override those in the environment.

    Raises:
        InputError: an address is invalid.

    Attributes:
        live: the last live state of the sweep, see `tune_app.sweep.recorder.Recorder.live`.
        reason: why the sweep ended early, if it did.
    """

    def __init__(self, given: Sequence[str]) -> None:
        from tune_app.spaces.webhook import checked_webhooks

        self._given = checked_webhooks(given, "--notify")
        self._default = default_webhooks()
        self._webhooks: tuple[str, ...] = ()
        self._began = time.monotonic()
        self._about: dict[str, Any] = {}
        self.live: Mapping[str, Any] | None = None
        self.reason: str | None = None

    def about(self, spec: Spec, study: Study) -> None:
        """Set the sweep that the message is about; until then, nothing is sent."""
        from tune_app.spaces.objective import label_of

        objective = {"metric": label_of(spec.objective), "direction": spec.objective.direction}
        url = study.folder.url
        self._about = {"study": study.name, "task": spec.task, "store": url, "objective": objective}
        self._about["total"] = spec.budget.trials
        self._webhooks = self._given or spec.notify or self._default
        for webhook in self._webhooks:
            click.echo(f"notify: {host_of(webhook)} when the sweep ends", err=True)

    def __enter__(self) -> EndNotification:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tell(error)

    def tell(self, error: BaseException | None) -> None:
        """Send the message, with the command's error if there is one, and wait a while for the responses."""
        if not self._webhooks:
            return
        from tune_app.cli.webhook import Delivery

        told = self.document(error)
        bodies = [(webhook, body_for(webhook, told)) for webhook in self._webhooks]
        terminated = isinstance(error, Terminated)
        for line in Delivery(bodies).wait(TERMINATED_WAIT_S if terminated else WAIT_S):
            click.echo(f"warning: {line}", err=True)

    def document(self, error: BaseException | None) -> dict[str, Any]:
        """The summary: see docs/cluster.md."""
        live = self.live or {}
        is_cancelled = isinstance(error, (Interrupted, KeyboardInterrupt))
        message = error.message if isinstance(error, TuneAppError) else error and f"{type(error).__name__}: {error}"
        verb = "show" if live.get("best") else "trials"
        store = shlex.quote(self._about["store"])
        return {
            "schema_version": SCHEMA_VERSION,
            "at": now(),
            **self._about,
            "state": "SUCCEEDED" if error is None else "CANCELLED" if is_cancelled else "FAILED",
            "reason": self.reason or (None if error is None else "interrupt" if is_cancelled else "error"),
            "message": redacted(one_line(ValueError(message))) if message else None,
            "best": live.get("best"),
            "trials": {state: count for state, count in live.get("trials", {}).items() if count},
            "total": live.get("total", self._about["total"]),
            "elapsed_s": round(time.monotonic() - self._began, 1),
            "host": socket.gethostname(),
            "look_with": f"tune-app {verb} {self._about['study']} --store {store}",
        }


def body_for(webhook: str, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The summary in the format that the host of `webhook` expects."""
    if urlsplit(webhook).hostname not in SLACK_HOSTS:
        return told
    from tune_app.cli.progress import duration

    counts = ", ".join(f"{count} {state.lower()}" for state, count in told["trials"].items()) or "no trial started"
    best = told["best"]
    lines = [
        f"*{told['study']}* {told['state']} on {told['host']} after {duration(told['elapsed_s'])}",
        *([told["message"]] if told["message"] else []),
        f"{sum(told['trials'].values())}/{told['total']} trials: {counts}",
        *([f"best {told['objective']['metric']} {best['objective']:.4g} (trial {best['trial']})"] if best else []),
        f"`{told['look_with']}`",
    ]
    text = "\n".join(lines)
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # all characters with a meaning in Slack's markup
        text = text.replace(sign, name)
    return {"text": text}
