"""What a person is told who enrols an agent: in the room, and alone. Times are epoch ms."""

from __future__ import annotations

from fleetbot.chat.words.rich import Rich, bold, code, preformatted, rows, say
from fleetbot.chat.words.wording import until
from fleetbot.store.identities import Enrolment


def token(token: str, enrolment: Enrolment, address: str, now: int) -> Rich:
    """For who asked, and nobody else."""
    lines = (
        "[orchestrator]",
        f'url = "{address}"',
        f'enrolment_token = "{token}"',
        "",
        "[[agents]]",
        f'name = "{enrolment.agent}"',
        'adapter = "claude-code"  # or codex, command',
    )
    return rows(
        say("🔑 ", bold(f"A token for {enrolment.agent}"), ", good once, until used or lapsed."),
        say("In the runner's ", code("config.toml"), ":"),
        preformatted("\n".join(lines)),
        say("Then: ", code("fleetbot runner -c config.toml")),
        f"It lapses {until(enrolment.expires_at, now)}. I take this message away when it is over.",
    )


def in_the_room(agent: str, waits: bool) -> Rich:
    """What everybody hears."""
    return rows(
        say("🔑 I have sent you a direct message with a token for ", bold(agent), "."),
        "Accept the invitation to read it." if waits else None,
    )


def not_sent(agent: str, why: str) -> str:
    return (
        f"The token for {agent} could not be sent to you alone, so there is none: {why}."
        " Allow invitations from the bot, and say it again."
    )
