"""The tokens of the configuration, as they are now: people replace those in files."""

from __future__ import annotations

from pathlib import Path

from fleetbot.runner.config import Config
from fleetbot.runner.secret import Secret


class Tokens:
    """The runner's own secrets. `forge` and `enrolment` answer the token of the moment."""

    def __init__(self, config: Config) -> None:
        forge, orchestrator = config.forge, config.orchestrator
        self.forge = Secret(forge.token, _path(forge.token_file))
        self.enrolment = Secret(
            orchestrator.enrolment_token, _path(orchestrator.enrolment_token_file)
        )

    def named(self) -> dict[str, str]:
        """What must reach neither logs nor agent programs, each by the name of its setting.

        Of a token that was replaced while the runner is up, the earlier ones too.
        """
        return {
            name if age == 0 else f"{name} ({age} before)": value
            for name, secret in self._by_name().items()
            for age, value in enumerate(reversed(secret.values()))
        }

    def open_to_others(self) -> list[str]:
        """The settings whose files other accounts of this machine may read."""
        return [
            f"{name}_file" for name, secret in self._by_name().items() if secret.is_open_to_others
        ]

    def _by_name(self) -> dict[str, Secret]:
        return {"forge.token": self.forge, "orchestrator.enrolment_token": self.enrolment}


def _path(text: str) -> Path | None:
    return Path(text) if text else None
