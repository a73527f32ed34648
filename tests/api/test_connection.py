"""What a client can use of the server before it has sent a token."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tune_app.api import body_limit, connection

TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def guarded(place: Any, serve: Any) -> Iterator[httpx.Client]:
    """A client that does not send the server's token."""
    with serve(replace(place.settings, token=TOKEN)) as found:
        del found.headers["Authorization"]
        yield found


def opened(client: httpx.Client) -> socket.socket:
    """A connection to the server of `client`."""
    assert client.base_url.port is not None
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=10)


def answer(found: socket.socket) -> tuple[int, str]:
    """The response's status and error code; the server must then close the connection."""
    content = b""
    while piece := found.recv(65_536):
        content += piece
    head, _, body = content.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert set(error) == {"code", "message", "where", "hint"}
    return int(head.split()[1]), error["code"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /" + "a" * 70_000 + " HTTP/1.1\r\n", 414),
        ("GET /jobs HTTP/1.1\r\nX-Long: " + "a" * 70_000 + "\r\n", 431),
        ("GET /jobs HTTP/1.1\r\n" + "".join(f"X-{number}: {'a' * 1_000}\r\n" for number in range(80)), 431),
        ("GET /jobs HTTP/1.1\r\nX-Long: " + "a" * 60_000 + "\r\n", 401),
    ],
    ids=["url", "header", "headers", "allowed"],
)
def test_a_head_that_is_too_large(guarded: httpx.Client, head: str, status: int) -> None:
    with opened(guarded) as found:
        found.sendall(f"{head}Host: localhost\r\nConnection: close\r\n\r\n".encode())
        assert answer(found) == (status, "unauthorized" if status == 401 else "too_large")


@pytest.mark.parametrize(("begin", "status"), [("GET /", 414), ("GET / HTTP/1.1\r\nX: ", 431)])
def test_a_head_that_does_not_end_is_refused_while_it_arrives(guarded: httpx.Client, begin: str, status: int) -> None:
    with opened(guarded) as found:
        found.sendall(begin.encode())
        sent = 0
        try:
            while sent < 10_000_000:
                sent += found.send(b"a" * 16_384)
                time.sleep(0.001)
        except ConnectionError:
            pass
        else:
            raise AssertionError("the server accepted everything")
    with opened(guarded) as found:
        found.sendall(begin.encode())
        time.sleep(0.1)
        found.sendall(b"a" * 65_537)
        assert answer(found) == (status, "too_large")


def test_a_request_that_is_not_http_gets_the_standard_error(guarded: httpx.Client) -> None:
    with opened(guarded) as found:
        found.sendall(b"what is this\r\n\r\n")
        assert answer(found) == (400, "bad_request")


def test_a_head_must_arrive_in_time_even_after_an_answered_request(
    guarded: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.5)
    for before in (b"", b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        with opened(guarded) as found:
            if before:
                found.sendall(before)
                assert found.recv(65_536).startswith(b"HTTP/1.1 200")
            found.sendall(b"GET / HTTP/1.1\r\n")
            began = time.monotonic()
            found.settimeout(5)
            received = b""
            while piece := found.recv(65_536):
                received += piece
            assert b" 408 " in received
            assert time.monotonic() - began < 3


def test_a_body_must_arrive_in_time(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "BODY_S", 0.3)
    with opened(client) as found:
        found.sendall(b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert answer(found) == (408, "timeout")


def test_connections_are_limited_and_freed(guarded: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 10)
    monkeypatch.setattr(connection, "HEAD_S", 1.0)
    with ExitStack() as held:
        for _ in range(10):
            held.enter_context(opened(guarded))
        with opened(guarded) as one_more:
            assert answer(one_more) == (503, "work_failed")
        time.sleep(1.2)
        assert httpx.get(f"{guarded.base_url}/docs", trust_env=False).status_code == 200, "idle ones must be closed"


def test_an_unread_body_is_skipped(guarded: httpx.Client) -> None:
    with opened(guarded) as found:
        found.sendall(b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n")
        time.sleep(0.2)  # the response's head and body arrive separately
        assert found.recv(65_536).startswith(b"HTTP/1.1 401")
        for _ in range(5):
            found.sendall(b"a" * 100_000)
            time.sleep(0.02)
        found.sendall(b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert found.recv(65_536).startswith(b"HTTP/1.1 200")


def test_several_requests_on_one_connection_are_answered(guarded: httpx.Client) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with opened(guarded) as found:
        found.sendall(request * 3 + last)
        content = b""
        while piece := found.recv(65_536):
            content += piece
    assert content.count(b"HTTP/1.1 200") == 3
    assert content.count(b"HTTP/1.1 401") == 1
