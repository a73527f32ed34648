"""The same with Optuna, as in its documentation: `python optuna_study.py`."""

import digits
import optuna
import torch


def objective(trial):
    training, validation, _ = digits.load()
    model = digits.Net(trial.suggest_int("filters", 4, 32, log=True), trial.suggest_float("dropout", 0.0, 0.5))
    lr, momentum = trial.suggest_float("lr", 1e-3, 0.5, log=True), trial.suggest_float("momentum", 0.0, 0.99)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    batch_size = trial.suggest_categorical("batch_size", [16, 32, 64])
    for epoch in range(5):
        digits.train_epoch(model, optimizer, *training, batch_size)
        accuracy = digits.accuracy(model, *validation)
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return accuracy


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.SuccessiveHalvingPruner())
    study.optimize(objective, n_trials=12)
    print(study.best_params, study.best_value)
