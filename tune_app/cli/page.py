"""The command `ui`."""

from __future__ import annotations

import os
import sys

import click

from tune_app.cli.options import profiles_option, store_option
from tune_app.credentials import API_TOKEN
from tune_app.extras import require
from tune_app.shipped import shipped_folder


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; anything but loopback requires a token.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True, help="0 picks a free port.")
@click.option("--token-file", metavar="FILE", help="File with the token. Default: TUNE_APP_API_TOKEN.")
@store_option
@profiles_option
def ui(host: str, port: int, token_file: str | None, store: str, profiles_folder: str) -> None:
    """Show sweeps, trials and profiles in a browser, until Ctrl-C. Outside loopback, the page requires a token."""
    require("ui", "ui")
    from tune_app.api.listening import LOCAL_HOSTS, bind, check_token, is_loopback, read_token

    token = read_token(token_file)
    with bind(host, port) as listening:
        check_token(listening, token)
        address, port = listening.getsockname()[:2]
    at = f"[{host}]" if ":" in host else host
    click.echo(f"starting the review page: http://{at}:{port}", err=True)
    options = {
        "server.address": address,
        "server.port": str(port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "theme.light.primaryColor": "#2f74e8",
        "theme.dark.primaryColor": "#5b93f5",
        "logger.hideWelcomeMessage": "true",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    # On loopback, protects against pages whose name resolves to this machine (DNS rebinding); else overrides a
    # checkout.
    names = (*LOCAL_HOSTS, host) if is_loopback(address) else ("*",)
    arguments += [part for name in names for part in ("--server.allowedHosts", name)]
    os.environ.update(TUNE_APP_STORE=store, TUNE_APP_PROFILES=profiles_folder)
    if token is not None:
        os.environ[API_TOKEN] = token
    sys.stderr.flush()
    os.execv(
        sys.executable,
        [sys.executable, "-P", "-m", "streamlit", "run", str(shipped_folder("ui") / "guarded_page.py"), *arguments],
    )
