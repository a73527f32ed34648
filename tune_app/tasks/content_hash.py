"""A hash of what a user's function loads, if it consists of arrays and plain values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


class _NoCanonicalForm(Exception):
    """The content has parts whose bytes may differ although they are equal."""


def content_hash(content: Any) -> str | None:
    """SHA-256 of arrays, tensors on the CPU, plain values, and lists, tuples and mappings of them.

    The same content has the same hash in every process: for an array, its type, shape and bytes. None for anything
    else, such as an object of a class, whose pickled bytes may differ each time.
    """
    digest = hashlib.sha256()
    try:
        for part in _parts(content):
            digest.update(part)
    except (_NoCanonicalForm, RecursionError, ValueError):  # a list in itself; a number with thousands of digits
        return None
    return digest.hexdigest()


def _parts(content: Any) -> Iterator[bytes | memoryview]:
    """The bytes that identify `content`; each part says its kind and size, so that no two contents share them."""
    if isinstance(content, Mapping):
        yield f"mapping {len(content)} ".encode()
        for key, value in content.items():
            yield from _parts(key)
            yield from _parts(value)
    elif isinstance(content, (list, tuple)):
        yield f"{'list' if isinstance(content, list) else 'tuple'} {len(content)} ".encode()
        for value in content:
            yield from _parts(value)
    elif isinstance(content, np.ma.MaskedArray):
        raise _NoCanonicalForm
    elif isinstance(content, np.ndarray) and content.dtype.kind in "biufcSUmM":
        yield f"array {content.dtype.str} {content.shape} ".encode()
        yield np.ascontiguousarray(content).reshape(-1).view(np.uint8).data if content.nbytes else b""
    elif isinstance(content, np.ndarray) and content.dtype.kind == "O":
        yield f"objects {content.shape} ".encode()
        yield from _parts(content.ravel().tolist())
    elif f"{type(content).__module__}.{type(content).__name__}" == "torch.Tensor":
        yield from _parts(_bytes_of(content))
    elif content is None or isinstance(content, (bool, int, float, str, bytes, np.generic)):
        told = content if isinstance(content, bytes) else repr(content).encode("utf-8", "surrogatepass")
        yield f"{type(content).__name__} {len(told)} ".encode()
        yield told
    else:
        raise _NoCanonicalForm


def _bytes_of(tensor: Any) -> list[Any]:
    """A tensor as plain values; NumPy does not know all of torch's types."""
    import torch

    if tensor.device.type != "cpu" or tensor.layout != torch.strided or tensor.is_quantized:
        raise _NoCanonicalForm
    whole = tensor.detach().resolve_conj().resolve_neg().contiguous()
    return ["tensor", str(tensor.dtype), list(tensor.shape), whole.view(-1).view(torch.uint8).numpy()]
