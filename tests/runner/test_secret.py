"""A token in a file, which people replace while the runner is up."""

from __future__ import annotations

from pathlib import Path

from fleetbot.runner.secret import Secret


def test_a_new_token_is_read_and_the_old_one_stays_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    secret = Secret("first", path)
    assert secret() == "first"

    path.write_text("the second\n")

    assert secret() == "the second"
    assert secret.values() == ("first", "the second")


def test_while_the_file_is_being_written_the_token_is_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    secret = Secret("first", path)

    path.write_text("")
    assert secret() == "first"
    path.unlink()
    assert secret() == "first"
    path.write_text("second")

    assert secret() == "second"


def test_a_file_that_others_may_read_is_known(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first")

    path.chmod(0o644)
    assert Secret("first", path).is_open_to_others
    path.chmod(0o600)
    assert not Secret("first", path).is_open_to_others
    assert not Secret("first").is_open_to_others


def test_a_secret_does_not_show_itself() -> None:
    assert "first" not in repr(Secret("first"))
