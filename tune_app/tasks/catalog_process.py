"""Gets the catalog of a user's own task in a short-lived process, to keep its code, memory and crashes out of the
caller.

    python -m tune_app.tasks.catalog_process package.module:Class

prints the catalog as JSON, or a mapping of an error's ``message``, ``where`` and ``hint`` and ends with 2.
"""

from __future__ import annotations

import json
import subprocess
import sys

from tune_app.credentials import inherited_environment
from tune_app.errors import InputError
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.script import SCRIPT
from tune_app.standard_output import reserved
from tune_app.tasks import TASKS
from tune_app.tasks.catalogs import load_catalog

LIMIT_S = 60.0
"""Time limit for importing a task; torch alone needs some seconds on a busy machine."""


def read_catalog(name: str) -> Catalog:
    """The catalog of the current code of the task `name`; see `load_catalog`, which imports it here.

    Raises:
        InputError: as `load_task`, or the import ended the process or took too long.
    """
    if name in (*TASKS, SCRIPT):
        return load_catalog(name)
    where = f"task {name}"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tune_app.tasks.catalog_process", name],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
            env=inherited_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"a task must be imported within {LIMIT_S:g} s, but it took longer", where=where) from error
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["without an error message"])[-1]
        raise InputError(f"importing the task ended its process with {done.returncode}: {last}", where=where) from None
    if done.returncode:
        raise InputError(answer["message"], where=answer["where"], hint=answer["hint"])
    return Catalog.from_dict(answer, where)


def main() -> None:
    """Print the catalog of the task in the argument."""
    try:
        with reserved():  # a user's task may print
            answer, code = load_catalog(sys.argv[1]).to_dict(), 0
    except InputError as error:
        answer, code = {"message": error.message, "where": error.where, "hint": error.hint}, 2
    print(json.dumps(answer))
    sys.exit(code)


if __name__ == "__main__":
    main()
