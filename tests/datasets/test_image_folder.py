"""A user's folder of images by class: layouts, sizes, colors, and every error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tune_app.datasets import image_folder, load_dataset
from tune_app.errors import InputError


def save(path: Path, value: int = 0, *, size: tuple[int, int] = (4, 6), mode: str = "L", **options: Any) -> None:
    """Save an image with a single value; `size` is height and width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size[::-1], value if mode in ("L", "P", "I;16", "I") else (value, 0, 0)).save(path, **options)


def lay_out(folder: Path, counts: Mapping[str, int], **options: Any) -> Path:
    """Write images by class: image n of a class has the value n."""
    for name, count in counts.items():
        for number in range(count):
            save(folder / name / f"{number:03d}.png", number, **options)
    return folder


def load(folder: Path, **options: Any) -> Any:
    return load_dataset({"kind": "image_folder", "path": str(folder), **options})


def test_a_folder_per_class(tmp_path: Path) -> None:
    lay_out(tmp_path, {"cat": 10, "ant": 20})
    save(tmp_path / "ant" / "deeper" / "x.JPG", 99)
    (tmp_path / "ant" / "notes.txt").write_text("passed over")
    (tmp_path / "ant" / ".hidden.png").write_text("passed over")
    (tmp_path / ".git").mkdir()
    data = load(tmp_path)
    assert (data.kind, data.name) == ("image", f"image_folder {tmp_path}")
    assert data.info == {"classes": 2, "max_value": 255, "class_names": ("ant", "cat")}
    assert data.train["images"].shape == (25, 1, 4, 6)
    assert np.bincount(data.test["labels"]).tolist() == [4, 2]
    values = {
        name: sorted(int(i[0, 0, 0]) for p in (data.train, data.test) for i in p["images"][p["labels"] == label])
        for label, name in enumerate(data.info["class_names"])
    }
    assert values == {"ant": [*range(20), 99], "cat": list(range(10))}
    assert load(tmp_path).sha256() == data.sha256()


def test_a_class_with_one_training_image_gets_a_note(tmp_path: Path) -> None:
    data = load(lay_out(tmp_path, {"cat": 10, "dog": 2, "ant": 10}))
    assert data.info["notes"] == ("class `dog`: only one row, so that none is left for validation",)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX file names are bytes")
def test_a_class_whose_name_is_not_unicode(tmp_path: Path) -> None:
    lay_out(tmp_path, {"cat": 10, os.fsdecode(b"caf\xe9"): 10})
    assert load(tmp_path).info["class_names"] == ("caf\\udce9", "cat")


@pytest.mark.parametrize(
    "names", [("train", "val"), ("Train", "Test"), ("train", "validation"), ("training", "testing")]
)
def test_parts_are_not_mistaken_for_classes(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        lay_out(tmp_path / name, {"cat": 2, "dog": 2})
    with pytest.raises(InputError, match="parts must be called `train` and `test`") as caught:
        load(tmp_path)
    assert f"`{sorted(names)[0]}`" in caught.value.message
    assert "data.validation_fraction" in caught.value.hint


def test_a_class_may_have_the_name_of_a_part(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train": 3, "bus": 3})
    assert load(tmp_path).info["class_names"] == ("bus", "train")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_images_get_a_white_background(tmp_path: Path, mode: str) -> None:
    for name, box in (("left", (0, 0, 2, 4)), ("right", (2, 0, 4, 4))):
        glyph = Image.new("LA", (4, 4), (0, 0))  # black and fully transparent
        glyph.paste((0, 255), box)
        picture = glyph.convert(mode) if mode != "P" else glyph.convert("RGBA").quantize()
        for number in range(5):
            (tmp_path / name).mkdir(exist_ok=True)
            picture.save(tmp_path / name / f"{number}.png")
    data = load(tmp_path)
    sides = [data.train["images"][data.train["labels"] == label][0].mean(axis=(0, 1)) for label in (0, 1)]
    assert sides[0].tolist() == [0, 0, 255, 255]
    assert sides[1].tolist() == [255, 255, 0, 0]


def test_separate_training_and_test_folders(tmp_path: Path) -> None:
    lay_out(tmp_path / "train", {"a": 4, "b": 3})
    lay_out(tmp_path / "test", {"b": 2, "a": 1})
    data = load(tmp_path)
    assert (np.bincount(data.train["labels"]).tolist(), np.bincount(data.test["labels"]).tolist()) == ([4, 3], [1, 2])


def test_one_size_and_colors(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", 200, size=(10, 20), mode="RGB")
    save(tmp_path / "a" / "2.png", 100, size=(7, 7))
    save(tmp_path / "b" / "1.bmp", 200, size=(10, 20), mode="RGB")
    data = load(tmp_path, size=[4, 8])
    images = np.concatenate([data.train["images"], data.test["images"]])
    assert images.shape[1:] == (3, 4, 8)
    assert {tuple(image[:, 0, 0]) for image in images} == {(200, 0, 0), (100, 100, 100)}
    assert load(tmp_path, size=[4, 8], channels=1).train["images"].shape[1:] == (1, 4, 8)


def test_a_rotated_photo(tmp_path: Path) -> None:
    lay_out(tmp_path, {"a": 2, "b": 2})
    turned = Image.new("L", (4, 6))
    turned.paste(255, (0, 0, 4, 1))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be displayed rotated by 90 degrees clockwise
    turned.save(tmp_path / "b" / "turned.png", exif=exif)
    data = load(tmp_path)
    images = np.concatenate([data.train["images"], data.test["images"]])
    (found,) = [image[0] for image in images if image.max() == 255]
    assert (found[:, -1] == 255).all()
    assert (found[:, :-1] == 0).all()


def test_different_sizes(tmp_path: Path) -> None:
    lay_out(tmp_path, {"a": 2, "b": 2})
    save(tmp_path / "b" / "odd.png", size=(8, 9))
    with pytest.raises(InputError, match=r"but this one is 8 x 9 and 000\.png is 4 x 6") as caught:
        load(tmp_path)
    assert caught.value.where == str(tmp_path / "b" / "odd.png")
    assert "size: [64, 64]" in caught.value.hint


def test_errors_in_the_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder of images by class, but does not exist"):
        load(tmp_path / "nothing")
    with pytest.raises(InputError, match="at least two classes, but there is none"):
        load(tmp_path)
    lay_out(tmp_path, {"a": 2})
    with pytest.raises(InputError, match="but is a file"):
        load(tmp_path / "a" / "000.png")
    with pytest.raises(InputError, match="at least two classes, but there is only `a`"):
        load(tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match="a class must have an image") as caught:
        load(tmp_path)
    assert caught.value.where == str(tmp_path / "b")


def test_errors_in_the_parts(tmp_path: Path) -> None:
    lay_out(tmp_path / "train", {"apple": 2, "b": 2})
    lay_out(tmp_path / "test", {"aple": 2})
    with pytest.raises(InputError, match="must have classes of the training part, but has `aple`") as caught:
        load(tmp_path)
    assert "did you mean `apple`?" in caught.value.hint
    (tmp_path / "test" / "aple").rename(tmp_path / "other")
    with pytest.raises(InputError, match="there must be no folders except `train` and `test`, but there is `other`"):
        load(tmp_path)
    (tmp_path / "other").rename(tmp_path / "train" / "aple")
    with pytest.raises(InputError, match="the test part must have an image"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_an_image_that_cannot_be_read(content: bytes, tmp_path: Path) -> None:
    lay_out(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "b" / "bad.png").write_bytes(content)
    with pytest.raises(InputError, match="an image must be readable") as caught:
        load(tmp_path)
    assert caught.value.where == str(tmp_path / "b" / "bad.png")


def test_a_truncated_image(tmp_path: Path) -> None:
    lay_out(tmp_path, {"a": 2, "b": 2}, size=(40, 60))
    path = tmp_path / "b" / "000.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(InputError, match="an image must be readable") as caught:
        load(tmp_path)
    assert caught.value.where == str(path)


def test_sixteen_bit_images(tmp_path: Path) -> None:
    lay_out(tmp_path, {"a": 2, "b": 2})
    save(tmp_path / "b" / "deep.png", 40_000, mode="I;16")
    with pytest.raises(InputError, match="must have 8 bits per channel, but this one has the mode I;16"):
        load(tmp_path)


def test_a_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, {"a": 2, "b": 2})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # twice this is an error
    with pytest.raises(InputError, match="could be decompression bomb"):
        load(tmp_path)


def test_images_that_do_not_fit_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, {"a": 2, "b": 2})
    monkeypatch.setattr(image_folder, "MAX_BYTES", 2**30)
    with pytest.raises(InputError, match=r"must fit into 1 GiB, but 4 of 1 x 20000 x 20000 need 1\.5"):
        image_folder.load_image_folder(tmp_path, (20_000, 20_000))
