"""Folders in which a program left whatever it liked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fleetbot.runner.sandbox import folders

DEEP = "import os\nfor _ in range(2500): os.mkdir('d'); os.chdir('d')\nopen('file', 'w')"


def test_a_folder_is_removed_however_deep_it_is(tmp_path: Path) -> None:
    place = tmp_path / "place"
    (place / "beside").mkdir(parents=True)
    (place / "beside" / "file").write_text("x")
    subprocess.run(["python3", "-c", DEEP], cwd=place, check=True)

    assert folders.remove(place)

    assert not place.exists()


def test_what_a_link_leads_to_is_not_removed(tmp_path: Path) -> None:
    victim, place = tmp_path / "victim", tmp_path / "place"
    (victim / "run").mkdir(parents=True)
    place.mkdir()
    (place / "tmp").symlink_to(victim)

    assert folders.remove(place, "tmp", "run")
    assert folders.remove(place)

    assert (victim / "run").is_dir()
    assert not place.exists()


def test_read_only_folders_are_removed(tmp_path: Path) -> None:
    inner = tmp_path / "place" / "closed" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    inner.chmod(0)
    inner.parent.chmod(0o500)

    assert folders.remove(tmp_path / "place")

    assert not (tmp_path / "place").exists()


@pytest.mark.parametrize("way", ["link", "dangling link", "file", "pipe", "closed folder"])
def test_whatever_is_in_its_way_a_folder_is_made(tmp_path: Path, way: str) -> None:
    place, victim = tmp_path / "home" / "tmp", tmp_path / "victim"
    place.parent.mkdir()
    victim.mkdir()
    match way:
        case "link":
            place.symlink_to(victim)
        case "dangling link":
            place.symlink_to("nowhere")
        case "file":
            place.touch()
        case "pipe":
            os.mkfifo(place)
        case _:
            place.mkdir(mode=0)

    made = folders.make(tmp_path / "home", "tmp", "run")

    (made / "file").touch()
    assert not place.is_symlink()
    assert list(victim.iterdir()) == []
