"""GTSRB: signs cropped and resized to one size, in the official layout and in the benchmark's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_app.datasets import load_dataset
from tune_app.errors import InputError

Make = Callable[..., Path]
HEAD = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"


def ppm(height: int, width: int, sign: tuple[int, int, int, int], value: int) -> bytes:
    """A black image that contains a sign of a single color."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    left, top, right, bottom = sign
    pixels[top:bottom, left:right] = value
    return f"P6 {width} {height} 255\n".encode() + pixels.tobytes()


def official(**changed: bytes) -> dict[str, dict[str, bytes]]:
    """The three official archives, with two training images and one test image of different sizes."""
    return {
        "GTSRB-Training_fixed.zip": {
            "GTSRB/Training/00000/00000_00000.ppm": ppm(40, 50, (10, 8, 40, 30), 200),
            "GTSRB/Training/00000/GT-00000.csv": f"{HEAD}00000_00000.ppm;50;40;10;8;40;30;0\n".encode(),
            "GTSRB/Training/00042/00001_00002.ppm": ppm(20, 20, (2, 2, 18, 18), 100),
            "GTSRB/Training/00042/GT-00042.csv": changed.get(
                "table", f"{HEAD}00001_00002.ppm;20;20;2;2;18;18;42\n".encode()
            ),
            "GTSRB/Training/Readme.txt": b"",
        },
        "GTSRB_Final_Test_Images.zip": {
            "GTSRB/Final_Test/Images/00000.ppm": changed.get("test", ppm(100, 90, (5, 5, 85, 95), 50)),
            "GTSRB/Final_Test/Images/GT-final_test.test.csv": b"Filename;Width;Height\n00000.ppm;90;100\n",
        },
        "GTSRB_Final_Test_GT.zip": {"GT-final_test.csv": f"{HEAD}00000.ppm;90;100;5;5;85;95;7\n".encode()},
    }


def load(make_zip: Make, archives: dict[str, dict[str, bytes]]) -> Any:
    for name, files in archives.items():
        path = make_zip(files, name)
    return load_dataset({"name": "gtsrb", "path": str(path.parent)})


def test_the_official_layout(make_zip: Make) -> None:
    data = load(make_zip, official())
    assert data.train["images"].shape == (2, 3, 32, 32)
    order = np.argsort(data.train["labels"])
    assert data.train["labels"][order].tolist() == [0, 42]
    # Everything outside the sign is cropped: one color remains.
    assert [np.unique(image).tolist() for image in data.train["images"][order]] == [[200], [100]]
    assert np.unique(data.test["images"]).tolist() == [50]
    assert data.test["labels"].tolist() == [7]


def test_part_of_the_benchmark_layout(real_data: Callable[[str], Path], cache: Path) -> None:
    data = load_dataset({"name": "gtsrb", "path": str(real_data("gtsrb"))})
    assert data.train["images"].shape == (1307, 3, 32, 32)
    assert data.test["images"].shape == (700, 3, 32, 32)
    assert len(np.unique(data.train["labels"])) == data.info["classes"] == 43
    (kept,) = cache.joinpath("gtsrb").glob("*.npz")
    again = load_dataset({"name": "gtsrb", "path": str(real_data("gtsrb"))})
    assert again.sha256() == data.sha256()
    assert again.info == data.info
    kept.write_bytes(kept.read_bytes()[:-1000])
    assert load_dataset({"name": "gtsrb", "path": str(real_data("gtsrb"))}).sha256() == data.sha256()


TABLES = {
    "a column is missing": (b"Filename;Width\n00001_00002.ppm;20\n", ":2"),
    "no number": (f"{HEAD}00001_00002.ppm;20;20;2;2;18;18;x\n".encode(), ":2"),
    "no such class": (f"{HEAD}00001_00002.ppm;20;20;2;2;18;18;43\n".encode(), ":2"),
    "a box outside": (f"{HEAD}00001_00002.ppm;20;20;2;2;21;18;42\n".encode(), ":2"),
    "an empty box": (f"{HEAD}00001_00002.ppm;20;20;2;2;2;18;42\n".encode(), ":2"),
}


@pytest.mark.parametrize("fault", TABLES)
def test_an_invalid_table(fault: str, make_zip: Make) -> None:
    table, line = TABLES[fault]
    with pytest.raises(InputError, match="a table must have Filename;Width") as caught:
        load(make_zip, official(table=table))
    assert caught.value.where.endswith(f"GTSRB/Training/00042/GT-00042.csv{line}")


def test_an_image_without_a_row(make_zip: Make) -> None:
    with pytest.raises(InputError, match=r"2 images and 1 rows \(only one of both has 00042/00001_00002.ppm\)"):
        load(make_zip, official(table=HEAD.encode()))


@pytest.mark.parametrize("content", [b"", b"P6 90", b"P6 90 100 255\n123", b"\x89PNG\r\n\x1a\n"])
def test_an_invalid_image(content: bytes, make_zip: Make) -> None:
    with pytest.raises(InputError, match="an image must be a PPM file") as caught:
        load(make_zip, official(test=content))
    assert caught.value.where.endswith(":00000.ppm")


def test_a_missing_archive(make_zip: Make) -> None:
    archives = official()
    del archives["GTSRB_Final_Test_GT.zip"]
    with pytest.raises(InputError, match=r"the test data .* 1 images and 0 rows") as caught:
        load(make_zip, archives)
    assert "GTSRB_Final_Test_GT.zip" in caught.value.hint
