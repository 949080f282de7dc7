"""Every answer fits into a message, however large the fleet and however long what people write."""

from __future__ import annotations

import asyncio
import json

from fleetbot.chat.commands.table import COMMANDS
from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import AgentName, TaskId, Traits
from tests.chat.dialogue import Dialogue
from tests.services.stage import REPO, TEST

LIMIT = 65_536 * 3 // 4  # encryption takes a third more
LONG = "x" * 32_000


async def given_a_large_fleet(chat: Dialogue) -> None:
    """120 agents and 1000 tasks, all with long names."""
    fleet = chat.stage.fleet
    registered = AgentRegistered(adapter="command", program="p" * 200, host="h" * 200)
    names = [AgentName(f"agent-{n:03}-{'x' * 40}") for n in range(120)]
    agents: list[cmd.Command] = [cmd.RegisterAgent(name, registered) for name in names]
    repo_id = chat.stage.repo_id
    tasks = [
        cmd.CreateTask(
            task=TaskId(f"large-{n}"),
            repo=REPO,
            repo_id=repo_id,
            issue=1000 + n,
            url=f"{chat.stage.forge.url}/{REPO}/issues/{1000 + n}",
            author="ann",
            traits=Traits(title=f"Task {n} {'long ' * 50}"),
            base="main",
        )
        for n in range(1000)
    ]
    await asyncio.gather(*(fleet.commit(command, TEST) for command in [*agents, *tasks]))


def largest(chat: Dialogue) -> int:
    return max(len(json.dumps(m.content, ensure_ascii=False).encode()) for m in chat.new)


async def test_a_large_fleet_is_told_in_messages_that_fit(chat: Dialogue) -> None:
    await given_a_large_fleet(chat)
    asked = ["", "tasks all", "task #1500", "why #1500", *COMMANDS]

    for words in asked:
        await chat.says("ann", f"!fleet {words}")
        assert chat.new, words
        assert "Something went wrong" not in chat.new[0].text, words
        assert largest(chat) < LIMIT, words
    await chat.says("ann", "!fleet agents")
    chat.answers("🤖 120 …more agents…")


async def test_long_words_of_people_are_not_repeated_whole(chat: Dialogue) -> None:
    asked = [f"{name} {LONG}" for name in COMMANDS] + [f"{name} #1 {LONG}" for name in COMMANDS]
    for words in [LONG, f"#{LONG}", f"https://x.example/{LONG}", *asked]:
        await chat.says("ann", f"!fleet {words}")
        assert largest(chat) < LIMIT, words[:40]


async def test_numbers_without_end_are_understood_as_no_number(chat: Dialogue) -> None:
    """Python itself refuses to read more than some thousand digits."""
    await chat.stage.given_running()
    number = "9" * 5000
    asked = [f"{name} {at} {number}" for name in COMMANDS for at in ("", "#1")]
    for words in [*asked, f"#{number}", f"cost {number}d", f"stats {number}h"]:
        await chat.says("ann", f"!fleet {words}")
        assert all("Something went wrong" not in m.text for m in chat.new), words[:40]
