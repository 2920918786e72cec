"""CrowdSec's credentials belong to the CrowdSec that made them: a restore keeps today's (ING-3).

A backup holds those of its day, which the CrowdSec of a fresh guest does not know: with them no new
ban would arrive.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from sqlalchemy import select

from argos.audit import Actor, Audit
from argos.clock import Clock
from argos.edge.credentials import BOUNCER_KEY
from argos.named_secrets import NamedSecrets
from argos.scrub import Scrubber
from argos.settings import Settings
from argos.storage.engine import Storage
from argos.storage.tables import named_secrets
from argos.threat.access import MACHINE
from argos.vault import Vault

NAMES = (BOUNCER_KEY, MACHINE)


def todays(settings: Settings, clock: Clock) -> dict[str, str]:
    """The values of the living database; none when it cannot be read, which may be why there is a restore."""
    if not settings.database.exists():
        return {}
    storage = Storage(settings.database, clock)
    try:
        vault = Vault(storage, settings.require_master_key(), settings.master_key_next)
        with storage.read() as connection:
            rows = connection.execute(select(named_secrets).where(named_secrets.c.name.in_(NAMES))).all()
        return {row.name: vault.open("named_secrets", "sealed", row.name, row.sealed).decode() for row in rows}
    except Exception:  # whatever is wrong with it: it is about to be replaced
        return {}
    finally:
        storage.close()


def keep(storage: Storage, master: bytes, actor: Actor, values: Mapping[str, str]) -> None:
    """Put them into an unpacked database, on its record."""
    if not values:
        return
    vault, scrubber = Vault(storage, master), Scrubber([base64.b64encode(master).decode()])
    secrets = NamedSecrets(storage, vault, Audit(storage, vault, scrubber), scrubber)
    for name, value in values.items():
        secrets.set(actor, name, value)
