"""git as the runner uses it."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.sandbox.complete import Completed, Watch, complete

_NETWORK_SETTINGS = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
)
_AWAY = (
    "could not resolve host",
    "failed to connect",
    "couldn't connect",
    "connection refused",
    "connection reset",
    "timed out",
    "returned error: 5",
    "rpc failed",
    "early eof",
    "empty reply",
)
_REFUSED = (
    "authentication failed",
    "could not read username",
    "returned error: 30",
    "returned error: 401",
    "returned error: 403",
    "returned error: 404",
    "not found",
    "does not appear to be a git repository",
    "does not exist",
)


class GitFailed(Exception):
    """git ended with an error; `text` is what it said, without progress lines."""

    def __init__(self, args: Sequence[str], completed: Completed) -> None:
        said = (completed.stderr + completed.stdout).strip()
        self.text = said or f"git {args[0]}: exit status {completed.status}"
        self.stdout = completed.stdout
        super().__init__(f"git {args[0]}: {self.text}")


@dataclass(frozen=True)
class Identity:
    """Who the fleet's commits are by."""

    name: str
    email: str

    def env(self) -> dict[str, str]:
        return {
            "GIT_AUTHOR_NAME": self.name,
            "GIT_AUTHOR_EMAIL": self.email,
            "GIT_COMMITTER_NAME": self.name,
            "GIT_COMMITTER_EMAIL": self.email,
        }


class Git:
    """git as the runner uses it: no prompts, no hooks, nothing of the person's own settings.

    The credentials travel in the environment of the few commands that talk to the forge, for the
    forge's address only; they are never an argument and never in a configuration file.
    """

    def __init__(self, forge_url: str, username: str, token: str) -> None:
        self._forge_url = forge_url.rstrip("/") + "/"
        credentials = base64.b64encode(f"{username}:{token}".encode()).decode()
        self._header = f"Authorization: Basic {credentials}"

    async def __call__(
        self,
        *args: str,
        cwd: Path,
        forge: bool = False,
        common: Path | None = None,
        timeout: float = 900,
        given: bytes = b"",
        watch: Watch | None = None,
    ) -> str:
        """What git writes to stdout. Raises GitFailed.

        `given` and `watch` are as in `complete`. `forge`: with credentials. `common`: what a
        worktree shares with others, its configuration too, is taken from there
        (gitrepository-layout(5), GIT_COMMON_DIR).
        """
        env = self._env(forge=forge) | ({"GIT_COMMON_DIR": str(common)} if common else {})
        try:
            done = await complete(
                ["git", *args], cwd=cwd, env=env, timeout=timeout, given=given, watch=watch
            )
        except TimeoutError:
            message = f"timed out after {timeout:g} s"
            raise GitFailed(args, Completed(-1, "", message)) from None
        if done.cut:  # half an answer would be taken for the whole
            raise GitFailed(args, Completed(-1, "", "it wrote more than the runner will read"))
        if done.status != 0:
            raise GitFailed(args, done)
        return done.stdout

    def plain_env(self) -> dict[str, str]:
        """The environment of commands that have nothing to do with the forge."""
        return self._env(forge=False)

    def _env(self, *, forge: bool) -> dict[str, str]:
        settings = {
            "core.hooksPath": os.devnull,
            "core.fsmonitor": "false",
            "credential.helper": "",
            "safe.directory": "*",  # where we are root, agents own what they work in
            "advice.detachedHead": "false",
            # Submodules are where their repository says, which an agent may have written.
            "protocol.allow": "never",
            "protocol.http.allow": "always",
            "protocol.https.allow": "always",
            "protocol.file.allow": "user",  # that is us, but not a submodule
        }
        if forge:
            settings[f"http.{self._forge_url}.extraHeader"] = self._header
            # git would show the credentials to whatever host the forge's address led on to.
            settings[f"http.{self._forge_url}.followRedirects"] = "false"
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.devnull,
            "LC_ALL": "C",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_NO_REPLACE_OBJECTS": "1",  # whose refs agents can write
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        for number, (key, value) in enumerate(settings.items()):
            env[f"GIT_CONFIG_KEY_{number}"] = key
            env[f"GIT_CONFIG_VALUE_{number}"] = value
        passed = {name: os.environ[name] for name in _NETWORK_SETTINGS if name in os.environ}
        return env | passed


def forge_failure(problem: GitFailed, doing: str) -> RunFailed:
    """The reason code of a git command that failed while it talked to the forge."""
    said = problem.text.lower()
    if any(sign in said for sign in _AWAY):
        return RunFailed(ReasonCode.FORGE_UNAVAILABLE, f"{doing}: {problem.text}")
    if any(sign in said for sign in _REFUSED):
        advice = "check that the repository exists and that the runner's forge token may use it"
        return RunFailed(ReasonCode.FORGE_REFUSED, f"{doing}: {problem.text}; {advice}")
    return RunFailed(ReasonCode.WORKSPACE_FAILED, f"{doing}: {problem.text}")
