"""``python -m tune_app`` is ``tune-app``."""

from tune_app.cli.main import main

main()
