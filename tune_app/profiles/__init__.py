"""Configurations that are kept: profiles with their revisions, the session, drafts, and training with them.

Imports: everything up to `results`.
Hands out: `Profiles`, `Profile`, `Draft`, `train`.
"""
