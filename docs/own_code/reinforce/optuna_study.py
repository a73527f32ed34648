"""The same with Optuna, as in its documentation: `python optuna_study.py`."""

import corridor
import optuna
import torch


def objective(trial):
    model = corridor.policy(trial.suggest_int("width", 4, 64, log=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=trial.suggest_float("lr", 1e-3, 0.3, log=True))
    discount = trial.suggest_float("discount", 0.8, 1.0)
    episodes = trial.suggest_categorical("episodes", [10, 20, 40])
    for epoch in range(5):
        corridor.train_epoch(model, optimizer, discount, episodes)
        score = corridor.score(model)
        trial.report(score, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return score


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.SuccessiveHalvingPruner())
    study.optimize(objective, n_trials=12)
    print(study.best_params, study.best_value)
