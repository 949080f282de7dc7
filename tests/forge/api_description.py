"""Forgejo's own API description as the judge of requests and answers."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
from yarl import URL

from tests.forge.recorder import Exchange

Json = dict[str, Any]

DATA = Path(__file__).parents[1] / "data" / "forgejo"
VERSIONS = ("15.0.3", "11.0.15")

# The description knows no null; Forgejo sends it where there is nothing to show.
_NULLABLE = frozenset(
    [
        "added",
        "archived_at",
        "assets",
        "assignee",
        "assignee_team",
        "assignees",
        "author",
        "closed_at",
        "committer",
        "content",
        "dependent_issue",
        "download_url",
        "due_date",
        "encoding",
        "external_tracker",
        "external_wiki",
        "files",
        "git",
        "git_url",
        "head_commit",
        "html",
        "html_url",
        "internal_tracker",
        "label",
        "labels",
        "merge_commit_sha",
        "merged_at",
        "merged_by",
        "metadata",
        "milestone",
        "mirror_updated",
        "modified",
        "old_milestone",
        "organization",
        "parent",
        "permissions",
        "pull_request",
        "ref_comment",
        "ref_issue",
        "removed",
        "repo",
        "repo_transfer",
        "repositories",
        "repository",
        "requested_reviewers",
        "requested_reviewers_teams",
        "resolve_doer",
        "resolver",
        "signer",
        "stats",
        "status_check_contexts",
        "statuses",
        "submodule_git_url",
        "target",
        "team",
        "topics",
        "tracked_time",
        "user",
        "verification",
        "wiki_branch",
    ]
)
# Sent, and not described: by Forgejo itself too.
_UNDESCRIBED_FIELDS = {"User": {"username"}}
_UNDESCRIBED_STATUS = {("DELETE", "dependencies"): 201, ("POST", "merge"): 201}
# Which older servers answer with 404.
_LATER = ("/actions/runs",)

_formats = jsonschema.FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _is_rfc3339(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


class ApiDescription:
    """``strict``: an answer may hold no field that is not described (for the description's own
    version; an older or newer server has other fields too)."""

    def __init__(self, version: str, *, strict: bool = False) -> None:
        self._version = version
        self._api: Json = json.loads((DATA / f"api-{version}.json").read_text())
        self._definitions = {
            name: _with_nulls(name, definition, strict=strict)
            for name, definition in self._api["definitions"].items()
        }
        self._paths = sorted(
            ((_pattern(path), operations) for path, operations in self._api["paths"].items()),
            key=lambda entry: entry[0].groups,  # the most literal one first
        )

    def check(self, exchange: Exchange) -> None:
        """Assert that the call exists, takes what was sent, and answers what was received."""
        if exchange.url.path.endswith(".git/git-receive-pack"):
            return  # git's own, which is not of the API
        if exchange.url.path.endswith(_LATER) and self._version < VERSIONS[0]:
            return
        operation = self._operation(exchange.method, exchange.url)
        self._check_query(operation, exchange)
        self._check_body(operation, exchange)
        self._check_answer(operation, exchange)

    def has(self, method: str, path: str) -> bool:
        """Whether there is such a call; ``path`` as a template."""
        example = re.sub(r"\{[^}]*\}", "1", path)
        return self._find(method, example) is not None

    def _operation(self, method: str, url: URL) -> Json:
        operation = self._find(method, url.raw_path.partition("/api/v1")[2])
        assert operation is not None, f"{method} {url.path} is not described"
        return operation

    def _find(self, method: str, path: str) -> Json | None:
        for pattern, operations in self._paths:
            if pattern.fullmatch(path) and method.lower() in operations:
                operation: Json = operations[method.lower()]
                return operation
        return None

    def _check_query(self, operation: Json, exchange: Exchange) -> None:
        described = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        # page and limit go along on every list; where they mean nothing they do no harm
        unknown = set(exchange.url.query) - described - {"page", "limit"}
        assert not unknown, f"{exchange}: query {unknown} is not described"

    def _check_body(self, operation: Json, exchange: Exchange) -> None:
        bodies = [one for one in operation.get("parameters", ()) if one["in"] == "body"]
        sent = json.loads(exchange.sent or b"{}")
        if not bodies:
            assert sent == {}, f"{exchange} takes no body"
            return
        schema = self._definition(bodies[0]["schema"])
        unknown = sent.keys() - schema["properties"].keys()
        assert not unknown, f"{exchange}: fields {unknown} are not described"
        self._validate(sent, schema)

    def _definition(self, schema: Json) -> Json:
        """What a reference leads to; some definitions are but another name for one."""
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        return schema

    def _check_answer(self, operation: Json, exchange: Exchange) -> None:
        described = operation["responses"].get(str(exchange.status))
        if described is None and (exchange.status >= 400 or exchange.status in (301, 307)):
            return  # errors are described in part only, redirects not at all
        key = (exchange.method, exchange.url.path.rpartition("/")[2])
        if described is None and _UNDESCRIBED_STATUS.get(key) == exchange.status:
            return
        assert described is not None, f"{exchange}: status is not described"
        if "$ref" in described:
            described = self._api["responses"][described["$ref"].rpartition("/")[2]]
        schema = described.get("schema")
        if schema is not None and exchange.received:
            answer = json.loads(exchange.received)
            if answer is None and schema.get("type") == "array":
                answer = []  # as Go writes an empty list
            # what is in a folder is described as one file is
            is_folder = "/contents/" in exchange.url.path and isinstance(answer, list)
            for one in answer if is_folder else [answer]:
                self._validate(one, schema)

    def _validate(self, value: Any, schema: Json) -> None:
        rooted = {**schema, "definitions": self._definitions}
        jsonschema.Draft4Validator(rooted, format_checker=_formats).validate(value)


def _pattern(path: str) -> re.Pattern[str]:
    """A path of a file may have slashes; those in other parameters are quoted."""
    whole = re.escape(path).replace(r"\{filepath\}", "(.+)")
    return re.compile(re.sub(r"\\{[^}]*\\}", "([^/]+)", whole))


def _with_nulls(name: str, definition: Json, *, strict: bool) -> Json:
    if "$ref" in definition:
        return definition
    properties = {
        key: _or_null(schema) if key in _NULLABLE else schema
        for key, schema in definition.get("properties", {}).items()
    }
    extra: Json = {key: {} for key in _UNDESCRIBED_FIELDS.get(name, ())}
    closed = strict and properties and "additionalProperties" not in definition
    return {
        **definition,
        "properties": {**extra, **properties},
        **({"additionalProperties": False} if closed else {}),
    }


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}
