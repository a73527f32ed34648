"""Search spaces by name: which file wins, and the error for a wrong name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_app.errors import NotFound
from tune_app.spaces.space_file import default_spaces_folder, find_space, space_names

SHIPPED = Path(__file__).parents[2] / "search_spaces"


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder and no settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNE_APP_SEARCH_SPACES", raising=False)


def write(path: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("name: x\n")
    return file


def test_the_users_file_wins_over_a_shipped_one() -> None:
    assert default_spaces_folder() == SHIPPED
    assert find_space("digits_cnn") == SHIPPED / "digits_cnn.yaml"
    own = write("search_spaces/digits_cnn.yaml")
    assert find_space("digits_cnn") == own
    assert find_space("mnist_cnn") == SHIPPED / "mnist_cnn.yaml", "the user's folder hides only its own names"
    assert find_space("digits_cnn.yaml") == Path("digits_cnn.yaml"), "a path stays a path, even without a file"
    file = write("digits_cnn")
    assert find_space("digits_cnn") == file


def test_the_setting_names_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = write("elsewhere/mine.yaml")
    monkeypatch.setenv("TUNE_APP_SEARCH_SPACES", "elsewhere")
    assert default_spaces_folder() == Path("elsewhere")
    assert find_space("mine") == mine
    assert {"mine", "digits_cnn"} <= set(space_names())


def test_an_unknown_name() -> None:
    with pytest.raises(NotFound, match="no file or search space is named `digit_cnn`") as error:
        find_space("digit_cnn")
    assert error.value.hint.startswith("did you mean `digits_cnn`?")
