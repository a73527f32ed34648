"""Configurations that satisfy a space's constraints: drawing them, repairing others, and checking whether any exist.

All loops are limited by a number of tries, never by the clock, so that the same seed gives the same configurations.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tune_app.errors import InputError
from tune_app.spaces.expression import Expression
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Categorical, Config, Domain, Value, count_values, values_of

CANDIDATES = 5
"""How many feasible configurations `repair` compares to pick the nearest."""
MAX_TRIES = 100_000
"""Draws after which `sample` and `repair` give up: about three seconds."""
REPAIR_TRIES = 250
"""Draws during which `repair` looks for more than one candidate: about ten milliseconds."""
WIDEN_AFTER = 100
"""Draws without a candidate after which `repair` may change more variables."""
MAX_ENUMERATED = 50_000
"""Up to this many configurations, `check_feasible` tries all of them instead of a sample."""
SAMPLED = 20_000
FIRST_LOOK = 500


def sample(space: Space, rng: np.random.Generator) -> Config:
    """Draw a configuration, uniform over those that satisfy the constraints.

    Variables that no constraint depends on are drawn once; the rest by rejection sampling.

    Raises:
        InputError: none of `MAX_TRIES` drawn met them.
    """
    return sample_some(space, rng, 1, MAX_TRIES)[0]


def sample_some(space: Space, rng: np.random.Generator, count: int, tries: int) -> list[Config]:
    """Draw `count` configurations as `sample` does; fewer if `tries` draws found at least one, but not that many.

    Raises:
        InputError: none of `MAX_TRIES` drawn met the constraints.
    """
    found: list[Config] = []
    bound = dependencies(space, space.constraints)
    params: dict[str, Value] = {}
    for attempt in range(MAX_TRIES):
        if len(found) == count or (found and attempt >= tries):
            return found
        names = bound if params else space.order
        params.update((name, space.searched[name].sample(rng)) for name in names)
        config = space.complete(params)
        if not space.violated(config):
            found.append(config)
            params = {}
    if found:
        return found
    raise _gave_up(space.constraints)


def repair(space: Space, config: Config, rng: np.random.Generator, candidates: int = CANDIDATES) -> Config:
    """A configuration near `config` that satisfies the constraints; `config` itself if it does.

    It is the nearest of up to `candidates`, each with the variables of broken constraints redrawn: with 1, the first
    one. The same `rng` state gives the same result.

    Raises:
        InputError: none of the many tried met them.
    """
    broken = space.violated(config)
    if not broken:
        return config
    params = {name: domain.sample(rng) for name, domain in space.searched.items()} | space.params_of(config)
    redrawn = dependencies(space, broken)
    seen: dict[Expression, None] = dict.fromkeys(broken)
    found: list[Config] = []
    for attempt in range(1, MAX_TRIES + 1):
        if len(found) == candidates or (found and attempt > candidates * REPAIR_TRIES // 5):
            return min(found, key=lambda candidate: distance(space, config, candidate))
        candidate = space.complete(params | {name: space.searched[name].sample(rng) for name in redrawn})
        newly = space.violated(candidate)
        if not newly:
            found.append(candidate)
        seen.update(dict.fromkeys(newly))
        if not found and attempt % WIDEN_AFTER == 0:
            redrawn = dependencies(space, seen)
    raise _gave_up(tuple(seen))


def nearest_to_defaults(space: Space) -> Config:
    """The feasible configuration in which every searched variable is nearest to the task's default."""
    config = space.fill(lambda name: space.searched[name].nearest(space.by_name[name].default))
    return repair(space, config, np.random.default_rng(0))


def smallest(space: Space) -> Config:
    """The feasible configuration with every searched number of the architecture at or near its low end."""
    return _extreme(space, low=True)


def largest(space: Space) -> Config:
    """The feasible configuration with every searched number of the architecture at or near its high end."""
    return _extreme(space, low=False)


def _extreme(space: Space, low: bool) -> Config:
    params = {name: _end(space, name, low) for name in space.searched}
    return repair(space, space.complete(params), np.random.default_rng(0), candidates=64)


def _end(space: Space, name: str, low: bool) -> Value:
    variable, domain = space.by_name[name], space.searched[name]
    if isinstance(domain, Categorical):
        numbers = [c for c in domain.choices if not isinstance(c, (bool, str))]
        ends: tuple[Value, Value] = (min(numbers), max(numbers)) if numbers else (domain.choices[0],) * 2
        is_number = bool(numbers)
    else:
        ends, is_number = (domain.low, domain.high), True
    if not (variable.group == "architecture" and is_number) and domain.contains(variable.default):
        return variable.default
    return ends[0] if low else ends[1]


def _gave_up(constraints: Sequence[Expression]) -> InputError:
    return InputError(
        f"a configuration must satisfy {_listed(constraints)}, but none of {MAX_TRIES:,} random draws does",
        where=constraints[0].text,
        hint="loosen the constraint, or narrow the ranges of its variables",
    )


def dependencies(space: Space, expressions: Iterable[Expression]) -> tuple[str, ...]:
    """The searched variables that `expressions` read, and those that their conditions read, in the space's order."""
    names: set[str] = set()
    new = space.searched_in(expressions)
    while new:
        names |= new
        new = space.searched_in(space.when[name] for name in new if name in space.when) - names
    return tuple(name for name in space.order if name in names)


def distance(space: Space, left: Mapping[str, Value], right: Mapping[str, Value]) -> float:
    """Distance of two configurations: 0..1 per searched variable, 1 if only one of them uses it."""
    a, b = space.params_of(left), space.params_of(right)
    both = sum(_gap(space.searched[name], a[name], b[name]) for name in a.keys() & b.keys())
    return both + len(a.keys() ^ b.keys())


def _gap(domain: Domain, left: Value, right: Value) -> float:
    if left == right:
        return 0.0
    if isinstance(domain, Categorical):
        return 1.0
    low, high, a, b = (float(x) for x in (domain.low, domain.high, left, right))
    if domain.log:
        low, high, a, b = (math.log(x) for x in (low, high, a, b))
    return abs(a - b) / (high - low)


def check_feasible(space: Space) -> None:
    """Reject constraints that no configuration can meet: each alone, then all together.

    Exact if the variables that they read have at most `MAX_ENUMERATED` combinations, otherwise `SAMPLED` are drawn.

    Raises:
        InputError: which constraint, or which together; `where` is the text of the first.
    """
    for constraint in space.constraints:
        _check_together(space, (constraint,))
    if len(space.constraints) > 1:
        _check_together(space, space.constraints)


def _check_together(space: Space, constraints: Sequence[Expression]) -> None:
    names = dependencies(space, constraints)
    size = math.prod(count_values(space.searched[name]) for name in names)
    drawn = _drawn(space, names)
    # Evaluate all of the first sample, so that an expression that fails for some values is found here.
    if sum(all(c(config) for c in constraints) for config in itertools.islice(drawn, FIRST_LOOK if names else 1)):
        return
    exact = size <= MAX_ENUMERATED
    rest = _enumerated(space, names) if exact else itertools.islice(drawn, SAMPLED - FIRST_LOOK)
    if any(all(c(config) for c in constraints) for config in rest):
        return
    tried = "no configuration satisfies" if exact else f"none of {SAMPLED:,} sampled configurations satisfies"
    raise InputError(
        f"constraints must leave at least one configuration, but {tried} {_listed(constraints)}",
        where=constraints[0].text,
        hint=f"it reads {_describe(space, constraints)}",
    )


def _drawn(space: Space, names: Sequence[str]) -> Iterator[Config]:
    rng = np.random.default_rng(0)
    params = {name: domain.sample(rng) for name, domain in space.searched.items()}
    while True:
        params.update((name, space.searched[name].sample(rng)) for name in names)
        yield space.complete(params)


def _enumerated(space: Space, names: Sequence[str]) -> Iterator[Config]:
    rng = np.random.default_rng(0)
    params = {name: domain.sample(rng) for name, domain in space.searched.items()}
    for combination in itertools.product(*(values_of(space.searched[name]) or () for name in names)):
        yield space.complete(params | dict(zip(names, combination, strict=True)))


def _describe(space: Space, constraints: Sequence[Expression]) -> str:
    names = sorted({name for constraint in constraints for name in constraint.names})
    said = {n: space.searched[n].describe() if n in space.searched else repr(space.unsearched[n]) for n in names}
    return "; ".join(f"{name}: {text}" for name, text in said.items())


def _listed(constraints: Sequence[Expression]) -> str:
    return " and ".join(f"`{constraint.text}`" for constraint in constraints)
