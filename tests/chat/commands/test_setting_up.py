"""`!fleet setup`: step by step to a connected repository, each step asked for and taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fleetbot.chat.commands.said import Elsewhere
from fleetbot.chat.words.post import Post
from fleetbot.settings import RoomSettings
from tests.chat.dialogue import ROOM, Dialogue, dialogue
from tests.chat.listener import setting_up_of
from tests.services.stage import BOT, Stage

SITE = "ann/site"
NOTHING = RoomSettings(repos=("ann/none", "ann/nothing"))
ALL_THERE = "✅ labels: they are all there\n"


class Walk:
    """A room that hears of nothing yet, and Ann, who may do everything in it."""

    def __init__(self, chat: Dialogue) -> None:
        self.chat = chat
        self.stage = chat.stage

    async def says(self, text: str, who: str = "ann") -> str:
        """The bot's answer to `!fleet setup …`."""
        await self.chat.says(who, f"!fleet setup {text}")
        return self.chat.answers("…").text

    async def agrees(self, who: str = "ann") -> str:
        return await self.says("yes", who)

    async def in_force(self) -> str:
        """The configuration has been changed, and the room hears how it is."""
        self.stage.walks.settled()
        await self.chat.bots.setting_up.tick()
        [told] = await self.chat.tells("…")
        return told.text


@pytest.fixture
async def walk(stage: Stage) -> AsyncIterator[Walk]:
    stage.repositories.clear()
    await stage.forge.create_repo("ann", "site", {"README.md": "A site\n"})
    async with dialogue(stage, NOTHING) as chat:
        yield Walk(chat)


async def test_an_administrator_bot_is_walked_to_a_connected_repository(walk: Walk) -> None:
    walk.stage.forge.add_collaborator(SITE, BOT, "admin")

    begun = await walk.says(SITE)
    assert begun.startswith(
        "🧭 ann/site and this room\n✅ account: fleetbot is its administrator\n"
    )
    assert "👉 labels: shall I make fleet, status:todo," in begun

    labelled = await walk.agrees()
    assert ALL_THERE in labelled
    assert "👉 room: shall I name it in forge.repositories, and have this room hear" in labelled
    names = {label.name for label in walk.stage.forge.repo(SITE).labels.values()}
    assert {"fleet", "status:done", "priority:high"} <= names

    assert (await walk.agrees()).startswith("✍️ The configuration is being changed.")
    mapped = await walk.in_force()
    assert "✅ room: this room hears of it and #12 is one of its issues\n" in mapped
    assert walk.stage.config["rooms"] == {ROOM: {"repos": [SITE], "default_repo": SITE}}

    assert "👉 webhook: shall I make one" in mapped
    hooked = await walk.agrees()
    assert "✅ webhook: deliveries arrive, the last 0 s ago\n" in hooked

    assert "👉 branch: shall I protect main" in hooked
    protected = await walk.agrees()
    assert "⚠️ branch: fleetbot could merge into main alone\n" in protected
    assert "👉 receipt: shall I require it for every merge into main" in protected

    ready = await walk.agrees()
    assert "✅ receipt: a merge needs a green fleetbot/receipt\n" in ready
    assert "• branch: Name those who may, in the rule for main: http" in ready
    assert ready.endswith("🎉 Ready. Give an issue the label fleet.")


async def test_what_a_writer_cannot_do_is_said_to_the_click(walk: Walk) -> None:
    walk.stage.forge.add_collaborator(SITE, BOT, "write")
    await walk.says(SITE)
    await walk.agrees()
    await walk.agrees()

    told = await walk.in_force()

    assert "❌ webhook: nothing has come yet, and only administrators of the repository" in told
    assert "• webhook: An administrator adds it: http" in told
    assert f"• Target URL {walk.stage.hook_url}, POST, application/json, active" in told
    assert "hook-secret" not in told
    assert told.endswith("Then say !fleet setup again.")


async def test_a_webhook_made_by_hand_counts_once_something_comes(walk: Walk) -> None:
    stage = walk.stage
    stage.forge.add_collaborator(SITE, BOT, "write")
    await walk.says(SITE)
    await walk.agrees()
    await walk.agrees()
    await walk.in_force()

    await stage.ann.create_hook(SITE, stage.hook_url, "hook-secret", ["issues", "pull_request"])
    await stage.ann.create_issue(SITE, "Hello")
    await stage.hear()

    assert "✅ webhook: deliveries arrive" in await walk.says("again")


async def test_a_webhook_that_is_wrong_is_made_anew(walk: Walk) -> None:
    stage = walk.stage
    stage.forge.add_collaborator(SITE, BOT, "admin")
    await stage.ann.create_hook(SITE, stage.hook_url, "another", ["push"])
    await walk.says(SITE)
    await walk.agrees()
    await walk.agrees()

    told = await walk.in_force()
    assert "❌ webhook: it does not tell of action_run_failure" in told
    assert "issue_assign, issue_label, issues, pull_request" in told

    assert "✅ webhook: deliveries arrive" in await walk.agrees()
    [hook] = stage.forge.repo(SITE).hooks.values()
    assert hook.secret == "hook-secret"


@pytest.mark.parametrize(
    ("rights", "says"),
    [
        (None, "✅ account: …"),
        ("read", "❌ account: fleetbot may read it, and must write\n…Add fleetbot as a coll…"),
    ],
)
async def test_the_bots_rights_come_first(walk: Walk, rights: str | None, says: str) -> None:
    walk.stage.forge.add_collaborator(SITE, BOT, "read" if rights else "write")
    await walk.chat.says("ann", f"!fleet setup {SITE}")
    walk.chat.answers(f"🧭 ann/site and this room\n{says}")


async def test_a_repository_that_nobody_shows_is_said_so(walk: Walk) -> None:
    told = await walk.says("ann/nowhere")
    assert "❌ account: Forgejo shows no ann/nowhere to fleetbot\n" in told
    assert "/ann/nowhere/settings/collaboration" in told


@pytest.mark.parametrize(
    ("scopes", "says"),
    [
        (["read:user", "write:repository"], "the bot's token lacks write:issue"),
        (["write:issue", "read:user"], "the bot's token may not do this: token does not have"),
        (["write:issue", "write:repository"], "the bot's token may not do this: the token may not"),
    ],
)
async def test_a_token_that_may_too_little_is_told_what_it_lacks(
    walk: Walk, scopes: list[str], says: str
) -> None:
    walk.stage.forge.set_scopes(walk.stage.bot_token, scopes)
    told = await walk.says(SITE)
    assert f"❌ account: {says}" in told
    assert "/user/settings/applications; it is forge.token" in told


async def test_a_token_that_does_not_count_any_more_is_said_so(walk: Walk) -> None:
    walk.stage.forge.revoke_token(walk.stage.bot_token)
    assert "❌ account: Forgejo does not take the bot's token\n" in await walk.says(SITE)


async def test_who_is_mighty_in_one_room_does_not_bring_in_the_repositories_of_others(
    walk: Walk,
) -> None:
    walk.stage.forge.add_collaborator(SITE, BOT, "admin")
    walk.stage.repositories.append(SITE)
    walk.stage.config["rooms"] = {
        ROOM: {"repos": ["ann/none"], "default_repo": None},
        "!site:localhost": {"repos": [SITE], "default_repo": SITE},
    }

    for name in (SITE, SITE.upper()):
        assert (await walk.says(name)).startswith(
            f"⚠️ The fleet works on {name}, and not for this room: "
        )

    assert await walk.says("yes") == "⚠️ Which repository? !fleet setup owner/repo."


async def test_elsewhere_only_operators_are_heard_and_once(walk: Walk) -> None:
    stage = walk.stage
    stage.forge.add_collaborator(SITE, BOT, "write")
    setting_up = setting_up_of(stage, walk.chat.bots.link.power_level, ["@ann:localhost"])

    async def says(who: str, text: str, event: str) -> str | None:
        there = Elsewhere(f"@{who}:localhost", event, "!new:localhost", f"!fleet setup {text}")
        answer = await setting_up.elsewhere(there)
        return answer.body.text if isinstance(answer, Post) else None

    assert await says("bob", SITE, "$1") is None
    assert "👉 labels" in (await says("ann", SITE, "$2") or "")
    assert "👉 room" in (await says("ann", "yes", "$3") or "")
    assert "👉 room" in (await says("ann", "yes", "$3") or "")
    assert stage.repositories == []


async def test_a_step_is_skipped_and_comes_back_again(walk: Walk) -> None:
    walk.stage.forge.add_collaborator(SITE, BOT, "write")
    await walk.says(SITE)

    skipped = await walk.says("skip")
    assert "⏭ labels: there is no fleet" in skipped
    assert "👉 room" in skipped

    assert "👉 labels" in await walk.says("again")


async def test_what_was_made_is_taken_back_and_nothing_else(walk: Walk) -> None:
    stage = walk.stage
    stage.forge.add_collaborator(SITE, BOT, "write")
    stage.forge.add_label(SITE, "status:done")
    await walk.says(SITE)
    await walk.agrees()

    offered = await walk.says("undo labels")
    assert "👉 labels: shall I delete the labels fleet, status:todo, " in offered
    assert "status:done" not in offered.partition("👉")[2]

    await walk.agrees()
    assert [label.name for label in stage.forge.repo(SITE).labels.values()] == ["status:done"]
    assert (await walk.says("undo labels")).startswith("⚠️ I have made nothing")


async def test_what_was_made_before_something_failed_is_taken_back_as_well(walk: Walk) -> None:
    forge = walk.stage.forge
    forge.add_collaborator(SITE, BOT, "admin")
    await walk.says(SITE)

    forge.fail_next("POST", "/labels$", 403, after=2)
    assert (await walk.agrees()).startswith("⚠️ ")

    assert "shall I delete the labels fleet, status:todo, from" in await walk.says("undo labels")
    forge.fail_next("DELETE", "/labels/", 403, after=1)
    assert (await walk.agrees()).startswith("⚠️ ")
    assert "shall I delete the labels status:todo, from" in await walk.says("undo labels")
    await walk.agrees()
    assert not forge.repo(SITE).labels


async def test_a_webhook_that_could_not_be_tried_is_known_as_ours(walk: Walk) -> None:
    forge = walk.stage.forge
    forge.add_collaborator(SITE, BOT, "admin")
    await walk.says(SITE)
    await walk.says("skip")
    await walk.agrees()
    await walk.in_force()

    forge.fail_next("POST", "/tests$", 403)
    assert (await walk.agrees()).startswith("⚠️ ")

    assert "shall I delete the webhook" in await walk.says("undo webhook")


async def test_the_configuration_is_taken_back_too(walk: Walk) -> None:
    walk.stage.forge.add_collaborator(SITE, BOT, "write")
    await walk.says(SITE)
    await walk.says("skip")
    await walk.agrees()
    await walk.in_force()
    assert walk.stage.repositories == [SITE]

    await walk.says("undo room")
    await walk.agrees()
    await walk.in_force()

    assert walk.stage.repositories == []
    assert walk.stage.config["rooms"] == {}


async def test_yes_is_said_by_a_button_or_a_bare_word(walk: Walk) -> None:
    walk.stage.forge.add_collaborator(SITE, BOT, "write")
    await walk.says(SITE)
    offered = walk.chat.new[0]
    assert walk.chat.server.reactions(offered.event) == ["✅", "❌"]

    await walk.chat.presses("ann", "✅", on=offered.event)
    assert ALL_THERE in walk.chat.answers("…").text

    await walk.chat.says("ann", "skip", to=walk.chat.new[0].event)
    assert "⏭ room" in walk.chat.answers("…").text


@pytest.mark.parametrize("emoji", ["👍🏽", "✔️", "✅\ufe0f"])
async def test_what_people_press_for_a_yes_is_one(walk: Walk, emoji: str) -> None:
    walk.stage.forge.add_collaborator(SITE, BOT, "write")
    await walk.says(SITE)

    await walk.chat.presses("ann", emoji, on=walk.chat.new[0].event)

    assert ALL_THERE in walk.chat.answers("…").text


async def test_an_old_offer_is_none_any_more(walk: Walk) -> None:
    walk.stage.forge.add_collaborator(SITE, BOT, "write")
    await walk.says(SITE)
    first = walk.chat.new[0]
    await walk.says("skip")

    await walk.chat.presses("ann", "✅", on=first.event)

    walk.chat.answers("⚠️ That was offered before; …")
    assert walk.stage.repositories == []


async def test_only_who_has_the_power_may_set_up(walk: Walk) -> None:
    walk.stage.forge.add_collaborator(SITE, BOT, "write")
    await walk.chat.says("mod", f"!fleet setup {SITE}")
    walk.chat.answers("⚠️ Sorry, setup takes power level 100 …")
    await walk.says(SITE)

    offered = walk.chat.new[0].event
    await walk.chat.presses("mod", "✅", on=offered)

    walk.chat.answers("⚠️ Sorry, setup takes power level 100 …")
    await walk.chat.says("mod", "yes", to=offered)
    walk.chat.is_silent()
    assert not walk.stage.forge.repo(SITE).labels


async def test_how_far_it_is_survives_a_restart(walk: Walk) -> None:
    walk.stage.forge.add_collaborator(SITE, BOT, "write")
    await walk.says(SITE)
    await walk.agrees()

    walk.stage.restart()
    await walk.stage.fleet.start()
    async with dialogue(walk.stage, NOTHING) as chat:
        chat.levels["eve"] = 100
        await chat.says("eve", "!fleet setup undo labels")
        chat.answers("🧭 …👉 labels: shall I delete the labels fleet, …")


async def test_what_is_said_wrongly_is_told_how(walk: Walk) -> None:
    assert (await walk.says("everything please")).startswith("⚠️ Say !fleet setup owner/repo")
    assert (await walk.says("")).startswith("⚠️ Which repository?")
    assert (await walk.says("undo")).startswith("⚠️ Take back which step? account, labels,")


async def test_where_the_homeserver_takes_no_long_message_the_offer_is_shown_alone(
    walk: Walk,
) -> None:
    walk.stage.forge.add_collaborator(SITE, BOT, "admin")
    walk.chat.server.longest[ROOM] = 1_500

    told = await walk.says(SITE)

    assert told.startswith("👉 labels: shall I make fleet, status:todo,")
    assert told.endswith("leaves it and goes on.")
    [message] = walk.chat.new
    assert walk.chat.server.reactions(message.event) == ["✅", "❌"]
    await walk.chat.presses("ann", "✅", on=message.event)
    assert "fleet" in {label.name for label in walk.stage.forge.repo(SITE).labels.values()}
