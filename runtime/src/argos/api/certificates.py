"""`GET …/certificates`."""

from __future__ import annotations

import falcon

from argos.api import bodies
from argos.api.access import Needs
from argos.application import Application


class Certificates:
    """Every certificate that the edge serves or should."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """By name; 503 while Caddy does not answer."""
        bodies.write(resp, {"certificates": self._application.certificates()})
