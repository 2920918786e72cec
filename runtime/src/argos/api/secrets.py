"""`…/secrets`: write-only."""

from __future__ import annotations

import falcon
import msgspec

from argos.api import bodies
from argos.api.access import Needs, visit_of
from argos.application import Application
from argos.errors import NotFound


class SecretValue(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a PUT."""

    value: str


class SecretList:
    """``GET …/secrets``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """The names, never a value."""
        bodies.write(resp, {"secrets": self._application.secrets.names()})


class OneSecret:
    """``PUT`` and ``DELETE …/secrets/{name}``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_put(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Store the value, or with ``?check=true`` only tell whether that would change anything."""
        body = bodies.read(req, SecretValue, f"secret/{name[:63]}")
        if req.get_param_as_bool("check"):
            changed = self._application.secrets.would_change(name, body.value)
        else:
            changed = self._application.secrets.set(visit_of(req).actor, name, body.value)
        bodies.write(resp, {"changed": changed})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Forget it."""
        if not self._application.secrets.delete(visit_of(req).actor, name):
            raise NotFound(f"secret/{name}: there is no such secret")
        bodies.write(resp, {"changed": True})
