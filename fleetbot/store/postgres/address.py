"""Where a database is on Postgres, and how to say so without its password."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

_HIDDEN = "***"
_CONNECT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Address:
    """A database's URL, as asyncpg and libpq know it, and the schema in it that is ours."""

    url: str = field(repr=False)
    schema: str

    @property
    def where(self) -> str:
        """For people."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2] or dict(parse_qsl(parts.query)).get("host", "")
        return f"Postgres {host}{parts.path}, schema {self.schema}"

    @property
    def quoted_schema(self) -> str:
        escaped = self.schema.replace('"', '""')
        return f'"{escaped}"'

    @property
    def lock_key(self) -> int:
        """Of the advisory lock that a leader holds; Postgres keeps those apart by database."""
        digest = sha256(f"fleetbot:{self.schema}".encode()).digest()
        return int.from_bytes(digest[:8], signed=True)

    @property
    def wanted_server(self) -> str | None:
        """Of several hosts the one that writes, for readers as well: a standby lags behind."""
        parts = urlsplit(self.url)
        query = dict(parse_qsl(parts.query))
        named = query.get("target_session_attrs")
        return named or ("primary" if "," in parts.netloc + query.get("host", "") else None)

    def without_secrets(self, text: str) -> str:
        for secret in self._secrets():
            text = text.replace(secret, _HIDDEN)
        return text

    def _secrets(self) -> list[str]:
        parts = urlsplit(self.url)
        whole = parts.netloc.rpartition("@")[0].partition(":")[2]
        others = [value for name, value in parse_qsl(parts.query) if "password" in name]
        return [secret for secret in (self.url, whole, unquote(whole), *others) if secret]

    def for_yoyo(self) -> str:
        """yoyo takes one host at most from where hosts stand, and any from the query.

        It puts the schema into a statement as it is, so that it has to be quoted here.
        """
        parts = urlsplit(self.url)
        login, at, hosts = parts.netloc.rpartition("@")
        query = dict(parse_qsl(parts.query)) | {"schema": self.quoted_schema}
        query.setdefault("connect_timeout", str(_CONNECT_SECONDS))
        if self.wanted_server:
            query["target_session_attrs"] = self.wanted_server
        if hosts:
            pairs = [_host_and_port(host) for host in hosts.split(",")]
            query["host"] = ",".join(host for host, _ in pairs)
            query["port"] = ",".join(port for _, port in pairs)
        return f"postgresql+psycopg://{login}{at}{parts.path}?{urlencode(query)}"


def _host_and_port(text: str) -> tuple[str, str]:
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text, ""
    return unquote(host.strip("[]")), port or "5432"
