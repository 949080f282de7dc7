"""Answers that a browser keeps, and asks about before it shows them again (RFC 9110, §13.1.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple, Self

from aiohttp import web


class Kept(NamedTuple):
    """`tag` is another one for every other body; `media` as in `Content-Type`."""

    body: bytes
    media: str
    tag: str

    @classmethod
    def of(cls, body: bytes, media: str) -> Self:
        return cls(body, media, hashlib.sha256(body).hexdigest()[:32])

    def answer(self, request: web.Request, headers: Mapping[str, str]) -> web.Response:
        """The body, or that it is what the caller has."""
        headers = {"ETag": f'"{self.tag}"', **headers}
        if self._is_known(request):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return web.Response(body=self.body, headers={"Content-Type": self.media, **headers})

    def _is_known(self, request: web.Request) -> bool:
        """Also by a weak tag: a proxy that packs what it passes on makes one of ours."""
        return any(one.value in (self.tag, "*") for one in request.if_none_match or ())
