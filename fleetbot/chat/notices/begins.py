"""What an effect says of troubles: which have begun, which are over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from fleetbot.chat.words.troubles import Trouble
from fleetbot.domain.effects import AgentNotice, FleetNotice, NoticeKind, RepoNotice
from fleetbot.domain.model import AgentStatus
from fleetbot.domain.state import FleetState
from fleetbot.services.comments import usage_text

_KINDS = {
    NoticeKind.AGENT_OFFLINE: "offline",
    NoticeKind.AGENT_ONLINE: "offline",
    NoticeKind.AGENT_UNWELL: "unwell",
    NoticeKind.AGENT_WELL: "unwell",
    NoticeKind.AGENT_PARKED: "resting",
    NoticeKind.REPO_HELD: "held",
    NoticeKind.REPO_RELEASED: "held",
    NoticeKind.REPO_UNPROTECTED: "unprotected",
    NoticeKind.REPO_PROTECTED: "unprotected",
    NoticeKind.REPO_RENAMED: "renamed",
    NoticeKind.FLEET_PAUSED: "pause",
    NoticeKind.FLEET_RESUMED: "pause",
    NoticeKind.FORGE_AWAY: "forge",
    NoticeKind.FORGE_BACK: "forge",
    NoticeKind.WEBHOOKS_SILENT: "webhooks",
    NoticeKind.WEBHOOKS_BACK: "webhooks",
    NoticeKind.GIVEN_UP: "given_up",
}
_ENDS = frozenset(
    {
        NoticeKind.AGENT_ONLINE,
        NoticeKind.AGENT_WELL,
        NoticeKind.REPO_RELEASED,
        NoticeKind.REPO_PROTECTED,
        NoticeKind.FLEET_RESUMED,
        NoticeKind.FORGE_BACK,
        NoticeKind.WEBHOOKS_BACK,
    }
)
_POINTS = frozenset({NoticeKind.AGENT_PARKED, NoticeKind.REPO_RENAMED, NoticeKind.GIVEN_UP})


class Begun(NamedTuple):
    """`troubles` of a kind that have begun; `over`: the names of those that have ended."""

    kind: str
    troubles: tuple[Trouble, ...] = ()
    over: tuple[str, ...] = ()

    @property
    def of_agents(self) -> bool:
        return self.kind in ("offline", "unwell", "resting")


def begun_or_over(
    effect: AgentNotice | FleetNotice | RepoNotice, state: FleetState, at: int
) -> Begun:
    """What the effect tells, of `at` (epoch ms). Agents that have gone offline together are told
    together, whichever of them it names."""
    kind = _KINDS[effect.notice]
    if effect.notice in _ENDS:
        return Begun(kind, over=(_name(effect),))
    if effect.notice is NoticeKind.AGENT_OFFLINE:
        return Begun(kind, tuple(_offline(state, at)))
    return Begun(kind, (_trouble(effect, at),))


def _name(effect: AgentNotice | FleetNotice | RepoNotice) -> str:
    match effect:
        case AgentNotice(agent=agent):
            return agent
        case RepoNotice(repo=repo):
            return repo
        case FleetNotice():
            return ""


def _offline(state: FleetState, at: int) -> Iterator[Trouble]:
    for agent in state.agents.values():
        if agent.status is AgentStatus.OFFLINE:
            yield Trouble(agent.name, at)


def _trouble(effect: AgentNotice | FleetNotice | RepoNotice, at: int) -> Trouble:
    its = Trouble(
        _name(effect),
        at,
        ends=effect.notice not in _POINTS,
        reason=effect.reason,
        detail=effect.detail,
    )
    match effect:
        case AgentNotice(until=until, faults=faults):
            return replace(its, until=until or 0, number=faults)
        case RepoNotice(notice=NoticeKind.REPO_RENAMED, was=was):
            return replace(its, detail=was)
        case FleetNotice(notice=NoticeKind.FLEET_PAUSED, until=until, spent=spent):
            return replace(its, until=until or 0, detail=usage_text(spent))
        case FleetNotice(since=since, letters=letters, missed=missed):
            return replace(its, since=since or at, number=letters or missed)
        case _:
            return its
