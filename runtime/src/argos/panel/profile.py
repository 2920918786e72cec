"""A person's own page: second factor, recovery codes, devices."""

from __future__ import annotations

import falcon

from argos.accounts.errors import TooManyFailedLogins, WrongCode
from argos.accounts.totp import Setup
from argos.api.access import Needs
from argos.application import Application
from argos.panel import cookies, forms, pages
from argos.panel.access import Door
from argos.panel.moments import relative
from argos.panel.second_factor import agent_of, session_of, throttled
from argos.panel.sign_in import write_cookies
from argos.panel.user_agents import browser_name


class Profile:
    """``/profile``."""

    needs = Needs.MEMBER

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show who one is, the second factor, and where one is signed in."""
        door = Door.of(req)
        session = session_of(door)
        now = self._application.clock.now()
        account = self._application.accounts.get_by_id(session.user_id)
        devices = [
            {
                "id": one.id,
                "name": browser_name(one.user_agent),
                "address": one.address or "an unknown address",
                "seen": relative(min(0, one.last_seen_at - now)),
                "here": one.id == session.id,
                "half": one.assurance != "full",
            }
            for one in self._application.sessions.list_for(session.user_id)
        ]
        pages.render(
            resp,
            "profile.html",
            person=door.visit.person,
            here="/profile",
            account=account,
            factor=self._application.second_factors.status(session.user_id),
            devices=devices,
            provider=self._application.oidc.offered_name(),
            linked=self._application.oidc.identities.is_linked(session.user_id),
        )


class ProfileSecondFactor:
    """``POST /profile/second-factor``: ``action`` is begin, confirm, codes or off."""

    needs = Needs.MEMBER
    page = "/profile"

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Do it; the door has asked for a fresh password or code."""
        door = Door.of(req)
        form = forms.read(req)
        steps = {"begin": self._begin, "confirm": self._confirm, "codes": self._codes, "off": self._off}
        step = steps.get(form.get("action", ""))
        if step is None:
            raise falcon.HTTPBadRequest(
                title=forms.UNREADABLE, description="Reload the page, then send the form again."
            )
        step(req, resp, door, form)

    def _begin(self, _req: falcon.Request, resp: falcon.Response, door: Door, _form: dict[str, str]) -> None:
        setup = self._application.second_factors.begin(door.visit.actor, session_of(door))
        _show_setup(resp, door, setup)

    def _confirm(self, req: falcon.Request, resp: falcon.Response, door: Door, form: dict[str, str]) -> None:
        try:
            made = self._application.second_factors.confirm(
                door.visit.actor, session_of(door), form.get("code", ""), agent_of(req)
            )
        except WrongCode:
            problem = "Wrong code. Check the clock of your phone, and use the newest code."
            _show_setup(resp, door, None, problem, falcon.HTTP_401)
        except TooManyFailedLogins as error:
            _show_setup(resp, door, None, throttled(resp, self._application, error), falcon.HTTP_429)
        else:
            write_cookies(resp, door, made.issued)
            _show_codes(resp, door, made.codes)

    def _codes(self, _req: falcon.Request, resp: falcon.Response, door: Door, _form: dict[str, str]) -> None:
        codes = self._application.second_factors.new_recovery_codes(door.visit.actor, session_of(door))
        _show_codes(resp, door, codes)

    def _off(self, req: falcon.Request, resp: falcon.Response, door: Door, _form: dict[str, str]) -> None:
        issued = self._application.second_factors.switch_off(door.visit.actor, session_of(door), agent_of(req))
        write_cookies(resp, door, issued)
        _back(resp)


class ProfileSessions:
    """``POST /profile/sessions``: ``session`` is the id of one's own sign-in to end, or ``others``."""

    needs = Needs.MEMBER
    no_fresh_proof = "it only ends sign-ins; whoever sees a strange one ends it at once"

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """End it, or all but this one; the hosts close in the same moment (LOG-5)."""
        door = Door.of(req)
        wanted, session = forms.read(req).get("session", ""), session_of(door)
        if wanted == "others":
            self._application.sessions.revoke_others(door.visit.actor, session.user_id, session.id)
        elif wanted.isascii() and wanted.isdigit() and len(wanted) < 19:
            self._application.sessions.revoke_own(door.visit.actor, session.user_id, int(wanted))
            if int(wanted) == session.id:
                cookies.delete_session(resp, door.site.cookie_names, door.site.cookie_domain(door.host))
        else:
            raise falcon.HTTPBadRequest(
                title=forms.UNREADABLE, description="Reload the page, then send the form again."
            )
        _back(resp)


def _back(resp: falcon.Response) -> None:
    resp.status = falcon.HTTP_303
    resp.location = "/profile"


def _show_setup(
    resp: falcon.Response, door: Door, setup: Setup | None, problem: str = "", status: str = falcon.HTTP_200
) -> None:
    pages.render(
        resp,
        "profile_setup.html",
        status=status,
        person=door.visit.person,
        setup=setup,
        problem=problem,
        here="/profile",
    )


def _show_codes(resp: falcon.Response, door: Door, codes: list[str]) -> None:
    pages.render(resp, "profile_codes.html", person=door.visit.person, codes=codes, here="/profile")
