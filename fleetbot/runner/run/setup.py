"""What the runs of one agent have in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.config import AgentConfig, Config
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.forge import Forge
from fleetbot.runner.git.command import Git, Identity
from fleetbot.runner.git.hooks import Wrap
from fleetbot.runner.git.workspace import Workspaces
from fleetbot.runner.link import Link
from fleetbot.runner.run import replies
from fleetbot.runner.run.leases import Leases
from fleetbot.runner.run.memory import Memories
from fleetbot.runner.run.offered import Offered, offer
from fleetbot.runner.run.runlog import Batching
from fleetbot.runner.sandbox import bubblewrap
from fleetbot.runner.sandbox.bubblewrap import Sandbox
from fleetbot.runner.sandbox.environment import EnvironmentRefused, build_env
from fleetbot.runner.sandbox.masking import Masker, is_secret
from fleetbot.runner.session.contract import Adapter
from fleetbot.runner.tokens import Tokens
from fleetbot.tracing import Spans
from fleetbot.wire import Assignment

_SHORTEST = 16


@dataclass(frozen=True)
class Machine:
    """What all agents of a runner share. `say` prints a line: who, what.

    `quick_forge` asks once, where `forge` tries again for a while. `spans`: where traces go.
    """

    config: Config
    tokens: Tokens
    forge: Forge
    quick_forge: Forge
    git: Git
    identity: Identity
    workspaces: Workspaces
    say: Callable[[str, str], None]
    spans: Spans | None = None


@dataclass(frozen=True)
class Setup:
    """One agent: its program, its link, its memory, its home.

    `heard` is told how runs fare: of failures at once, of None when one was verified.
    """

    machine: Machine
    agent: AgentConfig
    adapter: Adapter
    link: Link
    leases: Leases
    heard: Callable[[RunFailed | None], None]
    memories: Memories
    home: Path
    batching: Batching

    @property
    def sandbox(self) -> Sandbox | None:
        """The agent sees nothing that is the runner's, wherever that is, but what is its own."""
        if self.agent.sandbox != "bubblewrap":
            return None
        box, config = self.agent.bubblewrap, self.machine.config
        private = (str(path) for path in config.private if path.exists())
        return msgspec.structs.replace(box, hidden=(*box.hidden, *private))

    def hook_wrap(self, order: Assignment, env: Mapping[str, str]) -> Wrap | None:
        """How hooks of this run get into the agent's sandbox; None where it has none."""
        if (box := self.sandbox) is None:
            return None
        slot = self.machine.workspaces.slot(order)
        cache = self.machine.workspaces.cache(order)

        async def wrap(argv: Sequence[str], home: Path) -> Sequence[str]:
            return await bubblewrap.wrap(
                box,
                argv,
                cwd=slot.worktree,
                writable=(home, slot.task_git),
                readable=(cache.path,),
                path=env.get("PATH"),
            )

        return wrap

    def secrets(self) -> tuple[str, ...]:
        """The runner's own secrets, which an agent program never gets and a log never shows."""
        return tuple(self._own_secrets().values())

    def _own_secrets(self) -> dict[str, str]:
        own = {"the agent's token": self.link.token} if self.link.token else {}
        return self.machine.tokens.named() | own

    def uncommittable(self, env: Mapping[str, str]) -> dict[str, str]:
        """What must not be in a commit: secrets, by name, the runner's and of the run's `env`."""
        passed = {name: env[name] for name in self.agent.env if name in env}
        looks = {name: value for name, value in passed.items() if _looks_secret(name, value)}
        return looks | self._own_secrets()

    def masker(self) -> Masker:
        """For one run: over everything that leaves it, with the runner's secrets and the agent's.

        The runner's are looked up for each text, as tokens are renewed.
        """
        passed = {name: os.environ[name] for name in self.agent.env if name in os.environ}
        return Masker(passed, self.secrets)

    def say(self, text: str, masker: Masker | None = None) -> None:
        self.machine.say(self.agent.name, (masker or self.masker()).text(text))

    def offered(self, order: Assignment) -> Offered | None:
        """What the program is offered in a round with threads to answer. Raises OSError."""
        if order.round is None or not order.round.threads:
            return None
        return offer(self.machine.config.root.programs)

    def _of_round(self, order: Assignment) -> dict[str, str]:
        """Variables of rounds alone."""
        if order.round is None:
            return {}
        found = replies.variables(order.round, order.run, self.home)
        if offered := self.offered(order):
            found["PATH"] = f"{offered.folder}:{os.environ.get('PATH', os.defpath)}"
        return found

    def run_env(self, order: Assignment) -> dict[str, str]:
        """The whole environment of the agent program in this run. Raises RunFailed."""
        task = self._of_round(order) | {
            # Without its .git a worktree must not be taken for a part of a repository above it.
            "GIT_CEILING_DIRECTORIES": str(self.machine.config.root.workspaces),
            "FLEETBOT_TASK": order.task,
            "FLEETBOT_REPO": order.repo,
            "FLEETBOT_ISSUE": str(order.issue),
            "FLEETBOT_TITLE": order.title.replace("\0", " "),
            "FLEETBOT_BRANCH": order.branch,
            "FLEETBOT_ATTEMPT": str(order.attempt),
        }
        try:
            return build_env(
                run=order.run,
                home=self.home,
                passed=self.agent.env,
                extra=task | self.machine.identity.env(),
                secrets=self.secrets(),
            )
        except EnvironmentRefused as problem:
            raise RunFailed(ReasonCode.AGENT_FAILED, str(problem)) from None


def _looks_secret(name: str, value: str) -> bool:
    """Named like one, or long enough for one; a path is not."""
    return is_secret(name, value) or (len(value.strip()) >= _SHORTEST and not value.startswith("/"))
