"""git as child processes that always end."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetbot.runner import network
from fleetbot.runner.sandbox.complete import Completed, Watch, complete

_TEXT_LIMIT = 2000
_HTTP_STATUS = re.compile(r"The requested URL returned error: (\d{3})\b")
_NOT_FOUND = re.compile(r"fatal: repository '[^']*' not found")
_LOGIN_FAILED = re.compile(r"fatal: (?:Authentication failed for|could not read (?:User|Pass))")
_LED_ON = re.compile(r"fatal: unable to update url base from redirection")


class GitFailed(Exception):
    """git ended with an error.

    `text` is what git itself said, `remote` what the other side did, which decides nothing.
    """

    def __init__(self, args: Sequence[str], completed: Completed) -> None:
        own, self.remote = _by_speaker(completed.stderr)
        self.status = completed.status
        self.stdout = completed.stdout
        said = own or completed.stdout.strip()
        self.text = said[-_TEXT_LIMIT:] or f"git {args[0]}: exit status {completed.status}"
        super().__init__(f"git {args[0]}: {self.text}")

    @property
    def http_status(self) -> int | None:
        """The forge's answer, where git named one or said it in its own final words."""
        if found := _HTTP_STATUS.findall(self.text):
            return int(found[-1])
        for status, words in ((404, _NOT_FOUND), (401, _LOGIN_FAILED), (301, _LED_ON)):
            if words.search(self.text):
                return status
        return None


def _by_speaker(stderr: str) -> tuple[str, str]:
    own, remote = [], []
    for line in stderr.split("\n"):
        last = line.rpartition("\r")[2].strip()  # a progress bar's last state
        heard = (line, last, last.removeprefix("fatal: ").replace("remote error:", "remote:"))
        if any(text.startswith("remote:") for text in heard):
            remote.append(last)
        elif last:
            own.append(last)
    spoken = [line for line in own if line.startswith(("fatal:", "error:", "warning:"))]
    return "\n".join(spoken or own), "\n".join(remote)


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
    `token` is asked for each of them: people replace it. `ca_file`: the certificates to trust at
    the forge in place of the system's.
    """

    def __init__(
        self, forge_url: str, username: str, token: Callable[[], str], ca_file: str = ""
    ) -> None:
        self._forge_url = forge_url.rstrip("/") + "/"
        self._username = username
        self._token = token
        self._ca_file = ca_file

    def _credentials(self) -> str:
        login = f"{self._username}:{self._token()}"
        return f"Authorization: Basic {base64.b64encode(login.encode()).decode()}"

    async def __call__(
        self,
        *args: str,
        cwd: Path,
        forge: bool = False,
        env: Mapping[str, str] | None = None,
        timeout: float = 900,
        given: bytes = b"",
        watch: Watch | None = None,
        patient: bool = False,
    ) -> str:
        """What git writes to stdout. Raises GitFailed.

        `given`, `watch` and `patient` are as in `complete`. `forge`: with credentials. `env` adds
        to the environment; without GIT_DIR in it a repository is looked for in `cwd` only.
        """
        whole = self._env(forge=forge) | {"GIT_CEILING_DIRECTORIES": str(cwd.parent)}
        whole.update(env or {})
        try:
            done = await complete(
                ["git", *args],
                cwd=cwd,
                env=whole,
                timeout=timeout,
                given=given,
                watch=watch,
                patient=patient,
                is_git=True,
            )
        except TimeoutError:
            late = "nothing more came for" if patient else "timed out after"
            raise GitFailed(args, Completed(-1, "", f"{late} {timeout:g} s")) from None
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
            "core.attributesFile": os.devnull,
            "core.excludesFile": os.devnull,
            "core.logAllRefUpdates": "false",
            "credential.helper": "",
            "safe.directory": "*",  # where we are root, agents own what they work in
            "advice.detachedHead": "false",
            "gc.auto": "0",
            "maintenance.auto": "false",
            # A nested repository has settings of its own, which an agent may have written.
            "submodule.recurse": "false",
            "fetch.recurseSubmodules": "false",
            "push.recurseSubmodules": "no",
            "diff.ignoreSubmodules": "all",
            # Submodules are where their repository says, which an agent may have written.
            "protocol.allow": "never",
            "protocol.http.allow": "always",
            "protocol.https.allow": "always",
            "protocol.file.allow": "user",  # that is us, but not a submodule
        }
        # The variable would win over the setting of one address, so it becomes a setting as well.
        if everywhere := os.environ.get("GIT_SSL_CAINFO") or os.environ.get("SSL_CERT_FILE"):
            settings["http.sslCAInfo"] = everywhere
        if self._ca_file:
            settings[f"http.{self._forge_url}.sslCAInfo"] = self._ca_file
        if forge:
            settings[f"http.{self._forge_url}.extraHeader"] = self._credentials()
            # git would show the credentials to whatever host the forge's address led on to.
            settings[f"http.{self._forge_url}.followRedirects"] = "false"
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.devnull,
            "LC_ALL": "C",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        for number, (key, value) in enumerate(settings.items()):
            env[f"GIT_CONFIG_KEY_{number}"] = key
            env[f"GIT_CONFIG_VALUE_{number}"] = value
        return env | network.child_env()
