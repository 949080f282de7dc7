"""The proxies of `deploy/`, started on loopback with the addresses of a test in place of those of
the files."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from fleetbot_devkit.process import ServerProcess, free_port

DEPLOY = Path(__file__).parents[2] / "deploy"


class Place(NamedTuple):
    """Where the proxy is to be, and what stands behind it: `host:port` each."""

    folder: Path
    certificate: Path
    port: int
    ready: int
    behind: tuple[str, ...]


@asynccontextmanager
async def proxy(program: str, folder: Path, certificate: Path, *behind: str) -> AsyncIterator[str]:
    """Its address (https) while it runs. Skips where the program is not installed."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    place = Place(folder, certificate, free_port(), free_port(), behind)
    argv = _ARGUMENTS[program](place)
    ready = f"http://127.0.0.1:{place.ready}/"
    process = ServerProcess(program, [path, *argv], cwd=folder, ready_url=ready)
    await process.start()
    try:
        yield f"https://127.0.0.1:{place.port}"
    finally:
        await process.stop(grace=5)


def _given(text: str, *replaced: tuple[str, str]) -> str:
    for old, new in replaced:
        assert old in text, f"{old} is not in the file any more"
        text = text.replace(old, new)
    return text


def _nginx(place: Place) -> list[str]:
    text = _given(
        (DEPLOY / "nginx" / "fleetbot.conf").read_text(),
        ("127.0.0.1:29316", place.behind[0]),
        ("listen 443 ssl", f"listen 127.0.0.1:{place.port} ssl"),
        ("    listen [::]:443 ssl;\n", ""),
        ("/etc/letsencrypt/live/matrix.example.org/fullchain.pem", str(place.certificate)),
        ("/etc/letsencrypt/live/matrix.example.org/privkey.pem", str(place.certificate)),
    )
    (place.folder / "fleetbot.conf").write_text(text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    kept = "".join(f"    {kind}_temp_path {place.folder}/{kind};\n" for kind in kinds)
    (place.folder / "nginx.conf").write_text(
        f"daemon off;\nuser root;\npid {place.folder}/nginx.pid;\nevents {{}}\n"
        f"http {{\n    access_log off;\n{kept}    include {place.folder}/fleetbot.conf;\n"
        f"    server {{ listen 127.0.0.1:{place.ready}; return 200; }}\n}}\n"
    )
    return ["-c", str(place.folder / "nginx.conf"), "-e", "stderr", "-p", str(place.folder)]


def _caddy(place: Place) -> list[str]:
    name, site, were = "Caddyfile", "matrix.example.org {", ["127.0.0.1:29316"]
    if len(place.behind) == 2:
        name, site = "two-orchestrators.Caddyfile", "fleet.example.org {"
        were = ["bot-a.example.org:29316", "bot-b.example.org:29316"]
    text = _given(
        (DEPLOY / "caddy" / name).read_text(),
        (site, f"https://127.0.0.1:{place.port} {{\n\ttls {place.certificate} {place.certificate}"),
        *zip(were, place.behind, strict=True),
    )
    ours = (
        "{\n\tadmin off\n\tauto_https disable_redirects\n"
        f"\tstorage file_system {place.folder}\n}}\n"
    )
    ready = f"http://127.0.0.1:{place.ready} {{\n\trespond 200\n}}\n"
    (place.folder / "Caddyfile").write_text(f"{ours}{ready}{text}")
    return ["run", "--config", str(place.folder / "Caddyfile"), "--adapter", "caddyfile"]


def _haproxy(place: Place) -> list[str]:
    a, b = place.behind
    text = _given(
        (DEPLOY / "haproxy" / "haproxy.cfg").read_text(),
        ("/dev/log local0", "stdout format raw local0"),
        (
            ":443 ssl crt /etc/haproxy/fleet.example.org.pem",
            f"127.0.0.1:{place.port} ssl crt {place.certificate}",
        ),
        ("bot-a.example.org:29316", a),
        ("bot-b.example.org:29316", b),
    )
    ready = (
        f"frontend ready\n    bind 127.0.0.1:{place.ready}\n    http-request return status 200\n"
    )
    (place.folder / "haproxy.cfg").write_text(f"{text}\n{ready}")
    return ["-db", "-f", str(place.folder / "haproxy.cfg")]


_ARGUMENTS = {"nginx": _nginx, "caddy": _caddy, "haproxy": _haproxy}
