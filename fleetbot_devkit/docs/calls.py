"""The calls of the HTTP interface, each with what it takes, what it answers, and an example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fleetbot import wire
from fleetbot.web.endpoint import Endpoint, NoBody
from fleetbot.web.problems import STATUS
from fleetbot_devkit.docs.examples import Example, examples
from fleetbot_devkit.docs.markdown import block, code, codes, table
from fleetbot_devkit.docs.schema import words

Shape = Mapping[str, Any]

# The title of each group, and what its calls are for.
_GROUPS = {
    "fleet": (
        "The fleet",
        "For programs that hold the fleet while something else goes on: a deployment, a freeze. "
        "What is being worked on goes on.",
    ),
    "agents": (
        "Agents",
        "The life of an agent, as a runner leads it: it registers once, gives a sign of life every "
        "`heartbeat_seconds`, and asks for work in a long poll. The other calls are what an "
        "operator may do to one.",
    ),
    "runs": (
        "Runs",
        "What an agent says of the run that it has been given, and what people say to it. Only the "
        "agent of a run may speak for it, and only while the run is current: afterwards each of "
        "these answers `superseded`, and a runner ends what it is at.",
    ),
    "receipts": (
        "Receipts",
        "What an agent hands in at the end. Nothing in it is believed: the answer is *pending*, "
        "and the verdict comes once Forgejo was read.",
    ),
    "asks": ("Questions", "What agents ask of people, over all runs."),
    "webhooks": (
        "Webhooks",
        "Where Forgejo delivers. The answer comes as soon as the delivery is on disk; a repeated "
        "one changes nothing.",
    ),
    "tasks": (
        "Tasks",
        "For boards, reports and programs that give work. Issues with the label become tasks by "
        "themselves; these calls do what the commands in the room do.",
    ),
    "usage": ("Usage", "What agents have used, for reports and budgets of your own."),
    "doctor": ("The doctor", "The same as `!fleet doctor`, for monitoring."),
    "outbox": (
        "What could not be delivered",
        "Comments, labels and messages that were given up: [dead letters]"
        "(../howto/when-something-is-stuck.md#the-issue-or-the-room-shows-something-old).",
    ),
    "board": (
        "The board",
        "The page that `!fleet board` leads to, and what it shows: the same for programs, but in "
        "words. A reader's token sees everything; a session, what the room of its link hears of.",
    ),
    "events": ("Events", "The journal as it is written, for programs that follow along."),
    "service": ("The service itself", "For proxies, monitoring and tools."),
}
_LONG = 12
"""Lines of an answer; a message that has more is shown once."""


def sections_of_calls(found: Sequence[Endpoint], document: Shape) -> Iterator[str]:
    """By group; `document` is their description."""
    groups: dict[str, list[Endpoint]] = {}
    for endpoint in found:
        groups.setdefault(_operation(endpoint, document)["tags"][0], []).append(endpoint)
    shown = _Shown(examples())
    for tag, its in groups.items():
        title, what_for = _GROUPS[tag]
        yield f"## {title}"
        yield what_for
        for endpoint in its:
            yield from _call(endpoint, _operation(endpoint, document))
            yield from shown.of(endpoint)


def short(endpoint: Endpoint) -> str:
    """`GET tasks`: as the overview and the examples name it."""
    return f"{endpoint.method} {endpoint.path.removeprefix(f'/{wire.API}/')}"


def _operation(endpoint: Endpoint, document: Shape) -> Shape:
    operation: Shape = document["paths"][endpoint.path][endpoint.method.lower()]
    return operation


def _call(endpoint: Endpoint, operation: Shape) -> Iterator[str]:
    yield f"### {endpoint.method} {endpoint.path}"
    yield f"{endpoint.summary} **Who:** {endpoint.who.value}."
    if operation["parameters"]:
        yield table(("parameter", "in", "value"), map(_parameter, operation["parameters"]))
    if endpoint.takes_body and endpoint.body is not NoBody:
        (body,) = operation["requestBody"]["content"].values()
        yield f"Body: {words(body['schema'])}, at most {endpoint.limit // 1024:,} KiB."
    yield table(("answer", "with"), _answers(endpoint, operation))


def _parameter(shape: Shape) -> tuple[str, str, str]:
    needed = ", must be given" if shape["required"] and shape["in"] != "path" else ""
    told = shape.get("description") or words(shape["schema"])
    return code(shape["name"]), shape["in"], told + needed


def _answers(endpoint: Endpoint, operation: Shape) -> Iterator[tuple[str, str]]:
    for status, response in operation["responses"].items():
        if int(status) < 400:
            for media, its in response.get("content", {}).items():
                kind = "" if media == "application/json" else f" as `{media}`"
                yield status, words(_carried(its["schema"])) + kind
            if "content" not in response:
                yield status, response["description"]
    by_status: dict[int, list[str]] = {}
    for refusal in endpoint.own:
        by_status.setdefault(STATUS[refusal].value, []).append(refusal)
    for number, its in sorted(by_status.items()):
        yield str(number), f"the [problem](#problems) {codes(its)}"


def _carried(shape: Shape) -> Shape:
    """Of a stream, what each of its events has as data."""
    data = shape.get("properties", {}).get("data", {})
    carried: Shape = data.get("contentSchema", shape)
    return carried


class _Shown:
    """Examples, of which a long answer is shown once and then referred to."""

    def __init__(self, all_of_them: Sequence[Example]) -> None:
        self._examples = all_of_them
        self._where: dict[type, str] = {}

    def of(self, endpoint: Endpoint) -> Iterator[str]:
        name = short(endpoint)
        for example in self._examples:
            if example.call == name:
                if example.text:
                    yield example.text
                yield block(f"$ {example.command}", "console")
                yield self._answer(endpoint, example)

    def _answer(self, endpoint: Endpoint, example: Example) -> str:
        if not example.answer:
            return f"{example.status}, without a body."
        first = self._where.setdefault(endpoint.answer, endpoint.path)
        if example.status < 300 and example.answer.count("\n") > _LONG and first != endpoint.path:
            name = endpoint.answer.__name__
            return f"{example.status} with a [{name}](#{name.lower()}), like that of `{first}`."
        language = "json" if example.answer.startswith("{") else "text"
        return f"{example.status}:\n\n{block(example.answer, language)}"
