"""Rebuilds and inspects the network of a trial or a training: layers, statistics, weights.

`client.py` runs the command of `__main__.py` in a separate process, so that neither torch nor the task's code is loaded
into the page or the server.
"""
