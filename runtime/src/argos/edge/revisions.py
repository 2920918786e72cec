"""What the database remembers of declarations: the active state, and the attempts that led there."""

from __future__ import annotations

import json
from typing import cast

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.edge.context import RenderContext
from argos.edge.history import pack
from argos.edge.model import Auth, canonical
from argos.edge.plan import Plan, State
from argos.storage.tables import gate_hosts, gate_settings, meta, resources, revisions

KEPT = 500
KEPT_BYTES = 32 * 1024 * 1024  # of all revisions together: some 400 of a thousand hosts
SECRETS_DIGEST = "edge_secrets_digest"
MENDED = "edge_mended"
"""``meta`` row: JSON list of the seconds since the epoch at which Caddy was brought back, the newest last."""
_MENDED_KEPT = 20


_Rows = list[tuple[str, str, str, str]]
_last_read: tuple[_Rows, State] = ([], State())


def read_state(connection: Connection) -> State:
    """Everything that is declared."""
    global _last_read  # noqa: PLW0603 - replaced whole, so a thread sees one or the other
    columns = (resources.c.kind, resources.c.name, resources.c.spec, resources.c.owner)
    rows = cast("_Rows", [tuple(row) for row in connection.execute(select(*columns))])
    # PERF: rows are compared ten times as fast as read, and the state that they were read as knows its ETag already.
    known, state = _last_read
    if rows != known:
        state = State.from_rows(rows)
        _last_read = rows, state
    return state


def active_id(connection: Connection) -> int | None:
    """The revision that Caddy is to run, None before the first."""
    found: int | None = connection.scalar(select(revisions.c.id).where(revisions.c.state == "active"))
    return found


def begin(connection: Connection, plan: Plan, actor: str, now: int, note: str = "") -> int:
    """Note that ``plan`` is being tried; return the revision's number. ``note`` leads its summary."""
    counts = {
        action: sum(change.action == action for change in plan.changes) for action in ("create", "update", "delete")
    }
    summary = ", ".join(f"{count} {action}" for action, count in counts.items() if count)
    if note:
        summary = f"{note}: {summary}"
    result = connection.execute(
        insert(revisions).values(
            state="pending",
            etag=plan.state.etag(),
            resources=pack(plan.state, plan.changes),
            actor=actor,
            summary=summary,
            created_at=now,
        )
    )
    number = int(result.inserted_primary_key[0]) if result.inserted_primary_key else 0
    _prune(connection, number)
    return number


def _prune(connection: Connection, newest: int) -> None:
    """Drop the oldest revisions beyond :data:`KEPT` and :data:`KEPT_BYTES`; the active and the newest always stay."""
    size = func.sum(func.length(revisions.c.resources)).over(order_by=revisions.c.id.desc())
    sized = select(revisions.c.id, size.label("size")).subquery()
    too_much = select(sized.c.id).where(sized.c.size > KEPT_BYTES)
    connection.execute(
        delete(revisions).where(
            (revisions.c.id <= newest - KEPT) | revisions.c.id.in_(too_much),
            revisions.c.state != "active",
            revisions.c.id != newest,
        )
    )


def fail(connection: Connection, revision: int, reason: str) -> None:
    """Note why a revision is not in force."""
    connection.execute(update(revisions).where(revisions.c.id == revision).values(state="failed", reason=reason))


def any_pending(connection: Connection) -> bool:
    """Whether a crash left a revision half-way; ask only while holding the lock of an apply."""
    return connection.scalar(select(revisions.c.id).where(revisions.c.state == "pending").limit(1)) is not None


def fail_pending(connection: Connection) -> int:
    """Mark what a crash left half-way; return how many there were."""
    done = connection.execute(
        update(revisions)
        .where(revisions.c.state == "pending")
        .values(state="failed", reason="the runtime stopped before it was in force")
    )
    return done.rowcount


def activate(connection: Connection, revision: int, plan: Plan, context: RenderContext, now: int) -> None:
    """Make ``plan`` the declared state, for the gate too, in the caller's transaction."""
    connection.execute(update(revisions).where(revisions.c.state == "active").values(state="superseded"))
    connection.execute(update(revisions).where(revisions.c.id == revision).values(state="active", activated_at=now))
    for change in plan.changes:
        where = (resources.c.kind == change.kind, resources.c.name == change.name)
        connection.execute(delete(resources).where(*where))
        stored = plan.state.resources.get((change.kind, change.name))
        if stored is not None:
            connection.execute(
                insert(resources).values(
                    kind=change.kind,
                    name=change.name,
                    spec=canonical(stored.value),
                    owner=stored.owner,
                    updated_at=now,
                )
            )
    write_gate(connection, plan.state, context)


def gate_in_step(connection: Connection, state: State, context: RenderContext) -> bool:
    """Whether the gate's tables say what ``state`` means in ``context``.

    They would not after a change of the mode or of the panel's port, which are no part of a
    declaration: the gate would wait for a cookie that nobody is given any more.
    """
    rules = {row.host_id: row.rule for row in connection.execute(select(gate_hosts))}
    columns = (gate_settings.c.panel_url, gate_settings.c.cookie_name, gate_settings.c.idle_seconds)
    settings = connection.execute(select(*columns)).mappings().first()
    return rules == _gate_rules(state) and (settings and dict(settings)) == _gate_settings(state, context)


def write_gate(connection: Connection, state: State, context: RenderContext) -> None:
    """Make the gate's tables say what ``state`` means; the caller advances the epoch after its commit."""
    connection.execute(delete(gate_hosts))
    if rules := _gate_rules(state):
        connection.execute(insert(gate_hosts), [{"host_id": host, "rule": rule} for host, rule in rules.items()])
    connection.execute(delete(gate_settings))
    if settings := _gate_settings(state, context):
        connection.execute(insert(gate_settings).values(id=1, **settings))


def _gate_rules(state: State) -> dict[str, str]:
    return {host.name: gate_rule(host.auth) for host in state.hosts() if host.auth.required}


def _gate_settings(state: State, context: RenderContext) -> dict[str, object] | None:
    """The one row of ``gate_settings`` but for its id, None while no edge is declared."""
    if state.edge is None:
        return None
    return {
        "panel_url": context.panel_url(state.edge.panel_host),
        "cookie_name": context.edge_cookie,
        "idle_seconds": state.session.idle_hours * 3600,
    }


def gate_rule(auth: Auth) -> str:
    """JSON of the argos.gate.decision.HostRule that a protected host's ``auth`` means.

    What restricts or opens nothing is left out: a gate of the previous version, which denies
    where it finds a field it does not know, goes on deciding during an upgrade.
    """
    rule: dict[str, object] = {
        "required": True,
        "users": auth.users,
        "groups": auth.groups,
        "emails": auth.emails,
        "domains": auth.domains,
    }
    if auth.second_factor == "required":
        rule["second_factor"] = auth.second_factor
    if auth.paths:
        rule["public_paths"] = [entry.path for entry in auth.paths if entry.access == "public"]
    return canonical(rule)


def secrets_digest(connection: Connection) -> str | None:
    """The digest of the secrets that Caddy was last loaded with."""
    found: str | None = connection.scalar(select(meta.c.value).where(meta.c.key == SECRETS_DIGEST))
    return found


def keep_secrets_digest(connection: Connection, digest: str) -> None:
    """Remember the digest of the secrets that Caddy runs with."""
    _keep(connection, SECRETS_DIGEST, digest)


def note_mended(connection: Connection, now: int) -> None:
    """Remember that Caddy ran something else than the active revision, and was brought back."""
    held = connection.scalar(select(meta.c.value).where(meta.c.key == MENDED))
    times = [*(json.loads(held) if held else []), now]
    _keep(connection, MENDED, canonical(times[-_MENDED_KEPT:]))


def _keep(connection: Connection, key: str, value: str) -> None:
    row = upsert(meta).values(key=key, value=value)
    connection.execute(row.on_conflict_do_update(index_elements=["key"], set_={"value": value}))
