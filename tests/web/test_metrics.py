"""What Prometheus is told: all of it, truly, whatever agents and repositories are called."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from fleetbot.domain.commands import Conclude, CreateTask
from fleetbot.domain.model import (
    Agent,
    AgentName,
    AgentStatus,
    ReceiptCheck,
    ReceiptId,
    TaskId,
    Traits,
)
from fleetbot.domain.receipts import Refuted, Verified
from fleetbot.services.delays import Delays
from fleetbot.services.fleet import Context
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.records import Change, OutboxEntry
from fleetbot.web.metrics.definitions import ALL, MOST_AGENTS, MOST_LANES, Kind, Metric
from fleetbot.web.metrics.history import History
from fleetbot.web.metrics.scrape import Scrape
from tests.store.disk import largest_file
from tests.web.site import Site, a_receipt, file

MINUTE = 60_000


async def families(site: Site) -> dict[str, Family]:
    text = (await site.reader.get("/metrics")).body
    return {family.name: family for family in text_string_to_metric_families(text)}


async def number(site: Site, name: str, **labels: str) -> float:
    """The one sample of that name with these labels among its own."""
    [value] = [
        sample.value
        for family in (await families(site)).values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return value


async def verdict(site: Site, issue: int, finding: Verified | Refuted, minutes: int) -> None:
    """A task is worked on for so long, and its receipt judged."""
    agent = await site.agent(f"agent-{issue}")
    await site.task(issue)
    run = await site.running(agent)
    site.now += minutes * MINUTE
    usage = {"input_tokens": 1000, "output_tokens": 10, "cost_usd": 0.25}
    receipt = (await file(agent, a_receipt(run, usage=usage))).body["receipt"]
    await site.fleet.commit(Conclude(ReceiptId(receipt), finding), Context(actor="timer"))


async def test_a_scrape_shows_all_that_the_reference_names_and_nothing_else(site: Site) -> None:
    await verdict(site, 1, Verified(), minutes=3)
    await site.task(2)
    entry = OutboxEntry(id="1", destination="matrix:!r", kind="notice", payload=b"{}", due_at=1)
    await site.store.append(Change(outbox=(entry,)))
    site.delays.note_sent("matrix", 1200)

    shown = await families(site)

    defined = {_family(metric): metric for metric in ALL}
    assert set(shown) == set(defined)
    for name, family in shown.items():
        metric = defined[name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels == set(metric.labels), name


def _family(metric: Metric) -> str:
    return metric.name.removesuffix("_total")


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_names_and_labels_keep_to_what_prometheus_asks(metric: Metric) -> None:
    assert re.fullmatch(r"fleetbot_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert not re.search(r"_(ms|millis|minutes|hours|count|sum|bucket)$", metric.name)
    assert set(metric.labels).isdisjoint({"task", "run", "issue", "room", "destination", "le"})


async def test_runs_are_counted_from_the_journal_so_that_no_restart_loses_any(site: Site) -> None:
    await verdict(site, 1, Verified(), minutes=3)
    await verdict(site, 2, Verified(), minutes=20)
    await site.fleet.start()
    anew = History(site.store, lambda: site.now + 10 * MINUTE)  # as after a restart

    for history in (site.history, anew, site.history):
        scrape = Scrape()
        await history.tell(scrape)
        text = scrape.text().decode()
        assert 'fleetbot_runs_ended_total{outcome="verified"} 2.0' in text
        assert 'fleetbot_run_duration_seconds_bucket{le="300.0",verified="yes"} 1.0' in text
        assert 'fleetbot_run_duration_seconds_bucket{le="+Inf",verified="yes"} 2.0' in text
        assert 'fleetbot_run_duration_seconds_sum{verified="yes"} 1380.0' in text
        assert 'fleetbot_tokens_total{kind="input"} 2000.0' in text
        assert "fleetbot_cost_usd_total 0.5" in text
        assert "fleetbot_runs_first_try_total 2.0" in text


async def test_what_ends_after_a_scrape_is_added_and_nothing_twice(site: Site) -> None:
    await verdict(site, 1, Verified(), minutes=3)
    counts = [await number(site, "fleetbot_runs_ended_total", outcome="verified")]
    for issue in (2, 3):
        site.now += 5 * MINUTE
        await verdict(site, issue, Verified(), minutes=1)
        counts.append(await number(site, "fleetbot_runs_ended_total", outcome="verified"))
    assert counts == [1, 2, 3]

    site.now -= 60 * MINUTE  # the clock is set back
    assert await number(site, "fleetbot_runs_ended_total", outcome="verified") == 3


async def test_refutations_are_counted_by_the_checks_that_said_no(site: Site) -> None:
    finding = Refuted(reasons=("No.",), checks=(ReceiptCheck.CI, ReceiptCheck.FILES))
    await verdict(site, 1, finding, minutes=1)

    assert await number(site, "fleetbot_verifications_total", verdict="refuted") == 1
    of = {"verdict": "refuted"}
    assert await number(site, "fleetbot_verification_checks_total", check="ci", **of) == 1
    assert await number(site, "fleetbot_verification_checks_total", check="author", **of) == 0


async def test_webhooks_are_counted_by_what_became_of_them(site: Site) -> None:
    body = b'{"action": "opened"}'
    await site.deliver(body, {"X-Forgejo-Event-Type": "star"})
    await site.deliver(body, {"X-Forgejo-Event-Type": "star"})
    await site.deliver(body, {"X-Forgejo-Signature": "0" * 64})
    await site.deliver(b"[", {"X-Forgejo-Delivery": "d-2"})

    found = (await families(site))["fleetbot_webhook_deliveries"].samples
    counts = {sample.labels["outcome"]: sample.value for sample in found if sample.value}
    assert counts == {"accepted": 1, "known": 1, "unauthorized": 1, "malformed": 1}


async def test_tasks_are_counted_by_what_they_wait_for(site: Site) -> None:
    await site.task(1, needs=("python",))
    await site.task(2, needs=("python",))
    await site.task(3, agent="nobody")
    site.now += 90_000

    assert await number(site, "fleetbot_tasks_waiting", reason="nobody_can") == 2
    assert await number(site, "fleetbot_tasks_waiting", reason="agent_unknown") == 1
    assert await number(site, "fleetbot_tasks_waiting", reason="failed") == 0
    assert await number(site, "fleetbot_queue_tasks") == 3
    assert await number(site, "fleetbot_queue_oldest_seconds") == 90
    assert await number(site, "fleetbot_queue_lane_tasks", wants="python") == 2
    assert await number(site, "fleetbot_queue_lane_oldest_seconds", wants="agent:nobody") == 90


async def test_a_low_task_before_which_others_were_queued_is_still_the_oldest(site: Site) -> None:
    await site.task(1, priority=10)
    site.now += 60_000
    await site.task(2, priority=40)
    await site.task(3)

    assert await number(site, "fleetbot_queue_oldest_seconds") == 60


HOSTILE = ('a"b', "a\\", 'x"} 1\nfleetbot_leader 7', "ä☃", "{", "a" * 300)


async def test_the_number_of_lines_is_bounded_whatever_agents_and_repositories_are_called(
    site: Site,
) -> None:
    for issue, repo in enumerate(_names(MOST_LANES + 20), 1):
        command = CreateTask(
            task=TaskId(f"task-{issue}"),
            repo=repo,
            issue=issue,
            url="",
            author="ada",
            traits=Traits(title="Mend the door"),
        )
        await site.fleet.commit(command, Context(actor="test"))
    await site.agent()
    known = site.fleet.state.agents[AgentName("claude-1")]
    for name in _names(MOST_AGENTS + 50):
        _is_online(site, replace(known, name=AgentName(name)))

    shown = await families(site)

    assert await number(site, "fleetbot_leader") == 1
    assert len(shown["fleetbot_agent_heartbeat_age_seconds"].samples) == MOST_AGENTS
    assert len(shown["fleetbot_queue_lane_tasks"].samples) == MOST_LANES
    assert await number(site, "fleetbot_queue_lanes") == MOST_LANES + 20
    lines = {sample.labels["repository"] for sample in shown["fleetbot_queue_lane_tasks"].samples}
    assert set(HOSTILE) <= lines


def _names(count: int) -> Iterator[str]:
    yield from HOSTILE
    yield from (f"team/app-{number}" for number in range(count - len(HOSTILE)))


def _is_online(site: Site, agent: Agent) -> None:
    assert agent.status is AgentStatus.ONLINE
    site.fleet.state.agents[agent.name] = agent
    site.fleet.state.seen[agent.name] = site.now


def test_what_a_homeserver_claims_of_the_time_is_not_believed_without_bound() -> None:
    delays = Delays()
    delays.note_heard(-5)
    delays.note_heard(10**15)

    assert delays.heard.seconds == 86_400
    assert sum(delays.heard.counts) == 2


async def test_a_journal_that_cannot_be_written_is_a_number_until_it_is_written(site: Site) -> None:
    with largest_file(1):
        with pytest.raises(StoreUnavailable):
            await site.task(1)
        assert await number(site, "fleetbot_journal_unwritable") == 1

    await site.task(2)
    assert await number(site, "fleetbot_journal_unwritable") == 0


async def test_what_memory_knows_is_told_while_the_journal_cannot_be_read(site: Site) -> None:
    """Else the alert is that nobody is there."""
    await site.task(1)
    await site.store.close()

    assert await number(site, "fleetbot_journal_unwritable") == 1
    assert await number(site, "fleetbot_tasks", state="created") == 1
