"""What an issue's labels mean, and which show a task's state."""

from __future__ import annotations

import pytest

from fleetbot.domain.model import Priority, TaskState
from fleetbot.forge.models import Issue, Label, User
from fleetbot.services.labels import (
    LabelMaps,
    state_label,
    state_labels_after,
    traits_of,
    wants_fleet,
)

MAPS = LabelMaps()
SCOPED = LabelMaps(
    trigger="fleet/take",
    types={"kind/bug": "bug"},
    priorities={"priority/high": "high"},
    agent_prefix="agent/",
    needs_prefix="needs/",
    states={TaskState.CREATED: "status/todo", TaskState.RUNNING: "status/doing"},
)


def issue(*labels: str, assignees: tuple[str, ...] = (), title: str = "Fix it") -> Issue:
    return Issue(
        number=1,
        title=title,
        labels=tuple(Label(id=n, name=name) for n, name in enumerate(labels)),
        assignees=tuple(User(login=login) for login in assignees),
    )


def test_the_trigger_label_asks_for_the_fleet() -> None:
    assert wants_fleet(issue("fleet"), MAPS, "fleetbot")
    assert not wants_fleet(issue("bug"), MAPS, "fleetbot")


def test_assignment_to_the_bot_asks_for_the_fleet_however_the_login_is_written() -> None:
    assert wants_fleet(issue(assignees=("Ann", "FleetBot")), MAPS, "fleetbot")
    assert not wants_fleet(issue(assignees=("Ann",)), MAPS, "fleetbot")


def test_labels_choose_type_priority_agent_and_capabilities() -> None:
    labels = ("type:feature", "priority:high", "agent:codex-1", "needs:rust", "needs:gpu")
    traits = traits_of(issue(*labels), MAPS)
    assert traits.kind == "feature"
    assert traits.priority is Priority.HIGH
    assert traits.agent == "codex-1"
    assert traits.needs == ("gpu", "rust")


def test_scoped_labels_work_when_they_are_configured() -> None:
    labels = ("kind/bug", "priority/high", "agent/codex-1", "needs/rust")
    traits = traits_of(issue(*labels), SCOPED)
    assert (traits.kind, traits.priority) == ("bug", Priority.HIGH)
    assert (traits.agent, traits.needs) == ("codex-1", ("rust",))


def test_of_several_priorities_the_highest_holds() -> None:
    traits = traits_of(issue("priority:low", "priority:urgent"), MAPS)
    assert traits.priority is Priority.URGENT


@pytest.mark.parametrize(
    "label", ["wontfix", "priority:", "priority:ASAP", "agent:", "agent:../etc", "needs:a b", "🦄"]
)
def test_a_label_that_maps_to_nothing_is_ignored(label: str) -> None:
    assert traits_of(issue(label), MAPS) == traits_of(issue(), MAPS)


def test_names_behind_prefixes_are_read_in_lower_case() -> None:
    traits = traits_of(issue("agent:Codex-1", "Needs:Python"), MAPS)
    assert (traits.agent, traits.needs) == ("codex-1", ("python",))


def test_no_prefix_means_no_such_labels() -> None:
    maps = LabelMaps(agent_prefix="", needs_prefix="")
    assert traits_of(issue("agent:codex-1", "rust"), maps).agent is None


def test_a_title_is_one_line_of_limited_length() -> None:
    assert traits_of(issue(title="a\n b " + "x" * 300), MAPS).title == "a b " + "x" * 196


def test_a_state_shows_its_label_and_takes_off_the_others_of_ours() -> None:
    add, remove = state_labels_after({"bug", "status:todo"}, TaskState.RUNNING, MAPS)
    assert (add, remove) == ({"status:doing"}, {"status:todo"})


def test_a_state_that_is_shown_already_changes_nothing() -> None:
    assert state_labels_after({"status:doing"}, TaskState.RUNNING, MAPS) == (set(), set())


def test_a_state_without_a_label_shows_none() -> None:
    assert state_labels_after({"status:todo"}, TaskState.CANCELLED, MAPS) == (
        set(),
        {"status:todo"},
    )


def test_every_state_with_a_label_can_have_it_made() -> None:
    for state in MAPS.states:
        assert state_label(state, MAPS).name == MAPS.states[state]
    assert state_label(TaskState.CREATED, SCOPED).exclusive
    assert not state_label(TaskState.CREATED, MAPS).exclusive
