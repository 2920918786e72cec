"""``…/mail``: how mail stands, and the test message."""

from __future__ import annotations

import falcon
import msgspec

from argos.api import bodies
from argos.api.access import Needs, Visit, visit_of
from argos.application import Application


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a test: one recipient; empty for all that are declared."""

    to: str = ""


class MailStanding:
    """``GET …/mail``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """What waits, when a mail went out last, and why the last one did not."""
        bodies.write(resp, self._application.mail.state())


class MailTest:
    """``POST …/mail/test``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send it, and tell of each step; 200 whatever came of it."""
        visit, wanted = visit_of(req), bodies.read(req, Wanted, "mail")
        steps = self._application.mail.test(visit.actor, wanted.to, own_address(self._application, visit))
        bodies.write(resp, {"delivered": steps[-1].done, "steps": steps})


def own_address(application: Application, visit: Visit) -> str:
    """The e-mail of the account that asks; empty on the admin socket, which knows only a claim."""
    person = visit.person
    return "" if person is None else application.accounts.get_by_id(person.session.user_id).email
