"""``/backups``: what there is, one more, and taking one home."""

from __future__ import annotations

import falcon

from argos.api.access import Needs, visit_of
from argos.application import Application
from argos.errors import ArgosError
from argos.panel import forms, pages
from argos.panel.access import Door
from argos.panel.errors import status_of
from argos.panel.moments import Moment


class Backups:
    """``/backups``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show them, and how far the one is that was ``asked`` for."""
        self._show(req, resp, asked=(req.get_param("asked") or "")[:32])

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Ask for one (``action`` create), or remove one (delete)."""
        form = forms.read(req)
        actor = Door.of(req).visit.actor
        try:
            if form.get("action") == "delete":
                self._application.backups.drop(actor, form.get("name", ""))
                self._show(req, resp, done="The backup has been removed.")
            else:
                request = self._application.backups.ask_for(actor)
                resp.status, resp.location = falcon.HTTP_303, f"/backups?asked={request}"
        except ArgosError as problem:
            self._show(req, resp, problem=str(problem), status=status_of(resp, problem))

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        *,
        asked: str = "",
        done: str = "",
        problem: str = "",
        status: str = falcon.HTTP_200,
    ) -> None:
        backups = self._application.backups
        last = backups.last_run()
        now = self._application.clock.now()
        run = backups.run_of(asked)
        pages.render(
            resp,
            "backups.html",
            status=status,
            person=visit_of(req).person,
            here="/backups",
            backups=[
                (backup.name, Moment.of(backup.created_at, now), f"{backup.size / 2**20:.1f} MiB")
                for backup in backups.listing()
            ],
            failure=None if last is None or last.state != "failed" else (Moment.of(last.at, now), last.reason),
            waiting=asked if asked and run is None else "",
            keep_days=self._application.settings.backup_keep_days,
            done=f"The backup is made: {run.name}." if run is not None and run.state == "ok" else done,
            problem=problem,
        )


class BackupFile:
    """``GET /backups/{name}``: the archive itself; it opens with the master key alone."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Send it."""
        path = self._application.backups.path(name)
        resp.content_type = "application/octet-stream"
        resp.downloadable_as = name
        resp.set_stream(path.open("rb"), path.stat().st_size)
