"""The journal of a restore: while it stands, the two trees are changing places."""

from __future__ import annotations

import re
import secrets
import time

from argos import durable_files
from argos.clock import Clock
from argos.errors import Unavailable
from argos.settings import Settings

JOURNAL = "restore.journal"
_STAMP = re.compile(r"\d{8}T\d{6}Z(-[0-9a-f]{8})?")


def write_journal(settings: Settings, clock: Clock) -> None:
    """From here on the restore is carried out, whatever happens to this process."""
    # Not the time alone: two restores of one second, or of a clock set back, must not share the place of the old state.
    stamp = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(clock.now()))}-{secrets.token_hex(4)}"
    durable_files.replace(settings.data_dir / JOURNAL, stamp.encode(), 0o600)


def journal(settings: Settings) -> str | None:
    """The stamp of an unfinished restore, by which its kept state is named: when it began; None when there is none.

    Raises:
        Unavailable: the journal is not readable.
    """
    try:
        text = (settings.data_dir / JOURNAL).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        text = ""
    if not _STAMP.fullmatch(text):
        raise Unavailable(f"{settings.data_dir / JOURNAL} is not readable")
    return text


def end_journal(settings: Settings) -> None:
    """Both trees are in their places."""
    (settings.data_dir / JOURNAL).unlink()
    durable_files.sync_directory(settings.data_dir)
