"""What can go wrong on the way, and that it is said with what to do; the next time goes on."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fleetbot.installing import yaml
from tests.certificate import tls, write_certificate
from tests.installing.ground import BAD, DONE, FOUND, WARN, Ground, Place, Said
from tests.installing.terminal import talk
from tests.runner.front import Front

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_all_servers_are_looked_at_before_anything_is_done(place: Place) -> None:
    said = await place.setup("--homeserver", "http://127.0.0.1:1", forge_token="wrong")

    assert said.status == 1
    assert said.names(BAD) == ["homeserver", "Forgejo"]
    assert "is not reached at http://127.0.0.1:1" in said.output
    assert "the file forge-token in --secrets DIR, or FLEETBOT_FORGE_TOKEN" in said.output
    assert said.names(FOUND) == ["maubot"]


async def test_what_is_not_given_is_said_with_all_the_ways_to_give_it(place: Place) -> None:
    nobody = await place.setup(maubot_password="")
    assert nobody.status == 2
    assert "FLEETBOT_MAUBOT_TOKEN" in nobody.output
    assert "FLEETBOT_MAUBOT_PASSWORD" in nobody.output

    wrong = await place.setup(maubot_password="admin:wrong")
    folder = str(place.root / "secrets")  # and so does systemd
    argv = ["setup", "--yes", "--state", str(place.state), *place.addresses()]
    its = await place.run(argv, env={"CREDENTIALS_DIRECTORY": folder})
    assert its.output == wrong.output
    assert "maubot answered 401 to POST /_matrix/maubot/v1/auth/login" in wrong.output

    no_repo = await place.run(["setup", "--yes", "--state", str(place.root / "other.json")])
    assert no_repo.status == 2
    assert "--homeserver: '' is not an address like https://example.org" in no_repo.output


async def test_somebody_at_a_terminal_is_asked_and_shown_before_anything_is_done(
    place: Place,
) -> None:
    ground = place.ground
    answers = [
        ("The homeserver's address", ground.homeserver.url),
        ("maubot's address", ground.bots.url),
        ("Forgejo's address", ground.forge.url),
        ("Your Matrix id", "alice"),
        ("'alice' is not a Matrix id", f"@alice:{ground.homeserver.server_name}"),
        ("The repositories", place.repo),
        (f"[@fleetbot:{ground.homeserver.server_name}]", place.bot),
        ("What does the work?", "codex"),
        ("Protect the default branches?", "y"),
        ("An administrator of maubot", ""),
        ("their password", ground.bots.admin_password),
        ("token:", ground.admin_token),
        ("registration_shared_secret", ground.homeserver.registration_secret),
        ("Shall I do this?", "n"),
    ]
    argv = ["setup", "--instance", place.instance, "--mbp", str(ground.archive)]
    status, seen = await asyncio.to_thread(talk, argv, place.root, answers)

    assert status == 1
    assert f"make the account {place.bot}, and log it in" in seen
    assert "protect main: what comes there is merged, not pushed" in seen
    for secret in (ground.bots.admin_password, ground.admin_token):
        assert secret not in seen
    assert [file.name for file in place.root.iterdir()] == []


async def test_a_wrong_password_has_nobody_type_all_of_it_again(place: Place) -> None:
    ground = place.ground
    argv = ["setup", *place.addresses()]
    secrets = [("their password", "wrong"), ("token:", ground.admin_token)]
    way_in = ("registration_shared_secret", ground.homeserver.registration_secret)
    person = ("Your Matrix id", f"@alice:{ground.homeserver.server_name}")
    offers = [person, ("What does the work?", ""), ("Protect the default", "")]
    admin = ("An administrator of maubot", "")

    status, seen = await asyncio.to_thread(
        talk, argv, place.root, [*offers, admin, *secrets, way_in]
    )
    assert status == 2
    assert "Invalid username or password" in seen

    secrets[0] = ("their password", ground.bots.admin_password)
    again = [admin, *secrets, way_in, ("Shall I do this?", "n")]
    status, seen = await asyncio.to_thread(
        talk, [*argv[:1], "--mbp", str(ground.archive)], place.root, again
    )
    assert status == 1
    assert f"make the account {place.bot}, and log it in" in seen


async def test_a_name_that_somebody_has_on_the_homeserver_is_not_taken(place: Place) -> None:
    await place.ground.homeserver.register(f"bot-{place.mark}", "theirs")

    said = await place.setup()

    [bad] = said.lines(BAD)
    assert bad == f"bot {place.bot} is there already"
    assert "FLEETBOT_BOT_PASSWORD" in said.output
    assert "choose another name with --bot" in said.output
    assert "password" not in place.kept

    known = await place.setup("--check", bot_password="theirs")
    assert f"bot log {place.bot} in, with a device of its own" in known.lines("→")


async def test_maubots_own_secret_of_the_homeserver_does(place: Place) -> None:
    said = await place.setup("--repo", "nobody/nothing", matrix_secret="", mbp=False)

    assert f"bot make the account {place.bot}, and log it in" in said.lines(DONE)
    client = await place.client()
    assert client["started"]
    assert client["device_id"].startswith("fleetbot_")
    [bad] = said.lines(BAD)  # and without the plugin it goes no further
    assert bad == "plugin maubot has no fleetbot, and no file was given"


async def test_a_synapse_administrator_lifts_the_bots_limits(place: Place) -> None:
    admin = await place.ground.homeserver.register(f"admin-{place.mark}", "password", admin=True)

    said = await place.setup(matrix_secret="", matrix_token=admin.access_token, mbp=False)

    assert said.names(DONE) == ["bot", "limits", "client"]
    undone = await place.setup("--undo", matrix_token=admin.access_token)
    assert undone.status == 0, undone.output
    assert "have the homeserver's rate limits hold again" in undone.output


async def test_a_file_that_is_no_plugin_is_told_before_anything(
    place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "notes.mbp"
    file.write_text("notes")

    said = await place.setup("--mbp", str(file), mbp=False)

    assert said.status == 2
    assert "notes.mbp is no plugin of maubot" in said.output


async def test_what_fails_half_way_is_gone_on_with_and_only_what_was_made_is_taken_back(
    place: Place,
) -> None:
    """Forgejo makes the account and no token, then no webhook, then delivers nothing."""
    forge = place.ground.forge
    forge.add_label(place.repo, "fleet")
    forge.fail_next("POST", rf"/users/{place.forge_bot}/tokens", 500)
    first = await place.setup()
    assert first.status == 1
    [bad] = first.lines(BAD)
    assert bad.startswith(f"forge bot Forgejo answered 500 to POST /api/v1/users/{place.forge_bot}")

    forge.fail_next("POST", rf"{place.repo}/hooks", 503)
    second = await place.setup()
    accounts = [change for change in place.changes() if change.endswith("/admin/users")]
    assert len(accounts) == 2  # the bot's only once
    assert second.lines(BAD)[0].startswith(f"webhook {place.repo} POST ")
    assert "runner" in second.names(DONE)  # which needs no webhook

    forge.lose_webhooks(1)
    third = await place.setup()
    nothing = f"webhook {place.repo} it is there, and nothing has come through it yet"
    assert nothing in third.lines(WARN)
    assert "[webhook] ALLOWED_HOST_LIST" in third.output

    fourth = await place.setup()
    assert (fourth.status, fourth.names(DONE)) == (0, ["webhook"])

    await _binds_people_only_where_that_was_asked_for(place, fourth)
    await _keeps_what_an_instance_has(place)
    await _takes_back_what_it_made(place)


async def _binds_people_only_where_that_was_asked_for(place: Place, before: Said) -> None:
    forge = place.ground.forge
    assert "--protect has setup protect main" in before.output
    assert forge.repo(place.repo).protections == {}
    bound = await place.setup("--protect", "--require-receipt")
    assert bound.names(DONE) == ["branch", "receipt"]
    rule = forge.repo(place.repo).protections["main"]
    assert (rule.takes_pushes, rule.contexts) == (False, ("fleetbot/receipt",))


async def _keeps_what_an_instance_has(place: Place) -> None:
    admin = place.ground.bots.admin
    theirs = yaml.load((await admin.instance(place.instance))["config"])
    theirs["auth"]["operator_tokens"] = ["of-their-own-making"]
    theirs["auth"]["reader_tokens"] = []
    await admin.put_config(place.instance, yaml.dump(theirs))
    said = await place.setup()
    assert "instance fill in auth.reader_tokens" in said.lines(DONE)
    now = await place.config()
    assert now["auth"]["operator_tokens"] == ["of-their-own-making"]
    assert len(now["auth"]["reader_tokens"]) == 1


async def _takes_back_what_it_made(place: Place) -> None:
    """Somebody has made labels, and changed the runner's file."""
    forge = place.ground.forge
    (place.folder / "config.toml").write_text("# mine now\n")
    forge.add_label(place.repo, "theirs")
    forge.fail_next("DELETE", rf"/admin/users/{place.forge_bot}", 422)

    half = await place.setup("--undo")
    assert half.status == 1
    [bad] = half.lines(BAD)
    assert bad.startswith(f"undo delete the account {place.forge_bot}")
    again = await place.setup("--undo")
    assert (again.status, len(again.lines(DONE))) == (0, 1)

    repo = forge.repo(place.repo)
    assert {label.name for label in repo.labels.values()} == {"fleet", "theirs"}
    assert (repo.protections, repo.hooks) == ({}, {})
    assert [file.name for file in place.folder.iterdir()] == ["config.toml"]
    assert await place.people_of_forge() == []


async def test_accounts_and_a_room_that_are_there_are_used_and_left(
    place: Place, ground: Ground
) -> None:
    scopes = ("write:issue", "write:repository", "read:user")
    token = ground.forge.add_user(place.forge_bot, scopes=scopes)
    others = ground.forge.add_user(f"other-{place.mark}")
    alice = await ground.homeserver.register(f"alice-{place.mark}", "password")
    room = await alice.create_room("Ours")

    unknown = await place.setup("--room", room)
    [bad] = unknown.lines(BAD)
    assert bad == f"forge bot {place.forge_bot} is there already, and no token of it is known"
    assert "FLEETBOT_FORGE_BOT_TOKEN" in unknown.output
    wrong = await place.setup(forge_bot_token=others)
    assert f"forge-bot-token is of other-{place.mark}, not of {place.forge_bot}" in wrong.output

    refused = await place.setup(forge_bot_token=token)
    assert refused.names(BAD) == ["room"]
    assert f"Invite {place.bot} into it, then run this again" in refused.output
    await alice.invite(room, place.bot)
    well = await place.setup(forge_bot_token=token)
    assert well.status == 0, well.output
    config = await place.config()
    assert (config["forge"]["token"], list(config["rooms"])) == (token, [room])

    undone = await place.setup("--undo")
    assert undone.status == 0, undone.output
    assert await place.people_of_forge() == [place.forge_bot]  # it was not ours to take away
    assert await alice.members(room) == [alice.user_id]


async def test_who_administers_no_forgejo_is_told_who_can(place: Place) -> None:
    token = place.ground.forge.add_token(place.owner)

    said = await place.setup(forge_token=token)

    [bad] = said.lines(BAD)
    assert bad == f"forge bot there is no {place.forge_bot}"
    assert "Only administrators of Forgejo may make accounts" in said.output


async def test_servers_with_certificates_of_their_own_are_trusted_by_one_option(
    place: Place,
) -> None:
    """By setup's own calls, by the plugin, and by the runner that it writes the files of."""
    ground, file = place.ground, write_certificate(place.root / "own.pem")
    behind = {
        "--homeserver": ground.homeserver.url,
        "--maubot": ground.bots.url,
        "--forge": ground.forge.url,
    }
    async with AsyncExitStack() as stack:
        fronts = {
            name: await stack.enter_async_context(Front.of(url, tls(file)))
            for name, url in behind.items()
        }
        options = [part for name, front in fronts.items() for part in (name, front.url)]
        strange = await place.setup(*options)
        assert strange.status == 2
        assert "maubot is not reached" in strange.output
        assert "not trusted (self-signed certificate): --ca-file names those" in strange.output
        only_forge = await place.setup("--forge", fronts["--forge"].url, mbp=False)
        [bad] = only_forge.lines(BAD)
        assert "not trusted (self-signed certificate): --ca-file names those" in bad

        well = await place.setup(*options, "--ca-file", str(file))

        assert well.status == 0, well.output
        assert (await place.config())["forge"]["ca_file"] == str(file)
        assert "PRIVATE KEY" not in (place.folder / "ca.pem").read_text()
        argv = ["check", "-c", str(place.folder / "config.toml")]
        checked = await place.run(argv, env={"HOME": str(place.root)})
        assert checked.status == 0, checked.output
        orchestrator = f"{fronts['--maubot'].url}/_matrix/maubot/plugin/{place.instance}"
        look = ["check", "-c", "none.toml", "--orchestrator", orchestrator]
        assert "--ca-file names those that are" in (await place.run(look)).output
        seen = await place.run([*look, "--ca-file", str(file)])
        assert "An operator's token shows all" in seen.output
        undone = await place.setup(*options, "--undo")
    assert undone.status == 0, undone.output
    assert not place.folder.exists()


async def test_where_servers_encrypt_it_is_asked_once_what_to_trust(place: Place) -> None:
    ground, file = place.ground, write_certificate(place.root / "own.pem")
    async with Front.of(ground.forge.url, tls(file)) as front:
        answers = [
            ("Your Matrix id", f"@alice:{ground.homeserver.server_name}"),
            ("certificates to trust (PEM)", "none.pem"),
            ("none.pem cannot be read", file.name),
            ("What does the work?", ""),
            ("Protect the default branches?", ""),
            ("An administrator of maubot", ""),
            ("their password", ground.bots.admin_password),
            ("token:", ground.admin_token),
            ("registration_shared_secret", ground.homeserver.registration_secret),
            ("Shall I do this?", "n"),
        ]
        argv = ["setup", *place.addresses(), "--forge", front.url, "--mbp", str(ground.archive)]
        status, seen = await asyncio.to_thread(talk, argv, place.root, answers)
    assert status == 1
    assert f"{'Forgejo':<22} {front.url}" in seen


async def test_certificates_that_are_not_where_maubot_runs_are_told_with_what_to_do(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetbot.installing.fleet._COMES_UP_WITHIN", 1.0)
    file = write_certificate(place.root / "own.pem")
    with file.open("rb") as content:
        number = fcntl.fcntl(content, fcntl.F_DUPFD_CLOEXEC, 900)
    ours = f"/proc/self/fd/{number}"  # a place that only this process has
    try:
        async with Front.of(place.ground.forge.url, tls(file)) as front:
            said = await place.setup("--forge", front.url, "--ca-file", ours)
    finally:
        os.close(number)

    assert said.status == 1
    [bad] = said.lines(BAD)
    assert f"forge.ca_file: {ours} cannot be read" in bad
    assert "forge.ca_file is read where maubot runs: put the file there" in said.output
