"""Recovery codes: ten, each good once, for one who has lost the authenticator (LOG-4).

They stand hashed in one sealed blob. Using one replaces the blob on the condition
that it is still the blob that was read, so of two requests with one code one wins.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.storage.tables import recovery_codes
from argos.vault import Vault

COUNT = 10
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u
_LOOKALIKES = str.maketrans({"o": "0", "i": "1", "l": "1", "-": ""})
_CODE = re.compile(f"[{ALPHABET}]{{8}}\\Z", re.ASCII)


def replace(connection: Connection, vault: Vault, user_id: int, now: int) -> list[str]:
    """Make a new set in place of the old one; return it, as ``xxxx-xxxx``: it exists in plain only here."""
    codes: set[str] = set()
    while len(codes) < COUNT:
        codes.add("".join(secrets.choice(ALPHABET) for _unused in range(8)))
    salt = secrets.token_bytes(16)
    values = {"codes": _seal(vault, user_id, salt, [_hashed(salt, code) for code in codes]), "created_at": now}
    statement = upsert(recovery_codes).values(user_id=user_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=[recovery_codes.c.user_id], set_=values))
    return sorted(f"{code[:4]}-{code[4:]}" for code in codes)


def consume(connection: Connection, vault: Vault, user_id: int, typed: str) -> bool:
    """Use one code up; return whether it was one of the unused.

    Case, spaces and the dash do not count, and o, i, l are read as the digits they look like.
    """
    code = "".join(typed.split()).lower().translate(_LOOKALIKES)
    if not _CODE.match(code):
        return False
    sealed = connection.scalar(select(recovery_codes.c.codes).where(recovery_codes.c.user_id == user_id))
    if sealed is None:
        return False
    salt, hashes = _open(vault, user_id, sealed)
    given = _hashed(salt, code)
    left = [one for one in hashes if not hmac.compare_digest(one, given)]
    if len(left) == len(hashes):
        return False
    statement = update(recovery_codes).where(recovery_codes.c.user_id == user_id, recovery_codes.c.codes == sealed)
    return connection.execute(statement.values(codes=_seal(vault, user_id, salt, left))).rowcount == 1


def left(connection: Connection, vault: Vault, user_id: int) -> int:
    """Return how many are unused."""
    sealed = connection.scalar(select(recovery_codes.c.codes).where(recovery_codes.c.user_id == user_id))
    return 0 if sealed is None else len(_open(vault, user_id, sealed)[1])


def remove(connection: Connection, user_id: int) -> None:
    """Forget them all."""
    connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))


def _hashed(salt: bytes, code: str) -> str:
    return hmac.new(salt, code.encode(), hashlib.sha256).hexdigest()


def _seal(vault: Vault, user_id: int, salt: bytes, hashes: list[str]) -> bytes:
    plain = json.dumps({"salt": salt.hex(), "codes": hashes}).encode()
    return vault.seal("recovery_codes", "codes", str(user_id), plain)


def _open(vault: Vault, user_id: int, sealed: bytes) -> tuple[bytes, list[str]]:
    found = json.loads(vault.open("recovery_codes", "codes", str(user_id), sealed))
    return bytes.fromhex(found["salt"]), [str(one) for one in found["codes"]]
