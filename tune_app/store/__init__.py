"""The files of studies and trainings: written by one process, read by everyone.

Holds: the layout, the event log, the Parquet tables, TensorBoard files, results of trainings.
Imports: root, `spaces`, pyarrow. No task, no torch, no Ray.
Provides: `Store`, `Study`, trial records and tables.
"""
