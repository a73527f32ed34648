"""The folder of a script's trial: saved with its checkpoint, and restored for a resumed script."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tune_app.errors import InputError
from tune_app.tasks.script_folder import pack, unpack


@pytest.mark.parametrize("after", [1, 3])
def test_a_resumed_script_continues_where_it_was_saved(script: Any, after: int, tmp_path: Path) -> None:
    cut, again = (script(script.TRAINING + "time.sleep(60)", resume=["--resume"]) for _ in range(2))
    for _ in range(after):
        cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    cut.close()
    again.restore(tmp_path / "checkpoint.pt")
    assert again.epoch == after
    assert script.losses(again) == [20.5, 40.5, 60.5, 80.5]


def test_a_file_written_right_after_the_report_is_saved_whole(script: Any, tmp_path: Path) -> None:
    text = """
print("step 20: val loss 1")
time.sleep(0.1)
with open(given.out / "step", "w") as file:
    time.sleep(0.15)
    file.write("2")
    file.flush()
    time.sleep(0.15)
    file.write("0")
time.sleep(60)
"""
    training = script(text, resume=["--resume"])
    training.run_epoch()
    training.save(tmp_path / "checkpoint.pt")
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]["folder"]
    unpack(saved, tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "step").read_text() == "20"


def test_without_resume_a_script_starts_over(script: Any, tmp_path: Path) -> None:
    cut, again = script(script.TRAINING), script(script.TRAINING)
    cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    again.restore(tmp_path / "checkpoint.pt")
    assert again.epoch == 0
    assert (tmp_path / "checkpoint.pt").stat().st_size < 10_000


def test_a_checkpoint_of_another_command_is_rejected(script: Any, tmp_path: Path) -> None:
    cut, other = script(script.TRAINING), script(script.TRAINING, command="python train.py --out {trial_folder}")
    cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="its task differs"):
        other.restore(tmp_path / "checkpoint.pt")


@pytest.fixture(params=["this Python's", "none"])
def filters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without the filters of tarfile, which exist since Python 3.11.4."""
    if request.param == "none":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


@pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")
@pytest.mark.usefixtures("filters")
def test_files_folders_and_links_are_restored_unchanged(tmp_path: Path) -> None:
    (tmp_path / "from" / "runs").mkdir(parents=True)
    (tmp_path / "from" / "runs" / "model").write_bytes(b"weights")
    (tmp_path / "from" / "runs" / "last").symlink_to("model")
    (tmp_path / "from" / "best").symlink_to("runs/last")
    (tmp_path / "from" / "same").hardlink_to(tmp_path / "from" / "runs" / "model")
    unpack(pack(tmp_path / "from"), tmp_path / "to")
    assert sorted(str(path.relative_to(tmp_path / "to")) for path in (tmp_path / "to").rglob("*")) == [
        "best", "runs", "runs/last", "runs/model", "same",
    ]  # fmt: skip
    assert (tmp_path / "to" / "best").readlink() == Path("runs/last")
    assert {(tmp_path / "to" / name).read_bytes() for name in ("best", "same", "runs/last")} == {b"weights"}


def archive_of(name: str, kind: bytes, links_to: str = "") -> Tensor:
    """An archive with one malicious or odd member."""
    member, content = tarfile.TarInfo(name), io.BytesIO()
    member.type, member.linkname = kind, links_to
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(member)
    return torch.frombuffer(bytearray(content.getvalue()), dtype=torch.uint8)


@pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")
@pytest.mark.usefixtures("filters")
@pytest.mark.parametrize(
    ("name", "kind", "links_to"),
    [
        ("../beside", tarfile.REGTYPE, ""),
        ("link", tarfile.SYMTYPE, "/etc/passwd"),
        ("below/link", tarfile.SYMTYPE, "../../beside"),
        ("link", tarfile.LNKTYPE, "../beside"),
        ("pipe", tarfile.FIFOTYPE, ""),
    ],
)
def test_members_outside_the_folder_and_special_files_are_not_written(
    tmp_path: Path, name: str, kind: bytes, links_to: str
) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "beside").write_text("untouched")
    with pytest.raises(tarfile.TarError):
        unpack(archive_of(name, kind, links_to), tmp_path / "to")
    assert not list((tmp_path / "to").rglob("*"))
    assert (tmp_path / "beside").read_text() == "untouched"
