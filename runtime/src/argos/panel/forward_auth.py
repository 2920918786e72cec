"""``GET /api/auth/forward``: the gate's decision, for people with their own proxy.

The only place that believes forwarded headers, and only from the addresses in
``settings/edge.auth_proxies`` (LOG-3). It takes the published hosts' cookie alone
and returns a decision, and with a 200 the cookies that are not Argos's (AUT-3).
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import threading

import falcon
import msgspec

from argos.api.access import Needs
from argos.application import Application
from argos.edge.cookies import without_ours
from argos.edge.model import EdgeSettings
from argos.errors import Unavailable
from argos.gate.cookies import session_tokens
from argos.gate.decision import Decision, RequestFacts, decide
from argos.gate.store import Store, StoreUnavailable
from argos.panel.access import Door
from argos.panel.site import hostname
from argos.sessions.store import SEEN_EVERY


class ForwardAuth:
    """The route; each thread reads through a connection of its own."""

    needs = Needs.NOBODY

    def __init__(self, application: Application) -> None:
        self._application = application
        self._local = threading.local()

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200 with the identity, 302 (with ``?redirect=401``: 401 with the same Location), 401 or 403.

        Raises:
            falcon.HTTPForbidden: the caller is no declared proxy, or says too little.
        """
        door = Door.of(req)
        if not self._is_proxy(req, door):
            raise falcon.HTTPForbidden(
                title="Not a declared proxy",
                description=f"{door.visit.address} is not in settings.edge.auth_proxies.",
            )
        try:
            decision, seen = self._decide(req)
        except StoreUnavailable:
            raise falcon.HTTPForbidden(title="Undecided", description="Nobody can be let in at the moment.") from None
        if decision.status == 200 and seen:
            self._note_seen(seen)
        if decision.status == 200 and (others := without_ours(req.get_header("Cookie") or "")):
            # A proxy that puts this in the place of what came tells no upstream the session; without any it deletes.
            resp.set_header("Cookie", others)
        # nginx's auth_request takes 401 and 403 for refusals, and anything else for a fault.
        as_401 = decision.status == 302 and req.get_param("redirect") == "401"
        resp.status = falcon.code_to_http_status(401 if as_401 else decision.status)
        for name, value in decision.headers:
            resp.set_header(name, value)
        resp.content_type = f"text/{'html' if decision.page else 'plain'}; charset=utf-8"
        resp.text = decision.page or (f"{decision.reason}\n" if decision.reason else "")

    def _is_proxy(self, req: falcon.Request, door: Door) -> bool:
        if door.site.behind_caddy:
            # Caddy deletes a client's Argos-* and sets these for the declared addresses only.
            return bool(req.get_header("Argos-Forwarded-Host"))
        return is_auth_proxy(door.visit.address, door.site.edge)

    def _note_seen(self, seen: list[bytes]) -> None:
        """Who uses only hosts behind their own proxy must not go idle; a busy database makes nobody signed out."""
        with contextlib.suppress(Unavailable):
            self._application.sessions.touch_seen(seen)

    def _decide(self, req: falcon.Request) -> tuple[Decision, list[bytes]]:
        """Return the decision, and the hashes of the live sessions that came and were not noted for a while."""
        store = self._store()
        settings = store.settings()
        behind_caddy = self._application.settings.mode == "behind_caddy"
        prefix = "Argos-Forwarded" if behind_caddy else "X-Forwarded"
        facts = forwarded_facts(req, prefix)
        tokens = session_tokens(facts.cookies, settings.cookie_name.encode("ascii"))
        hashes = [hashlib.sha256(token).digest() for token in tokens]
        found = [(hashed, store.session(hashed)) for hashed in hashes]
        sessions = [session for _unused, session in found if session is not None]
        rule = store.rule(facts.host_id)
        if rule is not None and not req.get_header(f"{prefix}-Uri"):
            # AUT-2: a proxy that does not say which path is asked for gets no public one.
            rule = msgspec.structs.replace(rule, public_paths=())
        now = self._application.clock.now()
        stale = [hashed for hashed, one in found if one is not None and one.last_seen_at <= now - SEEN_EVERY]
        return decide(facts, settings, rule, sessions, now), stale

    def _store(self) -> Store:
        store = getattr(self._local, "store", None)
        if not isinstance(store, Store):
            store = self._local.store = Store(self._application.settings.database)
        return store


def is_auth_proxy(address: str, edge: EdgeSettings | None) -> bool:
    """Tell whether ``address`` lies in one of ``auth_proxies``."""
    if edge is None:
        return False
    try:
        caller = ipaddress.ip_address(address)
        return any(caller in ipaddress.ip_network(network, strict=False) for network in edge.auth_proxies)
    except ValueError:
        return False


def forwarded_facts(req: falcon.Request, prefix: str) -> RequestFacts:
    """What the proxy reports of the request it asks about; the host's resource is found by its name."""

    def text(name: str) -> str:
        return (req.get_header(name) or "").encode("latin-1", "replace").decode("utf-8", "surrogateescape")

    host = text(f"{prefix}-Host")
    return RequestFacts(
        host_id=hostname(host) or "",
        method=text(f"{prefix}-Method") or "GET",
        scheme=text(f"{prefix}-Proto") or "https",
        host=host,
        uri=text(f"{prefix}-Uri") or "/",
        accept=text("Accept"),
        sec_fetch_mode=text("Sec-Fetch-Mode"),
        sec_fetch_dest=text("Sec-Fetch-Dest"),
        upgrade=text("Upgrade"),
        x_requested_with=text("X-Requested-With"),
        cookies=(req.get_header("Cookie") or "").encode("latin-1", "replace"),
    )
