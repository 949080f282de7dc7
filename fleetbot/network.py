"""The way out of this machine: certificates and proxies, the same for all that dials out."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp

_CERTIFICATE = re.compile(
    r"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[\w\s+/=]+-----END \1-----"
)


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


def flaw_of(ca_file: str) -> str:
    """What keeps a file from being trusted, as people are told it; empty where it can be."""
    try:
        ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as problem:
        return f"{ca_file} holds no certificates (PEM): {problem.reason or problem}"
    except OSError as problem:
        return f"{ca_file} cannot be read: {problem.strerror or problem}"
    return ""


def certificates(ca_file: str) -> str:
    """Those in the file, without what else is in it, such as a key. Raises OSError."""
    text = Path(ca_file).read_text("latin-1")  # people may write anything around them
    return "".join(f"{found[0]}\n" for found in _CERTIFICATE.finditer(text))


def hindrance(error: Exception, setting: str) -> str:
    """What keeps a call from its server, where settings can mend it; empty where it is anything
    else. `setting` names the one of the certificates."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "") or "it does not fit"
            return f"its certificate is not trusted ({why}): {setting} names those that are"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy of the environment cannot be reached at {error.host}:{error.port}"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy of the environment answered {error.status} {error.message}".rstrip()
    return ""
