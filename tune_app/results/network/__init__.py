"""The network of a trial or a training, built again and looked at: layers, statistics, weights.

`client.py` asks a process of its own, the command of `__main__.py`, so that neither torch nor the task's code is loaded
into a page or a server.
"""
