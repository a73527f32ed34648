"""Write docs/space_file.md, every key of a search space file, from the code: ``make docs``; a test compares."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tune_app.readable import shown
from tune_app.spaces.spec import KEYS, SECTIONS
from tune_app.spaces.strategy import SAMPLERS, SCHEDULERS
from tune_app.spaces.variable import Categorical, Variable
from tune_app.tasks import TASKS
from tune_app.tasks.catalogs import load_catalog

HEAD = """# Search space file

Every key of a search space file and every variable of our tasks. `make docs` generates this page from the code. A file
is YAML 1.2 in UTF-8; an unknown or repeated key is an error that names the line and the nearest valid key.
[digits_cnn.yaml](../search_spaces/digits_cnn.yaml) is a complete file with a comment on every key.

## Keys
"""
TOP = {
    "schema_version": "1",
    "name": "The study's name: lowercase letters, digits, `-` and `_`.",
    "task": "One of our tasks, `package.module:name` for your own class or function, or `script`. By default, the data "
    "set determines it.",
    "dataset": "A data set by name, or a mapping: `{kind: image_folder, path: photos/}`. Your own class "
    "interprets the value itself.",
    "command": "The command of a script; see [A script](own_task.md#a-script).",
    "arguments": "How to pass each variable to a script.",
    "report": "Where a script reports its metrics.",
    "resume": "Arguments that make a script continue from its folder.",
    "seed": "How to pass the trial's seed to a script.",
    "requirements": "Packages that your code needs, such as `[timm>=1.0]`; a sweep checks every node for them first.",
    "notify": "Addresses that get a summary when the sweep ends; see [notifications](cluster.md#notifications).",
    "metrics": "The metrics of a function or script, each with `maximize` or `minimize`; the first is the main one.",
    "flat": "`true` passes names with dots to a function unchanged, instead of as nested mappings.",
    "parameters": "The variables: by group (`architecture`, `training`, `data`, `inference`), then by name. A plain "
    "value is fixed; a domain is searched.",
    "constraints": "Expressions that every configuration must satisfy, such as `filters * conv_layers <= 128`.",
}
DOMAINS = """
## Domains

| domain | keys |
| --- | --- |
| `{type: float, low: 0.0, high: 0.5}` | `log: true` for a logarithmic scale, or `step` |
| `{type: int, low: 1, high: 8}` | `log: true`, or `step` |
| `{type: categorical, choices: [sgd, adamw]}` | choices of a function can be anything; a mapping names them |

Every domain can have `when`, an expression over other variables: `when: "optimizer == 'sgd'"`. If it is false, the
variable takes the task's default and the sampler does not see it. The variables of a function or a script can also
have `default` and `description`.
"""


def reference() -> str:
    """The whole page."""
    described = [*((key, TOP[key]) for key in KEYS if key not in SECTIONS)]
    described += [(name, f"{section.__doc__} Its keys are [below](#{name}).") for name, section in SECTIONS.items()]
    parts = [HEAD, _table(("key", "what it is"), ((f"`{key}`", text) for key, text in described)), DOMAINS]
    for name, section in SECTIONS.items():
        rows = (
            (f"`{key}`", _default(field), _one_line(field.description)) for key, field in section.model_fields.items()
        )
        parts += [f"\n## {name}\n\n{section.__doc__}\n", _table(("key", "default", "what it is"), rows)]
    parts += ["\n## Samplers and schedulers\n\n`search.sampler` and `pruning.scheduler`.\n"]
    named = [("sampler", SAMPLERS), ("scheduler", SCHEDULERS)]
    rows = ((kind, f"`{name}`", found.summary) for kind, registry in named for name, found in registry.items())
    parts += [_table(("kind", "name", "what it does"), rows)]
    for task in TASKS:
        catalog = load_catalog(task)
        metrics = ", ".join(f"`{name}` ({direction})" for name, direction in catalog.metrics.items())
        parts += [f"\n## {task}\n\nMetrics: {metrics}.\n", _table(VARIABLE, map(_variable, catalog.variables))]
    return "".join(parts)


VARIABLE = ("variable", "values", "default", "what it is")


def _variable(variable: Variable) -> tuple[str, ...]:
    domain = variable.domain
    values = (
        ", ".join(str(choice) for choice in domain.choices)
        if isinstance(domain, Categorical)
        else f"{shown(domain.low)} to {shown(domain.high)}{', log' if domain.log else ''}"
    )
    when = f" Only has an effect when `{variable.when}`." if variable.when else ""
    fixed = "" if variable.searchable else " Cannot be searched."
    return f"`{variable.group}.{variable.name}`", values, str(variable.default), f"{variable.description}{when}{fixed}"


def _default(field: Any) -> str:
    if field.is_required():
        return "the task's"
    return "none" if field.default in (None, ()) else f"`{field.default}`"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n" + "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    Path(__file__).with_name("space_file.md").write_text(reference(), encoding="utf-8")
