"""GTSRB: German traffic signs (Stallkamp et al., The German Traffic Sign Recognition Benchmark, IJCNN 2011)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tune_app.datasets.archive import read_zip
from tune_app.datasets.dataset import Arrays, Dataset
from tune_app.datasets.entry import Entry, RemoteFile
from tune_app.datasets.split import shuffled
from tune_app.errors import InputError

CLASSES = 43
SIZE = 32
"""Height and width after resizing; the official images have 15 to 250 pixels."""
TRAIN_IMAGE = re.compile(r"GTSRB/(?:Training|Final_Training/Images)/(\d{5}/\d{5}_\d{5}\.ppm)")
TRAIN_TABLE = re.compile(r"GTSRB/(?:Training|Final_Training/Images)/(\d{5})/GT-\d{5}\.csv")
TEST_IMAGE = re.compile(r"GTSRB/Final_Test/Images/(\d{5}\.ppm)")
TEST_TABLE = re.compile(r"(?:.*/)?GT-final_test\.csv")


@dataclass(frozen=True)
class Sign:
    """A row of the tables: the sign in an image, and its position."""

    label: int
    size: tuple[int, int]
    box: tuple[int, int, int, int]


def load_gtsrb(files: Sequence[Path]) -> Dataset:
    """Load the signs; the split is the official one, the order mixed by a fixed seed.

    Each image is cropped to its sign, as stated in the tables, and resized to 32x32 with bilinear interpolation.

    Raises:
        InputError: an archive is damaged, or images and tables do not match.
    """
    images: dict[str, dict[str, bytes]] = {"train": {}, "test": {}}
    signs: dict[str, dict[str, Sign]] = {"train": {}, "test": {}}
    for path in files:
        for name, content in read_zip(path, lambda name: name.endswith((".ppm", ".csv"))):
            if found := TRAIN_IMAGE.fullmatch(name):
                images["train"][found[1]] = content
            elif found := TEST_IMAGE.fullmatch(name):
                images["test"][found[1]] = content
            elif found := TRAIN_TABLE.fullmatch(name):
                signs["train"] |= _table(content, f"{found[1]}/", f"{path}:{name}")
            elif TEST_TABLE.fullmatch(name):
                signs["test"] |= _table(content, "", f"{path}:{name}")
    folder = str(files[0].parent)
    return Dataset(
        name="gtsrb",
        kind="image",
        train=_part(images["train"], signs["train"], folder, "training"),
        test=_part(images["test"], signs["test"], folder, "test"),
        info={"classes": CLASSES, "max_value": 255},
    )


def _table(content: bytes, prefix: str, where: str) -> dict[str, Sign]:
    signs = {}
    rows = csv.DictReader(io.StringIO(content.decode("latin-1")), delimiter=";")
    try:
        for row in rows:
            left, top, right, bottom = (int(row[f"Roi.{key}"]) for key in ("X1", "Y1", "X2", "Y2"))
            sign = Sign(int(row["ClassId"]), (int(row["Width"]), int(row["Height"])), (left, top, right, bottom))
            inside = 0 <= left < right <= sign.size[0] and 0 <= top < bottom <= sign.size[1]
            if not inside or not 0 <= sign.label < CLASSES:
                raise ValueError(f"a row states {sign}")
            signs[prefix + row["Filename"]] = sign
    except (KeyError, ValueError, TypeError) as error:
        rule = "a table must have Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
        raise InputError(f"{rule}, but {error}", where=f"{where}:{rows.line_num}") from None
    return signs


def _part(images: dict[str, bytes], signs: dict[str, Sign], folder: str, part: str) -> Arrays:
    if not images or set(images) != set(signs):
        alone = min(set(images) ^ set(signs), default="none")
        raise InputError(
            f"the {part} data must have a table row for each image, but has {len(images):,} images and "
            f"{len(signs):,} rows (only one of both has {alone})",
            where=folder,
            hint=f"the archives are {', '.join(file.name for file in GTSRB.files)}",
        )
    names = sorted(images)
    # CLASS/TRACK_FRAME.ppm: the frames of a track show one sign while the car comes nearer.
    tracks = [name.rpartition("_")[0] for name in names]
    numbers = np.unique(tracks, return_inverse=True)[1].astype(np.int64)
    groups = {"groups": numbers} if part == "training" else {}
    return shuffled(
        {
            "images": np.stack([_read_sign(images[name], signs[name], f"{folder}:{name}") for name in names]),
            "labels": np.array([signs[name].label for name in names], dtype=np.int64),
            **groups,
        }
    )


def _read_sign(content: bytes, sign: Sign, where: str) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("PPM",)) as image:
            # A resized collection keeps the boxes of the original images.
            x, y = image.width / sign.size[0], image.height / sign.size[1]
            left, top, right, bottom = sign.box
            box = (round(left * x), round(top * y), round(right * x), round(bottom * y))
            # Crop first: `resize` with a box would mix in pixels next to it.
            small = image.convert("RGB").crop(box).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    except (OSError, ValueError) as error:
        raise InputError(f"an image must be a PPM file, but {error}", where=where) from None
    return np.asarray(small).transpose(2, 0, 1)


ADDRESS = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"

GTSRB = Entry(
    name="gtsrb",
    kind="image",
    description="German traffic signs, cropped to 32x32 in color, 43 classes; official split 26,640 / 12,630",
    license="none stated; its authors ask for a citation (Stallkamp et al., IJCNN 2011)",
    load=load_gtsrb,
    files=tuple(
        RemoteFile(name, (ADDRESS + name,), f"md5:{checksum}", size)
        for name, checksum, size in (
            ("GTSRB-Training_fixed.zip", "513f3c79a4c5141765e10e952eaa2478", 187_490_228),
            ("GTSRB_Final_Test_Images.zip", "c7e4e6327067d32654124b0fe9e82185", 88_978_620),
            ("GTSRB_Final_Test_GT.zip", "fe31e9c9270bbcd7b84b7f21a9d9d9e5", 99_620),
        )
    ),
    archives="*.zip",
    slow=True,
)
