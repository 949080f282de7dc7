"""The doctor over HTTP: for operators, and consistent with healthz."""

from __future__ import annotations

from fleetbot import wire
from tests.web.site import Site

DOCTOR = "/api/v1/doctor"


async def test_an_operator_is_told_what_is_wrong_and_what_to_do(site: Site) -> None:
    checks = {"journal": "ok", "dead_letters": "2 given up"}
    site.health = wire.Health(status="degraded", checks=checks, version="1")

    answer = await site.operator.get(DOCTOR)

    assert answer.body["findings"] == [
        {
            "name": "dead_letters",
            "mark": "bad",
            "says": "2 given up",
            "remedy": ["`!fleet doctor retry` sends them again, in order"],
        },
        {"name": "journal", "mark": "well", "says": "ok", "remedy": []},
    ]


async def test_readers_are_not_told(site: Site) -> None:
    (await site.reader.get(DOCTOR)).refuses(403, "forbidden")
