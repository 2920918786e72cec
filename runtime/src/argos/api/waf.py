"""`…/waf/events`: what the WAF found, why, and the exclusion that a false positive asks for."""

from __future__ import annotations

from typing import Any

import falcon
import msgspec

from argos.api import bodies
from argos.api.access import Needs, visit_of
from argos.application import Application
from argos.edge.apply import Outcome
from argos.edge.waf_events import MAX_LISTED, find, recent
from argos.edge.waf_exclude import Proposal, exclusion_spec, explain, propose, shown_event


def outcome_answer(proposal: Proposal, outcome: Outcome) -> dict[str, Any]:
    """What was added, with the plan's or the apply's answer."""
    answer: dict[str, Any] = msgspec.to_builtins(outcome)
    return {
        "host": proposal.host,
        "owner": proposal.owner,
        "added": [exclusion_spec(exclusion) for exclusion in proposal.added],
        **answer,
    }


class WafEvents:
    """``GET …/waf/events?host=&limit=``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The last events, newest first."""
        limit = req.get_param_as_int("limit", min_value=1, max_value=MAX_LISTED, default=100)
        host = req.get_param("host") or ""
        events = recent(self._application.settings.waf_log, host, limit)
        bodies.write(resp, {"events": [shown_event(event) for event in events]})


class WafEvent:
    """``GET …/waf/events/{event}``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response, event: str) -> None:
        """One of them, explained; 404 when it is not among the last."""
        bodies.write(resp, explain(find(self._application.settings.waf_log, event)).shown())


class WafExclusion:
    """``POST …/waf/events/{event}/exclusion``; ``?check=true`` plans."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_post(self, req: falcon.Request, resp: falcon.Response, event: str) -> None:
        """Add the narrowest exclusion for this event to its host, or only say what would change."""
        found = find(self._application.settings.waf_log, event)
        state = self._application.state()
        proposal = propose(state, found)
        engine = self._application.engine
        if req.get_param_as_bool("check"):
            outcome = engine.plan(proposal.document)
        else:
            outcome = engine.apply(visit_of(req).actor, proposal.document, state.etag())
        bodies.write(resp, outcome_answer(proposal, outcome))
