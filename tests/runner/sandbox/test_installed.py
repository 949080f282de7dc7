"""What a sandbox shows of a program, by the layout it is installed in."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot.runner.sandbox.installed import parts


def program(path: Path, text: str = "\x7fELF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_of_a_single_file_it_is_the_file_alone(tmp_path: Path) -> None:
    agent = program(tmp_path / "fleet" / "agent")
    (agent.parent / "config.toml").touch()

    assert list(parts(agent)) == [agent]


def test_a_link_and_what_it_leads_to(tmp_path: Path) -> None:
    real = program(tmp_path / "share" / "claude" / "2.1.330")
    link = tmp_path / "claude"
    link.symlink_to(real)

    assert list(parts(link)) == [link, real]


def test_links_in_the_names_of_folders(tmp_path: Path) -> None:
    real = program(tmp_path / "versions" / "2" / "tool")
    (tmp_path / "current").symlink_to("versions/2")

    assert list(parts(tmp_path / "current" / "tool")) == [tmp_path / "current", real]


def test_of_a_package_of_node_all_packages_beside_it(tmp_path: Path) -> None:
    modules = tmp_path / "project" / "node_modules"
    real = program(modules / "tool" / "cli.js", "#!/nonexistent/node\n")
    link = modules / ".bin" / "tool"
    link.parent.mkdir()
    link.symlink_to("../tool/cli.js")

    assert list(parts(link))[:3] == [modules, link, real]


def test_of_a_script_of_a_venv_the_venv_and_its_python(tmp_path: Path) -> None:
    python = program(tmp_path / "python" / "bin" / "python3")
    library = tmp_path / "python" / "lib"
    library.mkdir()
    venv = tmp_path / "venv"
    script = program(venv / "bin" / "tool", f"#!{venv}/bin/python\n")
    (venv / "pyvenv.cfg").touch()
    (venv / "bin" / "python").symlink_to(python)

    assert set(parts(script)) >= {venv, script, venv / "bin" / "python", library, python}


@pytest.mark.parametrize("first", ["#!/usr/bin/env -S runs --fast", "#!/usr/bin/env A=b runs"])
def test_an_interpreter_that_is_looked_up_by_name(tmp_path: Path, first: str) -> None:
    interpreter = program(tmp_path / "tools" / "runs")
    script = program(tmp_path / "script", f"{first}\n")

    assert list(parts(script, str(tmp_path / "tools"))) == [script, interpreter]


def test_lib_beside_a_home_is_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "lib").mkdir()
    tool = program(tmp_path / "bin" / "tool")

    assert list(parts(tool)) == [tool]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    assert set(parts(tmp_path / "a")) == {tmp_path / "a", tmp_path / "b"}


def test_what_is_not_there_needs_nothing(tmp_path: Path) -> None:
    assert list(parts(tmp_path / "absent")) == []
