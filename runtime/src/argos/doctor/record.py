"""Whether the record of mutations is whole (DAT-3)."""

from __future__ import annotations

from argos.doctor.finding import Finding
from argos.errors import ArgosError
from argos.settings import Settings

_LOOK = (
    "Compare with a backup, and check who can be root. "
    "If it was you: sudo argos audit checkpoint. This writes a new checkpoint and is logged."
)


def check_record(settings: Settings) -> Finding:
    """Every row of the audit follows from the one before it, and the last is the last.

    Reads the whole record, so it is the doctor's, not the health answer's.
    """
    from argos.application import opened

    name = "audit log"
    try:
        with opened(settings) as here:
            verdict = here.audit.examine()
    except ArgosError as error:
        return Finding(name, "unknown", f"The audit log cannot be read: {error}", "Fix what has failed above.")
    if verdict.broken is not None:
        return Finding(
            name,
            "failed",
            f"The audit log was altered at row {verdict.broken}: {verdict.reason}.",
            f"Somebody changed the database behind the runtime's back, or put back an old copy by hand. {_LOOK}",
        )
    if verdict.lost:
        return Finding(
            name,
            "warning",
            f"The newest rows of the audit log may be missing: {verdict.reason}.",
            f"Somebody removed {settings.database.with_name('audit.checkpoint')}, perhaps to put back an old copy of "
            f"the database. {_LOOK}",
        )
    return Finding(name, "ok", f"The audit log is intact: {verdict.rows} rows.")
