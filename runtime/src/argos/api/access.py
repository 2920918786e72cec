"""What a route needs, and who stands before it."""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass

import falcon

from argos.audit import Actor
from argos.sessions.model import Session

logger = logging.getLogger(__name__)


class Needs(enum.IntEnum):
    """What a route asks of the caller; each step includes those below it.

    Every resource class declares ``needs``; one without it is refused to everybody (AUT-1).
    A change by a signed-in person also wants a password or a code within 10 min, unless the
    class says in ``no_fresh_proof`` why this one does not.
    """

    NOBODY = 0
    SECOND_FACTOR = 1
    PASSWORD_CHANGE = 2
    MEMBER = 3
    ADMIN = 4


@dataclass(frozen=True)
class Person:
    """Someone with a live session; ``fresh`` when a password or a code was given in the last 10 min."""

    session: Session
    fresh: bool = False

    @property
    def username(self) -> str:
        """The account's name."""
        return self.session.username

    @property
    def role(self) -> str:
        """``admin`` or ``member``."""
        return self.session.role

    @property
    def full(self) -> bool:
        """Signed in wholly, not only half-way."""
        return self.session.assurance == "full"

    @property
    def label(self) -> str:
        """The name that a page shows."""
        return self.session.name or self.session.username

    def may(self, needs: Needs) -> bool:
        """Tell whether this person passes a route with ``needs``. Only ``full`` passes beyond the half-way pages."""
        if needs in {Needs.NOBODY, Needs.SECOND_FACTOR}:
            return True
        if needs is Needs.PASSWORD_CHANGE:
            return self.full or self.session.assurance == "password_change"
        if needs is Needs.MEMBER:
            return self.full
        return self.full and self.role == "admin"


@dataclass
class Visit:
    """What is known about one request before its resource runs."""

    address: str
    actor: Actor
    person: Person | None = None


def visit_of(req: falcon.Request) -> Visit:
    """The request's visit, as the middleware of its mount put it there."""
    visit = req.context.visit
    if not isinstance(visit, Visit):
        raise TypeError("no middleware has said who calls")
    return visit


def needs_of(resource: object) -> Needs:
    """What ``resource`` declares.

    Raises:
        falcon.HTTPForbidden: it declares nothing: deny by default (AUT-1).
    """
    needs = getattr(resource, "needs", None)
    if not isinstance(needs, Needs):
        logger.error("route without needs refused: %s", type(resource).__name__)
        raise falcon.HTTPForbidden(title="Refused", description="This route does not say whom it serves.")
    return needs


class AdminSocketAccess:
    """Middleware of the admin socket: the socket's file mode is the key, so everybody who reaches it is an admin.

    ``Argos-Actor: ansible:alice`` is a claim of the caller; the audit keeps it as one.
    """

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Note the actor.

        Raises:
            falcon.HTTPBadRequest: an actor that is too long or not printable ASCII.
        """
        claim = req.get_header("Argos-Actor") or "admin-socket"
        if len(claim) > 120 or not (claim.isascii() and claim.isprintable()):
            raise falcon.HTTPBadRequest(
                title="Argos-Actor", description="at most 120 characters of printable ASCII, such as ansible:alice"
            )
        req.context.visit = Visit(address="", actor=Actor(kind="admin_api", name=claim))

    def process_resource(
        self, _req: falcon.Request, _resp: falcon.Response, resource: object, _params: dict[str, str]
    ) -> None:
        """Refuse a route that does not say what it needs."""
        needs_of(resource)
