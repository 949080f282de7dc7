"""What can go wrong when talking to Forgejo. No error carries a token or a request body."""

from __future__ import annotations


class ForgeError(Exception):
    """Forgejo did not do what was asked; ``status`` is 0 when there was no answer."""

    def __init__(self, status: int, method: str, path: str, message: str = "") -> None:
        said = f": {message}" if message else ""
        super().__init__(f"{method} {path} -> {status or 'no answer'}{said}")
        self.status = status
        self.method = method
        self.path = path
        self.message = message


class Unauthorized(ForgeError):
    """The token is wrong, expired or revoked."""


class ForgeForbidden(ForgeError):
    """The token may not do this; Forgejo's ``message`` names the scope it lacks, if it is that."""


class ForgeNotFound(ForgeError):
    """It does not exist, or it is in a private repository the token cannot see."""


class ForgeConflict(ForgeError):
    """It exists already, has changed meanwhile, or cannot be merged."""


class Unprocessable(ForgeError):
    """Forgejo refuses a field of the request."""


class ForgeUnavailable(ForgeError):
    """Nothing was found out: network, time-out, 5xx, 408, 425, 429. Try again, after
    ``retry_after`` seconds where it is given."""

    def __init__(
        self,
        status: int,
        method: str,
        path: str,
        message: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, method, path, message)
        self.retry_after = retry_after


class NotLeading(ForgeUnavailable):
    """It was not asked: another orchestrator may lead by now, and this is its to do."""


class UnexpectedAnswer(ForgeUnavailable):
    """The answer is not Forgejo's: a proxy's page, a redirect elsewhere, another API."""


class NoSuchCall(UnexpectedAnswer):
    """A 404 without Forgejo's words: that of a proxy while Forgejo is away, or for a call that its
    version does not have. It says nothing of whether something is there."""


class TooLarge(UnexpectedAnswer):
    """The answer is larger than is read; it will not be smaller the next time."""


_ASK_AGAIN = frozenset({408, 425, 429})
_BY_STATUS: dict[int, type[ForgeError]] = {
    401: Unauthorized,
    403: ForgeForbidden,
    404: ForgeNotFound,
    409: ForgeConflict,
    422: Unprocessable,
}


def error_for(
    status: int, method: str, path: str, message: str, retry_after: float | None
) -> ForgeError:
    """The error of an HTTP status that is no success."""
    if status in _ASK_AGAIN or status >= 500:
        return ForgeUnavailable(status, method, path, message, retry_after)
    return _BY_STATUS.get(status, ForgeError)(status, method, path, message)
