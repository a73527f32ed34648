"""The command `strategies`."""

from __future__ import annotations

import click

from tune_app.cli.options import json_option, print_json
from tune_app.cli.results import print_table


@click.command()
@json_option
def strategies(as_json: bool) -> None:
    """List the samplers, which propose configurations, and the schedulers, which stop trials early."""
    from tune_app.spaces.strategy import SAMPLERS, SCHEDULERS

    rows = [
        {"kind": kind, "name": name, "what it does": strategy.summary}
        for kind, registry in (("sampler", SAMPLERS), ("scheduler", SCHEDULERS))
        for name, strategy in registry.items()
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(rows)
