"""The command `note`, which stores users' notes on trials."""

from __future__ import annotations

import click

from tune_app.cli.options import json_option, print_json, store_option
from tune_app.cli.study_argument import study_argument
from tune_app.errors import InputError, NotFound


@click.command()
@study_argument()
@click.argument("trial", type=click.IntRange(min=0))
@click.argument("text", required=False)
@click.option("--star/--no-star", default=None, help="Add or remove a star.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Add a tag; repeatable.")
@click.option("--untag", "untags", multiple=True, metavar="TAG", help="Remove a tag; repeatable.")
@json_option
@store_option
def note(
    study: str,
    trial: int,
    text: str | None,
    star: bool | None,
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    as_json: bool,
    store: str,
) -> None:
    """Set the note of a TRIAL of STUDY to TEXT, star it, or tag it; without any of these, show its note.

    Notes are stored next to the study, even while its sweep runs, and appear in the columns `star`, `tags` and `note`
    of `tune-app trials --csv` and `load_trials`. An empty TEXT removes the note. A replaced note is printed on stderr.
    """
    from tune_app.provenance import user_name
    from tune_app.store.store import Store
    from tune_app.store.trial_notes import TrialNote, TrialNotes

    opened = Store(store).study(study)
    numbers = opened.history().trials
    if trial not in numbers:
        known = f"{min(numbers)} to {max(numbers)}" if numbers else "none"
        raise NotFound(f"the study `{study}` has no trial {trial}", hint=f"its trials: {known}")
    if both := sorted(set(tags) & set(untags)):
        raise InputError(f"a tag cannot be in both --tag and --untag, but `{both[0]}` is")
    notes, by = TrialNotes(opened), user_name()
    if text is not None:
        former = notes.read().get(trial, TrialNote())
        notes.write(trial, text, former.edits, by)
        if former.text and former.text != text:
            click.echo(f"replaced the note by {former.by or 'someone'}: {former.text}", err=True)
    if star is not None:
        notes.star(trial, star, by)
    for tag in tags:
        notes.tag(trial, tag, by)
    for tag in untags:
        notes.untag(trial, tag, by)
    found = notes.read().get(trial, TrialNote())
    if as_json:
        print_json({"trial": trial, "star": found.star, "tags": list(found.tags), "note": found.text or None})
        return
    said = [*(["★"] if found.star else []), *(f"[{tag}]" for tag in found.tags), *([found.text] if found.text else [])]
    click.echo(f"trial {trial}: {' '.join(said) or 'no note, star or tags'}")
