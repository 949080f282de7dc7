"""The description is valid, complete and the same table that the guard works by."""

from __future__ import annotations

import re
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from fleetbot.web.endpoint import Who
from tests.web.site import Site


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


async def test_the_description_is_valid_openapi(site: Site) -> None:
    OpenAPIV31SpecValidator(site.document).validate()


async def test_every_endpoint_is_described_once(site: Site) -> None:
    described = operations(site.document)

    assert set(described) == {(e.method, e.path) for e in site.api.endpoints}
    names = [operation["operationId"] for operation in described.values()]
    assert len(set(names)) == len(names)


async def test_whoever_may_call_is_described(site: Site) -> None:
    described = operations(site.document)
    for endpoint in site.api.endpoints:
        operation = described[endpoint.method, endpoint.path]
        assert bool(operation["security"]) == (endpoint.who is not Who.ANYONE)
        assert ("401" in operation["responses"]) == (endpoint.who is not Who.ANYONE)


async def test_every_reference_leads_somewhere(site: Site) -> None:
    schemas = site.document["components"]["schemas"]
    for name in re.findall(r"#/components/schemas/(\w+)", str(site.document)):
        assert name in schemas


async def test_parameters_are_described_with_their_bounds(site: Site) -> None:
    listing = operations(site.document)["GET", "/api/v1/tasks"]
    parameters = {parameter["name"]: parameter for parameter in listing["parameters"]}

    assert set(parameters) == {"state", "repo", "agent", "limit", "before"}
    assert parameters["limit"]["schema"]["maximum"] == 500
    claim = operations(site.document)["POST", "/api/v1/agents/claim"]
    assert [p["name"] for p in claim["parameters"] if p["required"]] == ["Idempotency-Key"]
    assert "204" in claim["responses"]
