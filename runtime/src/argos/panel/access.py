"""The panel's door: every request passes here before its resource (AUT-1)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import falcon

from argos.api.access import Needs, Person, Visit, needs_of, visit_of
from argos.api.errors import ProofRequired
from argos.application import Application
from argos.audit import Actor
from argos.client_address import NoClientAddress, client_address
from argos.panel import cookies, forms, origin, pages
from argos.panel.site import Site, hostname

__all__ = ["Access", "Door", "Needs", "Person", "Visit", "is_api", "visit_of"]

FRESH = 600  # seconds that a password or a code counts for sensitive changes


def is_api(req: falcon.Request) -> bool:
    """Whether errors and refusals to ``req`` are JSON."""
    return req.path.startswith("/api/")


@dataclass(frozen=True)
class Door:
    """One request's place: the panel as it stands, the Host header that reached it, and who came."""

    site: Site
    host: str
    visit: Visit

    @property
    def name(self) -> str:
        """The Host header's name or address, without port."""
        return hostname(self.host) or ""

    @classmethod
    def of(cls, req: falcon.Request) -> Door:
        """The request's, as :class:`Access` put it there."""
        site = req.context.site
        if not isinstance(site, Site):
            raise TypeError("the access middleware has not run")
        return cls(site, (req.get_header("Host") or "").strip().lower(), visit_of(req))


class Access:
    """Middleware: known Host, bounded cookies, own origin, and what the route needs."""

    def __init__(self, application: Application) -> None:
        settings = application.settings
        self._application = application
        self._behind_caddy = settings.mode == "behind_caddy"
        self._extra_hosts = frozenset(filter(None, map(hostname, settings.panel_hosts)))

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Refuse a foreign Host before anything else is looked at.

        Raises:
            falcon.HTTPError: 421 foreign Host, 431 too many cookies, 400 no client address.
        """
        site = Site(
            behind_caddy=self._behind_caddy,
            edge=self._application.edge(),
            extra_hosts=self._extra_hosts,
            provider=self._application.oidc.offered_name() if req.path == "/login" else "",
        )
        req.context.site = site
        req.context.visit = None
        if not site.knows(req.get_header("Host") or ""):
            raise falcon.HTTPError(
                falcon.HTTP_421,
                title="Not this panel's name",
                description="This panel only answers to its declared names. On a LAN, add the name or address to "
                "ARGOS_PANEL_HOSTS (argos_runtime_panel_hosts).",
            )
        cookies.check_size(req)
        try:
            address = client_address(req.env, self._application.settings.mode)
        except NoClientAddress as error:
            raise falcon.HTTPBadRequest(title="No client address", description=error.message) from None
        req.context.visit = Visit(address=address, actor=Actor(kind="user", name="", address=address))

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, _params: dict[str, str]
    ) -> None:
        """Let the request pass to ``resource``, or answer in its place.

        Raises:
            falcon.HTTPError: 403 foreign origin, 401 or 403 for the API.
        """
        needs = needs_of(resource)
        door = Door.of(req)
        own_origin = door.site.origin(door.host)
        if not origin.is_own(req.method, req.get_header("Origin"), req.get_header("Sec-Fetch-Site"), own_origin):
            raise falcon.HTTPForbidden(
                title="Sent from another site",
                description=f"This form was not sent from {own_origin}. Open the panel there and try again. If a "
                "browser extension hides the origin, allow it for this address.",
            )
        visit = door.visit
        visit.person = self._person(cookies.tokens(req, door.site.cookie_names.panel))
        if visit.person is not None:
            visit.actor = Actor(kind="user", name=visit.person.username, address=visit.address)
        if may_begin_elsewhere(req, visit, needs):
            pages.render(resp, "continue.html", heading="One moment", target=again_target(req))
            resp.complete = True
            return
        self._admit(req, resp, visit, needs)
        if not resp.complete and wants_fresh_proof(req, visit, resource):
            _ask_for_proof(req, resp, resource)

    def _person(self, tokens: list[str]) -> Person | None:
        """Who carries exactly one live session among ``tokens``.

        In ``lan`` a sibling can plant a cookie of our name: two live sessions are
        somebody else's work, and the person is asked to clear them (AUT-3).
        """
        found = {}
        for token in tokens:
            session = self._application.sessions.find_panel(token)
            if session is not None:
                found[session.id] = session
        if len(found) > 1:
            raise falcon.HTTPBadRequest(
                title="Two sign-ins at once",
                description="The browser sent more than one sign-in. Delete this site's cookies and sign in again.",
            )
        if not found:
            return None
        session = next(iter(found.values()))
        return Person(session, fresh=0 <= self._application.clock.now() - session.proved_at <= FRESH)

    def _admit(self, req: falcon.Request, resp: falcon.Response, visit: Visit, needs: Needs) -> None:
        if needs is Needs.NOBODY:
            return
        person = visit.person
        if person is not None and person.may(needs):
            return
        if person is None:
            _ask_to_sign_in(req, resp)
        elif not person.full and req.method == "GET" and not is_api(req):
            resp.status = falcon.HTTP_303
            resp.location = _half_way(req, person)
            resp.complete = True
        elif not person.full:
            raise falcon.HTTPForbidden(title="Finish signing in", description=_unfinished(person))
        else:
            raise falcon.HTTPForbidden(
                title="Administrators only", description="Your account is not allowed to do this."
            )


def wants_fresh_proof(req: falcon.Request, visit: Visit, resource: object) -> bool:
    """Tell whether this is a change by a signed-in person whose last password or code is over 10 min old.

    A cookie alone, stolen or left in an open browser, changes nothing. Every route is meant that
    does not say in ``no_fresh_proof`` why it is not; below MEMBER nobody is signed in yet.
    """
    return (
        req.method not in origin.SAFE_METHODS
        and needs_of(resource) >= Needs.MEMBER
        and not getattr(resource, "no_fresh_proof", "")
        and visit.person is not None
        and not visit.person.fresh
    )


def _ask_for_proof(req: falcon.Request, resp: falcon.Response, resource: object) -> None:
    """Send the person to ``/confirm`` and back to the page; what was posted is not kept."""
    if is_api(req):
        raise ProofRequired(
            title="Confirm it is you",
            description="To make changes, confirm with your password or a code of the last 10 minutes: open /confirm.",
        )
    back = getattr(resource, "page", "") or _own_path(req)
    resp.status = falcon.HTTP_303
    resp.location = f"/confirm?rd={quote(back, safe='')}"
    resp.complete = True


def _unfinished(person: Person) -> str:
    """What is missing from a half-finished sign-in."""
    if person.session.assurance == "second_factor":
        return "Enter a code of your second factor first: /second-factor"
    return "Choose a new password first: /password"


def _half_way(req: falcon.Request, person: Person) -> str:
    """The page that a half-signed-in person must pass first, leading on to where this request was going."""
    page = "/second-factor" if person.session.assurance == "second_factor" else "/password"
    # A half-way page itself is no place to come back to.
    target = forms.return_url(req) if req.path in {"/password", "/second-factor"} else own_target(req)
    return f"{page}?rd={quote(target, safe='')}"


def _ask_to_sign_in(req: falcon.Request, resp: falcon.Response) -> None:
    if is_api(req):
        raise falcon.HTTPUnauthorized(title="Not signed in", description="Sign in to the panel first.")
    resp.status = falcon.HTTP_303
    resp.location = "/login"
    if req.method == "GET":
        resp.location += f"?rd={quote(own_target(req), safe='')}"
    resp.complete = True


def may_begin_elsewhere(req: falcon.Request, visit: Visit, needs: Needs) -> bool:
    """Tell whether this is a visit that began on another site, so that the Strict cookie stayed at home.

    The answer is then, once, a page that refreshes to itself: the browser's next
    request begins here and carries the cookie. ``again=1`` marks it, so that a
    client that always says ``cross-site`` cannot go round for ever.
    """
    return (
        req.method == "GET"
        and visit.person is None
        and req.get_header("Sec-Fetch-Site") == "cross-site"
        and req.get_header("Sec-Fetch-Mode") in {None, "navigate"}
        and (needs is not Needs.NOBODY or req.path == "/login")
        and not is_api(req)
        and "again" not in req.params
    )


def own_target(req: falcon.Request) -> str:
    """This request's path and query, without the mark of :func:`may_begin_elsewhere`."""
    query = req.query_string.removesuffix("again=1").removesuffix("&")
    return f"{_own_path(req)}?{query}" if query else _own_path(req)


def again_target(req: falcon.Request) -> str:
    """This request's own path and query with the mark of :func:`may_begin_elsewhere`."""
    query = f"{req.query_string}&again=1" if req.query_string else "again=1"
    return f"{_own_path(req)}?{query}"


def _own_path(req: falcon.Request) -> str:
    # APPSEC: "//host" would be another site's address, and Falcon's router takes it for "/host".
    return "/" + req.path.lstrip("/")
