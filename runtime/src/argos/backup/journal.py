"""The journal of a restore: while it stands, the two trees are changing places."""

from __future__ import annotations

import re
import time

from argos import durable_files
from argos.clock import Clock
from argos.errors import Unavailable
from argos.settings import Settings

JOURNAL = "restore.journal"
_TIME = re.compile(r"\d{8}T\d{6}Z")


def write_journal(settings: Settings, clock: Clock) -> None:
    """From here on the restore is carried out, whatever happens to this process."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(clock.now()))
    durable_files.replace(settings.data_dir / JOURNAL, stamp.encode(), 0o600)


def journal(settings: Settings) -> str | None:
    """The time at which an unfinished restore began, None when there is none.

    Raises:
        Unavailable: the journal is not readable.
    """
    try:
        text = (settings.data_dir / JOURNAL).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        text = ""
    if not _TIME.fullmatch(text):
        raise Unavailable(f"{settings.data_dir / JOURNAL} is not readable")
    return text


def end_journal(settings: Settings) -> None:
    """Both trees are in their places."""
    (settings.data_dir / JOURNAL).unlink()
    durable_files.sync_directory(settings.data_dir)
