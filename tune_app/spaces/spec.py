"""The specification of a sweep: a whole search space file, checked against its task."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tune_app.document import Document, shown, to_yaml
from tune_app.errors import InputError, nearest
from tune_app.naming import check_name
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.open_catalog import FLAT, METRICS, completed
from tune_app.spaces.parameters import CONSTRAINTS, PARAMETERS, fix, read_space, write_parameters
from tune_app.spaces.requirements import REQUIREMENTS, read_requirements
from tune_app.spaces.script import KEYS as SCRIPT_KEYS
from tune_app.spaces.script import SCRIPT
from tune_app.spaces.section import Budget, Objective, Pruning, Resources, Search, Section, read_section, unknown_key
from tune_app.spaces.space import Space
from tune_app.spaces.strategy import SAMPLERS
from tune_app.spaces.variable import Categorical, DatasetReference
from tune_app.spaces.webhook import NOTIFY, read_webhooks

SCHEMA_VERSION = 1
NO_DATASET = "none"
"""The data set of a function or a script, which loads its own data."""
SECTIONS: dict[str, type[Section]] = {
    "objective": Objective,
    "budget": Budget,
    "search": Search,
    "pruning": Pruning,
    "resources": Resources,
}
KEYS = (
    *("schema_version", "name", "task", "dataset", *SCRIPT_KEYS, REQUIREMENTS, NOTIFY),
    *(*SECTIONS, METRICS, FLAT, PARAMETERS, CONSTRAINTS),
)


@dataclass(frozen=True)
class Spec:
    """Everything that defines a sweep; it is valid for its task, and its constraints can be satisfied.

    Attributes:
        notify: addresses that get a message at its end; secrets, so not part of the document.
    """

    name: str
    task: str
    dataset: DatasetReference
    objective: Objective
    budget: Budget
    search: Search
    pruning: Pruning
    resources: Resources
    space: Space
    catalog: Catalog
    requirements: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION
    notify: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], where: str, catalog: Catalog) -> Spec:
        """Read a search space that is already a mapping; messages refer to it as `where`.

        Raises:
            InputError: the first violation, with its place.
        """
        return read_spec(Document.of(document, where), lambda _: catalog)

    def with_gpus(self, gpus: float) -> Spec:
        """A copy with this share of a GPU for each device of a trial."""
        return replace(self, resources=self.resources.model_copy(update={"gpus": gpus}))

    def to_dict(self) -> dict[str, Any]:
        """The canonical document with all sections; `from_dict` restores an equal specification."""
        sections = {name: getattr(self, name).model_dump(mode="json") for name in SECTIONS}
        parameters = write_parameters(self.space, described=self.catalog.open)
        follows = self.space.fixed.get("epochs") == self.budget.epochs and not self.catalog.open
        if follows:  # it follows the budget, even if that changes
            parameters = {g: {n: v for n, v in named.items() if n != "epochs"} for g, named in parameters.items()}
        return {
            "schema_version": self.schema_version,
            "name": self.name,
            "task": self.task,
            "dataset": self.dataset if isinstance(self.dataset, str) else dict(self.dataset),
            **({REQUIREMENTS: list(self.requirements)} if self.requirements else {}),
            **(self.catalog.script.to_dict() if self.catalog.script else {}),
            **sections,
            **({METRICS: dict(self.catalog.metrics)} if self.catalog.open else {}),
            **({FLAT: True} if self.catalog.flat else {}),
            PARAMETERS: parameters,
            CONSTRAINTS: [constraint.text for constraint in self.space.constraints],
        }

    def to_yaml(self) -> str:
        """`to_dict` as a search space file."""
        return to_yaml(self.to_dict(), compact=True)

    def sha256(self) -> str:
        """Hash of the canonical document: equal for files that differ only in comments or explicit defaults."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def epochs_of(config: Mapping[str, Any], most: int) -> int:
    """How many epochs `config` trains: its own variable if the task has one, else `most`, the budget's."""
    return int(config.get("epochs", most))


def read_spec(
    document: Document, find_catalog: Callable[[Document], Catalog], overrides: Mapping[str, Any] | None = None
) -> Spec:
    """Read a search space against the catalog of its task.

    Args:
        find_catalog: the catalog of the task that the document names, see `tune_app.tasks.spec_file`.
        overrides: settings that override the file: dotted keys such as ``budget.trials``, and under ``parameters`` the
            variables to fix, by ``group.name``, as in ``--set`` (a string is read as the variable's type).

    Raises:
        InputError: the first violation, with file, line and key.
    """
    overrides = overrides or {}
    document = _override(document, overrides)
    for key in document.data:
        if key not in KEYS:
            raise unknown_key(key, KEYS, document.where(key))
    _check_version(document)
    name = read_text(document, "name")
    check_name("`name`", name, document.where("name"))
    catalog = find_catalog(document)
    if catalog.open:
        catalog = completed(catalog, document)
    _check_keys(document, catalog)
    dataset = NO_DATASET if catalog.open and "dataset" not in document.data else read_dataset(document)
    for key, value in overrides.get(PARAMETERS, {}).items():
        document = fix(document, catalog.variables, key, value)
    objective = _read_objective(document, catalog)
    budget = read_section(Budget, document, "budget")
    search = read_section(Search, document, "search")
    pruning = _read_pruning(document, objective)
    resources = read_section(Resources, document, "resources")
    _check_devices(resources, catalog, document)
    space = read_space(_with_epochs(document, catalog, budget), catalog)
    _check_searched(space, budget, document)
    _check_epochs(space, budget, document)
    _check_sampler(search, objective, space, document)
    return Spec(
        name=name,
        task=catalog.task,
        dataset=dataset,
        objective=objective,
        budget=budget,
        search=search,
        pruning=pruning,
        resources=resources,
        space=space,
        catalog=catalog,
        requirements=read_requirements(document),
        notify=read_webhooks(document),
    )


def _check_keys(document: Document, catalog: Catalog) -> None:
    """Reject keys of a function or a script if the task is something else."""
    kind = "a script" if catalog.script else "a function" if catalog.open else "a class"
    owners = {METRICS: ("a function", "a script"), FLAT: ("a function",), **dict.fromkeys(SCRIPT_KEYS, ("a script",))}
    for key, kinds in owners.items():
        if key in document.data and kind not in kinds:
            rule = f"`{key}` belongs to {' or '.join(kinds)}, but `{catalog.task}` is {kind}"
            hint = f"omit it, or write `task: {SCRIPT}`" if key in SCRIPT_KEYS else "omit it"
            raise InputError(rule, where=document.where(key), hint=hint)


def _override(document: Document, overrides: Mapping[str, Any]) -> Document:
    for key, value in overrides.items():
        if key != PARAMETERS:
            document = document.replaced(tuple(key.split(".")), value)
    return document


def _check_version(document: Document) -> None:
    found = document.data.get("schema_version")
    if found != SCHEMA_VERSION or isinstance(found, bool):
        raise InputError(
            f"`schema_version` must be {SCHEMA_VERSION}, but got {shown(found)}",
            where=document.where("schema_version"),
            hint=f"write `schema_version: {SCHEMA_VERSION}`, or use the version of tune-app that wrote the file",
        )


def read_dataset(document: Document) -> DatasetReference:
    """The data set as the document names it; the task decides whether it exists.

    Raises:
        InputError: there is none.
    """
    dataset: Any = document.data.get("dataset")
    return read_text(document, "dataset") if isinstance(dataset, str) or dataset is None else dataset


def read_text(document: Document, key: str) -> str:
    """The string under `key`.

    Raises:
        InputError: there is none.
    """
    value = document.data.get(key)
    if not isinstance(value, str) or not value:
        raise InputError(f"`{key}` must be a string, but got {shown(value)}", where=document.where(key))
    return value


def _read_objective(document: Document, catalog: Catalog) -> Objective:
    metric = document.mapping("objective").get("metric", next(iter(catalog.metrics)))
    if isinstance(metric, str) and metric not in catalog.metrics:
        raise InputError(
            f"`metric` must be a metric of the task, but got `{metric}`",
            where=document.where("objective", "metric"),
            hint=nearest(metric, catalog.metrics),
        )
    direction = catalog.metrics[metric] if isinstance(metric, str) else "maximize"
    known = {} if direction is None else {"direction": direction}
    objective = read_section(Objective, document, "objective", metric=metric, **known)
    if direction is not None and objective.direction != direction:
        raise InputError(
            f"`direction` must match the metric, but `{metric}` is better the other way",
            where=document.where("objective", "direction"),
            hint=f"write {direction}, or omit the key",
        )
    return objective


def _read_pruning(document: Document, objective: Objective) -> Pruning:
    pareto = objective.mode == "pareto"
    pruning = read_section(Pruning, document, "pruning", **({"scheduler": "none"} if pareto else {}))
    given = document.mapping("pruning")
    if pareto and pruning.level != "off" and ({"scheduler", "level"} & set(given)) and given.get("scheduler") != "none":
        key = "scheduler" if "scheduler" in given else "level"
        raise InputError(
            f"with mode pareto no single objective can stop a trial, but the {key} is `{given[key]}`",
            where=document.where("pruning", key),
            hint="write `scheduler: none` or omit the section; --pruning off does the same",
        )
    return pruning


def _check_devices(resources: Resources, catalog: Catalog, document: Document) -> None:
    if resources.devices == 1:
        return
    if not catalog.data_parallel:
        raise InputError(
            f"`devices` must be 1 for a task that cannot train on several devices, but got {resources.devices}, "
            f"and `{catalog.task}` does not set `data_parallel = True`",
            where=document.where("resources", "devices"),
            hint="docs/own_task.md explains how to enable it",
        )
    if resources.gpus not in (0, 1):
        raise InputError(
            f"`gpus` must be 0 or 1 if devices is above 1, because each device uses a whole GPU, but got "
            f"{resources.gpus}",
            where=document.where("resources", "gpus"),
        )


def _check_searched(space: Space, budget: Budget, document: Document) -> None:
    if not space.searched and budget.trials > 1:
        raise InputError(
            f"a sweep of {budget.trials} trials must search at least one variable, but every variable has a single "
            f"value",
            where=document.where(PARAMETERS),
            hint="give one a range, such as `learning_rate: {type: float, low: 1e-4, high: 0.1, log: true}`",
        )


def _check_sampler(search: Search, objective: Objective, space: Space, document: Document) -> None:
    """Reject a sampler that cannot search this space for this objective."""
    sampler, place = SAMPLERS[search.sampler], document.where("search", "sampler")
    if objective.mode == "pareto" and not sampler.many_objectives:
        able = ", ".join(name for name, strategy in SAMPLERS.items() if strategy.many_objectives)
        raise InputError(f"`{search.sampler}` optimizes one objective, but mode pareto has two", where=place, hint=able)
    if search.history not in ("auto", "none") and (search.sampler != "auto" or objective.mode == "pareto"):
        found = "mode pareto" if objective.mode == "pareto" else f"the sampler {search.sampler}"
        rule = f"`history` must be auto or none unless the sampler learns from it, but got {shown(search.history)}"
        where = document.where("search", "history")
        raise InputError(f"{rule} with {found}", where=where, hint="only the sampler auto learns from past studies")
    try:
        sampler.check(space)
    except InputError as error:
        raise InputError(error.message, where=place, hint=error.hint) from None


def _with_epochs(document: Document, catalog: Catalog, budget: Budget) -> Document:
    """Fix the variable `epochs` at the budget, if the task has one and the file does not set it."""
    variable = next((v for v in catalog.variables if v.name == "epochs"), None)
    if variable is None or "epochs" in document.mapping(PARAMETERS, variable.group):
        return document
    if not variable.domain.contains(budget.epochs):
        raise InputError(
            f"`epochs` must be {variable.domain.describe()}, but got {budget.epochs}",
            where=document.where("budget", "epochs"),
        )
    return document.replaced((PARAMETERS, variable.group, "epochs"), budget.epochs)


def _check_epochs(space: Space, budget: Budget, document: Document) -> None:
    if "epochs" not in space.by_name:
        return
    most: Any
    match space.searched.get("epochs"):
        case None:
            most = space.unsearched["epochs"]
        case Categorical(choices):
            most = max(choices)
        case domain:
            most = domain.high
    if most > budget.epochs:
        raise InputError(
            f"`epochs` must be at most budget.epochs ({budget.epochs}), but got {most}",
            where=document.where(PARAMETERS, space.by_name["epochs"].group, "epochs"),
            hint="raise budget.epochs, or lower the range of epochs",
        )
