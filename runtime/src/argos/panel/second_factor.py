"""The second step of signing in, and the fresh proof before sensitive changes."""

from __future__ import annotations

import falcon

from argos.accounts.errors import BadCredentials, Busy, TooManyFailedLogins, WrongCode
from argos.api.access import Needs
from argos.application import Application
from argos.panel import cookies, forms, pages
from argos.panel.access import Door
from argos.panel.sign_in import USER_AGENT_LIMIT, go_on, safe_target, wait_text, write_cookies
from argos.sessions.model import Session


class SecondFactor:
    """``/second-factor``: a code or a recovery code, asked after the first factor."""

    needs = Needs.SECOND_FACTOR

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the form, or lead on who has proved it."""
        door = Door.of(req)
        target = safe_target(door, forms.return_url(req))
        if session_of(door).assurance == "second_factor":
            _ask(resp, target)
        else:
            go_on(resp, target, full=session_of(door).assurance == "full")

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Check the code and make the session whole, with new tokens."""
        door = Door.of(req)
        form = forms.read(req)
        target = safe_target(door, form.get("rd", ""))
        session = session_of(door)
        if session.assurance != "second_factor":
            go_on(resp, target, full=session.assurance == "full")
            return
        try:
            issued = self._application.second_factors.prove(
                door.visit.actor, session, form.get("code", ""), agent_of(req)
            )
        except WrongCode:
            _ask(resp, target, "Wrong code, or already used. Wait for the next one.", falcon.HTTP_401)
        except TooManyFailedLogins as error:
            _ask(resp, target, throttled(resp, self._application, error), falcon.HTTP_429)
        else:
            write_cookies(resp, door, issued)
            go_on(resp, target, full=issued.session.assurance == "full")


class Confirm:
    """``/confirm``: the password or a code once more, good for 10 min of sensitive changes."""

    needs = Needs.MEMBER
    no_fresh_proof = "this is where the proof is given"

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the form."""
        door = Door.of(req)
        self._show(resp, door, safe_target(door, forms.return_url(req)))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Check it and renew the session as freshly proved."""
        door = Door.of(req)
        form = forms.read(req)
        target, session = safe_target(door, form.get("rd", "")), session_of(door)
        accounts, actor = self._application.accounts, door.visit.actor
        factors = self._application.second_factors
        try:
            if form.get("code"):
                issued = factors.prove(actor, session, form["code"], agent_of(req))
            else:
                device = cookies.first(req, door.site.cookie_names.device)
                accounts.authenticate(session.username, form.get("password", ""), actor.address, device)
                issued = self._application.sessions.renew(actor, session.id, actor.address, agent_of(req), proved=True)
        except (BadCredentials, WrongCode):
            self._show(resp, door, target, "Wrong password or code.", falcon.HTTP_401)
        except TooManyFailedLogins as error:
            self._show(resp, door, target, throttled(resp, self._application, error), falcon.HTTP_429)
        except Busy as error:
            resp.set_header("Retry-After", str(error.retry_after))
            self._show(resp, door, target, "Too busy at the moment. Try again soon.", falcon.HTTP_503)
        else:
            write_cookies(resp, door, issued)
            go_on(resp, target, full=True)

    def _show(
        self, resp: falcon.Response, door: Door, target: str, problem: str = "", status: str = falcon.HTTP_200
    ) -> None:
        session = session_of(door)
        pages.render(
            resp,
            "confirm.html",
            status=status,
            person=door.visit.person,
            rd=target,
            problem=problem,
            by_code=self._application.second_factors.status(session.user_id).enabled,
            by_password=self._application.accounts.get_by_id(session.user_id).has_password,
            provider=self._application.oidc.confirms(session.user_id),
        )


def session_of(door: Door) -> Session:
    """The session that came; a route that needs a person always has one.

    Raises:
        falcon.HTTPForbidden: there is none.
    """
    if door.visit.person is None:
        raise falcon.HTTPForbidden
    return door.visit.person.session


def agent_of(req: falcon.Request) -> str:
    """The browser's name for itself, bounded."""
    return (req.user_agent or "")[:USER_AGENT_LIMIT]


def throttled(resp: falcon.Response, application: Application, error: TooManyFailedLogins) -> str:
    """Set ``Retry-After`` and say how long to wait."""
    wait = max(1, error.resets_at - application.clock.now())
    resp.set_header("Retry-After", str(wait))
    return f"Too many failed attempts. {wait_text(wait)}"


def _ask(resp: falcon.Response, target: str, problem: str = "", status: str = falcon.HTTP_200) -> None:
    pages.render(resp, "second_factor.html", status=status, rd=target, problem=problem)
