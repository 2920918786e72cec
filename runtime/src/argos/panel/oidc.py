"""Signing in with the provider, as pages: the way out, the way back, linking, and the fresh proof."""

from __future__ import annotations

from urllib.parse import parse_qs, quote

import falcon

from argos.api.access import Needs
from argos.application import Application
from argos.errors import ArgosError
from argos.oidc.errors import NotAllowed, ProviderRefused, ProviderUnavailable, TokenRejected, UnknownState
from argos.oidc.pending import LIFETIME, Ticket
from argos.panel import cookies, forms, origin, pages
from argos.panel.access import Door
from argos.panel.second_factor import session_of
from argos.panel.sign_in import USER_AGENT_LIMIT, safe_target, write_cookies

_COOKIES_MOST = 20  # sign-ins begun in one browser at once; cookies of older ones are taken away
_QUERY_LIMIT = 16 * 1024
_STATUS = {
    UnknownState: 400,
    ProviderRefused: 400,
    TokenRejected: 400,
    NotAllowed: 403,
    ProviderUnavailable: 503,
}


class Start:
    """``GET /oidc/start?rd=``: to the provider. A link, as ``form-action 'self'`` would hold a form's redirect."""

    needs = Needs.NOBODY

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Begin, and send the browser away.

        APPSEC: each beginning counts against the visitor's address, so no other page may begin one for them: not by
        images, and not by sending a window here, which is shown the button.

        Raises:
            falcon.HTTPForbidden: it is not opened as a page.
        """
        door = Door.of(req)
        target = safe_target(door, forms.return_url(req))
        if not origin.is_page_visit(req.get_header("Sec-Fetch-Mode"), req.get_header("Sec-Fetch-Dest")):
            raise falcon.HTTPForbidden(
                title="Not opened as a page", description="Open the sign-in page and press the provider's button there."
            )
        if origin.began_elsewhere(req.get_header("Sec-Fetch-Site")):
            resp.status, resp.location = falcon.HTTP_303, f"/login?rd={quote(target, safe='')}"
            return
        try:
            start = self._application.oidc.begin(redirect_uri(door), target, door.visit.address)
        except ArgosError as error:
            show_problem(resp, self._application, error)
            return
        keep_ticket(req, resp, door, start.ticket)
        resp.status = falcon.HTTP_302
        resp.location = start.url


class Link:
    """``POST /oidc/link``: tie the signed-in person's account to one at the provider; ``unlink=1`` unties it."""

    needs = Needs.MEMBER
    page = "/profile"

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Begin linking, or untie."""
        door = Door.of(req)
        form = forms.read(req)
        person = door.visit.person
        if person is None:
            raise falcon.HTTPForbidden
        target = safe_target(door, form.get("rd", "/"))
        oidc = self._application.oidc
        try:
            if form.get("unlink"):
                oidc.identities.unlink(door.visit.actor, person.session.user_id)
                resp.status, resp.location = falcon.HTTP_303, target if target.startswith("/") else "/"
                return
            link = (person.session.user_id, person.session.id)
            start = oidc.begin(redirect_uri(door), target, door.visit.address, link=link)
        except ArgosError as error:
            show_problem(resp, self._application, error)
            return
        keep_ticket(req, resp, door, start.ticket)
        pages.render(resp, "continue.html", heading="To the provider", target=start.url)


class Confirm:
    """``POST /oidc/confirm``: the provider asks the signed-in person anew, as ``/confirm`` asks for a password."""

    needs = Needs.MEMBER
    no_fresh_proof = "this is where the proof is begun"

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send them there."""
        door = Door.of(req)
        session, target = session_of(door), safe_target(door, forms.read(req).get("rd", "/"))
        try:
            start = self._application.oidc.begin(
                redirect_uri(door), target, door.visit.address, confirm=(session.user_id, session.id)
            )
        except ArgosError as error:
            show_problem(resp, self._application, error)
            return
        keep_ticket(req, resp, door, start.ticket)
        pages.render(resp, "continue.html", heading="To the provider", target=start.url)


class Callback:
    """``GET /oidc/callback``: back from the provider."""

    needs = Needs.NOBODY

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Finish, and lead on by a page: the Strict cookie would not survive a redirect begun elsewhere."""
        door = Door.of(req)
        names = door.site.cookie_names
        answer = _answer(req)
        state = answer.get("state", "")
        name = cookie_name(names, state)
        ticket = Ticket(state, cookies.first(req, name))
        agent = (req.user_agent or "")[:USER_AGENT_LIMIT]
        try:
            arrived = self._application.oidc.finish(ticket, answer, door.visit.address, agent)
        except ArgosError as error:
            show_problem(resp, self._application, error)
            return
        cookies.write(resp, name, "", names=names, same_site="Lax", max_age=0)
        if arrived.issued is None:
            pages.render(resp, "continue.html", heading="Linked", target=arrived.target)
            return
        self._end_former(req, door)
        write_cookies(resp, door, arrived.issued)
        full = arrived.issued.session.assurance == "full"
        # Who must do more first is sent there by /continue.
        target = arrived.target if full else f"/continue?rd={quote(arrived.target, safe='')}"
        pages.render(resp, "continue.html", heading="Signed in", target=target)

    def _end_former(self, req: falcon.Request, door: Door) -> None:
        """One browser holds one session: what it carried would else live on, unseen, until it expires."""
        store = self._application.sessions
        for token in cookies.tokens(req, door.site.cookie_names.edge):
            former = store.find_edge(token)
            if former is not None:
                store.revoke(door.visit.actor, former.id)


def show_problem(resp: falcon.Response, application: Application, error: ArgosError) -> None:
    """Say what went wrong, and that the local way in is open."""
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), None)
    if status is None:
        raise error
    if status == 503:
        resp.set_header("Retry-After", "30")
    pages.render(
        resp,
        "oidc_problem.html",
        status=falcon.code_to_http_status(status),
        heading="The provider does not answer" if status == 503 else "The provider's sign-in did not work",
        message=application.scrubber.scrub(error.message),
    )


def keep_ticket(req: falcon.Request, resp: falcon.Response, door: Door, ticket: Ticket) -> None:
    """Bind a pending sign-in to this browser; each has a cookie of its own, so that tabs do not disturb one another.

    Lax, as a Strict one would not come back from the provider.
    """
    names = door.site.cookie_names
    stem = cookie_name(names, "")
    sent = [pair.strip().partition("=")[0] for pair in (req.get_header("Cookie") or "").split(";")]
    held = [name for name in sent if name.startswith(stem)]
    for name in held[: max(0, len(held) - _COOKIES_MOST + 1)]:
        if name.replace("_", "").replace("-", "").isalnum():
            cookies.write(resp, name, "", names=names, same_site="Lax", max_age=0)
    name = cookie_name(names, ticket.state)
    cookies.write(resp, name, ticket.browser, names=names, same_site="Lax", max_age=LIFETIME)


def cookie_name(names: cookies.CookieNames, state: str) -> str:
    """The cookie of one pending sign-in."""
    kept = "".join(letter for letter in state[:12] if letter.isascii() and (letter.isalnum() or letter in "-_"))
    return f"{'__Host-' if names.secure else ''}argos_oidc_{kept}"


def redirect_uri(door: Door) -> str:
    """Where the provider sends the browser back to, as it is declared there too."""
    return f"{door.site.origin(door.host)}/oidc/callback"


def _answer(req: falcon.Request) -> dict[str, str]:
    if len(req.query_string) > _QUERY_LIMIT:
        raise falcon.HTTPBadRequest(title="Too long", description="The provider's answer is over 16 KiB.")
    try:
        found = parse_qs(req.query_string, keep_blank_values=True, errors="strict", max_num_fields=30)
    except ValueError:
        raise falcon.HTTPBadRequest(title="Not an answer", description="The provider's answer is not UTF-8.") from None
    if any(len(values) != 1 for values in found.values()):
        # RFC 6749 §3.1: a parameter comes once.
        raise falcon.HTTPBadRequest(title="Not an answer", description="A part of the provider's answer came twice.")
    return {name: values[0] for name, values in found.items()}
