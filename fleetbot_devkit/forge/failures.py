"""Requests that the development forge is told to fail."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiohttp import web


@dataclass
class Failure:
    """What the next matching requests get; ``applied`` means it is done, and the answer lost."""

    method: str
    path: re.Pattern[str]
    status: int
    times: int
    retry_after: int | None
    applied: bool
    after: int = 0  # so many are let through first
    text: str = ""

    def fits(self, request: web.Request) -> bool:
        return self.method in ("", request.method) and bool(self.path.search(request.path))

    def answer(self, request: web.Request) -> web.Response:
        if self.status == 0 and request.transport is not None:
            request.transport.abort()
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return web.Response(status=self.status or 500, headers=headers, text=self.text)


class Failures:
    """Those to come; of several that fit a request, the oldest is its."""

    def __init__(self) -> None:
        self._to_come: list[Failure] = []

    def add(self, failure: Failure) -> None:
        self._to_come.append(failure)

    def clear(self) -> None:
        self._to_come.clear()

    def of(self, request: web.Request) -> Failure | None:
        """The request's failure, which is then used up by one."""
        failure = next((one for one in self._to_come if one.fits(request)), None)
        if failure and failure.after:
            failure.after -= 1
            return None
        if failure:
            failure.times -= 1
            if failure.times <= 0:
                self._to_come.remove(failure)
        return failure
