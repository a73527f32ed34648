"""A search space: which variables of a task are searched and how, which are fixed, and their constraints."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from optuna.distributions import BaseDistribution

from tune_app.errors import InputError
from tune_app.spaces.catalog import Catalog, as_member, check_value, find_variable, parse_value
from tune_app.spaces.distribution import to_optuna
from tune_app.spaces.expression import Expression
from tune_app.spaces.variable import Config, Domain, Value, Variable


@dataclass(frozen=True)
class Space:
    """The variables of a task and the role of each in a sweep.

    A configuration (`Config`) has every variable of the catalog; parameters (`params`) are only the searched
    variables that are active, as Optuna sees them. A searched variable is active if its condition holds and
    every searched variable that the condition reads is itself active; otherwise it has the task's default.

    Attributes:
        variables: the task's whole catalog, in its order.
        searched: the domain of each searched variable.
        fixed: the value of each variable that the file fixes.
        when: the condition of each searched variable that has one.
        constraints: those that every configuration must satisfy, including the task's own.
        remarks: possible mistakes in the file that this was read from.
    """

    variables: tuple[Variable, ...]
    searched: Mapping[str, Domain]
    fixed: Mapping[str, Value]
    when: Mapping[str, Expression]
    constraints: tuple[Expression, ...]
    remarks: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of_catalog(cls, catalog: Catalog, constraints: Iterable[str] = ()) -> Space:
        """The space in which nothing is searched, with more `constraints`: for checking configurations of a task."""
        texts = dict.fromkeys([*catalog.constraints, *constraints])
        return cls(catalog.variables, {}, {}, {}, tuple(map(Expression.parse, texts)))

    @cached_property
    def by_name(self) -> Mapping[str, Variable]:
        """The catalog by name."""
        return {v.name: v for v in self.variables}

    @cached_property
    def unsearched(self) -> Config:
        """Every variable of the catalog, in its order: the fixed values, and the task's defaults for the rest."""
        return {v.name: as_member(v.domain, self.fixed.get(v.name, v.default)) for v in self.variables}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The searched names, each after those that its condition reads.

        Raises:
            InputError: conditions in a cycle; `where` is the text of a condition in the cycle.
        """
        conditions = {name: [self.when[name]] if name in self.when else [] for name in self.searched}
        reads = {name: sorted(self.searched_in(conditions[name])) for name in self.searched}
        try:
            return tuple(graphlib.TopologicalSorter(reads).static_order())
        except graphlib.CycleError as error:
            circle = " -> ".join(error.args[1])
            raise InputError(
                f"conditions must not depend on each other in a cycle, but got {circle}",
                where=self.when[error.args[1][0]].text,
                hint=f"remove `when` from one of {', '.join(sorted(set(error.args[1])))}",
            ) from None

    def searched_in(self, expressions: Iterable[Expression]) -> set[str]:
        """The searched variables that `expressions` read."""
        return {name for expression in expressions for name in expression.names if name in self.searched}

    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution of each searched variable, in `order`."""
        return {name: to_optuna(self.searched[name]) for name in self.order}

    @cached_property
    def conditions(self) -> Mapping[str, Expression]:
        """The condition of each variable that has one: of a searched one as in `when`, of others the task's own."""
        own = {v.name: Expression.parse(v.when) for v in self.variables if v.when and v.name not in self.searched}
        return {**own, **self.when}

    def active(self, name: str, config: Mapping[str, Value]) -> bool:
        """Whether the variable `name` has an effect in `config`."""
        condition = self.conditions.get(name)
        if condition is None:
            return True
        return all(self.active(n, config) for n in self.searched_in([condition])) and bool(condition(config))

    def deciding(self, name: str) -> set[str]:
        """The searched variables whose values decide whether the variable `name` has an effect."""
        condition = self.conditions.get(name)
        direct = self.searched_in([condition]) if condition else set()
        return direct.union(*(self.deciding(other) for other in direct))

    def complete(self, params: Mapping[str, Value]) -> Config:
        """The full configuration for the values of the active searched variables; others in `params` are ignored.

        A variable that is not in `params` keeps the task's default.
        """
        return self.fill(lambda name: params.get(name, self.unsearched[name]))

    def fill(self, choose: Callable[[str], Value]) -> Config:
        """The full configuration made by `choose`, which is called in `order`, for active searched variables only."""
        config = dict(self.unsearched)
        off: set[str] = set()
        for name in self.order:
            condition = self.when.get(name)
            if condition is None or (off.isdisjoint(condition.names) and condition(config)):
                config[name] = as_member(self.by_name[name].domain, choose(name))
            else:
                off.add(name)
        return config

    def params_of(self, config: Mapping[str, Value]) -> dict[str, Value]:
        """The active searched variables of `config`, in `order`; `complete` is the inverse."""
        return {n: as_member(self.searched[n], config[n]) for n in self.order if self.active(n, config)}

    def fitted(self, config: Mapping[str, Value]) -> Config | None:
        """`config` with this space's fixed values; None if a searched value is out of range or a constraint fails."""
        params = {name: config[name] for name in self.searched if name in config}
        # Another task may have a variable of the same name and another kind.
        if set(params) != set(self.searched) or not all(self.by_name[n].domain.contains(v) for n, v in params.items()):
            return None
        complete = self.complete(params)
        if not all(self.searched[n].contains(complete[n]) for n in self.order if self.active(n, complete)):
            return None
        return None if self.violated(complete) else complete

    def violated(self, config: Mapping[str, Value]) -> list[Expression]:
        """The constraints that `config` does not satisfy."""
        return [constraint for constraint in self.constraints if not constraint(config)]

    def validate(self, config: Mapping[str, object], where: str = "") -> Config:
        """Check a full configuration against the catalog and the constraints; returns it in the catalog's order.

        Raises:
            InputError: an unknown or missing variable, a value outside its domain, or an unsatisfied constraint.
        """
        prefix = f"{where} " if where else ""
        for name in config:
            find_variable(name, self.variables, f"{prefix}{name}")
        missing = [name for name in self.by_name if name not in config]
        if missing:
            raise InputError(
                f"a configuration must have every variable, but {', '.join(missing)} is missing", where=where
            )
        checked = {v.name: check_value(v, config[v.name], f"{prefix}{v.key}") for v in self.variables}
        for constraint in self.violated(checked):
            raise InputError(
                f"the constraint `{constraint.text}` must hold, but got {constraint.show_values(checked)}", where=where
            )
        return checked

    def parse_value(self, name: str, text: str, where: str = "") -> Value:
        """Read a shell's `text` as a value of the variable `name` (or ``group.name``).

        Raises:
            InputError: an unknown variable, or a value outside its domain.
        """
        return parse_value(find_variable(name, self.variables, where), text, where)
