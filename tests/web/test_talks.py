"""Runs ask people and hear from them."""

from __future__ import annotations

import asyncio

import pytest

from tests.web.site import Caller, Site

QUESTION = {
    "id": "tool-1",
    "kind": "permission",
    "title": "Run the tests?",
    "request": {"command": "make test", "nested": [1, {"a": None}]},
}


@pytest.fixture
async def agent(site: Site) -> Caller:
    return await site.agent()


@pytest.fixture
async def run(site: Site, agent: Caller) -> str:
    await site.task()
    return f"/api/v1/runs/{await site.running(agent)}"


async def test_a_question_waits_for_a_person_and_its_answer_is_heard(
    site: Site, agent: Caller, run: str
) -> None:
    asked = await agent.post(f"{run}/ask", QUESTION)
    assert asked.body["state"] == "waiting"
    (waiting,) = (await site.reader.get("/api/v1/asks")).body["asks"]
    assert (waiting["title"], waiting["request"]) == (QUESTION["title"], QUESTION["request"])
    hearing = asyncio.create_task(agent.get(f"{run}/asks/tool-1", wait="30"))

    await site.operator.post(f"{run}/asks/tool-1/answer", {"behavior": "allow", "text": "Yes."})

    heard = (await hearing).body
    assert heard == {"state": "answered", "behavior": "allow", "text": "Yes."}
    assert (await site.reader.get("/api/v1/asks")).body["asks"] == []


async def test_the_same_question_asks_once(site: Site, agent: Caller, run: str) -> None:
    await agent.post(f"{run}/ask", QUESTION)
    before = await site.journal()

    await agent.post(f"{run}/ask", QUESTION)

    assert await site.journal() == before


async def test_a_question_can_be_taken_back(site: Site, agent: Caller, run: str) -> None:
    await agent.post(f"{run}/ask", QUESTION)

    taken_back = await agent.delete(f"{run}/asks/tool-1")

    assert taken_back.body["state"] == "withdrawn"
    assert (await site.reader.get("/api/v1/asks")).body["asks"] == []
    late = await site.operator.post(f"{run}/asks/tool-1/answer", {"behavior": "allow"})
    late.refuses(409, "conflict")


async def test_an_unknown_question_cannot_be_heard_or_answered(
    site: Site, agent: Caller, run: str
) -> None:
    (await agent.get(f"{run}/asks/none")).refuses(404, "not_found")
    answer = await site.operator.post(f"{run}/asks/none/answer", {"behavior": "deny"})
    answer.refuses(404, "not_found")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "riddle"}, "kind"),
        ({"expires_seconds": 0}, "expires_seconds"),
        ({"request": "make"}, "request"),
        ({"options": ["o"] * 21}, "options"),
        ({"title": "t" * 201}, "title"),
        ({"id": ""}, "id"),  # nothing, and control characters, cannot be in the path of its answer
        ({"id": "tool\0"}, "id"),
        ({"id": "tool-1\n"}, "id"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    site: Site, agent: Caller, run: str, change: dict[str, object], field: str
) -> None:
    before = await site.journal()

    answer = await agent.post(f"{run}/ask", QUESTION | change)

    answer.refuses(422, "invalid", field)
    assert await site.journal() == before


async def test_a_message_reaches_the_waiting_run_and_its_fate_is_known(
    site: Site, agent: Caller, run: str
) -> None:
    hearing = asyncio.create_task(agent.get(f"{run}/messages", wait="30"))

    sent = await site.operator.post(f"{run}/messages", {"text": "Use tabs."})

    (message,) = (await hearing).body["messages"]
    assert (message["text"], message["taken"]) == ("Use tabs.", None)
    taken = await agent.post(f"{run}/messages/{message['id']}/taken", {"taken": "delivered"})
    assert taken.status == 204
    assert (await agent.get(f"{run}/messages")).body["messages"] == []
    (known,) = (await site.reader.get(f"{run}/messages/all")).body["messages"]
    assert known == sent.body | {"taken": "delivered"}


async def test_an_empty_message_is_refused(site: Site, run: str) -> None:
    (await site.operator.post(f"{run}/messages", {"text": ""})).refuses(422, "invalid", "text")


@pytest.mark.parametrize("depth", [32, 100, 900, 990, 5_000])
async def test_a_request_that_is_nested_deeply_is_refused(site: Site, depth: int) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    request = b'{"x":' * depth + b"{}" + b"}" * depth
    question = b'{"id":"q","kind":"question","title":"?","request":' + request + b"}"

    answer = await agent.call("POST", f"/api/v1/runs/{run}/ask", data=question)

    assert answer.status in (400, 422), answer.body
    assert "nested" in answer.body["detail"]
