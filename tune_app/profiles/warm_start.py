"""Warm start: configurations from a profile or a study's best trials, adapted to another space."""

from __future__ import annotations

from tune_app.errors import InputError, nearest
from tune_app.folder import Folder
from tune_app.profiles.profiles import Profiles, shipped_profiles
from tune_app.results.review import config_of, ranked_trials
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Config
from tune_app.store.store import study_names
from tune_app.store.study import Study

BEST = 3
"""How many of a study's best trials to try."""


def starting_configs(spec: Spec, folder: Folder, profiles: Profiles) -> list[Config]:
    """The configurations in ``start_from``, in order, without duplicates.

    Raises:
        InputError: a name is neither a profile nor a study, or none of its configurations fits the space.
    """
    found: list[Config] = []
    for name in spec.search.start_from:
        candidates = _configs(name, folder, profiles)
        fitting = [c for config in candidates if (c := spec.space.fitted(config)) is not None]
        if not fitting:
            raise InputError(
                f"`{name}` has no configuration within the space {spec.name}",
                where="search.start_from",
                hint="widen the ranges of the space, or start from something else",
            )
        for config in fitting:
            if config not in found:
                found.append(config)
    return found


def _configs(name: str, folder: Folder, profiles: Profiles) -> list[Config]:
    if name in profiles.names():
        return [profiles.load(name).config]
    studies = study_names(folder)
    if name not in studies and (shipped := shipped_profiles().get(name)):
        return [shipped.config]
    if name not in studies:
        raise InputError(
            f"`start_from` must list profiles or studies, but got `{name}`",
            where="search.start_from",
            hint=nearest(name, [*profiles.names(), *studies]),
        )
    study = Study(folder, name)
    variables = study.catalog().variables
    ranked = ranked_trials(study)
    return [config_of(row, variables) for _, row in ranked[ranked["state"] == "COMPLETED"].head(BEST).iterrows()]
