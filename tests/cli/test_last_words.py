"""A process that dies without running any Python code still leaves an error message."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import os, signal, sys
from tune_app.cli.last_words import LastWords
with LastWords() as last_words:
    if sys.argv[1] in ("sweeping", "withdrawn", "ended"):
        last_words.sweeping("mine")
    if sys.argv[1] == "withdrawn":
        last_words.withdraw()
    if sys.argv[1] != "ended":
        os._exit(1)
"""
BEGUN = """error: the process died without an error message: it was killed, or Ray died
  start it again
"""
SWEEPING = """error: the process of the sweep was killed, or Ray died; results are kept
  `tune-app resume mine` continues
"""


@pytest.mark.parametrize(("how", "told"), [("begun", BEGUN), ("sweeping", SWEEPING), ("withdrawn", ""), ("ended", "")])
def test_only_an_unreported_end_is_reported(how: str, told: str) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.stdout, done.returncode) == (told, "", 0 if how == "ended" else 1)


def test_a_shell_that_dies_does_not_end_the_sweep() -> None:
    code = (
        "import os, signal; from tune_app.cli.last_words import LastWords\n"
        "with LastWords() as words:\n"
        "    os.kill(words._shell.pid, signal.SIGKILL); words._shell.wait(); words.sweeping('mine')\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (told.returncode, told.stderr) == (0, "")
