"""Messages and command lines never show credentials."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tune_app import credentials
from tune_app.cli.main import run
from tune_app.errors import InputError
from tune_app.folder import open_folder

SECRET = "wJalrXUtnFEMI/K7MDENG"
QUOTED = "wJalrXUtnFEMI%2FK7MDENG"
ADDRESS = f"s3://AKIDEXAMPLE:{QUOTED}@bucket/results?region=us-east-1"


def test_a_displayed_address_has_no_keys_but_the_one_that_reopens_it_does() -> None:
    folder = open_folder(ADDRESS)
    assert folder.url == "s3://bucket/results?region=us-east-1"
    assert folder.address == ADDRESS
    assert credentials.keys_of(folder.address) == {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


@pytest.mark.parametrize("address", ["results", "s3://bucket/a", "gs://anonymous@bucket/a", "http://head:8265"])
def test_an_address_without_a_password_is_unchanged(address: str) -> None:
    assert credentials.without_password(address) == credentials.redacted(address) == address
    assert credentials.keys_of(address) == {}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"cannot read {ADDRESS}", "cannot read s3://…@bucket/results?region=us-east-1"),
        ("`http://me:hidden@host:1/a` and `http://x@y`", "`http://…@host:1/a` and `http://x@y`"),
        ("s3://key:se/cret@bucket", "s3://…@bucket"),
        ("took http://a:1 and mail@b", "took http://a:1 and mail@b"),
    ],
)
def test_a_message_shows_no_password(text: str, shown: str) -> None:
    error = InputError(text, where=text, hint=text)
    assert (error.message, error.where, error.hint, str(error.args[0])) == (shown, shown, shown, shown)


def test_a_message_shows_no_value_of_a_secret_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in credentials.SECRETS:
        monkeypatch.setenv(name, f"marked-{name}")
        assert str(InputError(f"it printed marked-{name}!")) == "it printed …!"


def test_a_command_that_needs_no_token_drops_it_before_a_child_inherits_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(credentials.API_TOKEN, "marked-token")
    assert credentials.API_TOKEN not in credentials.inherited_environment()
    assert run(["studies", "--store", str(tmp_path)]) == 0
    assert credentials.API_TOKEN not in os.environ


def test_a_store_that_cannot_be_opened_is_named_without_its_password() -> None:
    with pytest.raises(InputError) as caught:
        open_folder(f"s4://AKIDEXAMPLE:{QUOTED}@bucket")
    assert "s4://…@bucket" in str(caught.value)


def test_a_private_file_is_private_even_if_it_replaces_a_public_one(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text("former")
    path.chmod(0o666)
    credentials.write_private(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)
