"""A draft: a configuration while a person edits it, with what every field stands at and what is wrong there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from tune_app.errors import InputError
from tune_app.profiles.profile import Profile
from tune_app.spaces.catalog import check_value, parse_value
from tune_app.spaces.expression import Expression
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Categorical, Config, Domain, Value, Variable


@dataclass(frozen=True)
class DraftField:
    """One variable of a draft.

    Attributes:
        found: the value before anything was entered.
        entered: what stands there now, which may be no value of the variable.
        value: what would be saved; the one found where what stands there is none.
        problems: what is wrong with it in words; empty where nothing is.
        applies: whether the variable has an effect beside the other values.
        searched: where the sweep searched it; None where it did not.
    """

    variable: Variable
    found: Value
    entered: Value
    value: Value
    problems: tuple[str, ...]
    applies: bool
    searched: Domain | None

    @property
    def changed(self) -> bool:
        """Whether something else than what was found stands there."""
        return self.value != self.found or (bool(self.problems) and self.entered != self.found)


@dataclass(frozen=True)
class Draft:
    """A profile that is being edited; every change makes another draft.

    Attributes:
        found: the configuration that it began with.
        space: the task's catalog with the constraints that must hold; where the configuration comes from a study,
            what that searched and under which conditions.
        entered: what was entered, by variable; a text is read as the variable's type.
    """

    found: Profile
    space: Space
    entered: Mapping[str, Value] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def of(cls, found: Profile, space: Space | None = None) -> Draft:
        """A draft of `found` in which nothing is changed.

        Args:
            space: of the study that it was found in; its task's catalog alone for None.
        """
        own = found.space()
        if space is not None:
            own = replace(own, searched=space.searched, when=space.when)
        return cls(found, own, note=found.note)

    def with_entry(self, name: str, entered: Value) -> Draft:
        """This draft with something else entered for the variable `name`."""
        return replace(self, entered={**self.entered, name: entered})

    def without_entry(self, name: str) -> Draft:
        """This draft with the variable `name` as it was found."""
        return replace(self, entered={key: value for key, value in self.entered.items() if key != name})

    def reset(self) -> Draft:
        """This draft as it began."""
        return replace(self, entered={}, note=self.found.note)

    @cached_property
    def fields(self) -> dict[str, DraftField]:
        """Every variable of the task, by name."""
        values = {variable.name: self._read(variable) for variable in self.space.variables}
        config = {name: value for name, (value, _) in values.items()}
        problems = {name: [problem] if problem else [] for name, (_, problem) in values.items()}
        for text, names in self._broken(config, {name for name, found in problems.items() if found}):
            for name in names:
                problems[name].append(text)
        return {
            variable.name: DraftField(
                variable=variable,
                found=self.found.config[variable.name],
                entered=self.entered.get(variable.name, self.found.config[variable.name]),
                value=config[variable.name],
                problems=tuple(problems[variable.name]),
                applies=self._applies(variable, config),
                searched=self.space.searched.get(variable.name),
            )
            for variable in self.space.variables
        }

    @property
    def changed(self) -> list[DraftField]:
        """The fields that were changed."""
        return [found for found in self.fields.values() if found.changed]

    @property
    def problems(self) -> list[str]:
        """All that is wrong, each once."""
        return list(dict.fromkeys(problem for found in self.fields.values() for problem in found.problems))

    def profile(self, name: str) -> Profile:
        """The draft as a profile that may be saved under `name`.

        Raises:
            InputError: a value does not fit, or a constraint does not hold.
        """
        edits = {found.variable.key: self.entered[found.variable.name] for found in self.changed}
        return replace(self.found.edited(edits), name=name, note=self.note)

    def _read(self, variable: Variable) -> tuple[Value, str]:
        """The value of a variable, and what is wrong with what was entered."""
        found = self.found.config[variable.name]
        entered = self.entered.get(variable.name, found)
        try:
            if isinstance(entered, str) and not isinstance(variable.domain, Categorical):
                return parse_value(variable, entered.strip()), ""
            return check_value(variable, entered), ""
        except InputError as error:
            return found, f"{error.message}."

    def _broken(self, config: Config, invalid: set[str]) -> list[tuple[str, frozenset[str]]]:
        """The constraints that do not hold, in words, with the variables they read; not those of invalid values."""
        broken = []
        for constraint in self.space.constraints:
            if constraint.names & invalid:
                continue
            try:
                if constraint(config):
                    continue
                text = f"the constraint `{constraint.text}` must hold, but got {constraint.show_values(config)}."
            except InputError as error:
                text = f"{error.message}."
            broken.append((text, constraint.names))
        return broken

    def _applies(self, variable: Variable, config: Config) -> bool:
        own = variable.when is None or bool(Expression.parse(variable.when)(config))
        return own and (variable.name not in self.space.searched or self.space.active(variable.name, config))
