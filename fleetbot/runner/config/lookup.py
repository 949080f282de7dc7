"""What a configuration names, read from where it is: paths, token files, variables."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from fleetbot.network import flaw_of
from fleetbot.runner.config.tables import (
    AgentConfig,
    Config,
    ConfigFile,
    ForgeConfig,
    OrchestratorConfig,
    Table,
)


class Lookup:
    """Reads what a configuration names, from files and variables; gathers what is wrong."""

    def __init__(self, path: Path, env: Mapping[str, str]) -> None:
        self._file = path
        self._base = path.parent
        self._env = env
        self._problems: list[str] = []

    def resolve(self, file: ConfigFile) -> tuple[Config, list[str]]:
        root = self._path(file.runner.root)
        found = {
            "orchestrator": self._orchestrator(file.orchestrator),
            "forge": self._forge(file.forge),
            "runner": msgspec.structs.replace(file.runner, root=str(root)),
            "agents": tuple(self._agent(agent, root) for agent in file.agents),
            "private": (self._file, *self._token_files(file), root),
        }
        return Config(**{**msgspec.structs.asdict(file), **found}), self._problems

    def _orchestrator(self, table: OrchestratorConfig) -> OrchestratorConfig:
        return msgspec.structs.replace(
            table,
            url=tuple(dict.fromkeys(url.rstrip("/") for url in table.urls)),
            enrolment_token=self._secret(table, "orchestrator.enrolment_token"),
            enrolment_token_file=self._given_path(table.enrolment_token_file),
            ca_file=self._ca_file("orchestrator", table.ca_file, "SSL_CERT_FILE"),
        )

    def _forge(self, table: ForgeConfig) -> ForgeConfig:
        if not (table.token or table.token_file or table.token_env):
            self._problems.append(
                "forge.token is missing; set one of token, token_file, token_env to a token of "
                f"{table.username!r} with the scopes write:repository and write:issue"
            )
        return msgspec.structs.replace(
            table,
            url=table.url.rstrip("/"),
            token=self._secret(table, "forge.token"),
            token_file=self._given_path(table.token_file),
            ca_file=self._ca_file("forge", table.ca_file, "GIT_SSL_CAINFO", "SSL_CERT_FILE"),
        )

    def _token_files(self, file: ConfigFile) -> Iterator[Path]:
        for name in (file.orchestrator.enrolment_token_file, file.forge.token_file):
            if name:
                yield self._path(name).resolve()

    def _agent(self, agent: AgentConfig, root: Path) -> AgentConfig:
        box = agent.bubblewrap
        for place in (*box.writable, *box.readable):
            if Path(place).resolve().is_relative_to(root.resolve()):
                self._problems.append(
                    f"agent {agent.name!r}: bubblewrap: {place} is in runner.root, of which agents "
                    "see their own parts only; keep it somewhere else"
                )
        if not agent.prompt:
            return agent
        path = self._path(agent.prompt)
        if not path.is_file():
            self._problems.append(f"agent {agent.name!r}: prompt: there is no file {path}")
        return msgspec.structs.replace(agent, prompt=str(path))

    def _path(self, text: str) -> Path:
        return Path(os.path.abspath(self._base / Path(text).expanduser()))

    def _given_path(self, text: str) -> str:
        return str(self._path(text)) if text else ""

    def _ca_file(self, table: str, given: str, *variables: str) -> str:
        """As given, or as the variables that git and OpenSSL know name it: one for both."""
        if not given:
            return next(filter(None, map(self._env.get, variables)), "")
        path = str(self._path(given))
        if flaw := flaw_of(path):
            self._problems.append(f"{table}.ca_file: {flaw}")
            return ""
        return path

    def _secret(self, table: Table, field: str) -> str:
        """A token given as itself, by a file or by a variable; empty if it is not given."""
        name = field.rpartition(".")[2]
        given = {form: getattr(table, form) for form in (name, f"{name}_file", f"{name}_env")}
        given = {form: value for form, value in given.items() if value}
        if len(given) > 1:
            self._problems.append(
                f"{field} is given {len(given)} times: keep one of {', '.join(given)}"
            )
            return ""
        for form, value in given.items():
            if form.endswith("_file"):
                return self._from_file(field, self._path(value))
            if form.endswith("_env"):
                return self._from_env(field, value)
            return str(value).strip()
        return ""

    def _from_file(self, field: str, path: Path) -> str:
        try:
            token = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            said = problem.strerror if isinstance(problem, OSError) else problem
            self._problems.append(
                f"{field}_file: cannot read {path}: {said}; write the token into it, chmod 600"
            )
            return ""
        if not token:
            self._problems.append(f"{field}_file: {path} is empty; write the token into it")
        return token

    def _from_env(self, field: str, variable: str) -> str:
        value = self._env.get(variable, "").strip()
        if not value:
            self._problems.append(f"{field}_env: the variable {variable} is not set; export it")
        return value
