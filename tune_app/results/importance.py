"""Which searched variables mattered, by Optuna's fANOVA, how certain that is, and in which direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial
from scipy.special import fdtrc

from tune_app.errors import WorkFailed
from tune_app.readable import counted, shown
from tune_app.results.effect import active_rows
from tune_app.results.review import config_of
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical, Domain

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it logs every study on stderr

LEAST_TRIALS = 10
"""Minimum completed trials for importances, no matter how few variables there are."""
TRIALS_PER_VARIABLE = 3
"""Minimum completed trials per searched variable.

`benchmarks/importance.py` draws samples from three tables of hundreds of trained configurations. With 3 trials a
variable the order of the variables correlates by 0.41, 0.80 and 0.75 with that of the whole table, with 1 by 0.22, 0.46
and 0.47; the largest is among the table's three largest in 50, 100 and 75 percent of the samples, with 1 in 50, 62 and
62. More would be better, but few sweeps would ever show importances; the error bars show the rest.
"""
SEEDS = 5
"""Number of forests, each with its own seed; their spread is the error bar."""
TREES = 16
"""Trees per forest: with `SEEDS` forests, slightly more than the 64 of Optuna's default."""
CERTAIN = 0.05
"""Maximum probability that ranks without any direction would look as clear as this."""
BINS = 3
"""Number of bins of a numeric variable's values, of which the middle one may be best."""
UNCLEAR = "no clear direction"
QUANTILES = 5
"""Groups of a numeric variable's values whose ranks are compared, with at least `LEAST_GROUP` trials in each."""
LEAST_GROUP = 4
CHANCE = 0.05
"""Maximum probability that any variable of a space without effects appears above chance, split equally between the
variables (Bonferroni; Dunn 1961)."""


@dataclass(frozen=True)
class Association:
    """How strongly the order of the trials is associated with one searched variable.

    Attributes:
        strength: share of the variance of all trials' ranks that its values explain, 0 or more.
        clear: whether it is above chance, by an F-test on the ranks (Conover and Iman 1981).
    """

    strength: float
    clear: bool


@dataclass(frozen=True)
class Importance:
    """How much one searched variable mattered.

    Attributes:
        share: of the objective's variance over the completed trials, the mean over the forests; all add up to 1.
        low: the smallest share among the forests.
        high: the largest one.
        direction: according to its ranks: ``higher is better``, ``lower is better``, ``best: adamw``, ``best: 0.001 to
            0.02``, or ``no clear direction``.
    """

    share: float
    low: float
    high: float
    direction: str


def importance(spec: Spec, trials: pd.DataFrame, most: int | None = None) -> dict[str, float]:
    """The shares of `importances`, largest first.

    Raises:
        WorkFailed: as `importances` does.
    """
    return {name: found.share for name, found in importances(spec, trials, most).items()}


def importances(spec: Spec, trials: pd.DataFrame, most: int | None = None) -> dict[str, Importance]:
    """How much of the objective's variance over the completed trials each searched variable explains, largest first.

    Hutter, Hoos and Leyton-Brown (2014), as Optuna computes it, by `SEEDS` forests. Each tree sees its own resample of
    the trials, so the spread over the forests also shows how much a share depends on single trials. A variable that was
    not active has the value that the trial ran with, the task's default. Pruned trials are left out: their metrics come
    from fewer epochs. The same trials give the same shares.

    Args:
        trials: of the study of `spec`, as `tune_app.results.review` returns them.
        most: completed trials to use at most, drawn at random with a fixed seed; the time grows faster than their
            number. None for all.

    Raises:
        WorkFailed: fewer than `needed_trials` completed, or all have the same objective.
    """
    completed = trials[(trials["state"] == "COMPLETED") & trials["objective"].notna()]
    needed, variables = needed_trials(spec), len(spec.space.searched)
    if len(completed) < needed:
        raise WorkFailed(
            f"importances of {counted(variables, 'variable')} need {needed} completed trials, but the study has "
            f"{len(completed)}",
            hint=f"`tune-app resume {spec.name} --trials N` adds more",
        )
    if completed["objective"].nunique() == 1:
        raise WorkFailed("importances need trials that differ, but all completed trials have the same objective")
    if most is not None and len(completed) > most:
        completed = completed.sample(most, random_state=0)
    study = _as_study(spec, completed)
    forests = pd.DataFrame(
        [
            get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=TREES, seed=seed))
            for seed in range(SEEDS)
        ]
    )
    means = forests.mean().sort_values(ascending=False, kind="stable")
    return {
        str(name): Importance(
            float(share), float(forests[name].min()), float(forests[name].max()), direction(spec, completed, str(name))
        )
        for name, share in means.items()
    }


def needed_trials(spec: Spec) -> int:
    """Completed trials needed for importances of this space: `TRIALS_PER_VARIABLE` of each, at least `LEAST_TRIALS`."""
    return max(LEAST_TRIALS, TRIALS_PER_VARIABLE * len(spec.space.searched))


def _as_study(spec: Spec, completed: pd.DataFrame) -> optuna.Study:
    distributions = spec.space.distributions()
    study = optuna.create_study(direction=spec.objective.direction)
    for _, row in completed.iterrows():
        config = config_of(row, spec.space.variables)
        # A default may be outside the searched range: then it means "not active".
        params = {name: spec.space.searched[name].nearest(config[name]) for name in distributions}
        study.add_trial(
            create_trial(state=TrialState.COMPLETE, params=params, distributions=distributions, value=row["objective"])
        )
    return study


def direction(spec: Spec, completed: pd.DataFrame, name: str) -> str:
    """Which values of the searched variable `name` are better, by ranks over the trials in which it was active.

    For choices: whether they differ (Kruskal and Wallis 1952). For numbers: whether the thirds of the values differ and
    the middle one is best, otherwise Spearman's correlation with the objective. If chance would look as clear in more
    than `CERTAIN` of all cases, the result is ``no clear direction``.
    """
    from scipy.stats import kruskal, spearmanr  # comes with scikit-learn, which the forests also need

    rows = completed[active_rows(spec.space, completed, name)]
    values = rows[spec.space.by_name[name].column]
    goodness = rows["objective"].astype(float) * (1 if spec.objective.direction == "maximize" else -1)
    if values.nunique() < 2 or goodness.nunique() < 2:
        return UNCLEAR
    if isinstance(spec.space.searched[name], Categorical):
        return _best_group(goodness, values.astype(str), kruskal)
    numbers = values.astype(float)
    parts = pd.qcut(numbers.rank(method="first"), BINS, labels=False)
    spans = [f"{shown(float(held.min()))} to {shown(float(held.max()))}" for _, held in numbers.groupby(parts)]
    best = _best_group(goodness, parts.map(dict(enumerate(spans))), kruskal)
    if best == f"best: {spans[BINS // 2]}":  # a correlation would only show which end falls more slowly
        return best
    correlation = spearmanr(numbers, goodness)
    if correlation.pvalue < CERTAIN:
        return "higher is better" if correlation.statistic > 0 else "lower is better"
    return UNCLEAR


def _best_group(goodness: pd.Series[Any], groups: pd.Series[Any], test: Callable[..., Any]) -> str:
    """``best: GROUP`` by the mean rank, if the groups differ by more than chance."""
    parts = [held for _, held in goodness.groupby(groups)]
    if len(parts) < 2 or test(*parts).pvalue >= CERTAIN:
        return UNCLEAR
    return f"best: {goodness.rank().groupby(groups).mean().idxmax()}"


def by_association(spec: Spec, trials: pd.DataFrame) -> list[str]:
    """The searched variables, those most associated with the order of the trials first: see `associations`."""
    return list(associations(spec, trials))


def associations(spec: Spec, trials: pd.DataFrame) -> dict[str, Association]:
    """How strongly the order of the trials is associated with each single searched variable, strongest first; fast.

    Completed trials are ordered by their objective; pruned ones follow, by the epochs they reached and then by their
    objective, which compares only trials with the same number of epochs. This matches successive halving: a trial that
    it stops was worse at that epoch than most that continue (Jamieson and Talwalkar 2016; Li et al. 2020, section 3,
    count the few exceptions if trials do not wait for one another). Other trials and values without effect are left
    out.

    A variable's values form groups, numbers by quantiles, so a best value in the middle counts as much as one at an
    end. Its strength is the share of the variance of the ranks between groups, corrected for chance (epsilon squared,
    Kelley 1935; the least biased of its kind in Okada 2013). It orders variables; `importances` shows how much they
    matter.

    Args:
        trials: rows with ``state``, ``epochs``, ``objective`` and the searched variables.
    """
    pruned = trials["state"] == "PRUNED"
    rows = trials[trials["objective"].notna() & (pruned | (trials["state"] == "COMPLETED"))]
    ranks = _order(spec, rows)
    limit = CHANCE / max(1, len(spec.space.searched))
    found = {}
    for name, domain in spec.space.searched.items():
        values = rows[spec.space.by_name[name].column]
        counted = active_rows(spec.space, rows, name) & values.notna()  # the variable may be new in the task
        found[name] = _association(ranks, ranks[counted.to_numpy()], _groups(domain, values[counted]), limit)
    return dict(sorted(found.items(), key=lambda pair: -pair[1].strength))


def _order(spec: Spec, rows: pd.DataFrame) -> NDArray[np.float64]:
    """The rank of each trial, larger is better; ties share their mean rank."""
    completed = (rows["state"] == "COMPLETED").to_numpy()
    reached = np.where(completed, 0, rows["epochs"])
    goodness = rows["objective"].to_numpy(float) * (1 if spec.objective.direction == "maximize" else -1)
    keys = np.column_stack([completed, reached, goodness]).astype(float)
    _, places = np.unique(keys, axis=0, return_inverse=True)
    return np.asarray(pd.Series(places.ravel()).rank(), dtype=float)


def _groups(domain: Domain, values: pd.Series[Any]) -> NDArray[np.int64]:
    """The index of each value's group: its choice, its number if there are few, or its quantile."""
    if isinstance(domain, Categorical):
        return np.asarray(pd.factorize(values.astype(str))[0])
    numbers = values.astype(float)
    if numbers.nunique() <= QUANTILES:
        return np.asarray(pd.factorize(numbers)[0])
    parts = max(1, min(QUANTILES, len(numbers) // LEAST_GROUP))
    return np.asarray(pd.qcut(numbers, parts, labels=False, duplicates="drop"))


def _association(
    every: NDArray[np.float64], ranks: NDArray[np.float64], groups: NDArray[np.int64], limit: float
) -> Association:
    """Of the ranks of the trials in which the variable had an effect, in `groups`, among the ranks of `every` trial."""
    _, groups, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    freedom = len(groups) - len(sizes)
    if len(sizes) < 2 or freedom < 1 or np.ptp(ranks) == 0:
        return Association(0.0, False)
    means = np.bincount(groups, weights=ranks) / sizes
    between = float((sizes * (means - ranks.mean()) ** 2).sum())
    within = float(((ranks - means[groups]) ** 2).sum())
    by_chance = (len(sizes) - 1) * within / freedom
    strength = max(0.0, between - by_chance) / float(((every - every.mean()) ** 2).sum())
    chance = float(fdtrc(len(sizes) - 1, freedom, between / by_chance)) if by_chance else 0.0
    return Association(strength, chance < limit)
