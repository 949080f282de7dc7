"""The help: it shows what there is, and what the reader may do."""

from __future__ import annotations

from fleetbot.chat.commands.guide import help_
from fleetbot.chat.commands.rights import Standing
from fleetbot.chat.commands.table import COMMANDS
from fleetbot.settings import RoomSettings
from tests.chat.markup import Markup

ANN = "@ann:example.org"


def told(topic: str = "", level: int | None = 100, **room: object) -> list[str]:
    settings = RoomSettings(**room)  # type: ignore[arg-type]  # a test names the settings it needs
    said = help_(topic, Standing(ANN, level, settings))
    Markup(said.html)
    return said.text.splitlines()


def test_what_is_said_every_day_fits_on_a_phone() -> None:
    assert told() == [
        "👋 What you say most",
        "To know",
        "• !fleet status: how it goes, what waits",
        "• !fleet tasks: what is open, or failed",
        "• !fleet why <issue>: where it is, and why",
        "• !fleet log <issue>: what its agent did",
        "To have work done",
        "• !fleet new <title>: have it done",
        "• !fleet retry <issue>: try it again",
        "• !fleet again <issue>: more on its pull request",
        "• !fleet cancel <issue>: stop it",
        "• !fleet tell <issue> <words>: to its agent",
        "• !fleet answer <issue> <words>: its agent's question",
        "In reply to a message about a task, leave the issue out.",
        "Reactions do it as well: 👀 log, 🔁 retry, ✖ cancel, 🚀 land, ✅ ❌ ♾ answer, 🔕 quiet.",
        f"All {len(COMMANDS)} commands: !fleet help all; one, with an example: !fleet help retry.",
    ]
    assert "• 🔒 !fleet retry <issue>: try it again" in told(level=0)


def test_all_that_can_be_said_is_shown_in_groups() -> None:
    lines = told("all")

    assert lines[:3] == [
        "👋 What you can say",
        "To know",
        "• !fleet status: the fleet at a glance, and what waits for a person",
    ]
    for name in COMMANDS:
        assert sum(line.startswith(f"• !fleet {name}") for line in lines) >= 1
    assert not any("🔒" in line for line in lines)
    assert lines[-1] == "More of one, with an example: !fleet help assign."


def test_what_the_reader_may_not_do_is_locked() -> None:
    lines = told("all", level=0, levels={"pause": 0}, allow={"retry": (ANN,), "status": ()})

    locked = {line.split()[3].rstrip(":") for line in lines if line.startswith("• 🔒")}
    assert {"cancel", "assign", "enrol", "status"} <= locked
    assert locked.isdisjoint({"tasks", "retry", "pause", "help"})
    assert "🔒 takes more power than you have in this room." in lines


def test_one_command_is_told_at_length() -> None:
    assert told("assign", level=0) == [
        "!fleet assign <agent> <issue>: have this agent do it",
        "For example: !fleet assign claude-1 #12",
        "An issue is #12, repo#12, owner/repo#12 or a link; in reply to a message about it, leave"
        " it out.",
        "Also /assign <agent> <issue>, where your client lets it through.",
        "It needs power level 50 in this room; you have 0.",
    ]
    assert told("retry")[-2:] == [
        "As a reaction to a message about it: 🔁",
        "It needs power level 50 in this room; you have 100.",
    ]
    assert told("retry", level=2**60)[-1].endswith("you have all.")
    assert told("retry", level=None)[-1].endswith("yours could not be read.")
    assert told("retry", allow={"retry": ()})[-1] == (
        "Only those whom the settings name may give it in this room; you may not."
    )


def test_a_topic_that_is_none_gets_the_nearest() -> None:
    assert told("retyr") == ["🤔 There is no retyr. Did you mean !fleet retry?"]
