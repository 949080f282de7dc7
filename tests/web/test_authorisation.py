"""Who may call what: every endpoint, with every kind of token."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fleetbot.services.passes import SESSION_PREFIX
from fleetbot.web.endpoint import EVENT_STREAM, Endpoint, Who
from fleetbot.web.guard import SESSION_COOKIE
from tests.web.furnished import QUESTION, Furnished
from tests.web.site import HEAD, READER, Site

# The statuses that endpoints answer with, of what is one agent's: `own` is its token, `other` and
# all before are others'. `secret` is the webhook's, shown as a token; `expired`, `used` and `once`
# are tokens for one agent to enrol with, `once` one that is still good; `session` is one of the
# board, a cookie. What is neither 401 nor 403 has passed; the forge that is asked then has no
# repository, and answers 404.
EXPECTED = Path(__file__).parents[1] / "data" / "authorisation.txt"

WIDTH = 41
KINDS = ["none", "wrong", "secret", "revoked", "forgotten", "expired", "used", "once"]
KINDS += ["session", "enrol", "other", "own", "reader", "operator"]
BODIES: dict[str, dict[str, Any]] = {
    "POST agents/register": {"adapter": "command"},
    "POST agents/claim": {"wait": 0},
    "POST runs/{run}/log": {"offset": 0, "lines": [{"at": 1, "text": "Hello."}]},
    "POST runs/{run}/fail": {"reason": "agent_failed"},
    "POST runs/{run}/ask": QUESTION,
    "POST runs/{run}/asks/{ask}/answer": {"behavior": "deny"},
    "POST runs/{run}/messages": {"text": "Hello."},
    "POST runs/{run}/messages/{message}/taken": {"taken": "delivered"},
    "POST receipts": {"pull_request": 7, "branch": "fleet/1", "head": HEAD},
    "POST board/session": {"key": READER},
    "POST tasks": {"repo": "other/repo", "issue": 1},
    "POST tasks/{task}/land": {"by": "ann"},
    "POST tasks/{task}/queue": {"behind": None},
    "POST tasks/{task}/priority": {"priority": "high"},
    "POST tasks/{task}/assign": {"agent": "other"},
}
"""What a good request says; none where there is nothing to be said."""


def name_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path.removeprefix('/api/v1/')}"


async def status(scene: Furnished, endpoint: Endpoint, token: str, method: str = "") -> int:
    """Of the answer to a good request that speaks of what is at the scene's place."""
    name, place = name_of(endpoint), scene.place
    body = dict(BODIES.get(name, {}))
    if name == "POST agents/register":
        body["name"] = place["agent"]
    if name == "POST receipts":
        body["run"] = place["run"]
    shown = {"Authorization": f"Bearer {token}"}
    if token.startswith(SESSION_PREFIX):
        shown = {"Cookie": f"{SESSION_COOKIE}={token}"}
    headers = {"Idempotency-Key": "k", **shown}
    async with scene.site.http.request(
        method or endpoint.method,
        endpoint.path.format(**place),
        data=json.dumps(body).encode() if endpoint.takes_body else None,
        headers=headers if token else {"Idempotency-Key": "k"},
    ) as response:
        if response.content_type != EVENT_STREAM:  # which has no end
            await response.read()
        return response.status


async def prepare(scene: Furnished, endpoint: Endpoint, kind: str) -> str:
    """The token; where something will be changed with it, of what is there for that alone."""
    if kind == "other":
        return scene.tokens["other"]
    if kind == "own":
        return await scene.agent() if endpoint.who in (Who.AGENT, Who.ENROLLER) else scene.own
    if kind == "operator" and endpoint.who is Who.OPERATOR and "{" in endpoint.path:
        await scene.agent()
        if name_of(endpoint) in ("POST agents/{agent}/enrol", "POST agents/{agent}/forget"):
            await scene.signs_off()
    return scene.tokens[kind]


@pytest.fixture
def written(site: Site, tmp_path: Path) -> Iterator[Callable[[], int]]:
    """A number that changes with every transaction on the database."""
    with closing(sqlite3.connect(tmp_path / "fleet.db")) as database:
        yield lambda: int(database.execute("PRAGMA data_version").fetchone()[0])


async def test_every_endpoint_answers_each_kind_of_token_as_the_table_says(
    site: Site, written: Callable[[], int]
) -> None:
    scene = await Furnished.of(site)
    rows = [" " * WIDTH + " ".join(KINDS)]
    for endpoint in site.api.endpoints:
        row = f"{name_of(endpoint):{WIDTH}}"
        for kind in KINDS:
            token = await prepare(scene, endpoint, kind)
            before = written()
            answered = await status(scene, endpoint, token)
            row += f"{answered:<{len(kind) + 1}}"
            if answered in (401, 403) or (kind not in ("own", "operator") and answered >= 400):
                assert written() == before, f"refused, and yet something was written: {row}"
        rows.append(row.rstrip())

    assert rows == EXPECTED.read_text().splitlines()


@pytest.mark.parametrize("kind", ["none", "enrol", "reader"])
async def test_to_ask_for_the_head_alone_takes_the_same_token(site: Site, kind: str) -> None:
    scene = await Furnished.of(site)
    for endpoint in site.api.endpoints:
        if endpoint.method == "GET" and endpoint.media != EVENT_STREAM:
            whole = await status(scene, endpoint, scene.tokens[kind])
            assert await status(scene, endpoint, scene.tokens[kind], "HEAD") == whole, endpoint.path


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"?token={READER}", {}),
        (f"?access_token={READER}", {}),
        ("", {"Authorization": READER}),
        ("", {"Authorization": f"Basic {READER}"}),
        ("", {"Authorization": f"Bearer {READER} {READER}"}),
        ("", {"Authorization": f"Bearer {READER[:-1]}"}),
        ("", {"Authorization": f"Bearer {READER.upper()}"}),
        ("", {"Cookie": f"token={READER}"}),
        ("", {"X-Api-Key": READER}),
    ],
)
async def test_a_token_is_shown_whole_and_in_one_way(
    site: Site, path: str, headers: dict[str, str]
) -> None:
    answer = await site.nobody.call("GET", f"/api/v1/agents{path}", headers=headers)

    answer.refuses(401, "unauthorized")
    assert READER not in str(answer)


async def test_what_is_anothers_is_not_reached_through_ones_own_run(site: Site) -> None:
    scene = await Furnished.of(site)
    theirs, hers = scene.place, scene.own
    await scene.agent()
    own, agent = scene.place["run"], site.caller(scene.own)
    await site.caller(hers).post(f"/api/v1/runs/{theirs['run']}/ask", QUESTION | {"id": "hers"})

    for method, path in (("GET", "asks/hers"), ("DELETE", "asks/hers")):
        answer = await agent.call(method, f"/api/v1/runs/{own}/{path}")
        assert answer.status == 404, answer.body
    taken = f"/api/v1/runs/{own}/messages/{theirs['message']}/taken"
    assert (await agent.post(taken, {"taken": "delivered"})).status == 404
    beat = await agent.post("/api/v1/agents/heartbeat", {"runs": [theirs["run"]]})
    assert [order["run"] for order in beat.body["cancel"]] == [theirs["run"]]
    (task,) = [
        task
        for task in (await site.reader.get("/api/v1/tasks")).body["tasks"]
        if task["id"] == theirs["task"]
    ]
    assert task["state"] == "running", "it goes on as it was"
