"""Which searched variables mattered, by Optuna's fANOVA."""

from __future__ import annotations

import optuna
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial

from tune_app.errors import WorkFailed
from tune_app.results.review import config_of
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study on stderr

LEAST_TRIALS = 4
"""With fewer completed trials a forest tells noise; the number is a judgement."""
TREES = 64
"""As Optuna's own default."""


def importance(spec: Spec, trials: pd.DataFrame, most: int | None = None) -> dict[str, float]:
    """Share of the objective's variance over the completed trials that each searched variable explains, largest first.

    Hutter, Hoos and Leyton-Brown (2014), as Optuna computes it. A variable that was not active has the value that the
    trial ran with, the task's default. Pruned trials are left out: their figures are of fewer epochs. The shares add
    up to 1, and are the same for the same trials.

    Args:
        trials: of the study of `spec`, as `tune_app.results.review` gives them.
        most: completed trials that count, drawn at random with a fixed seed where there are more; the time grows faster
            than their number. None for all.

    Raises:
        WorkFailed: fewer than `LEAST_TRIALS` trials completed, or all have the same objective.
    """
    completed = trials[(trials["state"] == "COMPLETED") & trials["objective"].notna()]
    if len(completed) < LEAST_TRIALS:
        raise WorkFailed(
            f"importances need {LEAST_TRIALS} completed trials, but the study has {len(completed)}",
            hint=f"`tune-app resume {spec.name} --trials N` adds more",
        )
    if completed["objective"].nunique() == 1:
        raise WorkFailed("importances need trials that differ, but all completed ones have the same objective")
    if most is not None and len(completed) > most:
        completed = completed.sample(most, random_state=0)
    distributions = spec.space.distributions()
    study = optuna.create_study(direction=spec.objective.direction)
    for _, row in completed.iterrows():
        config = config_of(row, spec.space.variables)
        # A default may lie outside the range that was searched, where it stands for "not active".
        params = {name: spec.space.searched[name].nearest(config[name]) for name in distributions}
        study.add_trial(
            create_trial(state=TrialState.COMPLETE, params=params, distributions=distributions, value=row["objective"])
        )
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=TREES, seed=0))


def by_association(spec: Spec, trials: pd.DataFrame) -> list[str]:
    """The searched variables, those first with which the objective's rank goes along most: at once, and by each alone.

    For numbers the square of Spearman's correlation, for choices the share of the ranks' variance between them. It is
    for putting variables in an order; `importance` says how much they matter.
    """
    rows = trials[trials["objective"].notna()]
    ranks = rows["objective"].rank()
    strengths: dict[str, float] = {}
    for name, domain in spec.space.searched.items():
        values = rows[spec.space.by_name[name].column]
        if isinstance(domain, Categorical):
            found = ranks.groupby(values.astype(str)).transform("mean").var() / ranks.var()
        else:
            found = ranks.corr(values.astype(float).rank()) ** 2 if values.nunique() > 1 else 0.0
        strengths[name] = 0.0 if pd.isna(found) else float(found)
    return sorted(strengths, key=lambda name: -strengths[name])
