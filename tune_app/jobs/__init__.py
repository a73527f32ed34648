"""Sweeps and trainings as jobs of a Ray cluster: submitted, watched, cancelled, purged.

Imports: everything up to `profiles`; Ray's job client.
Provides: `Jobs`.
"""
