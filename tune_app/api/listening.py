"""Where a server listens, and the check that it has a token if others can reach it."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import socket
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tune_app.api.settings import Settings
from tune_app.credentials import API_TOKEN
from tune_app.errors import InputError, WorkFailed

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

SHORTEST_TOKEN = 16
TOKEN_HINT = f"set {API_TOKEN}, or pass a file with --token-file; `openssl rand -hex 32` creates one"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Names of this machine."""
HOST = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^\s:@/?#\[\]]+))(:(?P<port>[0-9]{1,5}))?")
GRACE_S = 5
"""How long requests and WebSockets may take to end when the server stops."""


def read_token(path: str | None) -> str | None:
    """The token: the content of the file at `path`, otherwise ``TUNE_APP_API_TOKEN``; None if there is neither.

    The variable is removed, so that child processes do not inherit it. Warns on stderr about a file that other users
    can read.

    Raises:
        InputError: the file cannot be read, or does not contain a token.
    """
    where = path or API_TOKEN
    given = os.environ.pop(API_TOKEN, None)
    try:
        token = Path(path).read_text(encoding="utf-8").strip() if path else given
        mode = Path(path).stat().st_mode if path else 0
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"the token's file must be readable, but {reason}", where=where, hint=TOKEN_HINT) from None
    if token is None:
        return None
    # Characters allowed in headers and subprotocols (RFC 6750, RFC 6455).
    if len(token) < SHORTEST_TOKEN or not all(c.isascii() and (c.isalnum() or c in "-._~+") for c in token):
        raise InputError(
            f"a token must have at least {SHORTEST_TOKEN} letters, digits or -._~+, but has {len(token)} characters",
            where=where,
            hint="`openssl rand -hex 32` creates one",
        )
    if mode & stat.S_IROTH:
        print(
            f"warning: {path}: only its owner should be able to read the token's file, but its mode is "
            f"{stat.S_IMODE(mode):04o}\n  `chmod 600 {path}` keeps other users out",
            file=sys.stderr,
        )
    return token


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens at `host` and `port`; port 0 picks a free one.

    Raises:
        InputError: there is no such address on this machine, or the port is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(host, port, error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise _cannot_listen(host, port, error) from error
    return listening


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens at `host`."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def name_and_port(host: str) -> tuple[str, int]:
    """The name and the port in a Host header, 80 if it has none; empty and 0 if it contains anything else."""
    found = HOST.fullmatch(host.lower())
    return (found["address"] or found["name"], int(found["port"] or 80)) if found else ("", 0)


def check_token(listening: socket.socket, token: str | None) -> None:
    """Refuse to serve others without a token.

    Raises:
        InputError: there is no token, and the address is not loopback.
    """
    address = listening.getsockname()[0]
    if token is None and not is_loopback(address):
        raise InputError(
            f"a token is required if others can reach the server, but {address} is not loopback and no token is set",
            where="--host",
            hint=TOKEN_HINT,
        )


def serve(settings: Settings, listening: socket.socket, host: str) -> None:
    """Answer requests on `listening` until an interrupt; prints the address on stderr once it listens.

    Raises:
        KeyboardInterrupt: at the end.
        WorkFailed: it could not be started.
    """
    import uvicorn

    from tune_app.api.app import make_app

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = make_config(make_app(settings, hosts=[host.lower()]))
    listening.listen(config.backlog)
    shown, port = listening.getsockname()[:2]
    at = f"[{shown}]" if ":" in shown else shown
    print(f"listening on http://{at}:{port}, documentation at http://{at}:{port}/docs", file=sys.stderr, flush=True)
    server = uvicorn.Server(config)
    server.run(sockets=[listening])
    if not server.started:
        raise WorkFailed("the server could not be started", hint="the lines above say why")
    raise KeyboardInterrupt  # the normal end; uvicorn usually passes the interrupt on, but not always


def make_config(app: ASGIApp) -> uvicorn.Config:
    """The server settings for `app`."""
    import uvicorn

    from tune_app.api.connection import LimitedConnection, RefusableWebSocket

    return uvicorn.Config(
        app,
        http=LimitedConnection,
        ws=RefusableWebSocket,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the client is the peer of the connection
        ws_max_size=4096,  # clients send nothing
        timeout_graceful_shutdown=GRACE_S,
    )


def _cannot_listen(host: str, port: int, error: Exception) -> InputError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return InputError(
        f"the server must be able to listen at {host} port {port}, but {reason}",
        where="--host, --port",
        hint="choose another --port, or 0 for any free one",
    )
