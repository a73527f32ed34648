"""The same with Optuna, as in its documentation: `python optuna_study.py`."""

import optuna
import rows
from sklearn.linear_model import SGDClassifier


def objective(trial):
    training, validation, _ = rows.load()
    loss = trial.suggest_categorical("loss", ["hinge", "log_loss", "modified_huber"])
    penalty = trial.suggest_categorical("penalty", ["l2", "l1", "elasticnet"])
    model = SGDClassifier(loss=loss, penalty=penalty, alpha=trial.suggest_float("alpha", 1e-6, 0.1, log=True))
    batch_size = trial.suggest_categorical("batch_size", [16, 64, 256])
    for epoch in range(5):
        rows.train_epoch(model, *training, batch_size)
        accuracy = model.score(*validation)
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return accuracy


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.SuccessiveHalvingPruner())
    study.optimize(objective, n_trials=12)
    print(study.best_params, study.best_value)
