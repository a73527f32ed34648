"""The command `tune-app`, its error translation and its exit codes."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings

import click

from tune_app import __version__
from tune_app.cli import (
    changes,
    data,
    imports,
    init,
    jobs,
    notes,
    page,
    profiles,
    replay,
    results,
    serve,
    strategies,
    sweeps,
    watch,
)
from tune_app.credentials import NOTIFY, drop_secrets
from tune_app.errors import TuneAppError, nearest
from tune_app.process import run_and_leave
from tune_app.standard_output import keep_steady


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tune-app")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Find, judge and keep good configurations of PyTorch models on a Ray cluster."""
    if context.invoked_subcommand not in (serve.serve.name, page.ui.name):
        context.meta[NOTIFY] = os.environ.get(NOTIFY)
        drop_secrets()  # trials inherit the environment


cli.add_command(init.init)
cli.add_command(sweeps.check)
cli.add_command(imports.import_)
cli.add_command(sweeps.run)
cli.add_command(sweeps.resume)
cli.add_command(watch.watch)
cli.add_command(changes.change)
cli.add_command(results.studies)
cli.add_command(results.trials)
cli.add_command(results.show)
cli.add_command(results.logs)
cli.add_command(notes.note)
cli.add_command(results.report)
cli.add_command(replay.replay)
cli.add_command(profiles.apply)
cli.add_command(profiles.profile)
cli.add_command(profiles.train)
cli.add_command(jobs.submit)
cli.add_command(jobs.jobs)
cli.add_command(data.data)
cli.add_command(strategies.strategies)
cli.add_command(serve.serve)
cli.add_command(page.ui)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 the work failed, 2 the input was wrong, 130 interrupted."""
    keep_steady()
    warnings.formatwarning = lambda message, *place, **more: f"warning: {message}\n"
    run_and_leave(lambda: run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run the command line and return the exit code; errors go to stderr in one or two lines."""
    try:
        result = cli.main([a for a in arguments if a != "--debug"], prog_name="tune-app", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("interrupted", err=True)
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        click.echo(f"error: {_in_two_lines(error)}", err=True)
        return 2
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # Flushing the rest to a full disk would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        place = error.filename or "the disk of the output"
        click.echo(f"error: {place}: the output needs disk space, but the disk is full", err=True)
        return 1
    except TuneAppError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        click.echo(f"error: {error}", err=True)
        return error.exit_code


def _in_two_lines(error: click.ClickException) -> str:
    """Click's own errors in our format: what is wrong, then the nearest valid name or where to look."""
    context: click.Context | None = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split())
    if context is None:
        return text
    command = context.command
    if isinstance(error, click.NoSuchOption):
        options = [o for p in command.params for o in p.opts if o.startswith("--")]
        return f"there is no option `{error.option_name}`\n  {nearest(error.option_name, options)}"
    if isinstance(command, click.Group) and "No such command" in text:
        given = text.partition("'")[2].partition("'")[0]
        return f"there is no command `{given}`\n  {nearest(given, command.list_commands(context))}"
    return f"{text}\n  see `{context.command_path} --help`"
