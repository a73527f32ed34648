"""Which searched variables mattered, by Optuna's fANOVA, how sure that is, and which way each one points."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial

from tune_app.errors import WorkFailed
from tune_app.readable import shown
from tune_app.results.review import config_of
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical, Domain

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study on stderr

LEAST_TRIALS = 10
"""Completed trials without which no importance is told, however few variables there are."""
TRIALS_PER_VARIABLE = 3
"""Completed trials that it takes for each searched variable.

`benchmarks/importance.py` draws samples from three tables of hundreds of trained configurations. With 3 trials a
variable the order of the variables correlates by 0.41, 0.80 and 0.75 with that of the whole table, with 1 by 0.22, 0.46
and 0.47; the largest is among the table's three largest in 50, 100 and 75 percent of the samples, with 1 in 50, 62 and
62. More would be better, but few sweeps would ever show a figure; the error bars tell the rest.
"""
SEEDS = 5
"""Forests, each with a seed of its own; their spread is the error bar."""
TREES = 16
"""Of a forest: with `SEEDS` of them a few more than the 64 of Optuna's default."""
CERTAIN = 0.05
"""How often, at most, ranks without any direction would show one as clear as this."""
BINS = 3
"""Parts of a numeric variable's values, of which the middle one may be best."""
UNCLEAR = "no clear direction"


@dataclass(frozen=True)
class Importance:
    """How much one searched variable mattered.

    Attributes:
        share: of the objective's variance over the completed trials, the mean over the forests; all add up to 1.
        low: the smallest share among the forests.
        high: the largest one.
        direction: what its ranks say: ``higher is better``, ``lower is better``, ``best: adamw``, ``best: 0.001 to
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
    the trials, so the spread over the forests also says how much a figure hangs on single trials. A variable that was
    not active has the value that the trial ran with, the task's default. Pruned trials are left out: their figures are
    of fewer epochs. The same trials give the same figures.

    Args:
        trials: of the study of `spec`, as `tune_app.results.review` gives them.
        most: completed trials that count, drawn at random with a fixed seed if there are more; the time grows faster
            than their number. None for all.

    Raises:
        WorkFailed: fewer than `needed_trials` completed, or all have the same objective.
    """
    completed = trials[(trials["state"] == "COMPLETED") & trials["objective"].notna()]
    needed, variables = needed_trials(spec), len(spec.space.searched)
    if len(completed) < needed:
        raise WorkFailed(
            f"importances of {variables} variables need {needed} completed trials, but the study has {len(completed)}",
            hint=f"`tune-app resume {spec.name} --trials N` adds more",
        )
    if completed["objective"].nunique() == 1:
        raise WorkFailed("importances need trials that differ, but all completed ones have the same objective")
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
    """Completed trials that importances of this space take: `TRIALS_PER_VARIABLE` of each, at least `LEAST_TRIALS`."""
    return max(LEAST_TRIALS, TRIALS_PER_VARIABLE * len(spec.space.searched))


def _as_study(spec: Spec, completed: pd.DataFrame) -> optuna.Study:
    distributions = spec.space.distributions()
    study = optuna.create_study(direction=spec.objective.direction)
    for _, row in completed.iterrows():
        config = config_of(row, spec.space.variables)
        # A default may lie outside the range that was searched: it then stands for "not active".
        params = {name: spec.space.searched[name].nearest(config[name]) for name in distributions}
        study.add_trial(
            create_trial(state=TrialState.COMPLETE, params=params, distributions=distributions, value=row["objective"])
        )
    return study


def direction(spec: Spec, completed: pd.DataFrame, name: str) -> str:
    """Which values of the searched variable `name` are better, by ranks over the trials in which it was active.

    For choices whether they differ (Kruskal and Wallis 1952); for numbers whether the thirds of the values do and the
    middle one is best, and otherwise Spearman's correlation with the objective. What chance shows as clearly in
    more than `CERTAIN` of all cases is not told: ``no clear direction``.
    """
    from scipy.stats import kruskal, spearmanr  # with scikit-learn, which the forests need too

    rows = completed[active_rows(spec, completed, name)]
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
    if best == f"best: {spans[BINS // 2]}":  # a correlation would tell which end falls more slowly
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


def active_rows(spec: Spec, trials: pd.DataFrame, name: str) -> pd.Series[bool]:
    """Whether the searched variable `name` had an effect in each of the `trials`.

    Conditions read few values, mostly choices, so each combination is worked out once.
    """
    read = [other for other in spec.space.order if other in _read(spec, name)]
    if name not in spec.space.when:
        return pd.Series(True, index=trials.index)
    fixed = dict(spec.space.unsearched)
    rows = trials[[spec.space.by_name[other].column for other in read]]
    known: dict[tuple[Hashable, ...], bool] = {}
    active = []
    for values in rows.itertuples(index=False, name=None):
        if values not in known:
            known[values] = spec.space.active(name, {**fixed, **dict(zip(read, map(_plain, values), strict=True))})
        active.append(known[values])
    return pd.Series(active, index=trials.index, dtype=bool)


def _read(spec: Spec, name: str) -> set[str]:
    """The searched variables that the condition of `name`, and theirs, read."""
    condition = spec.space.when.get(name)
    direct = spec.space.searched_in([condition]) if condition else set()
    return direct.union(*(_read(spec, other) for other in direct))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def by_association(spec: Spec, trials: pd.DataFrame) -> list[str]:
    """The searched variables, those first with which the objective's rank goes along most: at once, and by each alone.

    For numbers the square of Spearman's correlation, for choices the share of the ranks' variance between them. It is
    for putting variables in an order; `importances` says how much they matter.
    """
    rows = trials[trials["objective"].notna()]
    ranks = rows["objective"].rank()
    strengths = {
        name: _association(domain, ranks, rows[spec.space.by_name[name].column])
        for name, domain in spec.space.searched.items()
    }
    return sorted(strengths, key=lambda name: -strengths[name])


def _association(domain: Domain, ranks: pd.Series[Any], values: pd.Series[Any]) -> float:
    if isinstance(domain, Categorical):
        found = ranks.groupby(values.astype(str)).transform("mean").var() / ranks.var()
    else:
        found = ranks.corr(values.astype(float).rank()) ** 2 if values.nunique() > 1 else 0.0
    return 0.0 if pd.isna(found) else float(found)
