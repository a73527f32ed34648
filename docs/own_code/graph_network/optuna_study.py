"""The same with Optuna, as in its documentation: `python optuna_study.py`."""

import graph
import optuna
import torch


def objective(trial):
    whole = graph.load()
    training, validation, _ = whole[3]
    model = graph.GraphNet(trial.suggest_int("width", 4, 64, log=True), trial.suggest_float("dropout", 0.0, 0.7))
    lr = trial.suggest_float("lr", 1e-3, 0.1, log=True)
    weight_decay = trial.suggest_float("weight_decay", 1e-5, 0.1, log=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    for epoch in range(5):
        graph.train_epoch(model, optimizer, whole, training)
        accuracy = graph.accuracy(model, whole, validation)
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return accuracy


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.SuccessiveHalvingPruner())
    study.optimize(objective, n_trials=12)
    print(study.best_params, study.best_value)
