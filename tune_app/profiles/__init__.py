"""Saved configurations: profiles with their revisions, the session, drafts, and training them.

Imports: everything up to `results`.
Provides: `Profiles`, `Profile`, `Draft`, `train`.
"""
