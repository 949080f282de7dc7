"""Which folder a repository has on a machine."""

from __future__ import annotations

from pathlib import Path

from fleetbot.runner.git.repositories import Repositories
from fleetbot.runner.root import Root


def test_a_repository_keeps_its_folder_whatever_it_is_called_later(tmp_path: Path) -> None:
    root = Root(tmp_path)
    first = Repositories(root).folder("ada/widgets", 7)
    restarted = Repositories(root)

    assert first == "ada/widgets"
    assert restarted.folder("ada/gadgets", 7) == first
    assert restarted.folder("crew/widgets", 7) == first


def test_who_takes_over_a_name_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    root = Root(tmp_path)
    Repositories(root).folder("ada/widgets", 7)
    other = Repositories(root).folder("ada/widgets", 8)

    assert other != "ada/widgets"
    assert Repositories(root).folder("ada/gizmos", 8) == other
    assert Repositories(root).folder("ada/gadgets", 7) == "ada/widgets"


def test_what_was_there_before_ids_were_known_is_gone_on_with(tmp_path: Path) -> None:
    repositories = Repositories(Root(tmp_path))

    assert repositories.folder("ada/widgets", 0) == "ada/widgets"
    assert repositories.folder("ada/widgets", 7) == "ada/widgets"


def test_a_note_that_says_nothing_is_passed_over(tmp_path: Path) -> None:
    note = tmp_path / "repositories" / "ada" / "widgets" / "id"
    note.parent.mkdir(parents=True)
    note.write_text("torn")

    assert Repositories(Root(tmp_path)).folder("ada/widgets", 7) == "ada/widgets"
    assert note.read_text() == "7\n"
