"""Why a change did not come into force, in words for who made it."""

from __future__ import annotations

from argos.edge import attribution
from argos.edge.attribution import Validate
from argos.edge.caddy import CaddyRefused, CaddyUnreachable
from argos.edge.plan import Plan, State
from argos.errors import Refused, Unavailable
from argos.scrub import Scrubber


def explained(
    problem: BaseException, validate: Validate, state: State, planned: Plan, scrubber: Scrubber
) -> Refused | Unavailable:
    """What a caller is told: which resource Caddy refused and why, or what could not be reached.

    Args:
        problem: what ended the change.
        validate: asks Caddy about other states, to find whose fault a refusal is.
        state: the one in force.
        planned: the change.
        scrubber: Caddy's reasons go through it, as they may quote a secret.
    """
    if isinstance(problem, CaddyRefused):
        found = attribution.culprits(state, planned.changes, planned.state, problem.reason, validate)
        named = [(f"{blame.key[0]}/{blame.key[1]}", blame.reason) for blame in found.blames]
        said = [
            f"{where}: Caddy refused it: {scrubber.scrub(attribution.short_reason(reason))}"
            for where, reason in named or [("the configuration", problem.reason)]
        ]
        if named and not found.whole:
            said.append("there may be more that Caddy does not take")
        return Refused(f"{'; '.join(said)}. Nothing was changed")
    text = problem.message if isinstance(problem, CaddyUnreachable) else str(problem)
    return Unavailable(f"{scrubber.scrub(text)}. Nothing was changed")
