"""Whether two trees are half exchanged by a restore: then nobody opens the data. Light enough for the gate."""

from __future__ import annotations

import os
from pathlib import Path

JOURNAL = "restore.journal"
"""The file in the data directory that stands while a restore is under way (argos.backup.journal)."""
INTERRUPTED = "A restore was interrupted, and until it is complete the data is not opened: run `argos restore --resume`"


def half_restored(data_dir: Path) -> bool:
    """Tell whether a journal stands there, whatever it is."""
    return os.path.lexists(data_dir / JOURNAL)
