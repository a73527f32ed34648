"""Text that people read is plain American English: words and phrases that no native would write are banned.

The list holds what crept in before: literal translations, British spellings, and odd words for common terms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tune_app.cli.main import cli

ROOT = Path(__file__).parents[1]
BANNED = {
    "again, or starts over": ("anew",),
    "must, should, or the present tense": ("shall",),
    "anyone who, or the actual subject": ("whoever", "whomever"),
    "continue, continues": ("goes on with", "go on with", "went on with", "goes on from", "go on from", "goes on)"),
    "for the duration, temporarily": ("for the while", "for want of"),
    "how long, how often, how many": ("so long a", "so long the", "so often a", "so many", "so much of"),
    "gets, receives, or is reported": ("is told", "are told", "was told of", "hears of", "is told of"),
    "there is no, or is not a": ("is none", "are none", "is no number", "is no text", "is no name", "is no file"),
    "any other value": ("what is none", "what are none"),
    "if there is no": ("where there is no", "where there is one", "where nobody", "where nothing"),
    "if it": ("where it is absent", "where it is not", "where it is given", "where it has", "where it fails"),
    "none if, empty if": ("None where", "empty where", "null where", "nothing where"),
    "must be a string": ("must be a text", "be a text,"),
    "cannot be combined": ("exclude each other",),
    "automatically, or alone": ("by itself does", "does so by itself", "comes by itself", "goes by itself"),
    "next to, or during": ("beside",),
    "is, means, or represents": ("lies", "stands for", "stands in", "stands above", "stands under"),
    "someone, anyone": ("somebody", "anybody"),
    "the message says": ("is said", "are said"),
    "you can": ("may be done",),
    "distinguishable": ("told apart",),
    "a separate process": ("a process of its own",),
    "computed": ("worked out",),
    "forever": ("for ever",),
    "belongs in": ("belongs into", "belong into"),
    "heartbeat": ("sign of life", "signs of life"),
    "is optional, or omit": ("may be left out", "leave it away", "leave the key away", "leave out the key"),
    "fixed": ("mended",),
    "is required": ("must be given", "must be there"),
    "even while, even if": ("also while", "also where", "also when it fails"),
    "about": ("some ten", "some twenty", "some hundred"),
    "reject": ("is refused where", "are refused where"),
    "learned, memorized": ("learnt",),
    "American spelling": (
        "optimiser", "normalisation", "minimised", "maximised", "behaviour", "centre", "grey", "colour", "colours",
        "licences", "towards", "favourite", "neighbour", "recognise", "initialise", "summarise", "organise",
    ),
}  # fmt: skip
"""Maps what to write to the phrases that nobody should write."""
ALLOWED = ("there is none", "there are none", "there was none")
"""Correct phrases that contain a banned one."""


def banned_in(text: str) -> Iterator[str]:
    """The banned phrases in a text, each with its surroundings and what to write instead."""
    text = " ".join(text.split()) + " "
    for right in ALLOWED:
        text = text.replace(right, "")
    for instead, phrases in BANNED.items():
        for phrase in phrases:
            for variant in dict.fromkeys((phrase, phrase[0].upper() + phrase[1:])):
                if variant in text:  # much faster than a regular expression, and usually false
                    for found in re.finditer(rf"(?<![\w`]){re.escape(variant)}(?!\w)", text):
                        around = text[max(0, found.start() - 50) : found.end() + 50]
                        yield f"`{phrase}` in “…{around}…”: write {instead}"


def help_texts(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """The help of a command and of all its subcommands."""
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            below = command.get_command(context, verb)
            assert below is not None
            yield from help_texts(below, f"{name} {verb}", context)


def files(*patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.is_file()]


PAGES = files(
    *("*.md", "docs/**/*.md", "profiles/*.md", "benchmarks/*.md"),
    *("starter/*", "clusters/*", "cluster.yaml", "search_spaces/*.yaml", "docs/own_code/**/*.yaml"),
)
MODULES = files("tune_app/**/*.py", "ui/*.py", "ui/*.js", "ui/*.css", "starter/*.py", "benchmarks/*.py", "docs/**/*.py")


@pytest.mark.parametrize("kind", ["pages", "modules", "help", "notebook"])
def test_no_banned_words(kind: str) -> None:
    if kind == "help":
        texts = dict(help_texts(cli, "tune-app"))
    elif kind == "notebook":
        cells = json.loads((ROOT / "notebooks" / "analysis.ipynb").read_text(encoding="utf-8"))["cells"]
        texts = {"analysis.ipynb": "\n".join("".join(cell["source"]) for cell in cells)}
    else:
        paths = PAGES if kind == "pages" else MODULES
        texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}
    assert len(texts) > {"pages": 30, "modules": 250, "help": 20, "notebook": 0}[kind]
    found = [f"{name}: {what}" for name, text in texts.items() for what in banned_in(text)]
    assert not found, "\n" + "\n".join(found)


def test_the_list_finds_what_it_bans() -> None:
    assert [*banned_in("The model is fitted anew.")] == [
        "`anew` in “…The model is fitted anew. …”: write again, or starts over"
    ]
    found = [*banned_in("It is None where it\nis absent.  Whoever waits for the while hears nothing by hearsay.")]
    assert [what.split("`")[1] for what in found] == ["whoever", "for the while", "where it is absent", "None where"]
    assert not [*banned_in("There is a renewed lease; if there is none, shallow copies are made.")]
