"""The user's own images: a folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tune_app.datasets.dataset import Arrays, Dataset
from tune_app.datasets.labels import lonely_classes
from tune_app.datasets.split import set_apart, shuffled
from tune_app.errors import InputError, nearest
from tune_app.readable import writable

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".webp", ".tif", ".tiff")
PARTS = ("train", "test")
OTHER_PARTS = ("training", "val", "valid", "validation", "dev", "testing")
"""Names of folders that are not classes."""
BEHIND = (255, 255, 255, 255)
"""The background of transparent images: white, as in a browser."""
GRAY_MODES = ("1", "L", "LA")
DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B")
MAX_VALUE = 255
MAX_BYTES = 2**33
"""Limit for all images, which are kept in memory and on the device."""


@dataclass(frozen=True)
class Picture:
    """An image file, its class and the facts in its header."""

    path: Path
    label: int
    size: tuple[int, int]
    gray: bool


def load_image_folder(path: Path, size: Sequence[int] | None = None, channels: int | None = None) -> Dataset:
    """Load images by class: ``path/<class>/…`` or ``path/train/<class>/…`` and ``path/test/<class>/…``.

    A class is a sub-folder, in alphabetical order; with images at any depth; other files and hidden ones are skipped.
    Images are rotated according to their EXIF data, resized to `size` (height, width) with bilinear interpolation and
    converted to `channels`, 1 or 3; transparent ones get a white background. Without a test part, a fifth of each
    class is split off with a fixed seed. The order is mixed by a fixed seed.

    Raises:
        InputError: there are no classes or only one, there are parts other than train and test, a class is empty, an
            image cannot be read or has more than 8 bits per channel, images differ in size and `size` is None, or they
            do not fit into 8 GiB.
    """
    parts = _parts(path)
    names = _class_names(parts[0])
    pictures = [_pictures(part, names) for part in parts]
    everything = [picture for part in pictures for picture in part]
    height, width = _common_size(everything) if size is None else size
    channels = channels or (1 if all(picture.gray for picture in everything) else 3)
    if (needed := len(everything) * channels * height * width) > MAX_BYTES:
        shape = f"{channels} x {height} x {width}"
        raise InputError(
            f"images must fit into {MAX_BYTES >> 30} GiB, but {len(everything):,} of {shape} need {needed / 2**30:.1f}",
            where=str(path),
            hint="set a smaller `size`, such as size: [64, 64]",
        )
    read = [_read(part, (height, width), channels) for part in pictures]
    if len(read) == 2:
        train, test = map(shuffled, read)
    else:
        train, test = ({k: array[rows] for k, array in read[0].items()} for rows in set_apart(read[0]["labels"]))
    class_names = tuple(writable(names))
    info = {"classes": len(names), "max_value": MAX_VALUE, "class_names": class_names}
    info |= lonely_classes(train["labels"], class_names)
    return Dataset(name=writable(path.name), kind="image", train=train, test=test, info=info)


def _parts(path: Path) -> list[Path]:
    if not path.is_dir():
        found = "is a file" if path.exists() else "does not exist"
        raise InputError(f"`path` must be a folder of images by class, but {found}", where=str(path))
    folders = _folders(path)
    if not set(PARTS) <= set(folders):
        if len(folders) > 1 and all(folder.lower() in (*PARTS, *OTHER_PARTS) for folder in folders):
            raise InputError(
                f"parts must be called `train` and `test`, but there are {', '.join(f'`{f}`' for f in folders)}",
                where=str(path),
                hint="validation data is split off `train` (data.validation_fraction); rename or merge them",
            )
        return [path]
    if others := sorted(set(folders) - set(PARTS)):
        raise InputError(
            f"there must be no folders except `train` and `test`, but there is `{others[0]}`", where=str(path)
        )
    return [path / part for part in PARTS]


def _folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _class_names(path: Path) -> list[str]:
    names = _folders(path)
    if len(names) < 2:
        found = f"only `{names[0]}`" if names else "none"
        raise InputError(
            f"there must be a folder for each of at least two classes, but there is {found}",
            where=str(path),
            hint="arrange the images as <class>/<image>",
        )
    return names


def _pictures(part: Path, names: Sequence[str]) -> list[Picture]:
    if others := sorted(set(_folders(part)) - set(names)):
        raise InputError(
            f"the test part must have classes of the training part, but has `{others[0]}`",
            where=str(part),
            hint=nearest(others[0], names),
        )
    pictures = []
    for label, name in enumerate(names):
        files = _image_files(part / name)
        if not files and part.name != PARTS[1]:
            raise InputError(
                "a class must have an image, but this one has none",
                where=str(part / name),
                hint=f"images end in {', '.join(SUFFIXES)}",
            )
        pictures += [_look(file, label) for file in files]
    if not pictures:
        raise InputError("the test part must have an image, but has none", where=str(part))
    return pictures


def _image_files(folder: Path) -> list[Path]:
    return sorted(
        Path(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )


def _look(path: Path, label: int) -> Picture:
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode in DEEP_MODES:
                raise InputError(
                    f"images must have 8 bits per channel, but this one has the mode {image.mode}", where=str(path)
                )
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            size = image.size if turned else image.size[::-1]
            return Picture(path, label, (size[0], size[1]), image.mode in GRAY_MODES)
    except InputError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from None


def _common_size(pictures: Sequence[Picture]) -> tuple[int, int]:
    first = pictures[0]
    for picture in pictures:
        if picture.size != first.size:
            one, other = (f"{height} x {width}" for height, width in (first.size, picture.size))
            raise InputError(
                f"images must all have one size, or `size` must be set, but this one is {other} and "
                f"{first.path.name} is {one}",
                where=str(picture.path),
                hint="set the height and width to resize to, such as size: [64, 64]",
            )
    return first.size


def _read(pictures: Sequence[Picture], size: tuple[int, int], channels: int) -> Arrays:
    images = np.empty((len(pictures), channels, *size), dtype=np.uint8)

    def read(number: int) -> None:
        images[number] = _pixels(pictures[number].path, size, channels)

    with ThreadPoolExecutor() as threads:  # Pillow decodes outside Python's lock
        for _ in threads.map(read, range(len(pictures))):
            pass
    return {"images": images, "labels": np.array([picture.label for picture in pictures], dtype=np.int64)}


def _pixels(path: Path, size: tuple[int, int], channels: int) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                seen = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", seen.size, BEHIND), seen)
            plain = upright.convert("L" if channels == 1 else "RGB")
    except Exception as error:
        raise _unreadable(path, error) from None
    height, width = size
    if plain.size != (width, height):
        plain = plain.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(plain).reshape(height, width, channels).transpose(2, 0, 1)


def _unreadable(path: Path, error: Exception) -> InputError:
    # Pillow's decoders may raise almost anything for a damaged file.
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(f"an image must be readable, but {reason}", where=str(path), hint="replace or remove it")
