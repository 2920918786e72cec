"""`GET …/kept`: how full each table and map is."""

from __future__ import annotations

import falcon

from argos.api import bodies
from argos.api.access import Needs
from argos.application import Application


class KeptList:
    """Rows, bound and last sweep of everything that is kept."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """By name."""
        bodies.write(resp, {"kept": self._application.sweeper.report()})
