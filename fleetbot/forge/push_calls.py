"""Refs that are deleted. Forgejo's API deletes branches only, so this is a push as git makes one.

What only deletes has no pack. Source: ``Documentation/gitprotocol-pack`` of git, *Reference Update
Request* and *Report Status*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fleetbot.forge.errors import UnexpectedAnswer
from fleetbot.forge.paths import parse_repo, path_of
from fleetbot.forge.transport import Calls

_END = b"0000"


class PushCalls(Calls):
    async def delete_refs(self, repo: str, refs: Mapping[str, str]) -> tuple[str, ...]:
        """Delete refs that are still at these commits; answers those that are gone by that."""
        if not refs:
            return ()
        path = path_of("/{}/{}.git/git-receive-pack", *parse_repo(repo))
        answer = await self._http.push(path, b"".join(_lines(refs)) + _END)
        said = [*_packets(answer)]
        if b"unpack ok" not in said:
            raise UnexpectedAnswer(200, "POST", path, "it is no answer to a push")
        return tuple(ref for ref in refs if f"ok {ref}".encode() in said)


def _lines(refs: Mapping[str, str]) -> Iterator[bytes]:
    """The first one names what we understand."""
    tail = "\0 report-status"
    for ref, commit in refs.items():
        line = f"{commit} {'0' * len(commit)} {ref}{tail}".encode()
        tail = ""
        yield f"{len(line) + 4:04x}".encode() + line


def _packets(answer: bytes) -> Iterator[bytes]:
    while len(answer) >= 4:
        try:
            length = int(answer[:4], 16)
        except ValueError:
            return
        yield answer[4:length].rstrip(b"\n")
        answer = answer[max(length, 4) :]
