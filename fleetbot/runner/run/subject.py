"""What lines about a run say that they are about."""

from __future__ import annotations

from contextlib import AbstractContextManager

from fleetbot.logs import about
from fleetbot.wire import Assignment


def about_run(order: Assignment, agent: str) -> AbstractContextManager[None]:
    """Lines within are about this run of the agent."""
    its = {"run": order.run, "task": order.task, "repository": order.repo, "issue": order.issue}
    return about(agent=agent, **its)
