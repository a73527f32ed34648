"""Which configuration comes next and which trial stops: adapters of Optuna and of Ray Tune's schedulers.

Holds: samplers and schedulers by name, the searcher that tells Optuna the truth, Optuna's journal.
Imports: root, `spaces`, `store`, Optuna; of Ray, Tune's searcher and schedulers only.
Hands out: `StudySearch`, schedulers, `OptunaJournal`.
"""
