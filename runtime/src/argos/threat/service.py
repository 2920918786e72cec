"""Decisions as the operator works with them: listed, made, ended; each change audited.

LAPI holds the decisions. ``bans`` in the database remembers what was asked for here, so
that asking again for the same is no change: of a decision LAPI tells only what is left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.audit import Actor, Audit
from argos.edge.plan import State
from argos.errors import ArgosError, FieldError, Invalid, NotFound
from argos.sessions.store import Sessions
from argos.storage.engine import Storage
from argos.storage.tables import bans
from argos.threat.errors import LapiUnavailable
from argos.threat.lapi import Decision, Lapi
from argos.threat.protected import own_addresses, protected_networks, protection_errors, whitelist_errors
from argos.threat.target import (
    Target,
    duration_errors,
    duration_text,
    network_of,
    parse_target,
    reason_errors,
    resource_of,
    target_errors,
)

ORIGIN = "argos"  # of the decisions that are made here
PAGE_MOST = 1000
_CALLERS_MOST = 16


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ban as it is asked for.

    ``caller_addresses`` are addresses that the caller knows as its own, which a module or a
    command behind the admin socket has no other way to tell; they are refused like private ones.
    """

    value: str
    scope: str | None = None
    duration: str = "4h"
    reason: str = "banned by hand"
    force: bool = False
    caller_addresses: tuple[str, ...] = ()


class Query(msgspec.Struct, frozen=True):
    """Which decisions: on an address or around it, overlapping a range, of an origin, by a part of the reason."""

    ip: str = ""
    range: str = ""
    origin: str = ""
    scenario: str = ""
    limit: int = 100
    offset: int = 0


class Page(msgspec.Struct, frozen=True):
    """A part of the decisions that were asked for, newest first; ``total`` counts all of them."""

    decisions: list[Decision]
    total: int
    limit: int
    offset: int


class Change(msgspec.Struct, frozen=True):
    """What a call changed, or with ``check`` would; ``warnings`` say why it may not have the effect one expects."""

    changed: bool
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    warnings: tuple[str, ...] = ()


class Decisions:
    """Lists, makes and ends decisions."""

    def __init__(
        self, storage: Storage, audit: Audit, sessions: Sessions, lapi: Lapi, state: Callable[[], State]
    ) -> None:
        self._storage, self._audit, self._sessions = storage, audit, sessions
        self._lapi, self._state = lapi, state
        self._lock = threading.Lock()

    def find(self, query: Query) -> Page:
        """The decisions in force that ``query`` asks for.

        Raises:
            Invalid: a filter is wrong.
            LapiUnavailable, CredentialsStale: LAPI cannot be asked.
        """
        around = _filters(query)
        found = self._lapi.decisions(around if query.ip else "")
        if query.range:
            wanted = parse_target(query.range).network
            found = [one for one in found if _overlaps(one, wanted)]
        if query.origin:
            found = [one for one in found if one.origin == query.origin]
        if query.scenario:
            part = query.scenario.casefold()
            found = [one for one in found if part in one.scenario.casefold()]
        shown = found[query.offset : query.offset + query.limit]
        return Page(shown, len(found), query.limit, query.offset)

    def put(self, actor: Actor, wanted: Wanted, *, check: bool = False) -> Change:
        """Make the ban that is wanted, or with ``check`` only tell.

        A ban made here that still runs, for the same reason and duration, is no change;
        any other made here on the same value gives way to the new one. Decisions of other
        origins stay beside it.

        Raises:
            Invalid: the ban is not sound, or would hit whom it must not without ``force``.
            LapiUnavailable, CredentialsStale, Refused: LAPI did not take it.
        """
        state = self._state()
        target, seconds = self._checked(actor, wanted, state)
        after = _ban(target, seconds, wanted.reason)
        warnings = () if state.crowdsec.enabled else ("settings.crowdsec.enabled is false: the edge enforces no ban",)
        with self._lock:
            live = [one for one in self._on(target) if one.origin == ORIGIN]
            before = self._remembered(target, live)
            change = Change(before != after, before, after, warnings)
            if change.changed and not check:
                self._audited(
                    actor,
                    "decision.add",
                    target.value,
                    change,
                    lambda: self._replace(target, live, seconds, wanted.reason),
                )
        return change

    def remove(self, actor: Actor, value: str, scope: str | None = None, *, check: bool = False) -> Change:
        """End every decision on exactly this address or range, of whatever origin, or with ``check`` only tell.

        Raises:
            Invalid: it is no address and no range.
            LapiUnavailable, CredentialsStale: LAPI cannot be asked.
        """
        target = parse_target(value, scope)
        with self._lock:
            around = self._lapi.decisions(target.value)
            live = [one for one in around if network_of(one.value) == target.network]
            wider = [one for one in around if one not in live and _contains(one, target)]
            warnings = tuple(
                f"{target.value} stays banned by {one.value} ({one.origin}: {one.scenario})"[:300] for one in wider[:5]
            )
            if not live:
                return Change(False, None, None, warnings)
            before = {"value": target.value, "scope": target.scope, "decisions": [_told(one) for one in live]}
            change = Change(True, before, None, warnings)
            if not check:
                self._audited(actor, "decision.delete", target.value, change, lambda: self._end(live, target.value))
        return change

    def remove_one(self, actor: Actor, number: int) -> Change:
        """End one decision by LAPI's id.

        Raises:
            NotFound: none in force has it.
            LapiUnavailable, CredentialsStale: LAPI cannot be asked.
        """
        with self._lock:
            found = next((one for one in self._lapi.decisions() if one.id == number), None)
            if found is None:
                raise NotFound(f"decision/{number}: no such decision is in force")
            before = {"value": found.value, "scope": found.scope, "decisions": [_told(found)]}
            network = network_of(found.value)
            value = found.value if network is None else Target(network).value
            change = Change(True, before, None)
            self._audited(actor, "decision.delete", value, change, lambda: self._end([found], value))
        return change

    def _checked(self, actor: Actor, wanted: Wanted, state: State) -> tuple[Target, int]:
        resource = resource_of(wanted.value)
        target, errors = target_errors(wanted.value, wanted.scope)
        seconds, wrong = duration_errors(wanted.duration, resource)
        errors += wrong + reason_errors(wanted.reason, resource)
        if len(wanted.caller_addresses) > _CALLERS_MOST:
            errors.append(FieldError(resource, "caller_addresses", "are too many", f"at most {_CALLERS_MOST}"))
        if target is not None:
            errors += whitelist_errors(target, state.crowdsec)
            if not wanted.force:
                callers = (actor.address, *wanted.caller_addresses)
                admins = self._sessions.admin_addresses()
                errors += protection_errors(target, protected_networks(state.edge, callers, admins, own_addresses()))
        if target is None or errors:
            raise Invalid(errors)
        return target, seconds

    def _on(self, target: Target) -> list[Decision]:
        """The decisions on exactly this address or range."""
        return [one for one in self._lapi.decisions(target.value) if network_of(one.value) == target.network]

    def _remembered(self, target: Target, live: Iterable[Decision]) -> dict[str, Any] | None:
        """The ban that was made here and stands, as it was asked for, or else as LAPI tells it."""
        standing = {one.id: one for one in live}
        if not standing:
            return None
        with self._storage.read() as connection:
            row = connection.execute(select(bans).where(bans.c.value == target.value)).first()
        if row is not None and row.decision_id in standing:
            return _ban(target, row.seconds, row.reason)
        newest = standing[max(standing)]
        return {**_ban(target, newest.seconds, newest.scenario), "duration": f"{newest.seconds}s left"}

    def _replace(self, target: Target, former: list[Decision], seconds: int, reason: str) -> None:
        self._lapi.add(target.value, target.scope, seconds, reason, ORIGIN)
        known = {one.id for one in former}
        made = [one for one in self._on(target) if one.origin == ORIGIN and one.id not in known]
        if not made:
            raise LapiUnavailable(
                "CrowdSec's LAPI accepted the ban but does not list it; its own allowlists may exempt the address"
            )
        row = {"decision_id": made[0].id, "seconds": seconds, "reason": reason}
        now = self._storage.clock.now()
        with self._storage.write() as connection:
            connection.execute(delete(bans).where(bans.c.until < now))
            statement = upsert(bans).values(value=target.value, until=now + seconds, **row)
            connection.execute(
                statement.on_conflict_do_update(index_elements=[bans.c.value], set_={**row, "until": now + seconds})
            )
        for one in former:  # only now: in between both stand, and nobody slips through
            self._lapi.delete(one.id)

    def _end(self, live: Iterable[Decision], value: str) -> None:
        for one in live:
            self._lapi.delete(one.id)
        with self._storage.write() as connection:
            connection.execute(delete(bans).where(bans.c.value == value, bans.c.decision_id.in_([x.id for x in live])))

    def _audited(self, actor: Actor, action: str, value: str, change: Change, work: Callable[[], None]) -> None:
        """Write the row, then do it: LAPI is outside our transaction, and no change of it may go unrecorded."""
        resource = resource_of(value)
        with self._storage.write() as connection:
            self._audit.record(connection, actor, action, resource, _recorded(change.before), _recorded(change.after))
        try:
            work()
        except ArgosError as error:
            with self._storage.write() as connection:
                self._audit.record(connection, actor, f"{action}.failed", resource, None, {"reason": error.message})
            raise


def _filters(query: Query) -> str:
    """Check the filters; return the address in its one spelling."""
    errors: list[FieldError] = []
    around = ""
    if query.ip:
        network = network_of(query.ip)
        if network is None or Target(network).scope != "ip":
            errors.append(FieldError("decisions", "ip", f"is {query.ip[:80]!r}", "an address such as 203.0.113.7"))
        else:
            around = Target(network).value
    if query.range and network_of(query.range) is None:
        errors.append(FieldError("decisions", "range", f"is {query.range[:80]!r}", "a range such as 203.0.113.0/24"))
    if not 1 <= query.limit <= PAGE_MOST:
        errors.append(FieldError("decisions", "limit", f"is {query.limit}", f"1 to {PAGE_MOST}"))
    if not 0 <= query.offset <= 10_000_000:
        errors.append(FieldError("decisions", "offset", f"is {query.offset}", "0 or more"))
    errors.extend(
        FieldError("decisions", name, "is too long", "at most 256 characters")
        for name in ("origin", "scenario")
        if len(getattr(query, name)) > 256
    )
    if errors:
        raise Invalid(errors)
    return around


def _overlaps(decision: Decision, wanted: Any) -> bool:
    network = network_of(decision.value)
    return network is not None and network.version == wanted.version and network.overlaps(wanted)


def _contains(decision: Decision, target: Target) -> bool:
    network = network_of(decision.value)
    if network is None or network.version != target.network.version:
        return False
    return target.network.subnet_of(network)  # type: ignore[arg-type]  # the versions are equal


def _ban(target: Target, seconds: int, reason: str) -> dict[str, Any]:
    return {"value": target.value, "scope": target.scope, "duration": duration_text(seconds), "reason": reason}


def _recorded(detail: dict[str, Any] | None) -> dict[str, Any] | None:
    """As the record shows it: a field named ``value`` it masks, as that is how secrets are called."""
    return detail and {("address" if name == "value" else name): item for name, item in detail.items()}


def _told(decision: Decision) -> dict[str, Any]:
    """A decision in a diff or the audit: without what is left of it, which changes by the second."""
    return {"id": decision.id, "origin": decision.origin, "type": decision.type, "reason": decision.scenario}
