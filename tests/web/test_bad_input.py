"""What every endpoint refuses, for every endpoint there is."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
from pathlib import Path

import msgspec
import pytest
from yarl import URL

from fleetbot.web.endpoint import Endpoint, Who
from fleetbot.web.webhooks import LARGEST_DELIVERY
from tests.store.backend import SqliteBackend
from tests.web.site import ENROL, OPERATOR, READER, Caller, Site, signature

KEY = {"Idempotency-Key": "k"}
OPEN = (Who.ANYONE, Who.FORGE)


def address(endpoint: Endpoint) -> str:
    return re.sub(r"{\w+}", "unknown", endpoint.path)


async def callers(site: Site) -> dict[Who, Caller]:
    agent = await site.agent()
    return {
        Who.ANYONE: site.nobody,
        Who.AGENT: agent,
        Who.ENROLLER: site.caller(ENROL),
        Who.READER: site.caller(READER),
        Who.OPERATOR: site.caller(OPERATOR),
        Who.VIEWER: site.caller(READER),
    }


def guarded(site: Site) -> list[Endpoint]:
    return [endpoint for endpoint in site.api.endpoints if endpoint.who not in OPEN]


def with_message(site: Site) -> list[Endpoint]:
    return [e for e in guarded(site) if e.takes_body]


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic dTpw", "Bearer nobody", "Bearer fba_x", "Bearer fba_ü"],
)
async def test_nobody_gets_in_without_a_token(
    site: Site, subtests: pytest.Subtests, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for endpoint in guarded(site):
        with subtests.test(endpoint.path, method=endpoint.method):
            answer = await site.nobody.call(endpoint.method, address(endpoint), headers=headers)
            words = answer.refuses(401, "unauthorized")
            assert endpoint.who.value in words or words.startswith("The board opens with a link.")
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fleetbot"'


async def test_a_token_of_another_kind_is_forbidden(site: Site, subtests: pytest.Subtests) -> None:
    known = await callers(site)
    fits = {
        Who.AGENT: {Who.AGENT},
        Who.ENROLLER: {Who.AGENT, Who.ENROLLER},
        Who.READER: {Who.READER, Who.OPERATOR},
        Who.OPERATOR: {Who.OPERATOR},
        Who.VIEWER: {Who.READER, Who.OPERATOR, Who.VIEWER},
    }
    for endpoint in guarded(site):
        for who in set(fits) - fits[endpoint.who] - {Who.VIEWER}:
            with subtests.test(endpoint.path, method=endpoint.method, who=who.name):
                answer = await known[who].call(endpoint.method, address(endpoint), headers=KEY)
                assert endpoint.who.value in answer.refuses(403, "forbidden")


@pytest.mark.parametrize(
    "body", [b"{", b"nothing", b"\xff\xfe", b'{"a": NaN}', b"{} {}", b'{"name": "\xff"}']
)
async def test_what_is_not_json_is_malformed(
    site: Site, subtests: pytest.Subtests, body: bytes
) -> None:
    known = await callers(site)
    for endpoint in with_message(site):
        with subtests.test(endpoint.path):
            caller = known[endpoint.who]
            answer = await caller.call(endpoint.method, address(endpoint), data=body, headers=KEY)
            assert answer.status in (400, 422)
            if answer.status == 400:
                assert "UTF-8" in answer.refuses(400, "malformed", "body")


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"', b"[" * 50_000])
async def test_json_that_is_not_an_object_is_refused(
    site: Site, subtests: pytest.Subtests, body: bytes
) -> None:
    known = await callers(site)
    for endpoint in with_message(site):
        with subtests.test(endpoint.path):
            caller = known[endpoint.who]
            answer = await caller.call(endpoint.method, address(endpoint), data=body, headers=KEY)
            assert "must be a JSON object" in answer.refuses(422, "invalid")


async def test_an_unknown_field_is_named_with_those_that_are_known(
    site: Site, subtests: pytest.Subtests
) -> None:
    known = await callers(site)
    for endpoint in with_message(site):
        with subtests.test(endpoint.path):
            caller, body = known[endpoint.who], b'{"nonsense": 1}'
            answer = await caller.call(endpoint.method, address(endpoint), data=body, headers=KEY)
            assert "known:" in answer.refuses(422, "invalid", "nonsense")


async def test_a_missing_field_is_named(site: Site, subtests: pytest.Subtests) -> None:
    known = await callers(site)
    for endpoint in with_message(site):
        required = [f.name for f in _fields(endpoint) if f.required]
        if required:
            with subtests.test(endpoint.path):
                answer = await known[endpoint.who].post(address(endpoint), {}, headers=KEY)
                assert "is missing" in answer.refuses(422, "invalid", required[0])


async def test_an_unknown_parameter_is_named(site: Site, subtests: pytest.Subtests) -> None:
    known = await callers(site)
    for endpoint in [*guarded(site), *site.api.endpoints]:
        if endpoint.who is not Who.FORGE:
            with subtests.test(endpoint.path, method=endpoint.method):
                path = f"{address(endpoint)}?nonsense=1"
                answer = await known[endpoint.who].call(endpoint.method, path, headers=KEY)
                answer.refuses(422, "invalid", "nonsense")


async def test_ten_megabytes_are_refused_before_they_are_read(
    site: Site, subtests: pytest.Subtests
) -> None:
    known = await callers(site)
    body = b" " * (10 * 1024 * 1024)
    for endpoint in with_message(site):
        with subtests.test(endpoint.path):
            caller = known[endpoint.who]
            answer = await caller.call(endpoint.method, address(endpoint), data=body, headers=KEY)
            assert f"{endpoint.limit} bytes: send less" in answer.refuses(413, "too_large")


async def test_a_packed_body_counts_by_what_is_in_it(site: Site) -> None:
    agent = (await callers(site))[Who.AGENT]
    packed = gzip.compress(b" " * (10 * 1024 * 1024))
    headers = {"Content-Encoding": "gzip"}
    path = "/api/v1/agents/heartbeat"

    answer = await agent.call("POST", path, data=packed, headers=headers)
    answer.refuses(413, "too_large")
    broken = await agent.call("POST", path, data=b"not packed", headers=headers)
    broken.refuses(400, "malformed")


@pytest.mark.parametrize("size", [0, 10, 15])
async def test_a_packed_body_that_was_cut_off_is_not_taken_for_an_empty_one(
    site: Site, size: int
) -> None:
    agent, packed = (await callers(site))[Who.AGENT], gzip.compress(b'{"runs": []}')[:size]
    before = await site.journal()
    for path in ("agents/heartbeat", "agents/claim", "agents/deregister"):
        answer = await agent.call(
            "POST", f"/api/v1/{path}", data=packed, headers={**KEY, "Content-Encoding": "gzip"}
        )
        answer.refuses(400, "malformed")
    assert await site.journal() == before


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ("POST /api/v1/agents/claim", 401),
        ("POST /api/v1/board/session", 413),
        ("POST /api/v1/webhooks/forgejo", 413),
        ("GET /healthz", 200),
        ("PUT /healthz", 405),
        ("POST /nothing", 404),
    ],
)
async def test_what_is_left_of_a_packed_body_is_not_unpacked_for_who_has_proven_nothing(
    site: Site, call: str, status: int
) -> None:
    """400 kB may be 400 MB: the rest is not waited for, nor read."""
    packed = gzip.compress(bytes(64 * 1024 * 1024))
    url = URL(site.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    lines = [f"{call} HTTP/1.1", "Host: x", "Content-Encoding: gzip"]
    lines += [f"X-Forgejo-Signature: {signature(b'another')}"]
    writer.write("\r\n".join([*lines, f"Content-Length: {len(packed)}", "", ""]).encode())
    writer.write(packed[:4096])
    answered = await reader.readuntil(b"\r\n\r\n")
    assert answered.startswith(f"HTTP/1.1 {status} ".encode())
    async with asyncio.timeout(5):
        await reader.read()
    assert reader.at_eof()
    writer.close()


@pytest.mark.parametrize("encoding", ["compress", "gzip, gzip", "x"])
async def test_a_body_packed_in_another_way_is_not_read_as_it_is(site: Site, encoding: str) -> None:
    agent = (await callers(site))[Who.AGENT]
    headers = {"Content-Encoding": encoding}

    answer = await agent.call("POST", "/api/v1/agents/heartbeat", data=b"{}", headers=headers)

    assert "identity, gzip, deflate" in answer.refuses(415, "unknown_encoding", "Content-Encoding")


async def test_nothing_is_no_message_but_where_nothing_needs_to_be_said(site: Site) -> None:
    agent = (await callers(site))[Who.AGENT]
    answer = await agent.call("POST", "/api/v1/agents/heartbeat")
    assert "at least {}" in answer.refuses(400, "malformed", "body")
    assert (await agent.call("POST", "/api/v1/agents/deregister")).status == 204


async def test_what_does_not_exist_is_not_found(site: Site, subtests: pytest.Subtests) -> None:
    known = await callers(site)
    bodies = {
        "log": {"offset": 0, "lines": []},
        "fail": {"reason": "timeout"},
        "ask": {"id": "q", "kind": "question", "title": "?"},
        "answer": {"behavior": "deny"},
        "messages": {"text": "hello"},
        "taken": {"taken": "kept"},
        "assign": {"agent": "claude-1"},
        "priority": {"priority": "high"},
        "land": {"by": "ann"},
        "queue": {"behind": "task-1"},
    }
    for endpoint in guarded(site):
        if "{" in endpoint.path and not endpoint.path.endswith("/enrol"):  # whom nobody knows yet
            with subtests.test(endpoint.path, method=endpoint.method):
                body = bodies.get(endpoint.path.rsplit("/", 1)[1], {})
                caller = known[endpoint.who]
                data = msgspec.json.encode(body) if endpoint.takes_body else None
                answer = await caller.call(endpoint.method, address(endpoint), data=data)
                assert "no " in answer.refuses(404, "not_found")


@pytest.mark.parametrize("part", ["%00", "a%0Ab", "x" * 201, "%F0%9F%98%80", "..%2F..%2Fetc"])
async def test_odd_ids_are_not_found(site: Site, part: str) -> None:
    agent = (await callers(site))[Who.AGENT]
    answer = await agent.post(f"/api/v1/runs/{part}/start")
    answer.refuses(404, "not_found", "run")


async def test_other_methods_are_told_which_ones_work(
    site: Site, subtests: pytest.Subtests
) -> None:
    for path in {endpoint.path for endpoint in site.api.endpoints}:
        with subtests.test(path):
            methods = {e.method for e in site.api.endpoints if e.path == path}
            answer = await site.nobody.call("PATCH", re.sub(r"{\w+}", "x", path))
            assert methods <= set(answer.headers["Allow"].split(", "))
            answer.refuses(405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/", "/api/v1", "/api/v1/agents/", "/api/v2/tasks", "/x%00"])
async def test_other_paths_are_answered_with_a_problem(site: Site, path: str) -> None:
    assert "/openapi.json" in (await site.nobody.get(path)).refuses(404, "not_found")


async def test_nothing_is_written_by_what_is_refused(site: Site) -> None:
    agent = (await callers(site))[Who.AGENT]
    before = await site.journal()
    for endpoint in with_message(site):
        await agent.post(address(endpoint), {"nonsense": 1}, headers=KEY)
        await site.nobody.post(address(endpoint), {})
    assert await site.journal() == before


async def test_a_store_that_fails_is_unavailable_for_now(site: Site, tmp_path: Path) -> None:
    agent, database = await site.agent(), SqliteBackend(tmp_path)
    database.tamper(
        "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )

    answer = await agent.post("/api/v1/agents/deregister", {})
    database.tamper("DROP TRIGGER full")

    assert answer.refuses(503, "unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert (await agent.post("/api/v1/agents/heartbeat", {"runs": []})).status == 200
    assert (await agent.post("/api/v1/agents/deregister", {})).status == 204


async def test_a_bug_is_answered_without_details_and_logged(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("the secret detail")

    monkeypatch.setattr(site.fleet, "clock", broken)
    with caplog.at_level(logging.ERROR, "fleetbot.web"):
        answer = await (site.caller(ENROL)).post(
            "/api/v1/agents/register", {"name": "a", "adapter": "command"}
        )

    answer.refuses(500, "internal")
    assert "secret" not in str(answer.body)
    assert "the secret detail" in caplog.text


async def test_tokens_never_reach_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        agent = await site.agent()
        await agent.post("/api/v1/agents/heartbeat", {"runs": []})
        await site.caller("wrong-token-0123456789").get("/api/v1/tasks")
        await site.operator.get("/api/v1/tasks")
        await site.deliver(b" " * (LARGEST_DELIVERY + 1), {"X-Forgejo-Signature": signature(b"")})

    for token in (agent.token, ENROL, READER, OPERATOR, "wrong-token-0123456789"):
        assert token not in caplog.text


def _fields(endpoint: Endpoint) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(endpoint.body)
