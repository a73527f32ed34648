"""The files of studies and trainings: written by one process, read by everyone.

Holds: the layout, the event log, the Parquet tables, TensorBoard's files, what trainings leave.
Imports: root, `spaces`, pyarrow. No task, no torch, no Ray.
Hands out: `Store`, `Study`, trial records and tables.
"""
