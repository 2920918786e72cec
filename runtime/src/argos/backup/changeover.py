"""From the journal on: both trees change places. Each step may be done again, after a crash too."""

from __future__ import annotations

from argos.backup import archive, caddy_storage, hold, swapping
from argos.backup.journal import STAGED, begin_journal, end_journal, journal
from argos.clock import Clock
from argos.settings import Settings
from argos.storage.engine import Storage

# The checkpoint of the record too: it would say of the restored database that it was set back.
_OLD = {
    archive.DATABASE,
    f"{archive.DATABASE}-wal",
    f"{archive.DATABASE}-shm",
    f"{archive.DATABASE}-journal",
    "audit.checkpoint",
}


def change_over(settings: Settings, caddy: caddy_storage.Child, clock: Clock, *, begin: bool) -> None:
    """Put what is staged in the place of what is there, and lay out for Caddy what that asks for.

    Args:
        settings: of this guest.
        caddy: from :func:`caddy_storage.swapper`.
        clock: for reading the restored state.
        begin: let the journal come into force first; else one that stands is ended.

    Raises:
        Conflict: something uses the data; nothing has begun.
        Unavailable: what was staged is gone.
        OSError: a rename failed; it can be done again.
    """
    if begin:
        with hold.unused(settings):
            begin_journal(settings)
    found = journal(settings)
    if found is None:
        return
    kept = settings.data_dir / f"{swapping.KEPT}{found.stamp}"
    swapping.swap(settings.data_dir, kept, _OLD.__contains__, (archive.DATABASE,))
    swapping.drop_old(settings.data_dir)
    caddy_storage.swap(caddy, found.stamp, found.caddy)
    _lay_out(settings, clock)
    end_journal(settings)


def clear(settings: Settings) -> bool:
    """As the owner of the data, remove what was staged for a restore that never began; whether there was something."""
    noted = settings.data_dir / STAGED
    found = noted.exists()
    noted.unlink(missing_ok=True)
    return swapping.clear(settings.data_dir) or found


def _lay_out(settings: Settings, clock: Clock) -> None:
    from argos.edge.active_config import ActiveConfig
    from argos.edge.context import context_of
    from argos.edge.render import rendered
    from argos.edge.revisions import read_state

    storage = Storage(settings.database, clock)
    try:
        with storage.read() as connection:
            state = read_state(connection)
    finally:
        storage.close()
    ActiveConfig(settings.edge_dir).keep(rendered(state, context_of(settings)))
