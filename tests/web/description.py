"""The service's own description as the judge of every answer it gives."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator

PROBLEM = "application/problem+json"
_BEYOND = {404: "not_found", 405: "method_not_allowed"}


class Description:
    """Holds answers against an OpenAPI document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._patterns = {
            re.compile(re.sub(r"{\w+}", "[^/]+", path) + r"\Z"): operations
            for path, operations in document["paths"].items()
        }

    def check(self, method: str, path: str, status: int, media: str, body: Any) -> None:
        """Raises AssertionError or jsonschema's ValidationError for an answer not described."""
        operation = self._operation(method, path)
        if operation is None:
            assert body["code"] == _BEYOND[status], f"{method} {path} is not described"
            return
        described = operation["responses"].get(str(status))
        assert described is not None, f"{method} {path} does not describe {status}: {body}"
        content = described.get("content", {})
        if not content:
            assert not body, f"{method} {path} {status} has a body and should have none"
            return
        media = "*/*" if "*/*" in content else media
        assert media in content, f"{method} {path} {status} is described as {list(content)}"
        self._validate(content[media]["schema"], body)

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        for pattern, operations in self._patterns.items():
            if pattern.match(path) and method.lower() in operations:
                operation: dict[str, Any] = operations[method.lower()]
                return operation
        return None

    def _validate(self, schema: dict[str, Any], body: Any) -> None:
        whole = {**schema, "components": self.document["components"]}
        Draft202012Validator(whole).validate(body)
