"""The reasons for which a task does not move: a closed set, the same wherever people see them."""

from __future__ import annotations

from enum import StrEnum


class WaitReason(StrEnum):
    # in the queue
    FLEET_PAUSED = "fleet_paused"
    REPOSITORY_PAUSED = "repository_paused"
    FLEET_RESTS = "fleet_rests"
    REPOSITORY_HELD = "repository_held"
    BASE_GONE = "base_gone"
    BLOCKED = "blocked"
    BLOCKER_UNTAKEN = "blocker_untaken"
    BLOCKER_ENDED = "blocker_ended"
    BLOCKER_ELSEWHERE = "blocker_elsewhere"
    BLOCKED_IN_CIRCLE = "blocked_in_circle"
    BEHIND = "behind"
    BACK_OFF = "back_off"
    NO_AGENTS = "no_agents"
    NOBODY_CAN = "nobody_can"
    AGENT_UNKNOWN = "agent_unknown"
    AGENT_SIGNED_OFF = "agent_signed_off"
    AGENT_LACKS = "agent_lacks"
    AGENT_OFFLINE = "agent_offline"
    AGENT_UNWELL = "agent_unwell"
    AGENT_RESTS = "agent_rests"
    AGENT_DRAINED = "agent_drained"
    AGENTS_AWAY = "agents_away"
    AGENTS_BUSY = "agents_busy"
    REPOSITORY_LIMIT = "repository_limit"
    NEXT = "next"
    # with an agent
    NOT_STARTED = "not_started"
    QUESTION = "question"
    CHECKING = "checking"
    RECEIPT_UNREAD = "receipt_unread"
    CLOSING = "closing"
    LOOPING = "looping"
    STALLED = "stalled"
    SLOW = "slow"
    # for a person
    FAILED = "failed"
    AGENT_LOST = "agent_lost"
    PULL_ASKED = "pull_asked"


NOBODY = frozenset(
    {
        WaitReason.NO_AGENTS,
        WaitReason.NOBODY_CAN,
        WaitReason.AGENT_UNKNOWN,
        WaitReason.AGENT_SIGNED_OFF,
        WaitReason.AGENT_LACKS,
    }
)
"""It waits for an agent that nobody has: time alone does not end that."""

FLOW = frozenset(
    {
        WaitReason.AGENTS_BUSY,
        WaitReason.REPOSITORY_LIMIT,
        WaitReason.NEXT,
        WaitReason.BLOCKED,
        WaitReason.BEHIND,
    }
)
"""Others are before it: what moves them moves it."""

BY_ITSELF = FLOW | {
    WaitReason.FLEET_RESTS,
    WaitReason.BACK_OFF,
    WaitReason.AGENT_RESTS,
    WaitReason.NOT_STARTED,
    WaitReason.CHECKING,
    WaitReason.CLOSING,
}
"""Nobody need do anything."""

PAUSED = frozenset({WaitReason.FLEET_PAUSED, WaitReason.REPOSITORY_PAUSED})
"""By a person, who ends it as well."""

SIGNS = frozenset({WaitReason.LOOPING, WaitReason.STALLED, WaitReason.SLOW})
"""A run that is on does not seem to get on."""

ASKS = frozenset(
    {
        WaitReason.BLOCKER_ENDED,
        WaitReason.BLOCKER_ELSEWHERE,
        WaitReason.BLOCKED_IN_CIRCLE,
    }
)
"""Nothing will end it by itself, so that people are asked soon."""
