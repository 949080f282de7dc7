"""The plugin's configuration: what it may say, and what is said where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ruamel.yaml import YAML

from fleetbot.domain.model import Priority, TaskState
from fleetbot.domain.usage import Budget
from fleetbot.parsing import parse
from fleetbot.services.labels import LabelMaps
from fleetbot.settings import RoomSettings, Settings, SettingsError

BASE = Path(__file__).parent.parent / "base-config.yaml"
ROOM = "!abc:example.org"


def base() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(BASE))


def config(**sections: Any) -> dict[str, Any]:
    """What an operator writes at least, with `sections` beside it."""
    forge = {"url": "https://forge.example", "token": "t", "webhook_secret": "s"}
    return {"forge": forge, **sections}


def with_forge(**fields: Any) -> dict[str, Any]:
    whole = config()
    whole["forge"] |= fields
    return whole


@pytest.mark.parametrize(
    "written", ["{}{}", "token={}{}!", "{}\n{}", "{}\r\n    {}", "{}  \n{}", "{0}{1}, {0}{1}"]
)
def test_no_secret_of_ours_is_told_not_even_over_lines(written: str) -> None:
    """As CI may have logged it."""
    halves = ("operator-of-", "the-fleet-itself")
    settings = parse(with_forge(token="".join(halves), webhook_secret="q" * 20))

    masked = settings.mask(f"before {written.format(*halves)} after")

    assert "***" in masked
    assert not any(half in masked for half in halves)
    assert masked.startswith("before ")
    assert masked.endswith(" after")


def complete() -> dict[str, Any]:
    """The shipped configuration with the two secrets nobody can ship."""
    whole = base()
    whole["forge"] |= {"token": "t", "webhook_secret": "s"}
    return whole


def keys(kind: type[msgspec.Struct], prefix: str = "") -> set[str]:
    """The settings of `kind` and of the sections in it, with dots."""
    found: set[str] = set()
    for field in msgspec.structs.fields(kind):
        name = f"{prefix}{field.encode_name}"
        inner = field.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            found |= keys(inner, f"{name}.")
        else:
            found.add(name)
    return found


def written(data: Mapping[str, Any]) -> set[str]:
    """The settings that a configuration names, with dots; maps that people fill are one."""
    found: set[str] = set()
    for section, value in data.items():
        if section == "rooms":
            found.add(section)
        else:
            found |= {f"{section}.{name}" for name in value}
    return found


def test_every_setting_is_in_the_shipped_configuration_and_nothing_else_is() -> None:
    assert written(base()) == keys(Settings)


def test_the_shipped_values_are_the_defaults() -> None:
    shipped, least = parse(complete()), parse(config())
    for name in ("auth", "rooms", "runs", "retry", "budget", "verify"):
        assert getattr(shipped, name) == getattr(least, name), name
    assert shipped.forge.reconcile_seconds == least.forge.reconcile_seconds
    assert shown(shipped.labels) == shown(least.labels)


def shown(labels: LabelMaps) -> LabelMaps:
    """The shipped configuration names the states without a label as well."""
    named = {state: label for state, label in labels.states.items() if label}
    return msgspec.structs.replace(labels, states=named)


def test_as_shipped_it_says_what_to_do_first() -> None:
    with pytest.raises(SettingsError, match=r"forge\.token is missing: make one on Forgejo"):
        parse(base())


def test_the_example_of_a_room_is_right() -> None:
    text = BASE.read_text()
    start, end = text.index("# Example:\n") + len("# Example:\n"), text.index("rooms: {}")
    example = "\n".join(line.removeprefix("#") for line in text[start:end].splitlines())

    listed = with_forge(repositories=["acme/app", "acme/web"])
    rooms = parse(complete() | listed | YAML(typ="safe").load(example)).rooms

    assert rooms[ROOM].default_repo == "acme/app"
    assert rooms[ROOM].levels == {"assign": 50, "retry": 0, "cancel": 50}


def test_what_is_written_counts() -> None:
    settings = parse(
        config(
            runs={"heartbeat_seconds": 1, "lease_seconds": 2.5, "repository_limit": 3},
            retry={"max_attempts": 5},
            budget={"task_usd": 2.5, "day_tokens": 1000},
            auth={"reader_tokens": ["r" * 16]},
            labels={"trigger": "robot", "priorities": {"now": "urgent"}, "states": {"failed": ""}},
            verify={
                "forbidden_paths": ["*.lock"],
                "clock_skew_seconds": 0,
                "require_ci": True,
                "required_contexts": ["lint"],
                "without_ci": "refuse",
            },
        )
    )

    policy = settings.policy
    assert (policy.heartbeat_ms, policy.lease_ms, policy.repo_limit) == (1000, 2500, 3)
    assert (policy.max_attempts, policy.retry_base_ms) == (5, 30_000)
    assert (policy.task_budget, policy.day_budget) == (Budget(usd=2.5), Budget(tokens=1000))
    assert settings.runs.rhythm.lease == 2.5
    assert settings.auth.token_sets.reader == ("r" * 16,)
    assert settings.labels.trigger == "robot"
    assert settings.rules.forbidden_paths == ("*.lock",)
    assert policy.forbidden_paths == ("*.lock",)
    assert settings.rules.clock_skew_ms == 0
    assert settings.rules.refuse_without_ci
    assert settings.rules.ci.required == ("lint",)


def test_a_room_hears_of_its_repositories_or_of_all() -> None:
    assert RoomSettings().hears("any/repo")
    assert RoomSettings(repos=("acme/app",)).hears("acme/app")
    assert RoomSettings(repos=("Acme/App",)).hears("acme/app")
    assert not RoomSettings(repos=("acme/app",)).hears("acme/web")


def test_a_room_may_spell_its_repository_as_it_likes() -> None:
    data = with_forge(repositories=["acme/store"]) | {"rooms": {ROOM: {"repos": ["Acme/Store"]}}}
    assert parse(data).rooms[ROOM].hears("acme/store")


@pytest.mark.parametrize("section", [*Settings.__struct_fields__])
def test_an_odd_setting_is_told_those_of_its_own_section(section: str) -> None:
    its = getattr(parse(config()), section)
    data = {"!room:example.org": {"zzz": 1}} if section == "rooms" else {"zzz": 1}
    known = (RoomSettings if section == "rooms" else type(its)).__struct_fields__

    with pytest.raises(SettingsError) as refused:
        parse(config(**{section: data}))

    assert str(refused.value).endswith(f"zzz is an unknown setting; known: {', '.join(known)}.")


WRONG: Mapping[str, tuple[dict[str, Any], str]] = {
    "CI that is not required": (
        with_forge() | {"verify": {"required_contexts": ["lint"]}},
        "verify.required_contexts means nothing without verify.require_ci: true.",
    ),
    "no forge": ({}, "forge is missing."),
    "no address": (config(forge={"token": "t", "webhook_secret": "s"}), "forge.url is missing."),
    "no token": (with_forge(token=""), "forge.token is missing: make one on Forgejo for"),
    "no secret": (with_forge(webhook_secret=""), "forge.webhook_secret is missing: deliveries"),
    "not an address": (with_forge(url="forge.example"), "forge.url must be an address like"),
    "a number": (with_forge(token=12), "forge.token must be text, not a whole number."),
    "a misspelt setting": (with_forge(tokn="x"), "forge.tokn is an unknown setting; did you mean"),
    "an odd setting": (with_forge(zzz=1), "forge.zzz is an unknown setting; known: url, token,"),
    "less than nothing": (
        config(budget={"day_usd": -1}),
        "budget.day_usd must be a number, at least 0",
    ),
    "a misspelt section": (config(run={}), "run is an unknown setting; did you mean runs?"),
    "a repository": (with_forge(repositories=["app"]), "forge.repositories: 'app' is not of the"),
    "one repository": (
        with_forge(repositories="a/b"),
        "forge.repositories must be a list, not text",
    ),
    "a word": (
        config(runs={"heartbeat_seconds": "often"}),
        "runs.heartbeat_seconds must be",
    ),
    "nothing": (
        config(runs={"lease_seconds": None}),
        "runs.lease_seconds must be a number, more than 0 and at most 31536000, not nothing",
    ),
    "zero": (config(retry={"base_seconds": 0}), "retry.base_seconds must be a number, more than 0"),
    "for ever": (config(notify={"stuck_minutes": float("inf")}), "notify.stuck_minutes must be a"),
    "ages": (
        config(retry={"cap_seconds": 1e17}),
        "retry.cap_seconds must be a number, more than 0 and at most 31536000",
    ),
    "a check for ever": (
        config(verify={"patience_hours": float("inf")}),
        "verify.patience_hours must be a number, more than 0 and at most 8760",
    ),
    "a long wait": (
        config(runs={"claim_wait_seconds": 61}),
        "runs.claim_wait_seconds must be a",
    ),
    "a lease too short": (
        config(runs={"heartbeat_seconds": 20, "lease_seconds": 20}),
        "runs.lease_seconds must be longer than runs.heartbeat_seconds.",
    ),
    "a short token": (
        config(auth={"reader_tokens": ["x"]}),
        "auth.reader_tokens[0] must be text, of a length of at least",
    ),
    "an alias": (config(rooms={"#fleet:example.org": {}}), "rooms: '#fleet:example.org' is not a"),
    "a room's repository": (config(rooms={ROOM: {"repos": ["app"]}}), f"rooms.{ROOM}: 'app' is"),
    "a room of nobody's": (
        with_forge(repositories=["acme/store"]) | {"rooms": {ROOM: {"repos": ["Acme/stoer"]}}},
        f"rooms.{ROOM}: Acme/stoer is not in forge.repositories; did you mean acme/store?",
    ),
    "a default of nobody's": (
        config(rooms={ROOM: {"default_repo": "acme/web"}}),
        f"rooms.{ROOM}: acme/web is not in forge.repositories; ",
    ),
    "a room's default": (config(rooms={ROOM: {"default_repo": "a"}}), f"rooms.{ROOM}: 'a' is not"),
    "a room's setting": (config(rooms={ROOM: {"repo": []}}), "repo is an unknown setting; did you"),
    "a person without a homeserver": (
        config(rooms={ROOM: {"allow": {"enrol": ["@ann"]}}}),
        f"rooms.{ROOM}.allow.enrol: '@ann' is not a Matrix id like @alice:example.org.",
    ),
    "a person for a list": (
        config(rooms={ROOM: {"allow": {"enrol": "@ann:example.org"}}}),
        "allow[...] must be a list, not text",
    ),
    "a list of nothing": (
        config(rooms={ROOM: {"allow": {"enrol": None}}}),
        "allow[...] must be a list, not nothing",
    ),
    "an operator by login": (
        config(chat={"operators": ["ann"]}),
        "chat.operators: 'ann' is not a Matrix id",
    ),
    "a person by login": (
        config(chat={"people": {"ann": "ann, bob:example.org"}}),
        "chat.people.ann: 'ann, bob:example.org' is not a Matrix id",
    ),
    "an address for an origin": (
        config(board={"frames": ["https://app.element.io/#/room"]}),
        "board.frames: 'https://app.element.io/#/room' is not an origin like https://",
    ),
    "an origin and more": (
        config(board={"frames": ["https://app.element.io; script-src *"]}),
        "board.frames: 'https://app.element.io; script-src *' is not an origin",
    ),
    "a state": (
        config(labels={"states": {"finished": "x"}}),
        "labels.states must be a section of settings with the keys created, assigned,",
    ),
    "a priority": (
        config(labels={"priorities": {"p": "soon"}}),
        "labels.priorities[...] must be one of high, low, normal, urgent.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_the_way_out(name: str) -> None:
    data, says = WRONG[name]
    with pytest.raises(SettingsError) as refused:
        parse(data)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_secret_is_never_in_the_refusal() -> None:
    for data in (
        with_forge(token="hush-hush", webhook_secret=""),
        with_forge(token=["hush-hush"]),
        config(auth={"reader_tokens": ["hush-hush"]}),
    ):
        with pytest.raises(SettingsError) as refused:
            parse(data)
        assert "hush" not in str(refused.value)


def test_states_and_priorities_are_those_of_the_domain() -> None:
    labels = base()["labels"]
    assert set(labels["states"]) == set(TaskState)
    assert set(labels["priorities"].values()) == {level.name.lower() for level in Priority}


def test_landing_is_by_hand_unless_a_repository_is_named_by_any_name_it_has_had() -> None:
    assert not parse(complete()).landing.is_auto(["acme/app"])
    named = parse(config(landing={"repositories": {"Acme/App": "auto"}})).landing
    assert named.is_auto(["acme/app"])
    assert named.is_auto(["acme/shop", "acme/app"])
    assert not named.is_auto(["acme/shop"])
    other = parse(config(landing={"default": "auto", "repositories": {"acme/app": "by_hand"}}))
    assert not other.landing.is_auto(["acme/app"])
    assert other.landing.is_auto(["acme/shop"])


def test_without_ci_nothing_lands_where_the_settings_want_one() -> None:
    assert parse(complete()).policy.land_without_ci
    strict = parse(config(verify={"require_ci": True, "without_ci": "refuse"}))
    assert not strict.policy.land_without_ci


def test_traces_without_what_sends_them_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fleetbot.tracing.find_spec", lambda name: None)

    with pytest.raises(SettingsError, match=r"traces\.endpoint: .* pip install 'fleetbot\[otel\]'"):
        parse(config(traces={"endpoint": "http://127.0.0.1:4318/v1/traces"}))
    assert parse(config(traces={"endpoint": ""})).logs.format == "text"
