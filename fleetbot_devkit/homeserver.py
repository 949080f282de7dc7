"""A real Synapse on loopback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from fleetbot_devkit.matrix_user import MatrixUser
from fleetbot_devkit.process import ServerProcess, free_port
from fleetbot_devkit.rest import call

SERVER_NAME = "localhost"
_PLENTY = {"per_second": 10_000, "burst_count": 10_000}

# Synapse counts as if its users were people; tests and demos are faster than that.
RAISED_RATE_LIMITS: Mapping[str, Any] = {
    "rc_message": _PLENTY,
    "rc_registration": _PLENTY,
    "rc_admin_redaction": _PLENTY,
    "rc_login": {"address": _PLENTY, "account": _PLENTY, "failed_attempts": _PLENTY},
    "rc_joins": {"local": _PLENTY, "remote": _PLENTY},
    "rc_joins_per_room": _PLENTY,
    "rc_invites": {"per_room": _PLENTY, "per_user": _PLENTY, "per_issuer": _PLENTY},
}
SYNAPSE_RATE_LIMITS: Mapping[str, Any] = {}
"""Synapse's defaults."""
MESSAGES_LIMITED = {name: its for name, its in RAISED_RATE_LIMITS.items() if name != "rc_message"}
"""What is sent into rooms is limited as Synapse does by default, nothing else is."""


class Homeserver:
    """A running homeserver without federation."""

    process: ServerProcess
    """Of one that was started by this process."""

    def __init__(self, url: str, registration_secret: str) -> None:
        self.url = url
        self.server_name = SERVER_NAME
        self.registration_secret = registration_secret

    @classmethod
    def prepare(
        cls, root: Path, *, rate_limits: Mapping[str, Any] = RAISED_RATE_LIMITS
    ) -> Homeserver:
        """One in the empty or missing directory `root`, for `process` to start."""
        port = free_port()
        homeserver = cls(f"http://127.0.0.1:{port}", secrets.token_hex(16))
        config = _write_config(root, port, homeserver.registration_secret, rate_limits)
        argv = [sys.executable, "-m", "synapse.app.homeserver", "--config-path", str(config)]
        homeserver.process = ServerProcess(
            "synapse", argv, cwd=root, ready_url=f"{homeserver.url}/health"
        )
        return homeserver

    @classmethod
    @asynccontextmanager
    async def start(
        cls, root: Path, *, rate_limits: Mapping[str, Any] = RAISED_RATE_LIMITS
    ) -> AsyncIterator[Homeserver]:
        """Run Synapse in the empty or missing directory `root` for the length of the block.

        `rate_limits` are Synapse's `rc_…` settings; what is not in it has Synapse's default. Raises
        ServerDied with the end of Synapse's log if it does not come up.
        """
        homeserver = cls.prepare(root, rate_limits=rate_limits)
        await homeserver.process.start()
        try:
            yield homeserver
        finally:
            await homeserver.process.stop()

    async def register(self, user: str, password: str, *, admin: bool = False) -> MatrixUser:
        """Make an account (Synapse admin API, "Shared-Secret Registration") and log it in."""
        url = f"{self.url}/_synapse/admin/v1/register"
        nonce = (await call("GET", url))["nonce"]
        fields = (nonce, user, password, "admin" if admin else "notadmin")
        mac = hmac.new(
            self.registration_secret.encode(), "\0".join(fields).encode(), hashlib.sha1
        ).hexdigest()
        body = {
            "nonce": nonce,
            "username": user,
            "password": password,
            "admin": admin,
            "mac": mac,
        }
        account = await call("POST", url, json=body)
        return MatrixUser(
            self.url, account["user_id"], account["access_token"], account["device_id"]
        )


def _write_config(
    root: Path, port: int, registration_secret: str, rate_limits: Mapping[str, Any]
) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    log_config, config_path = root / "log.yaml", root / "homeserver.yaml"
    signing_key = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    config = {
        "server_name": SERVER_NAME,
        "public_baseurl": f"http://127.0.0.1:{port}/",
        "listeners": [
            {
                "port": port,
                "type": "http",
                "bind_addresses": ["127.0.0.1"],
                "resources": [{"names": ["client"]}],
            }
        ],
        "database": {"name": "sqlite3", "args": {"database": str(root / "synapse.db")}},
        "media_store_path": str(root / "media"),
        "log_config": str(log_config),
        "pid_file": str(root / "synapse.pid"),
        "signing_key": f"ed25519 {secrets.token_hex(3)} {signing_key}",
        "macaroon_secret_key": secrets.token_hex(16),
        "form_secret": secrets.token_hex(16),
        "registration_shared_secret": registration_secret,
        "bcrypt_rounds": 4,  # accounts here protect nothing, and strong hashes take seconds
        "report_stats": False,
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        "federation_domain_whitelist": [],
        "url_preview_enabled": False,
        "presence": {"enabled": False},
        **rate_limits,
    }
    yaml = YAML(typ="safe")
    yaml.dump(_LOGGING, log_config)
    yaml.dump(config, config_path)
    return config_path


_LOGGING = {
    "version": 1,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"level": "WARNING", "handlers": ["console"]},
    "disable_existing_loggers": False,
}
