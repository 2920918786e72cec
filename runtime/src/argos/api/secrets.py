"""`…/secrets`: write-only."""

from __future__ import annotations

import falcon
import msgspec

from argos.api import bodies
from argos.api.access import Needs, visit_of
from argos.application import Application


class SecretValue(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a PUT."""

    value: str


class SecretList:
    """``GET …/secrets``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Names, versions and who uses them, never a value."""
        bodies.write(resp, {"secrets": self._application.declared_secrets.views()})


class OneSecret:
    """``PUT`` and ``DELETE …/secrets/{name}``, with ``?check=true`` only to be told."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_put(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Store the value; who uses it gets it at once."""
        body = bodies.read(req, SecretValue, f"secret/{name[:63]}")
        secrets = self._application.declared_secrets
        if req.get_param_as_bool("check"):
            bodies.write(resp, secrets.would_set(name, body.value))
        else:
            bodies.write(resp, secrets.set(visit_of(req).actor, name, body.value))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Forget it, unless somebody uses it."""
        check = bool(req.get_param_as_bool("check"))
        self._application.declared_secrets.delete(visit_of(req).actor, name, check=check)
        bodies.write(resp, {"changed": True})
