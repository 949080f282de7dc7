"""What the journal keeps of talks and of people's pauses leads to the same fleet again."""

from __future__ import annotations

from fleetbot.domain import commands as cmd
from fleetbot.domain.model import Taken
from fleetbot.store.audit import examine
from tests.chat.dialogue import Dialogue
from tests.chat.talks.conftest import Talk
from tests.services.stage import TEST
from tests.store.looking_after import rebuilt


async def test_the_journal_of_a_talk_holds_and_what_follows_from_it_can_be_made_anew(
    chat: Dialogue, talk: Talk
) -> None:
    await talk.asks("q1")
    await talk.takes_back("q1")
    await talk.asks("q2")
    await chat.says("mod", "!fleet answer #1 yes")
    await chat.says("mod", "!fleet tell #1 Use tabs, please")
    await talk.takes(Taken.KEPT)
    await talk.asks("q3")
    await talk.fails()
    await chat.says("mod", "!fleet tell #1 And mind the step")
    for command in (cmd.PauseFleet(), cmd.DrainAgent(talk.agent), cmd.ResumeAgent(talk.agent)):
        await talk.stage.fleet.commit(command, TEST)
    store, before = talk.stage.store, talk.stage.fleet.state

    assert await examine(store) == []
    await rebuilt(store)
    assert await examine(store) == []

    await talk.restarts()
    state = talk.stage.fleet.state
    assert state.agents == before.agents
    assert state.tasks == before.tasks
    assert state.frozen == before.frozen is not None
    assert talk.notes == ("Use tabs, please", "And mind the step")
