"""Known devices: a browser that signed an account in before is not locked out with it (LOG-1).

Its cookie lifts the account's throttle for itself alone; it signs nobody in.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from argos.sessions.tokens import new_token, token_hash
from argos.storage.tables import known_devices

LIFETIME = 180 * 86400  # seconds without a sign-in
PER_USER = 20


def known_device(connection: Connection, user_id: int | None, token: str | None, now: int) -> bytes | None:
    """Return the hash of a device that this account knows, else None.

    LOG-2: the same query runs for an unknown user and for no token.
    """
    hashed = token_hash(token or "") or bytes(32)
    return connection.scalar(
        select(known_devices.c.token_hash).where(
            known_devices.c.token_hash == hashed,
            known_devices.c.user_id == (user_id or 0),
            known_devices.c.last_used_at > now - LIFETIME,
        )
    )


def remember(connection: Connection, user_id: int, token: str | None, now: int) -> str:
    """Note a successful sign-in from a device; return its token, a new one unless ``token`` is known already."""
    hashed = known_device(connection, user_id, token, now)
    if hashed is not None and token is not None:
        statement = update(known_devices).where(known_devices.c.token_hash == hashed)
        connection.execute(statement.values(last_used_at=now))
        return token
    made = new_token()
    connection.execute(
        insert(known_devices).values(token_hash=token_hash(made), user_id=user_id, created_at=now, last_used_at=now)
    )
    newest = (
        select(known_devices.c.token_hash)
        .where(known_devices.c.user_id == user_id)
        .order_by(known_devices.c.last_used_at.desc(), known_devices.c.created_at.desc())
        .limit(PER_USER)
    )
    connection.execute(
        delete(known_devices).where(
            known_devices.c.user_id == user_id, known_devices.c.token_hash.not_in(newest.scalar_subquery())
        )
    )
    return made


def forget_all(connection: Connection, user_id: int) -> None:
    """Forget a person's devices: their password was taken out of their hands."""
    connection.execute(delete(known_devices).where(known_devices.c.user_id == user_id))
