"""Signing in, and the page that leads on to where a person was going."""

from __future__ import annotations

import hashlib
from urllib.parse import quote, urlsplit

import falcon

from argos.accounts.devices import LIFETIME as DEVICE_LIFETIME
from argos.accounts.errors import BadCredentials, Busy, TooManyFailedLogins
from argos.accounts.model import User
from argos.api.access import Needs
from argos.application import Application
from argos.audit import Actor
from argos.errors import Conflict
from argos.panel import cookies, forms, pages
from argos.panel.access import Door
from argos.panel.site import Site
from argos.return_url import safe_return_to
from argos.sessions.model import IssuedSession

USER_AGENT_LIMIT = 256
SET_BY_LINK = "password=set"
"""The query of ``/login`` that lets the page say so, after a one-time link."""
_SENT_BACK_MOST = 3
_SENT_BACK_SECONDS = 10
_COUNTS = frozenset("0123456789")  # str.isdigit() takes "²", which int() does not


class SignIn:
    """``/login``."""

    needs = Needs.NOBODY

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the form, or lead on who is signed in already."""
        door = Door.of(req)
        target = safe_target(door, forms.return_url(req))
        person = door.visit.person
        if person is None:
            show_form(resp, door, target, password_set=SET_BY_LINK in req.query_string.split("&"))
        elif person.full:
            self._lead_on(req, resp, door, target)
        else:
            go_on(resp, target, full=False)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Check name and password, begin a session, set its two cookies."""
        door = Door.of(req)
        form = forms.read(req)
        target = safe_target(door, form.get("rd", ""))
        username, password = form.get("username", "").strip(), form.get("password", "")
        if not username or not password:
            show_form(resp, door, target, username=username, problem="Fill in both fields.", status=falcon.HTTP_400)
            return
        try:
            device = cookies.first(req, door.site.cookie_names.device)
            user = self._application.accounts.authenticate(username, password, door.visit.address, device)
        except BadCredentials:
            problem = "Wrong user name or password."
            show_form(resp, door, target, username=username, problem=problem, status=falcon.HTTP_401)
            return
        except TooManyFailedLogins as error:
            self._show_throttled(resp, door, target, username, error)
            return
        except Busy as error:
            resp.set_header("Retry-After", str(error.retry_after))
            problem = "Many people are signing in. Try again in a moment."
            show_form(resp, door, target, username=username, problem=problem, status=falcon.HTTP_503)
            return
        try:
            issued = self._begin(req, door, user)
        except Conflict:
            problem = "The account has just been changed. Sign in again."
            show_form(resp, door, target, username=username, problem=problem, status=falcon.HTTP_401)
            return
        write_cookies(resp, door, issued)
        self._remember_device(resp, door, user.id, device)
        go_on(resp, target, full=issued.session.assurance == "full")

    def _begin(self, req: falcon.Request, door: Door, user: User) -> IssuedSession:
        visit = door.visit
        actor = Actor(kind="user", name=user.username, address=visit.address)
        if visit.person is not None:
            # One browser holds one session: what it carried would else live on, unseen, until it expires.
            self._application.sessions.revoke(visit.actor, visit.person.session.id)
        agent = (req.user_agent or "")[:USER_AGENT_LIMIT]
        return self._application.sessions.begin(actor, user.id, visit.address, agent, credential=user.credential)

    def _remember_device(self, resp: falcon.Response, door: Door, user_id: int, device: str) -> None:
        token = self._application.accounts.remember_device(user_id, device)
        names = door.site.cookie_names
        cookies.write(resp, names.device, token, names=names, same_site="Strict", max_age=DEVICE_LIFETIME)

    def _show_throttled(
        self, resp: falcon.Response, door: Door, target: str, username: str, error: TooManyFailedLogins
    ) -> None:
        now = self._application.clock.now()
        wait = max(1, error.resets_at - now)
        resp.set_header("Retry-After", str(wait))
        problem = f"Too many failed attempts. {wait_text(wait)}"
        show_form(resp, door, target, username=username, problem=problem, status=falcon.HTTP_429)

    def _lead_on(self, req: falcon.Request, resp: falcon.Response, door: Door, target: str) -> None:
        """Lead a signed-in person on; whom a host sent here lacks its cookie, so that one is made anew.

        A host that goes on refusing would send the person round for ever: after three
        rounds to one target within ten seconds a page says so instead.
        """
        person, names = door.visit.person, door.site.cookie_names
        if person is None:
            return
        if target.startswith("/"):
            go_on(resp, target, full=True)
            return
        mark = hashlib.sha256(target.encode()).hexdigest()[:16]
        rounds = _rounds(req, names.onward, mark) + 1
        if rounds > _SENT_BACK_MOST:
            cookies.write(resp, names.onward, "", names=names, same_site="Strict", max_age=0)
            pages.render(
                resp,
                "message.html",
                status=falcon.HTTP_409,
                heading="The host does not accept your sign-in",
                message=f"You are signed in, but {urlsplit(target).hostname} keeps sending you here. Your browser may "
                "have wrong cookies for it, or block ours. Delete the site's cookies, then sign in again.",
                sign_out=True,
            )
            return
        mark_cookie = f"{mark}.{rounds}"
        cookies.write(resp, names.onward, mark_cookie, names=names, same_site="Strict", max_age=_SENT_BACK_SECONDS)
        if not self._has_edge_cookie(req, names.edge, person.session.id):
            agent = (req.user_agent or "")[:USER_AGENT_LIMIT]
            issued = self._application.sessions.renew(door.visit.actor, person.session.id, door.visit.address, agent)
            write_cookies(resp, door, issued)
        go_on(resp, target, full=True)

    def _has_edge_cookie(self, req: falcon.Request, name: str, session_id: int) -> bool:
        found = (self._application.sessions.find_edge(token) for token in cookies.tokens(req, name))
        return any(session is not None and session.id == session_id for session in found)


class SignOut:
    """``POST /logout``: the row goes, and with it both cookies' worth (LOG-5)."""

    needs = Needs.NOBODY

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """End the session, if there is one."""
        door = Door.of(req)
        onward = None
        if door.visit.person is not None:
            session_id, oidc = door.visit.person.session.id, self._application.oidc
            hint = oidc.logout_hint(session_id)
            # Before the provider is asked anything: it may be silent for long, and this session ends now.
            self._application.sessions.revoke(door.visit.actor, session_id)
            onward = oidc.logout_url(hint, f"{door.site.origin(door.host)}/login")
        cookies.delete_session(resp, door.site.cookie_names, door.site.cookie_domain(door.host))
        if onward is not None:
            # By a page: form-action 'self' would hold a redirect to the provider.
            pages.render(resp, "continue.html", heading="Signed out here. Continuing at the provider", target=onward)
            return
        resp.status = falcon.HTTP_303
        resp.location = "/login"


class Continue:
    """``GET /continue?rd=``: a page that leads on.

    A redirect straight from the form would be bound by ``form-action 'self'`` and
    could not leave for another host.
    """

    needs = Needs.NOBODY

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Lead on; say so when the browser kept no cookie."""
        door = Door.of(req)
        if door.visit.person is None:
            pages.render(
                resp,
                "message.html",
                status=falcon.HTTP_403,
                heading="The sign-in was not saved",
                message="Your browser did not send this site's cookie back. Allow cookies for it and sign in again.",
                sign_out=False,
            )
            return
        target = safe_target(door, forms.return_url(req))
        if not door.visit.person.full:
            go_on(resp, target, full=False)
            return
        pages.render(resp, "continue.html", heading="Signed in", target=target)


def safe_target(door: Door, raw: str) -> str:
    """Where ``raw`` may lead from here; ``/`` where it may not (OIDC-5, decided by argos.return_url)."""
    site = door.site
    panel_host = site.edge.panel_host if site.edge else door.name
    return safe_return_to(raw, panel_host, site.parent_domain, site.scheme)


def go_on(resp: falcon.Response, target: str, *, full: bool) -> None:
    """Redirect to the page that leads on, or first to the one that asks for an own password."""
    resp.status = falcon.HTTP_303
    resp.location = f"/{'continue' if full else 'password'}?rd={quote(target, safe='')}"


def write_cookies(resp: falcon.Response, door: Door, issued: IssuedSession) -> None:
    """Set the two cookies of a session."""
    cookies.write_session(resp, door.site.cookie_names, issued, door.site.cookie_domain(door.host))


def show_form(
    resp: falcon.Response,
    door: Door,
    target: str,
    *,
    username: str = "",
    problem: str = "",
    password_set: bool = False,
    status: str = falcon.HTTP_200,
) -> None:
    """Show the sign-in form; it names the host that the person is about to enter, the panel's own too."""
    pages.render(
        resp,
        "sign_in.html",
        status=status,
        rd=target,
        destination=urlsplit(target).hostname or door.name,
        panel=target.startswith("/"),
        password_set=password_set,
        username=username[:255],
        problem=problem,
        elsewhere=_elsewhere(door.site, door),
        provider=door.site.provider,
        provider_url=f"/oidc/start?rd={quote(target, safe='')}",
    )


def _elsewhere(site: Site, door: Door) -> dict[str, str] | None:
    """What to say when the panel is open under a name whose cookies the published hosts never get."""
    if site.edge is None or site.cookie_domain(door.host) is not None:
        return None
    port = door.host.removeprefix(door.name).removeprefix(f"[{door.name}]")
    return {
        "here": door.name,
        "parent_domain": site.parent_domain,
        "url": f"{site.scheme}://{site.edge.panel_host}{port}/",
    }


def wait_text(seconds: int) -> str:
    """How long to wait, in words."""
    if seconds < 90:
        return f"Try again in {seconds} seconds."
    return f"Try again in {-(-seconds // 60)} minutes."


def _rounds(req: falcon.Request, name: str, mark: str) -> int:
    value = cookies.first(req, name)
    was, _unused, count = value.partition(".")
    return int(count) if was == mark and count in _COUNTS else 0
