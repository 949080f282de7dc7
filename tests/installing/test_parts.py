"""Small parts of setup: the state's file, secrets, archives, a server's words."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from msgspec.structs import replace

from fleetbot.installing.answers import AnswerRefused, Answers, checked
from fleetbot.installing.given import Given, SecretUnreadable
from fleetbot.installing.runner_files import config
from fleetbot.installing.servers import Refused, Server
from fleetbot.installing.state import Kept, StateRefused, must_be_of
from fleetbot.installing.walk import Line, Told
from fleetbot.network import certificates, flaw_of
from fleetbot.runner.config import decode
from fleetbot.setup_cli import show
from fleetbot_devkit.process import free_port
from tests.certificate import write_certificate

GOOD = Answers(
    homeserver="https://matrix.example.org/",
    maubot="https://matrix.example.org",
    forge="https://forge.example.org",
    bot="@fleetbot:example.org",
    repos=("acme/shop",),
)


def test_the_state_is_its_owners_only_and_never_half_written(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    (tmp_path / ".state.json.new").write_text("left by one that was killed")
    kept = Kept(path)

    kept.keep(password="word")
    Kept(path, is_dry=True).keep(password="other")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Kept(path).state.password == "word"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_state_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"answers": 3}')

    with pytest.raises(StateRefused, match="name another with --state"):
        Kept(path)


def test_secrets_come_from_a_folder_before_systemds_before_a_variable(tmp_path: Path) -> None:
    own, systemd = tmp_path / "own", tmp_path / "systemd"
    for folder in (own, systemd):
        folder.mkdir()
        (folder / "forge-token").write_text(f"{folder.name}\n")
    env = {"FLEETBOT_FORGE_TOKEN": "variable", "FLEETBOT_BOT_TOKEN": "variable"}

    assert Given([own, systemd], env).get("forge-token") == "own"
    assert Given([systemd], env).get("forge-token") == "systemd"
    assert Given([systemd], env).get("bot-token") == "variable"
    (own / "matrix-secret").mkdir()
    with pytest.raises(SecretUnreadable, match="matrix-secret cannot be read"):
        Given([own], env).get("matrix-secret")


def test_what_was_made_for_one_fleet_is_not_taken_for_anothers(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "state.json")
    kept.keep(answers=GOOD, password="word", account=True)
    must_be_of(kept.state, replace(GOOD, instance="other"))  # nothing was made for the first
    with pytest.raises(StateRefused, match="--bot"):
        must_be_of(kept.state, replace(GOOD, bot="@other:example.org"))

    kept.keep(instance=True)
    must_be_of(kept.state, replace(GOOD, repos=("acme/site",), room="!other:example.org"))
    with pytest.raises(StateRefused, match=r"--instance: it was 'fleetbot' when .* --state"):
        must_be_of(kept.state, replace(GOOD, instance="other"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"forge": "forge.example.org"}, "--forge: 'forge.example.org' is not an address"),
        ({"bot": "fleetbot"}, "--bot: 'fleetbot' is not a Matrix id"),
        ({"repos": ("shop",)}, "--repo: 'shop' is not a repository as owner/name"),
        ({"repos": ()}, "--repo: name at least one"),
        ({"people": ("alice",)}, "--person: 'alice' is not a Matrix id"),
        ({"room": "Fleet"}, "--room: 'Fleet' is not a room's id"),
        ({"instance": "Fleet Bot"}, "--instance: 'Fleet Bot' is not small letters"),
    ],
)
def test_a_wrong_answer_is_refused_by_its_option(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(AnswerRefused, match=said.replace("(", r"\(")):
        checked(replace(GOOD, **changed))


def test_addresses_lose_the_slash_at_their_end() -> None:
    assert checked(GOOD).homeserver == "https://matrix.example.org"


@pytest.mark.parametrize("adapter", ["command", "claude-code", "codex"])
def test_the_runners_configuration_is_short_and_one(adapter: str) -> None:
    said = replace(GOOD, adapter=adapter, command=("sh", "-c", 'echo "\\"'))

    text = config(said, "https://matrix.example.org/_matrix/maubot/plugin/fleetbot")

    file = decode(text)
    assert [agent.adapter for agent in file.agents] == [adapter]
    assert file.forge.author_email == "fleet-runner@noreply.forge.example.org"
    if adapter == "command":
        assert tomllib.loads(text)["agents"][0]["command"]["argv"] == ["sh", "-c", 'echo "\\"']
    assert len(text.splitlines()) < 20


def test_the_runner_trusts_what_setup_was_told_to_where_that_is_asked_for(tmp_path: Path) -> None:
    file = write_certificate(tmp_path / "own.pem")
    said = checked(replace(GOOD, ca_file=str(file), forge="http://127.0.0.1:3000"))

    text = config(said, "https://matrix.example.org/fleetbot")

    told = tomllib.loads(text)
    assert told["orchestrator"]["ca_file"] == "ca.pem"
    assert "ca_file" not in told["forge"]


def test_of_a_file_of_certificates_nothing_else_is_handed_on(tmp_path: Path) -> None:
    file = write_certificate(tmp_path / "own.pem")
    own = file.read_bytes()
    assert b"PRIVATE KEY" in own
    file.write_bytes("Unsere Behörde\n".encode("latin-1") + own + own)

    taken = certificates(str(file))

    assert taken.count("-----BEGIN CERTIFICATE-----") == 2
    assert "PRIVATE KEY" not in taken
    (tmp_path / "taken.pem").write_text(taken)
    assert flaw_of(str(tmp_path / "taken.pem")) == ""


@pytest.mark.parametrize("content", [None, "no certificates"])
def test_a_file_that_holds_no_certificates_is_refused_by_its_option(
    tmp_path: Path, content: str | None
) -> None:
    if content:
        (tmp_path / "own.pem").write_text(content)
    with pytest.raises(AnswerRefused, match=r"--ca-file: .*own\.pem (cannot be read|holds no)"):
        checked(replace(GOOD, ca_file=str(tmp_path / "own.pem")))


def test_what_a_server_says_gives_the_terminal_no_orders(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = "Forgejo answered 500: \x1b[2J\x1b]0;mine\x07gone\u202e `all`"

    show(Line(Told.BAD, "forge bot", said, ("\x1b[31mGive `all`",)))

    assert capsys.readouterr().out == (
        "✗  forge bot              Forgejo answered 500: [2J]0;minegone all\n    [31mGive all\n"
    )


async def test_a_server_is_given_the_time_it_asks_for_and_its_words_are_masked() -> None:
    asked, rests = [], []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        match request.path:
            case "/busy" if len(asked) == 1:
                said = {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}
                return web.json_response(said, status=429)
            case "/vague" if asked.count("/vague") == 1:
                return web.json_response({"retry_after_ms": "soon"}, status=429)
            case "/half":
                return web.Response(text='{"well": t', content_type="application/json")
            case "/no":
                return web.json_response({"message": "token word-of-mouth is unknown"}, status=401)
            case "/page":
                return web.Response(text="<html>", content_type="text/html")
        return web.json_response({"well": True})

    async def sleep(seconds: float) -> None:
        rests.append(seconds)

    app, port = web.Application(), free_port()
    app.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}"
        server = Server("it", url, session, masked=lambda: ["word-of-mouth"], sleep=sleep)
        assert await server.call("GET", "/busy") == {"well": True}
        assert await server.call("GET", "/vague") == {"well": True}
        with pytest.raises(Refused, match=r"it: what GET http://.*/half answered breaks off"):
            await server.call("GET", "/half")
        with pytest.raises(Refused, match="it answered 401 to GET /no: token … is unknown"):
            await server.call("GET", "/no")
        with pytest.raises(Refused, match="is this its address"):
            await server.call("GET", "/page")
    await runner.cleanup()
    assert rests == [2.5, 1.0]
