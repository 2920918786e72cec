"""``/denied?rd=``: where the gate's refusal sends a signed-in person who wants to be somebody else."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import falcon

from argos.api.access import Needs
from argos.application import Application
from argos.panel import cookies, forms, pages
from argos.panel.access import Door
from argos.panel.sign_in import safe_target


class Denied:
    """Says who is signed in, and ends that sign-in on demand to begin another."""

    needs = Needs.NOBODY

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show it; to nobody there is nothing to say but to sign in."""
        door = Door.of(req)
        target = safe_target(door, forms.return_url(req))
        if door.visit.person is None:
            _to_sign_in(resp, target)
            return
        pages.render(
            resp,
            "denied.html",
            status=falcon.HTTP_403,
            username=door.visit.person.username,
            host=urlsplit(target).hostname or "",
            rd=target,
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """End the sign-in (LOG-5) and ask for another, which leads back."""
        door = Door.of(req)
        target = safe_target(door, forms.read(req).get("rd", ""))
        if door.visit.person is not None:
            self._application.sessions.revoke(door.visit.actor, door.visit.person.session.id)
        cookies.delete_session(resp, door.site.cookie_names, door.site.cookie_domain(door.host))
        _to_sign_in(resp, target)


def _to_sign_in(resp: falcon.Response, target: str) -> None:
    resp.status = falcon.HTTP_303
    resp.location = f"/login?rd={quote(target, safe='')}"
