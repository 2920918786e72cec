"""Where LAPI is, and what opens it: read anew for each request, so that new credentials need no restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from argos.edge.credentials import BOUNCER_KEY
from argos.edge.lapi_address import lapi_url
from argos.errors import NotFound
from argos.named_secrets import NamedSecrets
from argos.scrub import Scrubber
from argos.storage.engine import Storage
from argos.storage.tables import resources
from argos.threat.lapi import Lapi, Machine, machine_from

if TYPE_CHECKING:
    from argos.settings import Settings

MACHINE = "crowdsec-machine"


def lapi_of(settings: Settings, storage: Storage, secrets: NamedSecrets, scrubber: Scrubber) -> Lapi:
    """The client of the declared LAPI, or of ``ARGOS_LAPI_URL`` while none is declared."""

    def url() -> str:
        import msgspec

        with storage.read() as connection:
            spec = connection.scalar(
                select(resources.c.spec).where(resources.c.kind == "settings", resources.c.name == "crowdsec")
            )
        return lapi_url(msgspec.json.decode(spec).get("lapi_url") if spec else None, settings.lapi_url)

    def value_of(name: str) -> str:
        try:
            return secrets.reveal(name).strip()
        except NotFound:
            return ""

    def machine() -> Machine | None:
        found = machine_from(value_of(MACHINE))
        if found is not None:
            scrubber.hold("crowdsec-machine password", found.password)
        return found

    return Lapi(url, machine, lambda: value_of(BOUNCER_KEY))
