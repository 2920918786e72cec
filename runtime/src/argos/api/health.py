"""`GET …/health`."""

from __future__ import annotations

import falcon

from argos.api import bodies
from argos.api.access import Needs
from argos.application import Application
from argos.doctor.finding import worst


class Health:
    """The doctor's findings, as a service sees them that runs as argos."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """200 also when degraded: the answer says so, and a caller decides what that means to it."""
        findings = self._application.health()
        bodies.write(resp, {"status": worst(findings), "checks": findings})
