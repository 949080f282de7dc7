"""What git and programs are told of the way out of this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping

_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def child_env(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What git needs of the environment: curl knows HTTP_PROXY in small letters only."""
    found = {name: environ[name] for name in _CERTIFICATES if name in environ}
    if folder := environ.get("GIT_SSL_CAPATH") or environ.get("SSL_CERT_DIR"):
        found["GIT_SSL_CAPATH"] = folder
    for name in _PROXIES:
        if value := environ.get(name) or environ.get(name.upper()):
            found[name] = value
    return found
