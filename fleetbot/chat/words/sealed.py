"""What is said of encryption where it stands in the way. Times are epoch milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbot.chat.words.rich import Rich, bold, code, rows, say
from fleetbot.chat.words.wording import ago
from fleetbot.domain.wording import count, nickname

UNABLE_TO_ENCRYPT = say(
    "🔒 This room is encrypted and I am not set up for that: I hear nothing here, and say nothing "
    "but this. Whoever runs me finds the way out in docs/howto/encrypted-rooms.md."
)
_SHOWN = 5


def cannot_read(messages: Sequence[tuple[str, int]], now: int) -> Rich:
    """`messages`: who sent them, and when."""
    since = ago(min(at for _, at in messages), now)
    names = list(dict.fromkeys(nickname(sender) for sender, _ in messages))
    whose = ", ".join(names[:_SHOWN]) + (" and others" if len(names) > _SHOWN else "")
    return rows(
        say(
            "🔐 ",
            bold(f"I cannot read {count(len(messages), 'message')} of {whose}"),
            f", the first {since}: I was not given the key. What they asked for is not done.",
        ),
        say(
            "Say it again after ",
            code("/discardsession"),
            " (Element), or once you have verified me if your client speaks to verified devices "
            "only.",
        ),
    )
