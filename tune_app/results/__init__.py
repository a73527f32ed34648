"""Results for people: tables, figures, importances, reports, and in `network/` trained networks looked into.

Imports: root, `spaces`, `store`, pandas, plotly; torch and tasks in `network/` alone, where a network is built again.
Hands out: `load_trials`, `load_epochs`, `best`, figures, one-file reports, and a client that asks for networks.
"""
