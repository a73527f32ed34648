"""The architecture of a network: its layers with names, types, shapes and parameters."""

from __future__ import annotations

from tune_app.results.network.rebuild import Source, in_words, rebuild
from tune_app.training.layers import Layer, read_layers


def layers_of(source: Source) -> list[Layer]:
    """The layers of the network of a trial or a training; see `read_layers`.

    Raises:
        NotFound: the task has no network.
        InputError: its data cannot be loaded.
        WorkFailed: the task's code raised.
    """
    with in_words(source, "built"):
        rebuilt = rebuild(source)
        return read_layers(rebuilt.network, rebuilt.probe_loss)
