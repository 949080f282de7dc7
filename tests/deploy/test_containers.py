"""The images of `deploy/`, as far as they can be tried without a container engine."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fleetbot.runner.config import load
from fleetbot_devkit.build import PROJECT
from fleetbot_devkit.maubot_admin import MaubotAdmin
from fleetbot_devkit.process import ServerProcess, free_port
from tests.deploy.proxies import DEPLOY

CONTAINERS = DEPLOY / "containers"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = YAML(typ="safe").load(CONTAINERS / "compose.yaml")
    return read


@pytest.fixture(scope="module")
def stages() -> dict[str, list[str]]:
    """The instructions of each stage of the Containerfile, by its name."""
    text = (CONTAINERS / "Containerfile").read_text()
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
    found: dict[str, list[str]] = {}
    for line in filter(None, map(str.strip, lines)):
        if line.startswith("FROM "):
            found[line.rpartition(" AS ")[2]] = []
        found[list(found)[-1]].append(re.sub(r"\s+", " ", line))
    return found


def test_images_come_from_a_named_version_and_run_as_nobody_special(
    stages: dict[str, list[str]],
) -> None:
    assert list(stages) == ["source", "maubot", "runner"]
    for lines in stages.values():
        assert re.match(r"FROM docker\.io/library/python:3\.\d+-slim-\w+ AS ", lines[0])
    for name in ("maubot", "runner"):
        words = [line.partition(" ")[0] for line in stages[name]]
        assert words.index("USER") > max(n for n, word in enumerate(words) if word == "RUN")
        assert re.fullmatch(r'CMD \[".*"\]', stages[name][-1]), "signals reach the program"


def test_images_hold_no_caches(stages: dict[str, list[str]]) -> None:
    for line in (line for name in ("maubot", "runner") for line in stages[name]):
        assert "pip install" not in line or "--no-cache-dir" in line
        if "apt-get install" in line:
            assert "--no-install-recommends" in line
            assert "rm -rf /var/lib/apt/lists/*" in line


def test_what_images_copy_is_there(stages: dict[str, list[str]]) -> None:
    copied = [line.split() for lines in stages.values() for line in lines if "COPY" in line]
    for words in copied:
        source = next(word for word in words[1:] if not word.startswith("--"))
        assert (PROJECT / source).exists(), source


def test_every_part_comes_back_and_is_waited_for_until_it_is_well(
    compose: dict[str, Any], stages: dict[str, list[str]]
) -> None:
    services = compose["services"]
    assert set(services) == {"forgejo", "synapse", "maubot", "runner"}
    for service in services.values():
        assert service["restart"] == "unless-stopped"
        assert service.get("build", {}).get("target", "runner") in stages
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            is_ours = any(line.startswith("HEALTHCHECK") for line in stages.get(other, ()))
            assert "healthcheck" in services[other] or is_ours


def test_nothing_is_open_to_the_world_and_no_secret_is_in_the_environment(
    compose: dict[str, Any],
) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        given = service.get("environment", {})
        assert all(name.endswith("_FILE") for name in given if re.search("PASSWORD|TOKEN", name))
    assert "/secrets/" in (CONTAINERS / ".gitignore").read_text().splitlines()


def test_what_is_asked_of_the_environment_stands_in_its_example() -> None:
    asked = set(re.findall(r"\$\{(\w+)\}", (CONTAINERS / "compose.yaml").read_text()))
    lines = (CONTAINERS / ".env.example").read_text().splitlines()
    assert asked == {line.partition("=")[0] for line in lines if "=" in line}


def test_the_runner_of_the_container_is_well_configured(tmp_path: Path) -> None:
    for name in ("forge-token", "enrolment-token"):
        (tmp_path / name).write_text("t0ken")
    text = (CONTAINERS / "runner" / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(text.replace("/run/secrets", str(tmp_path)))
    config = load(tmp_path / "config.toml", {})
    assert config.forge.token == "t0ken"
    assert config.runner.root == "/data"


async def test_maubot_of_the_container_comes_up_with_the_plugin(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, image, port = tmp_path / "data", tmp_path / "image", free_port()
    (image / "plugins").mkdir(parents=True)
    (image / "plugins" / archive.name).write_bytes(archive.read_bytes())

    def put(name: str, *replaced: tuple[str, str]) -> Path:
        text = (CONTAINERS / name).read_text()
        for old, new in (("/data", str(data)), ("/opt/fleetbot", str(image)), *replaced):
            assert old in text
            text = text.replace(old, new)
        (image / name).write_text(text)
        return image / name

    put("maubot.yaml", ("0.0.0.0", "127.0.0.1"), ("29316", str(port)))
    script = put("start-maubot")
    (tmp_path / "password").write_text("a password of one's own\n")
    given = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MAUBOT_ADMIN_PASSWORD_FILE": str(tmp_path / "password"),
        "MAUBOT_PUBLIC_URL": "https://matrix.example.org",
        "HOMESERVER_NAME": "example.org",
        "HOMESERVER_URL": "http://127.0.0.1:1",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    url = f"http://127.0.0.1:{port}"
    ready = f"{url}/_matrix/maubot/v1/features"
    server = ServerProcess("maubot", ["/bin/sh", str(script)], cwd=tmp_path, ready_url=ready)
    await server.start()
    try:
        admin = await MaubotAdmin.login(url, "admin", "a password of one's own")
        assert [plugin["id"] for plugin in await admin.plugins()] == ["dev.fleetbot"]
    finally:
        await server.stop()
    kept = (data / "config.yaml").read_text()
    assert "a password of one's own" not in kept
    assert (data / "config.yaml").stat().st_mode & 0o077 == 0
