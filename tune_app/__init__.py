"""tune-app: find, judge and keep good configurations of PyTorch models on a Ray cluster."""

__version__ = "0.1.0"
