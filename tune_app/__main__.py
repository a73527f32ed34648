"""``python -m tune_app`` is ``tune-app``."""

import contextlib
import os

from tune_app.import_path import put_last

with contextlib.suppress(FileNotFoundError):  # the folder was removed
    put_last(os.getcwd())  # before importing anything that a file there could shadow

from tune_app.cli.main import main

main()
