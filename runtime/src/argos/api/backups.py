"""`…/backups`: what archives there are, and asking for one more."""

from __future__ import annotations

import falcon

from argos.api import bodies
from argos.api.access import Needs, visit_of
from argos.application import Application
from argos.errors import NotFound


class BackupList:
    """``GET`` and ``POST …/backups``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Every archive, newest first."""
        bodies.write(resp, {"backups": self._application.backups.listing()})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Ask for one; ``…/backups/requests/{id}`` tells when it is done."""
        request = self._application.backups.ask_for(visit_of(req).actor)
        bodies.write(resp, {"request": request}, status=falcon.HTTP_202)


class BackupRequest:
    """``GET …/backups/requests/{request}``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response, request: str) -> None:
        """``waiting``, ``ok`` with the archive's name, or ``failed`` with the reason."""
        run = self._application.backups.run_of(request)
        answer = {"state": "waiting"} if run is None else {"state": run.state, "name": run.name, "reason": run.reason}
        bodies.write(resp, answer)


class OneBackup:
    """``GET`` and ``DELETE …/backups/{name}``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """What is known of it."""
        found = [backup for backup in self._application.backups.listing() if backup.name == name]
        if not found:
            raise NotFound(f"backup/{name[:64]}: there is no such backup")
        bodies.write(resp, found[0])

    def on_delete(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Remove it."""
        self._application.backups.drop(visit_of(req).actor, name)
        bodies.write(resp, {"changed": True})
