"""The edge for notebooks and scripts: a sweep of a function from Python, and what it found as tables.

It may import everything but the page. `tune_app.run` is its way in.
"""
