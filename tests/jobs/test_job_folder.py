"""The folder that is sent with a job."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray._private.runtime_env import packaging

from tune_app.errors import InputError
from tune_app.folder import LocalFolder
from tune_app.jobs.job_folder import check_size, excludes


def test_the_store_and_what_git_ignores_are_not_sent(tmp_path: Path) -> None:
    for name in ("task.py", "data/a.bin", "results/trials/x.parquet", ".git/objects", ".venv/lib.so", "ignored/b.bin"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1000))
    (tmp_path / ".gitignore").write_text("ignored/\n")
    excluded = excludes(tmp_path, LocalFolder(tmp_path / "results"))
    assert check_size(tmp_path, excluded) == 2000 + len("ignored/\n")
    assert excludes(tmp_path, LocalFolder(tmp_path.parent)) == excludes(tmp_path, LocalFolder(tmp_path))


def test_a_folder_that_is_too_large_is_rejected_with_its_largest_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaging, "GCS_STORAGE_MAX_SIZE", 5_000_000)
    (tmp_path / "small.py").write_bytes(bytes(10))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "large.bin").write_bytes(bytes(6_000_000))
    with pytest.raises(InputError, match=r"smaller than 5 MB, but .* `data` alone 6 MB") as caught:
        check_size(tmp_path, [])
    assert ".rayignore" in caught.value.hint
