"""`…/revisions`: what was declared when and by whom, and going back to it."""

from __future__ import annotations

import falcon
import msgspec

from argos.api import bodies
from argos.api.access import Needs, visit_of
from argos.application import Application
from argos.edge.history import PAGE
from argos.errors import NotFound


class RevisionList:
    """``GET …/revisions?before=&limit=``: the newest first."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of them; the last one's number is the next page's ``before``."""
        before = req.get_param_as_int("before", min_value=1)
        limit = req.get_param_as_int("limit", min_value=1, max_value=500, default=PAGE)
        bodies.write(resp, {"revisions": self._application.history.newest(before=before, limit=limit)})


class OneRevision:
    """``GET …/revisions/{number}``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response, number: str) -> None:
        """What it changed; known secrets are taken out."""
        recorded = self._application.history.get(number_in(number))
        bodies.write(resp, {**msgspec.to_builtins(recorded.revision), "changes": recorded.changes})


class RevisionRollback:
    """``POST …/revisions/{number}/rollback``, with ``If-Match: etag`` against a lost race."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_post(self, req: falcon.Request, resp: falcon.Response, number: str) -> None:
        """Apply the whole state of that revision anew, or with ``?check=true`` only tell what that would change."""
        wanted = number_in(number)
        engine, target = self._application.engine, self._application.history.state_of(wanted)
        if req.get_param_as_bool("check"):
            bodies.write(resp, engine.replacement(target))
            return
        outcome = engine.replace(visit_of(req).actor, target, rollback_note(wanted), etag_in(req))
        bodies.write(resp, outcome)


def number_in(text: str) -> int:
    """A revision's number from an address.

    Raises:
        NotFound: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise NotFound(f"revision/{text[:20]}: there is no such revision")
    return int(text)


def rollback_note(number: int) -> str:
    """What the history says of going back."""
    return f"rollback to {number}"


def etag_in(req: falcon.Request) -> str | None:
    """The state that the caller has seen, from ``If-Match``; None when it does not say."""
    return (req.get_header("If-Match") or "").strip().removeprefix('"').removesuffix('"') or None
