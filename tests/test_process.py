"""How our processes end: the exit code, the exit handlers, and no teardown of imported modules."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import atexit, gc, sys
usual = gc.get_threshold()
from tune_app.process import collect_as_usual, run_and_leave

class Kept:
    def __del__(self):
        print("taken apart")

kept = Kept()

def main():
    atexit.register(print, "registered")
    print(gc.get_threshold() == usual)
    collect_as_usual()
    print(gc.get_threshold() == usual, gc.get_freeze_count() > 1000)
    {ending}

run_and_leave(main)
"""


@pytest.mark.parametrize(
    ("ending", "code"),
    [("return 3", 3), ("sys.exit()", 0), ("sys.exit(4)", 4), ("sys.exit('no')", 1), ("raise ValueError('no')", 1)],
)
def test_it_ends_with_its_code_after_the_exit_handlers_without_a_teardown(ending: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", CODE.format(ending=ending)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()) == (code, ["False", "True True", "registered"])
    assert ("no" in done.stderr) == ("no" in ending), "the error is printed"
