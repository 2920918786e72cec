"""The journal of a restore: while it stands, the two trees are changing places.

It is written whole while the restore is staged, under another name, and comes into force by
one rename: what it names was on the disk before.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from argos import durable_files
from argos.errors import Unavailable
from argos.half_restored import JOURNAL

if TYPE_CHECKING:
    from argos.clock import Clock
    from argos.settings import Settings

STAGED = "restore.staged"
_STAMP = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


class Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An unfinished restore.

    ``stamp`` names the state that is kept: when the restore began. ``caddy`` are the entries
    at the top of Caddy's storage that were staged; of the database there is always one.
    """

    stamp: str
    caddy: tuple[str, ...]


def note_staged(settings: Settings, clock: Clock, caddy: Iterable[str]) -> None:
    """Write down what was staged; it is not in force."""
    # Not the time alone: two restores of one second, or of a clock set back, must not share the place of the old state.
    stamp = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(clock.now()))}-{secrets.token_hex(4)}"
    written = msgspec.json.encode(Journal(stamp, tuple(sorted(caddy))))
    durable_files.replace(settings.data_dir / STAGED, written, 0o600)


def begin_journal(settings: Settings) -> None:
    """From here on the restore is carried out, whatever happens to this process.

    Raises:
        OSError: it is not; nothing was staged, for one.
    """
    (settings.data_dir / STAGED).rename(settings.data_dir / JOURNAL)
    durable_files.sync_directory(settings.data_dir)


def journal(settings: Settings) -> Journal | None:
    """The unfinished restore; None when there is none.

    Raises:
        Unavailable: the journal is not readable.
    """
    path = settings.data_dir / JOURNAL
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Journal)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError):
        found = None
    if found is None or not _STAMP.fullmatch(found.stamp) or any("/" in name for name in found.caddy):
        raise Unavailable(f"{path} is not readable")
    return found


def end_journal(settings: Settings) -> None:
    """Both trees are in their places."""
    (settings.data_dir / JOURNAL).unlink()
    durable_files.sync_directory(settings.data_dir)
