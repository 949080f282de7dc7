"""An agent's standing with the orchestrator: its name, its token, how it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fleetbot import wire
from fleetbot.client.errors import Refused, Unauthorized
from fleetbot.domain.machine import MachineFacts
from fleetbot.domain.wording import count
from fleetbot.runner import health
from fleetbot.runner.config import AgentConfig
from fleetbot.runner.link import Link, save_token
from fleetbot.runner.machine import look
from fleetbot.runner.run.setup import Machine
from fleetbot.runner.session.contract import Adapter, HealthLine

_REFUSED_SECONDS = 15.0
_SHORT = 200


class Registration:
    """Registers one agent with what its check finds; `well` is whether that was all right.

    `trouble`: what else is wrong with the agent, as its last runs showed.
    """

    def __init__(
        self,
        machine: Machine,
        agent: AgentConfig,
        adapter: Adapter,
        link: Link,
        say: Callable[[str], None],
    ) -> None:
        self._machine = machine
        self._agent = agent
        self._adapter = adapter
        self._link = link
        self._say = say
        self._said: dict[str, str] = {}
        self._git = ""
        self.trouble: HealthLine | None = None
        self.well = False

    async def enter(self) -> wire.RegisterAnswer:
        """Register, however long the name is taken: by an agent whose end is not yet noticed.

        Raises CallError.
        """
        while True:
            try:
                return await self._register()
            except Refused as refusal:
                if refusal.problem.code != "conflict":
                    raise
                self._say(f"waits for its name: {refusal}")
                await asyncio.sleep(_REFUSED_SECONDS)

    async def _register(self) -> wire.RegisterAnswer:
        """With the agent's own token, or else the enrolment token."""
        request = await self._introduction()
        link, own, enrolment = self._link, self._link.token, self._machine.tokens.enrolment
        try:
            answer = await link.persist(lambda: link.register(request, own or enrolment()))
        except Unauthorized:
            if not own or not enrolment():
                raise
            answer = await link.persist(lambda: link.register(request, enrolment()))
        if answer.token:
            link.token = answer.token
            save_token(self._machine.config.root.token(self._agent.name), answer.token)
        if not link.lease_seconds or answer.token:
            self._say(f"registered, up to {count(self._agent.max_concurrency, 'run')} at once")
        link.lease_seconds = answer.lease_seconds
        link.wants_machine = answer.wants_machine
        link.wants_files = answer.wants_files
        return answer

    async def _introduction(self) -> wire.RegisterRequest:
        machine, agent = self._machine, self._agent
        lines = [
            *await health.agent_lines(machine.config, machine.tokens, agent, self._adapter),
            *await health.machine_lines(machine.config, machine.tokens, machine.quick_forge),
        ]
        self.well = all(line.ok for line in lines)
        self._git = next((line.detail for line in lines if line.name == "git"), "")
        self._say_changes(lines)
        if self.trouble is not None:
            lines.append(self.trouble)
        return wire.RegisterRequest(
            name=agent.name,
            adapter=agent.adapter,
            capabilities=agent.capabilities,
            max_concurrency=agent.max_concurrency,
            account=agent.account,
            host=machine.config.host[:_SHORT],
            program=next((x.detail[:_SHORT] for x in lines if x.ok and x.name == "program"), ""),
            health=tuple(
                wire.HealthLine(
                    name=(line.reason or line.name)[:_SHORT],
                    ok=line.ok,
                    detail=line.detail[:_SHORT],
                    remedy=line.remedy[:_SHORT],
                )
                for line in lines
            ),
        )

    def machine(self) -> MachineFacts:
        """Where the agent works, with the disk as it is now and git as the last check found it."""
        return look(self._machine.config, self._agent, self._git)

    def _say_changes(self, lines: list[HealthLine]) -> None:
        """Each ill once as it comes, and when it has gone."""
        wrong = {
            line.name: "; ".join(filter(None, (line.detail, line.remedy)))
            for line in lines
            if not line.ok
        }
        for name, said in wrong.items():
            if name not in self._said:
                self._say(f"not well: {name}: {said}")
        for name in self._said.keys() - wrong.keys():
            self._say(f"well again: {name}")
        self._said = wrong
