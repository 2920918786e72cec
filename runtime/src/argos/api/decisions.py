"""`…/decisions`: CrowdSec's decisions."""

from __future__ import annotations

from typing import Any

import falcon

from argos.api import bodies
from argos.api.access import Needs, visit_of
from argos.application import Application
from argos.errors import FieldError, Invalid, NotFound
from argos.threat.service import Change, Query, Wanted
from argos.threat.target import resource_of


class Decisions:
    """``GET``, ``PUT`` and ``DELETE …/decisions``. A range holds a slash, so values travel in body and query."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The decisions in force, filtered and by pages."""
        bodies.write(resp, self._application.decisions.find(query_of(req)))

    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make the ban that the body says, or with ``?check=true`` only tell what would change."""
        body = bodies.read(req, Wanted, "decision")
        change = self._application.decisions.put(visit_of(req).actor, body, check=checks(req))
        bodies.write(resp, told(change))

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """End every decision on exactly ``?value=``, or with ``?check=true`` only tell; none is no change, no error."""
        value = req.get_param("value") or ""
        change = self._application.decisions.remove(
            visit_of(req).actor, value, req.get_param("scope"), check=checks(req)
        )
        bodies.write(resp, told(change))


class OneDecision:
    """``DELETE …/decisions/{number}``: one decision by LAPI's id."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_delete(self, req: falcon.Request, resp: falcon.Response, number: str) -> None:
        """End it."""
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            raise NotFound(f"{resource_of(number)}: no such decision is in force")
        bodies.write(resp, told(self._application.decisions.remove_one(visit_of(req).actor, int(number))))


def checks(req: falcon.Request) -> bool:
    """Whether only a plan is asked for."""
    return bool(req.get_param_as_bool("check"))


def query_of(req: falcon.Request) -> Query:
    """The filters of a listing.

    Raises:
        Invalid: a filter that does not exist, or a number that is none.
    """
    errors = []
    known = set(Query.__struct_fields__)
    given: dict[str, Any] = {}
    for name, value in req.params.items():
        if name not in known:
            errors.append(FieldError("decisions", name[:40], "is no filter", "one of " + ", ".join(sorted(known))))
        elif not isinstance(value, str):
            errors.append(FieldError("decisions", name, "is given twice", "once"))
        elif name in {"limit", "offset"}:
            if not (value.isascii() and value.isdigit() and len(value) <= 9):
                errors.append(FieldError("decisions", name, f"is {value[:20]!r}", "a whole number"))
            else:
                given[name] = int(value)
        else:
            given[name] = value
    if errors:
        raise Invalid(errors)
    return Query(**given)


def told(change: Change) -> dict[str, Any]:
    """A change as the API shows it."""
    return {
        "changed": change.changed,
        "before": change.before,
        "after": change.after,
        "warnings": list(change.warnings),
    }
