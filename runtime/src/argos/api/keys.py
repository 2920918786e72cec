"""`GET …/key`: ids of master keys and versions of data keys, never a key."""

from __future__ import annotations

import falcon

from argos.api import bodies
from argos.api.access import Needs
from argos.application import Application


class Key:
    """What this process holds; asking also lets it look for data keys that another process made."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Ids only."""
        vault = self._application.vault
        vault.refresh()
        answer = {"wanted": vault.key_id, "given": vault.given_ids, "vault_version": vault.key("vault")[0]}
        bodies.write(resp, answer)
