"""Posts to webhooks from threads, with retries and a time limit, so that nothing waits for them for long."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from tune_app import __version__
from tune_app.credentials import host_of

TIMEOUT_S = 10.0
"""Timeout of one try."""
PAUSES_S = (1.0, 3.0)
"""Between the tries."""
AGAIN = (408, 429, 500, 502, 503, 504)
"""Status codes after which another try may succeed."""


class Unanswered(Exception):
    """A try failed; `final` if another one would also fail."""

    def __init__(self, why: str, final: bool) -> None:
        super().__init__(why)
        self.why, self.final = why, final


class Delivery:
    """Bodies being sent to their addresses, each in a thread that does not keep the process alive."""

    def __init__(self, bodies: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        self._failures: dict[int, str | None] = {}
        self._hosts = [host_of(address) for address, _ in bodies]
        self._threads = [
            threading.Thread(target=self._deliver, args=(number, *pair), name="webhook", daemon=True)
            for number, pair in enumerate(bodies)
        ]
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float) -> list[str]:
        """Wait for the responses until the time limit or Ctrl-C; returns a line for each one that did not arrive."""
        deadline = time.monotonic() + seconds
        try:
            for thread in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        except KeyboardInterrupt:  # the rest is not worth waiting for
            pass
        late = f"no answer within {seconds:g} s"
        why = {number: self._failures.get(number, late) for number in range(len(self._hosts))}
        return [f"{host} was not notified: {why[number]}" for number, host in enumerate(self._hosts) if why[number]]

    def _deliver(self, number: int, address: str, body: Mapping[str, Any]) -> None:
        for pause in (*PAUSES_S, None):
            try:
                post(address, body)
                self._failures[number] = None
                return
            except Unanswered as error:
                if error.final or pause is None:
                    self._failures[number] = error.why
                    return
                time.sleep(pause)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Never follows redirects: the body only goes to the address that the user gave."""

    def redirect_request(self, *given: Any) -> None:
        return None


def post(address: str, body: Mapping[str, Any]) -> None:
    """Post `body` as JSON, once. Not with `requests`, whose logger reveals addresses.

    Raises:
        Unanswered: it was not accepted.
    """
    parts = urlsplit(address)
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    headers = {"Content-Type": "application/json", "User-Agent": f"tune-app/{__version__}"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    request = urllib.request.Request(plain, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S):
            return
    except HTTPError as error:
        with error:
            redirected = ", a redirect, which is not followed" if 300 <= error.code < 400 else ""
            raise Unanswered(f"it answered {error.code}{redirected}", error.code not in AGAIN) from None
    except (OSError, http.client.HTTPException) as error:
        raise _unanswered(error) from None


def _unanswered(error: OSError | http.client.HTTPException) -> Unanswered:
    """The error in words that do not quote the address, as the exceptions themselves may."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return Unanswered(f"no answer within {TIMEOUT_S:g} s", False)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Unanswered(f"its certificate is not trusted: {cause.verify_message}", True)
    said = cause.strerror if isinstance(cause, OSError) else None
    return Unanswered((said or type(cause).__name__).lower(), False)
