"""The interface for notebooks and scripts: a sweep of a function from Python, with its results as tables.

It may import everything except the page. Its entry point is `tune_app.run`.
"""
