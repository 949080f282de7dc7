"""An answer to a thread, as an agent in a sandbox would give it: tried before one has to."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from fleetbot.domain.pulls import RoundKind
from fleetbot.runner.config import AgentConfig, Config
from fleetbot.runner.run import replies
from fleetbot.runner.run.offered import Offered, offer
from fleetbot.runner.sandbox import bubblewrap, environment
from fleetbot.runner.sandbox.complete import Completed, complete
from fleetbot.runner.sandbox.unavailable import SandboxUnavailable
from fleetbot.runner.session.contract import HealthLine
from fleetbot.wire import ReviewThread, RoundBrief

_SECONDS = 20
_THREAD = ReviewThread(id=1, path="tried", line=1, words=())
_ROUND = RoundBrief(
    number=1, kinds=(RoundKind.REVIEW,), pull_request=1, head="0" * 40, threads=(_THREAD,)
)
_REMEDY = "show the agent's sandbox the folder of fleetbot and its Python, by bubblewrap.readable"


async def reply_line(config: Config, agent: AgentConfig) -> HealthLine | None:
    """Whether `fleetbot reply` works in the agent's sandbox. None where it has none, or that cannot
    be made at all, which is told already."""
    if agent.sandbox != "bubblewrap" or not await _is_made(agent):
        return None
    run, home = f"check-{secrets.token_hex(4)}", config.root.home(agent.name)
    try:
        offered = offer(config.root.programs)
        variables = replies.variables(_ROUND, run, home)
        variables["PATH"] = f"{offered.folder}:{os.environ.get('PATH', os.defpath)}"
        env = environment.build_env(run=run, home=home, extra=variables)
        try:
            done = await _answer(agent, offered, env, home)
            is_there = bool(replies.read(home, run, _ROUND))
        finally:
            await environment.remove_temporary(env)
    except TimeoutError:
        return HealthLine("reply", False, "fleetbot reply: it hangs", _REMEDY)
    except (OSError, SandboxUnavailable) as problem:
        return HealthLine("reply", False, f"fleetbot reply: {problem}", _REMEDY)
    if is_there:
        return HealthLine("reply", True, "threads of reviews can be answered")
    said = (done.stderr.strip().splitlines() or [f"it ended with {done.status}"])[-1]
    return HealthLine("reply", False, f"fleetbot reply: {said}", _REMEDY)


async def _is_made(agent: AgentConfig) -> bool:
    try:
        await bubblewrap.probe(agent.bubblewrap)
    except (SandboxUnavailable, OSError):
        return False
    return True


async def _answer(
    agent: AgentConfig, offered: Offered, env: Mapping[str, str], home: Path
) -> Completed:
    argv = await bubblewrap.wrap(
        agent.bubblewrap,
        [str(offered.folder / "fleetbot"), "reply", "1", "answered", "It is tried."],
        cwd=home,
        writable=(),
        readable=offered.readable,
        programs=offered.programs,
        path=env["PATH"],
    )
    return await complete(argv, cwd=home, env=env, timeout=_SECONDS)
