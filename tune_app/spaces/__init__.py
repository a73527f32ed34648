"""The search space: variables, conditions, constraints, and the whole file that defines a sweep.

Holds: domains and variables, a task's catalog, expressions, sections of the file, the specification (`spec.Spec`).
Imports: the root modules, numpy, Optuna's distributions. It takes a task's catalog as an argument and loads no task.
Provides: `Space`, `Spec`, `Catalog`, configurations that meet the constraints.
"""
