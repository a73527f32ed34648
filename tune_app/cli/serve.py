"""The command `serve`."""

from __future__ import annotations

import click

from tune_app.cli.options import profiles_option, store_option
from tune_app.extras import require
from tune_app.spaces.space_file import default_spaces_folder


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; anything but loopback requires a token.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 picks a free port.")
@click.option(
    "--token-file", metavar="FILE", help="File with the token that clients must send. Default: TUNE_APP_API_TOKEN."
)
@click.option(
    "--search-spaces",
    envvar="TUNE_APP_SEARCH_SPACES",
    default=lambda: str(default_spaces_folder()),
    show_default="search_spaces, or the shipped ones",
    metavar="FOLDER",
    help="Folder of the search spaces that requests may use.",
)
@click.option(
    "--allow-class",
    "classes",
    multiple=True,
    metavar="PACKAGE.MODULE:CLASS",
    help="A task that requests may use; script allows any command.",
)
@click.option("--data-folder", "folders", multiple=True, metavar="FOLDER", help="A folder whose data requests may use.")
@click.option(
    "--allow-origin", "origins", multiple=True, metavar="URL", help="The origin of a web page that may use the server."
)
@click.option(
    "--address",
    envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
    help="Job server of the cluster for jobs, such as http://head:8265. Default: a head on this machine.",
)
@store_option
@profiles_option
def serve(
    host: str,
    port: int,
    token_file: str | None,
    search_spaces: str,
    classes: tuple[str, ...],
    folders: tuple[str, ...],
    origins: tuple[str, ...],
    address: str | None,
    store: str,
    profiles_folder: str,
) -> None:
    """Serve jobs, results and profiles over HTTP, with the documentation at /docs, until Ctrl-C."""
    require("api", "serve")
    from tune_app.api.listening import bind, check_token, read_token
    from tune_app.api.listening import serve as answer
    from tune_app.api.settings import Settings
    from tune_app.jobs.jobs import check_address

    if address is not None:  # before anyone requests a job
        check_address(address)
    token = read_token(token_file)
    with bind(host, port) as listening:
        check_token(listening, token)
        answer(
            Settings(
                store=store,
                profiles=profiles_folder,
                search_spaces=search_spaces,
                token=token,
                classes=classes,
                data_folders=folders,
                origins=[origin.rstrip("/") for origin in origins],
                address=address,
            ),
            listening,
            host,
        )
