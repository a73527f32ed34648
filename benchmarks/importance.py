"""How many completed trials importances need: how well those of few trials agree with those of a whole table.

Machine: any; only ranks matter. Workload: the three tables in `tables/`, each hundreds of random configurations that
trained to the end. For each number of trials per searched variable, samples of that size are drawn, and the importances
of `tune_app.results.importance` are compared with those of the whole table (400 configurations at most). Peers: none.
Per line: Spearman's correlation of the two orders, how many of the three largest they share, and how often the largest
of the sample is among the three largest of the table. Chance gives 0, 3 / variables and 3 / variables.

    python benchmarks/importance.py [--draws 10]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from tune_app.results import importance as module
from tune_app.results.importance import importance
from tune_app.spaces.spec import Spec
from tune_app.tasks.spec_file import load_spec

HERE = Path(__file__).parent
TABLES = ("digits_cnn", "python_reference_gpt", "stdlib_docs_lstm")
PER_VARIABLE = (0.5, 1, 2, 3, 4, 8)
MOST = 400


def table_trials(name: str, spec: Spec) -> pd.DataFrame:
    """The table's configurations as completed trials, with their values after the last epoch."""
    table = pd.read_parquet(HERE / "tables" / f"{name}.parquet")
    columns = {f"config/{variable}": spec.space.by_name[variable].column for variable in spec.space.searched}
    rows = table[list(columns)].rename(columns=columns)
    others = {name: value for name, value in spec.space.unsearched.items() if name not in spec.space.searched}
    unsearched = {spec.space.by_name[name].column: value for name, value in others.items()}
    last = table["objective"].map(lambda values: float(values[-1]))
    return rows.assign(**unsearched, objective=last, state="COMPLETED", trial=range(len(table)))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=10)
    given = parser.parse_args()
    for name in TABLES:
        spec = load_spec(HERE.parent / "search_spaces" / f"{name}.yaml")
        trials = table_trials(name, spec)
        names = list(spec.space.searched)
        with patch.object(module, "needed_trials", lambda _: 2):
            whole = importance(spec, trials, MOST)
            top = set(list(whole)[:3])
            for times in PER_VARIABLE:
                count = round(times * len(names))
                if count > len(trials) // 2:
                    continue
                found = []
                for draw in range(given.draws):
                    shares = importance(spec, trials.sample(count, random_state=draw))
                    order = list(shares)
                    correlation = spearmanr([whole[n] for n in names], [shares[n] for n in names]).statistic
                    found.append((correlation, len(top & set(order[:3])), order[0] in top))
                facts = {"table": name, "variables": len(names), "per_variable": times, "trials": count}
                measures = np.mean(found, axis=0).round(2)
                keys = ("correlation", "shared_of_three", "largest_among_three")
                print(json.dumps({**facts, **dict(zip(keys, map(float, measures), strict=True))}), flush=True)


if __name__ == "__main__":
    main()
