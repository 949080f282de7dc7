"""Who holds which token."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import AgentName
from fleetbot.services.access import AGENT_PREFIX, Access, TokenSets, new_agent_token, token_hash
from fleetbot.services.fleet import Beside
from fleetbot.store.records import AgentToken
from tests.services.stage import TEST, Stage

SETS = TokenSets(enrolment=("enrol-1", "enrol-2"), reader=("read-1",), operator=("operate-1",))


async def give(stage: Stage, name: str, token: str) -> None:
    """Register an agent with this token, as the first registration does."""
    agent = AgentName(name)
    beside = Beside(tokens=(AgentToken(agent=agent, hash=token_hash(token)),))
    registration = AgentRegistered(adapter="command")
    await stage.fleet.commit(cmd.RegisterAgent(agent, registration), TEST, beside)


@pytest.mark.parametrize(
    ("token", "enrols", "reads", "operates"),
    [
        ("enrol-1", True, False, False),
        ("enrol-2", True, False, False),
        ("read-1", False, True, False),
        ("operate-1", False, True, True),
        ("enrol-3", False, False, False),
        ("", False, False, False),
    ],
)
def test_each_token_is_good_for_its_own_calls(
    stage: Stage, token: str, enrols: bool, reads: bool, operates: bool
) -> None:
    access = Access(stage.store, SETS)
    assert access.may_enrol(token) is enrols
    assert access.may_read(token) is reads
    assert access.may_operate(token) is operates


def test_without_tokens_nobody_may(stage: Stage) -> None:
    access = Access(stage.store, TokenSets())
    assert not any((access.may_enrol(""), access.may_read(""), access.may_operate("")))


async def test_an_agent_is_known_by_its_newest_token(stage: Stage) -> None:
    access, old, new = Access(stage.store, SETS), new_agent_token(), new_agent_token()
    await give(stage, "claude-1", old)
    assert await access.agent(old) == "claude-1"

    await give(stage, "claude-1", new)

    assert await access.agent(old) is None
    assert await access.agent(new) == "claude-1"
    assert await access.agent(f"{new}x") is None


async def test_a_token_of_the_configuration_is_no_agents(stage: Stage) -> None:
    access = Access(stage.store, TokenSets(reader=("plain",)))
    await give(stage, "claude-1", "plain")
    assert await access.agent("plain") is None


async def test_tokens_are_kept_as_hashes_and_never_the_same(stage: Stage) -> None:
    token = new_agent_token()
    await give(stage, "claude-1", token)
    assert token.startswith(AGENT_PREFIX)
    assert len(token) >= 40
    assert new_agent_token() != token
    assert await stage.store.token_hash(AgentName("claude-1")) == token_hash(token)
