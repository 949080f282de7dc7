"""The way out of this machine, the same for git and for the runner's own calls."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp

_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def open_session(ca_file: str, *urls: str) -> aiohttp.ClientSession:
    """For calls of these addresses; of one by the proxy that the environment names for it, of
    several by that which each call gives.

    `ca_file` is trusted in place of the system's certificates; empty: those. aiohttp's own
    `trust_env` would also take logins from ~/.netrc, and fail beside a token.
    """
    own = ca_file or any(urlsplit(url).scheme == "https" for url in urls)
    # Reading the system's certificates takes a while: once, by aiohttp, for what is not encrypted.
    context = ssl.create_default_context(cafile=ca_file or None) if own else True
    # Every waiting claim holds a connection: no limit but the agents' own.
    connector = aiohttp.TCPConnector(limit=0, ssl=context)
    proxy = proxy_of(urls[0]) if len(urls) == 1 else None
    return aiohttp.ClientSession(connector=connector, proxy=proxy)


def proxy_of(url: str) -> str | None:
    """By HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in either case of letters."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies_environment().get(parts.scheme)


def child_env(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What git needs of the environment: curl knows HTTP_PROXY in small letters only."""
    found = {name: environ[name] for name in _CERTIFICATES if name in environ}
    if folder := environ.get("GIT_SSL_CAPATH") or environ.get("SSL_CERT_DIR"):
        found["GIT_SSL_CAPATH"] = folder
    for name in _PROXIES:
        if value := environ.get(name) or environ.get(name.upper()):
            found[name] = value
    return found
