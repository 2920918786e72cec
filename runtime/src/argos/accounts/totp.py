"""Time-based codes (RFC 6238): SHA-1, 6 digits, 30 s, as every authenticator app has them.

One step of clock skew either way; a step that was used once is never taken again
(RFC 6238 §5.2), also when two requests bring one code at the same moment.
"""

from __future__ import annotations

import base64
import hmac
import io
import re
import secrets
from dataclasses import dataclass, field

import pyotp
import segno
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.storage.tables import totp
from argos.vault import Vault

STEP = 30  # seconds
SKEW = 1  # steps either way
SECRET_BYTES = 20  # RFC 4226 §4 R6 recommends 160 bits
SETUP = 900  # seconds a new secret waits for its first code
ISSUER = "Argos"

_CODE = re.compile(r"[0-9]{6}\Z", re.ASCII)


@dataclass(frozen=True)
class Setup:
    """A new secret, which exists in plain only here and on the page that shows it once."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)

    @property
    def qr_code(self) -> str:
        """The QR code as one ``<svg>`` element, without styles or scripts, dark on light in either theme."""
        out = io.BytesIO()
        segno.make(self.uri, error="m", micro=False).save(
            out,
            kind="svg",
            scale=5,
            border=4,
            dark="#000",
            light="#fff",
            xmldecl=False,
            svgns=False,
            nl=False,
            omitsize=True,
        )
        return out.getvalue().decode()


def matching_step(secret: bytes, code: str, now: int, last_step: int) -> int | None:
    """Return the oldest unused time step within the skew that ``code`` is of, else None.

    Args:
        secret: 20 bytes.
        code: as typed; spaces do not count.
        now: seconds since the epoch.
        last_step: the newest step that was used; it and those before it match no more.
    """
    typed = "".join(code.split())
    if not _CODE.match(typed):
        return None
    generator = pyotp.TOTP(base64.b32encode(secret).decode(), interval=STEP)
    middle = now // STEP
    # APPSEC: all steps are compared, each in constant time.
    found = [
        step
        for step in range(max(middle - SKEW, 0), middle + SKEW + 1)
        if hmac.compare_digest(generator.generate_otp(step), typed) and step > last_step
    ]
    return min(found, default=None)


def begin(connection: Connection, vault: Vault, user_id: int, username: str, now: int) -> Setup:
    """Store a new, unconfirmed secret in place of another unconfirmed one, and return it."""
    raw = secrets.token_bytes(SECRET_BYTES)
    values = {"secret": _seal(vault, user_id, raw), "confirmed_at": None, "last_step": 0, "created_at": now}
    statement = upsert(totp).values(user_id=user_id, **values)
    # A confirmed one stays whatever a racing request wants.
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[totp.c.user_id], set_=values, where=totp.c.confirmed_at.is_(None)
        )
    )
    text = base64.b32encode(raw).decode()
    return Setup(text, pyotp.TOTP(text).provisioning_uri(name=username, issuer_name=ISSUER))


def confirm(connection: Connection, vault: Vault, user_id: int, code: str, now: int) -> bool:
    """Take the new secret into use if ``code`` is of it; return whether it was."""
    row = connection.execute(
        select(totp).where(totp.c.user_id == user_id, totp.c.confirmed_at.is_(None), totp.c.created_at > now - SETUP)
    ).first()
    if row is None:
        return False
    step = matching_step(_open(vault, user_id, row.secret), code, now, 0)
    if step is None:
        return False
    statement = update(totp).where(totp.c.user_id == user_id, totp.c.confirmed_at.is_(None))
    return connection.execute(statement.values(confirmed_at=now, last_step=step)).rowcount == 1


def consume(connection: Connection, vault: Vault, user_id: int, code: str, now: int) -> bool:
    """Use a code up; return whether it was right and new.

    LOG-4: the update is conditional on the step, so of two that race one wins, whatever they have read.
    """
    row = connection.execute(select(totp).where(totp.c.user_id == user_id, totp.c.confirmed_at.is_not(None))).first()
    if row is None:
        return False
    step = matching_step(_open(vault, user_id, row.secret), code, now, row.last_step)
    if step is None:
        return False
    statement = update(totp).where(totp.c.user_id == user_id, totp.c.confirmed_at.is_not(None), totp.c.last_step < step)
    return connection.execute(statement.values(last_step=step)).rowcount == 1


def enabled(connection: Connection, user_id: int) -> bool:
    """Tell whether this person has a confirmed secret."""
    found = select(totp.c.user_id).where(totp.c.user_id == user_id, totp.c.confirmed_at.is_not(None))
    return connection.execute(found).first() is not None


def remove(connection: Connection, user_id: int) -> bool:
    """Forget the secret, confirmed or not; return whether there was one."""
    return connection.execute(delete(totp).where(totp.c.user_id == user_id)).rowcount > 0


def sweep(connection: Connection, now: int) -> int:
    """Drop secrets that were never confirmed; return how many."""
    old = (totp.c.confirmed_at.is_(None)) & (totp.c.created_at <= now - SETUP)
    return connection.execute(delete(totp).where(old)).rowcount


def _seal(vault: Vault, user_id: int, secret: bytes) -> bytes:
    return vault.seal("totp", "secret", str(user_id), secret)


def _open(vault: Vault, user_id: int, sealed: bytes) -> bytes:
    return vault.open("totp", "secret", str(user_id), sealed)
