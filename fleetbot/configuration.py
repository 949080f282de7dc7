"""The configuration as maubot keeps it: read, changed, put back; what it says is in `settings`."""

from __future__ import annotations

import copy
from typing import Any

from mautrix.util.config import BaseProxyConfig, ConfigUpdateHelper
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from fleetbot.chat.commands.rights import check_rights
from fleetbot.network import flaw_of
from fleetbot.parsing import parse
from fleetbot.services.setup.mapping import Edit
from fleetbot.settings import Settings, SettingsError


class Config(BaseProxyConfig):
    def do_update(self, helper: ConfigUpdateHelper) -> None:
        """Everything the operator wrote, over the defaults: unknown keys stay, to be refused."""
        for section, value in self._data.items():
            section = str(section)
            if isinstance(value, CommentedMap) and section in helper.base:
                for key in value:
                    helper.base[section][key] = value[key]
            else:
                helper.base[section] = value

    def read(self) -> Settings:
        """Take what maubot has stored, and store it with the defaults, for the UI to show.

        Raises SettingsError with the way out.
        """
        self._load_sections()
        self.update()
        return self._parsed()

    def amend(self, edit: Edit, *, save: bool) -> Settings:
        """What is stored by now, changed by `edit`; kept only with `save`.

        Raises SettingsError where it would not be valid; then nothing has changed.
        """
        before = self._data
        try:
            self._load_sections()
            edit(self._data)
            self.update(save=False)
            settings = self._parsed()
            if save:
                self.save()
                before = self._data
        finally:
            self._data = before
        return settings

    def _load_sections(self) -> None:
        try:
            self.load()
        except YAMLError as error:
            raise SettingsError(f"the configuration is not YAML: {_place(error)}") from error
        data: object = self._data  # whatever YAML can say
        if not isinstance(data, CommentedMap):
            self._data = CommentedMap()
            raise SettingsError("the configuration must have sections, such as `forge:`.")

    def _parsed(self) -> Settings:
        settings = parse({key: _plain(value) for key, value in self._data.items()})
        check_rights(settings)
        if settings.forge.ca_file and (flaw := flaw_of(settings.forge.ca_file)):
            raise SettingsError(f"forge.ca_file: {flaw}.")
        return settings

    def refuse(self, data: CommentedMap) -> None:
        """What is stored is no configuration: have it be this one again."""
        self._data = data
        self.save()

    def put_back(self, data: CommentedMap) -> None:
        """Have it be this one again; but what was saved since then has its turn still to come."""
        is_ours = self._is_stored()
        self._data = data
        if is_ours:
            self.save()

    def _is_stored(self) -> bool:
        try:
            return bool(self._load_proxy() == self._data)
        except YAMLError:
            return False

    def snapshot(self) -> CommentedMap:
        return copy.deepcopy(self._data)


def _place(error: YAMLError) -> str:
    """`line 3: found duplicate key "rooms"`, without the text around it, which may be a secret."""
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    if mark is None:
        return "it cannot be read."
    return f"line {mark.line + 1}, column {mark.column + 1}: look at the indentation and quotes."


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    for kind in (bool, int, float, str):  # ruamel's own kinds of them remember their spelling
        if isinstance(value, kind):
            return kind(value)
    return value
