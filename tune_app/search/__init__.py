"""Which configuration comes next and which trial stops: adapters of Optuna and of Ray Tune's schedulers.

Holds: samplers and schedulers by name, the searcher that reports accurate results to Optuna, Optuna's journal.
Imports: root, `spaces`, `store`, Optuna; of Ray, Tune's searcher and schedulers only.
Provides: `StudySearch`, schedulers, `OptunaJournal`.
"""
