"""What a command comes down to: something that answers what was said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fleetbot.chat.commands.said import Said
from fleetbot.chat.words.post import Answer

# Of a command of the type it is listed for; raises FleetError or ForgeError with the way out.
Handler = Callable[[Any, Said], Awaitable[Answer]]
