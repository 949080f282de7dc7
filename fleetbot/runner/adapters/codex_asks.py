"""What Codex's app-server asks of its client: approvals, and questions to people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from fleetbot.runner.adapters.codex_items import command_summary
from fleetbot.runner.session.contract import Answer, Permissions, Question, QuestionWithdrawn
from fleetbot.runner.session.driver import Send, Step
from fleetbot.runner.session.text import one_line

_APPROVALS = ("item/commandExecution/requestApproval", "item/fileChange/requestApproval")
_DECISIONS = {"allow": "accept", "deny": "decline", "always": "acceptForSession"}
_NOT_SUPPORTED = {"code": -32601, "message": "not supported by this client"}

Changes = Callable[[Mapping[str, Any]], Any]


class _Open(msgspec.Struct):
    """A request that waits for people; `waiting` and `answers` by the question's id."""

    id: Any
    approval: bool
    waiting: dict[str, str]
    answers: dict[str, Any]


class Asks:
    """The requests that are open. What `permissions` decides is answered at once.

    `changes` tells what the item edits that a request is about: a request does not repeat it.
    """

    def __init__(self, permissions: Permissions, changes: Changes) -> None:
        self._permissions = permissions
        self._changes = changes
        self._open: dict[str, _Open] = {}

    def asked(self, request_id: Any, method: str, params: Mapping[str, Any]) -> Iterable[Step]:
        """A request has come."""
        if method in _APPROVALS:
            return self._approval(request_id, params)
        if method == "item/tool/requestUserInput":
            return self._question(request_id, params["questions"])
        return [Send.json({"id": request_id, "error": _NOT_SUPPORTED})]

    def answer(self, question: str, answer: Answer) -> Sequence[Send] | None:
        """What to send, once all of a request is answered; None if the question is not open."""
        key = question.partition(":")[0]
        request = self._open.get(key)
        if request is None or question not in request.waiting:
            return None
        asked = request.waiting.pop(question)
        if request.approval:
            request.answers["decision"] = _DECISIONS[answer.verdict]
        elif answer.verdict != "deny":
            request.answers[asked] = {"answers": [answer.text]}
        if request.waiting:
            return []
        del self._open[key]
        result = request.answers if request.approval else {"answers": request.answers}
        return [Send.json({"id": request.id, "result": result})]

    def resolved(self, key: str) -> Iterable[Step]:
        """The server no longer waits."""
        request = self._open.pop(key, None)
        return [QuestionWithdrawn(question) for question in request.waiting] if request else []

    def _approval(self, request_id: Any, params: Mapping[str, Any]) -> Iterable[Step]:
        if self._permissions != "ask":
            decision = "accept" if self._permissions == "bypass" else "decline"
            return [Send.json({"id": request_id, "result": {"decision": decision}})]
        changes = self._changes(params)
        if "command" in params:
            title = f"command: {command_summary(params['command'] or '')}"
            always = "this same command"
        else:
            always = "edits of these same files"
            title = f"edit: {one_line(', '.join(c['path'] for c in changes or ()))}"
        key = str(request_id)
        self._open[key] = _Open(request_id, True, {key: ""}, {})
        request = {**params, **({"changes": changes} if changes else {})}
        return [
            Question(
                id=key,
                kind="permission",
                title=title,
                request=request,
                options=("allow", "deny"),
                always=always,
            )
        ]

    def _question(self, request_id: Any, questions: Sequence[dict[str, Any]]) -> Iterable[Step]:
        if self._permissions == "deny":
            return [Send.json({"id": request_id, "result": {"answers": {}}})]
        key = str(request_id)
        ids = {f"{key}:{n}": question["id"] for n, question in enumerate(questions)}
        self._open[key] = _Open(request_id, False, ids, {})
        return [
            Question(
                id=f"{key}:{n}",
                kind="question",
                title=question["question"],
                request=question,
                options=tuple(option["label"] for option in question.get("options") or ()),
            )
            for n, question in enumerate(questions)
        ]
