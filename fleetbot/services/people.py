"""Who is who: accounts on Forgejo and people in Matrix, as the settings say or as was proven."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.store.interface import Store


class People:
    """`listed`: Forgejo login to Matrix id, of the settings; what they say holds before all else.

    Logins are compared without case, Matrix ids as they are.
    """

    def __init__(self, store: Store, listed: Mapping[str, str]) -> None:
        self._store = store
        self._listed = {login.lower(): mxid for login, mxid in listed.items()}

    def listed(self, login: str) -> str | None:
        """Whose account it is by the settings alone."""
        return self._listed.get(login.lower())

    def mxid_of(self, login: str) -> str | None:
        """The Matrix id of an account's owner; None where nobody has said."""
        sought = login.lower()
        return self._listed.get(sought) or self._store.people.get(sought)

    def login_of(self, mxid: str) -> str | None:
        """The account of a person, in small letters: the settings', or the one proven last."""
        for login, owner in self._listed.items():
            if owner == mxid:
                return login
        proven = [login for login, owner in self._store.people.items() if owner == mxid]
        return next((login for login in reversed(proven) if login not in self._listed), None)
