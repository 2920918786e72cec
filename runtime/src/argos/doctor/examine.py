"""All checks, in the order in which a person should mend what they find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from argos.doctor.backups import check_backups
from argos.doctor.certificates import check_certificates
from argos.doctor.clients import check_clients
from argos.doctor.configuration import check_configuration
from argos.doctor.crowdsec import check_lapi, check_machine
from argos.doctor.database import check_clock, check_database, check_disk, declared_settings
from argos.doctor.finding import Finding
from argos.doctor.key import check_key
from argos.doctor.mail import check_mail
from argos.doctor.neighbours import check_caddy, check_gate
from argos.doctor.record import check_record
from argos.edge.lapi_address import lapi_url
from argos.settings import Settings

if TYPE_CHECKING:
    from argos.threat.lapi import Lapi


def examine(
    settings: Settings,
    *,
    key: Finding | None = None,
    gate: Finding | None = None,
    whole_record: bool = False,
    lapi: Lapi | None = None,
) -> list[Finding]:
    """Run every check as the user this process is; ``whole_record`` also reads the audit from end to end.

    ``key`` and ``gate`` are findings made already: by a process that holds the open
    vault, and by root before it gave up its rights (the user ``argos`` may not enter
    the gate's directory). ``lapi`` is a client of CrowdSec with an open vault behind it;
    one is made for the time of the check where there is none.
    """
    database, key = check_database(settings.database), key or check_key(settings)
    sound = database.state == "ok" and key.state == "ok"
    return [
        database,
        key,
        *([check_record(settings)] if whole_record and sound else []),
        check_disk(
            [settings.data_dir, settings.edge_dir, settings.access_log.parent, settings.caddy_storage],
            settings.backup_dir,
        ),
        check_clock(settings.database),
        check_backups(settings.database),
        check_mail(settings.database),
        check_caddy(settings.caddy_socket, settings.edge_dir / "caddy.json"),
        check_configuration(settings.database),
        check_certificates(settings),
        gate or check_gate(settings.gate_socket),
        *_check_crowdsec(settings, lapi, sound=sound),
        check_clients(settings.access_log),
    ]


def _check_crowdsec(settings: Settings, lapi: Lapi | None, *, sound: bool) -> list[Finding]:
    declared = declared_settings(settings.database, "crowdsec")
    if declared.get("enabled") is False:
        return [
            Finding(
                "CrowdSec",
                "warning",
                "settings.crowdsec.enabled is false: nobody is banned.",
                "Set it to true, unless something else in front of this edge bans attackers.",
            )
        ]
    url = lapi_url(declared.get("lapi_url"), settings.lapi_url)
    enforced = check_lapi(url, settings.credentials_dir / "crowdsec-bouncer-key", settings.caddy_socket)
    return [enforced, *([check_machine(settings, lapi)] if sound else [])]
