"""A draft: a configuration being edited, with each field's value and its problems."""

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
        found: the original value.
        entered: the current input, which may be invalid.
        value: the value to save; the original one if the input is invalid.
        problems: what is wrong with it, in words; empty if nothing is.
        applies: whether the variable has an effect, given the other values.
        searched: the range that the sweep searched; None if it was fixed.
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
        """Whether the input differs from the original value."""
        return self.value != self.found or (bool(self.problems) and self.entered != self.found)


@dataclass(frozen=True)
class Draft:
    """A profile being edited; every change creates a new draft.

    Attributes:
        found: the original configuration.
        space: the task's catalog with the constraints; for a configuration from a study, also its searched ranges and
            conditions.
        entered: the input by variable; a string is parsed as the variable's type.
    """

    found: Profile
    space: Space
    entered: Mapping[str, Value] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def of(cls, found: Profile, space: Space | None = None) -> Draft:
        """A draft of `found` without changes.

        Args:
            space: of the study it came from; None to use only its task's catalog.
        """
        own = found.space()
        if space is not None:
            own = replace(own, searched=space.searched, when=space.when)
        return cls(found, own, note=found.note)

    def with_entry(self, name: str, entered: Value) -> Draft:
        """This draft with a new input for the variable `name`."""
        return replace(self, entered={**self.entered, name: entered})

    def without_entry(self, name: str) -> Draft:
        """This draft with the original value of the variable `name`."""
        return replace(self, entered={key: value for key, value in self.entered.items() if key != name})

    def reset(self) -> Draft:
        """The original draft."""
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
        """The changed fields."""
        return [found for found in self.fields.values() if found.changed]

    @property
    def problems(self) -> list[str]:
        """All problems, without duplicates."""
        return list(dict.fromkeys(problem for found in self.fields.values() for problem in found.problems))

    def profile(self, name: str) -> Profile:
        """The draft as a profile to save under `name`.

        Raises:
            InputError: a value does not fit, or a constraint does not hold.
        """
        edits = {found.variable.key: self.entered[found.variable.name] for found in self.changed}
        return replace(self.found.edited(edits), name=name, note=self.note)

    def _read(self, variable: Variable) -> tuple[Value, str]:
        """The value of a variable, and the problems of its input."""
        found = self.found.config[variable.name]
        entered = self.entered.get(variable.name, found)
        try:
            if isinstance(entered, str) and not isinstance(variable.domain, Categorical):
                return parse_value(variable, entered.strip()), ""
            return check_value(variable, entered), ""
        except InputError as error:
            return found, f"{error.message}."

    def _broken(self, config: Config, invalid: set[str]) -> list[tuple[str, frozenset[str]]]:
        """The violated constraints, in words, with the variables they read; without those of invalid values."""
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
        # A search space may replace the task's own condition; the task still ignores the variable.
        own = variable.when is None or bool(Expression.parse(variable.when)(config))
        return own and self.space.active(variable.name, config)
