"""Results for users: tables, figures, importances, reports, and in `network/` inspection of trained networks.

Imports: root, `spaces`, `store`, pandas, plotly; torch and tasks only in `network/`, where networks are rebuilt.
Provides: `load_trials`, `load_epochs`, `best`, figures, one-file reports, and a client for networks.
"""
