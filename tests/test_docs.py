"""The documentation: links that work, commands that exist, pages generated from the code, and the site."""

from __future__ import annotations

import os
import re
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tune_app.cli.main import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks/README.md", ROOT / "profiles/README.md"]
)
LINK = re.compile(r"\]\((?!\w+:)([^)\s]*)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """The page without its fenced code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[str]:
    """What readers are asked to type: lines of shell blocks, and code spans that start with `tune-app`."""
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in ("", "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                yield line.removeprefix("$ ")
    yield from re.findall(r"`(tune-app [^`]*)`", prose(page))


def fault(line: str) -> str | None:
    """What is wrong with a shell line; None if nothing is, or if it is not one of our commands."""
    if not re.match(r"tune-app |make |python ", line):
        return None
    program, *words = shlex.split(re.split(r"[|;>&]", line)[0], comments=True)
    if program == "make":
        missing = [word for word in words if "=" not in word and word not in TARGETS]
        return f"the Makefile has no {missing[0]}" if missing else None
    if program == "python":
        return f"there is no {words[0]}" if words[0].endswith(".py") and not (ROOT / words[0]).is_file() else None
    command: click.Command = cli
    for word in words:
        if word.startswith("--"):
            options = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
            if word.split("=")[0] not in options:
                return f"`{command.name}` has no {word}"
        elif isinstance(command, click.Group) and not word.isupper() and word != "…":
            if word not in command.commands:
                return f"`{command.name}` has no command {word}"
            command = command.commands[word]
    return None


@each_page
def test_links_work(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} points nowhere"
        assert target.is_relative_to(ROOT), f"{link} points outside the repository"
        assert not anchor or anchor in anchors(target), f"{link}: its page has no such heading"


@each_page
def test_commands_and_their_options_exist(page: Path) -> None:
    if page.name != "cli.md":  # generated from the commands
        assert [f"{line}: {wrong}" for line in commands(page) if (wrong := fault(line))] == []


@pytest.mark.parametrize(
    "line", ["tune-app ruin x", "tune-app run x --trails 3", "tune-app jobs lst", "make tset", "python docs/none.py"]
)
def test_a_wrong_command_is_noticed(line: str) -> None:
    assert fault(line)


def test_the_page_on_search_space_files_matches_the_code() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import make_space_file; print(make_space_file.reference(), end='')"],
        cwd=ROOT / "docs",
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert (ROOT / "docs" / "space_file.md").read_text(encoding="utf-8") == made.stdout, "run `make docs`"


def test_the_readme_is_two_screens_long() -> None:
    words = [
        word for line in prose(ROOT / "README.md").splitlines() if not line.startswith("|") for word in line.split()
    ]
    assert len(words) <= 700


def table_rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    text = (ROOT / page).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    lines = re.search(r"^\|.*\n\|[- |]*\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert lines, f"{page} has no table below {heading}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1].splitlines()]


def test_the_readme_figures_match_the_tables() -> None:
    figures = {row[0]: row[1] for row in table_rows("README.md", "Measured")}
    searched = [[float(cell) for cell in row[1:4]] for row in table_rows("docs/search.md", "Measurements")]
    for name, peer in (("Final error or loss compared with random", 0), ("The same compared with Ray Tune", 1)):
        ratios = [row[2] / row[peer] for row in searched]
        lower, median = sum(ratio < 1 for ratio in ratios), statistics.median(ratios)
        (figure,) = (text for what, text in figures.items() if what.startswith(name))
        assert figure.startswith(f"lower on {lower} of {len(ratios)} tasks, median ratio {median:.2f}")
    counted = table_rows("docs/own_code/README.md", "Lines")
    ratios, ours, optuna = (sorted(float(row[column]) for row in counted) for column in (5, 3, 6))
    assert figures["Lines for your code and its space, compared with Ray Tune"].startswith(
        f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    )
    assert (
        figures["The same compared with Optuna"]
        == f"{ours[0]:.0f} to {ours[-1]:.0f} lines against its {optuna[0]:.0f} to {optuna[-1]:.0f}"
    )


def test_the_site_builds_without_warnings_or_a_network(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: make install")
    # Any network request fails: nothing is reachable through this proxy.
    closed = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        env={**os.environ, **closed},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "compare" / "index.html").is_file()
    python = (tmp_path / "python" / "index.html").read_text(encoding="utf-8")
    assert "Search <code>space</code> for the best configuration" in python
    first = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'src="screenshots/trials.png"' in first
    loaded = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"(https?://[^\"]+)", first)
    assert loaded == [], "a reader's browser would load these from other machines"
