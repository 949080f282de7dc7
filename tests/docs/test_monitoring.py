"""What is offered to those who watch a fleet: rules and a dashboard that name what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from fleetbot.web.metrics.definitions import ALL, Kind
from fleetbot_devkit.docs import DASHBOARD, ROOT, dashboard

FOLDER = ROOT / "deploy" / "monitoring"
GUIDE = ROOT / "docs" / "howto" / "monitor.md"
_NAME = re.compile(r"\bfleetbot_[a-z_]+\b")
_LABELS = re.compile(r"(fleetbot_[a-z_]+)\{([^}]*)\}")


def _file(name: str) -> Any:
    return YAML(typ="safe").load((FOLDER / name).read_text("utf-8"))


RULES: list[dict[str, Any]] = _file("alerts.yml")["groups"][0]["rules"]
BY_NAME = [pytest.param(rule, id=rule["alert"]) for rule in RULES]


def _queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def _exposed() -> dict[str, set[str]]:
    """Every name that a scrape shows, with its labels."""
    found: dict[str, set[str]] = {}
    for metric in ALL:
        parts = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        for part in parts:
            found[metric.name + part] = {*metric.labels, "fleet", "job", "instance"}
    return found


def test_rules_and_dashboard_ask_for_what_a_scrape_shows_and_nothing_else() -> None:
    exposed, asked = _exposed(), list(_queries())
    assert len(asked) > 60
    names = {name for query in asked for name in _NAME.findall(query)}
    assert names - set(exposed) == set()
    for query in asked:
        for name, labels in _LABELS.findall(query):
            used = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", labels))
            assert used <= exposed[name], query


def test_every_kind_of_metric_is_looked_at_somewhere() -> None:
    asked = " ".join(_queries())
    unseen = [its.name for its in ALL if its.name not in asked]
    assert unseen == [
        "fleetbot_build_info",
        "fleetbot_queue_tasks",
        "fleetbot_queue_lane_tasks",
        "fleetbot_queue_lanes",
        "fleetbot_agent_heartbeat_age_max_seconds",
        "fleetbot_runs_without_cost_total",
        "fleetbot_webhook_last_timestamp_seconds",
        "fleetbot_outbox_dead_letters_oldest_seconds",
        "fleetbot_journal_lines",
        "fleetbot_scrape_look_seconds",
    ]


def test_the_dashboard_is_up_to_date() -> None:
    assert DASHBOARD.read_text("utf-8") == dashboard.dashboard(), "run `make docs`"


def test_no_panel_of_the_dashboard_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert max(columns) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("rule", BY_NAME)
def test_every_alert_says_what_it_means_and_the_guide_what_to_do(rule: dict[str, Any]) -> None:
    told = rule["annotations"]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert len(told["description"]) > 40
    assert told["runbook"] == f"docs/howto/monitor.md#{rule['alert'].lower()}"
    assert f"\n### {rule['alert']}\n" in GUIDE.read_text("utf-8")


def test_every_alert_is_tested_where_it_is_due_and_where_it_is_not() -> None:
    tests = {test["name"]: test["promql_expr_test"] for test in _file("alerts.test.yml")["tests"]}
    assert list(tests) == [rule["alert"] for rule in RULES]
    for name, (quiet, due) in tests.items():
        assert quiet["expr"] == due["expr"] == f'ALERTS{{alertname="{name}", alertstate="firing"}}'
        assert (len(quiet["exp_samples"]), len(due["exp_samples"])) == (0, 1)


@pytest.mark.parametrize(
    "words",
    [
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts.test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(words: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here: it comes with Prometheus")
    done = subprocess.run(
        [promtool, *words], check=False, cwd=FOLDER, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
