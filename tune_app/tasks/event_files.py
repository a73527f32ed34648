"""Reads scalars from TensorBoard's event files as they grow, without TensorBoard.

A file is a sequence of records: the length of the message (8 bytes), its checksum (4), the message, its checksum (4).
The message is a protocol buffer, ``tensorflow.Event``; the numbers of its fields are part of the format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PATTERN = "*tfevents*"
HEAD, TAIL = 12, 4
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""How a field is written."""
STEP, SUMMARY = 2, 5  # of Event
VALUE = 1  # of Summary
TAG, SIMPLE_VALUE, TENSOR = 1, 2, 8  # of Summary.Value
CONTENT, FLOATS, DOUBLES = 4, 5, 6  # of TensorProto


@dataclass(frozen=True)
class Scalar:
    """One value at one step."""

    step: int
    tag: str
    value: float


class EventFiles:
    """The event files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def poll(self) -> list[Scalar]:
        """The scalars added since the last call; an incomplete record is left for the next call."""
        found: list[Scalar] = []
        for path in sorted(self._folder.rglob(PATTERN)):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                content = file.read()
            position = 0
            while position + HEAD <= len(content):
                (length,) = struct.unpack_from("<Q", content, position)
                end = position + HEAD + length + TAIL
                if end > len(content):
                    break
                found += _scalars(content[position + HEAD : end - TAIL])
                position = end
            self._read[path] = self._read.get(path, 0) + position
        return found


def _scalars(event: bytes) -> list[Scalar]:
    step, found = 0, []
    for number, value in _fields(event):
        if number == STEP and isinstance(value, int):
            step = value
        elif number == SUMMARY and isinstance(value, bytes):
            found += [_scalar(one) for kind, one in _fields(value) if kind == VALUE and isinstance(one, bytes)]
    return [Scalar(step, tag, value) for tag, value in found if value is not None]


def _scalar(content: bytes) -> tuple[str, float | None]:
    """Tag and value of a scalar; None for histograms, images and anything else that is not a scalar."""
    tag, value = "", None
    for number, found in _fields(content):
        if number == TAG and isinstance(found, bytes):
            tag = found.decode(errors="replace")
        elif number == SIMPLE_VALUE and isinstance(found, bytes):
            (value,) = struct.unpack("<f", found)
        elif number == TENSOR and isinstance(found, bytes):
            value = _tensor(found)
    return tag, value


def _tensor(content: bytes) -> float | None:
    """The one number of a tensor, as TensorFlow 2 writes scalars."""
    for number, found in _fields(content):
        if number in (CONTENT, FLOATS, DOUBLES) and isinstance(found, bytes) and len(found) in (4, 8):
            return float(struct.unpack("<f" if len(found) == 4 else "<d", found)[0])
    return None


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message by their numbers; a number of fixed size as its bytes."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, position = _varint(content, position)
            yield number, value
            continue
        if kind == BYTES:
            size, position = _varint(content, position)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            return  # obsolete types
        yield number, content[position : position + size]
        position += size


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """A varint (7 bits per byte, lowest first), and the position after it."""
    value = shift = 0
    while position < len(content):
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value, position
