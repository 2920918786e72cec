"""What a group may be called."""

from __future__ import annotations

import re

GROUP = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z", re.ASCII)
MOST = 64  # groups of one person
EXPECTED = "1 to 63 of a-z, 0-9 and '._-', beginning with a letter or digit"
ROLES = frozenset({"role:admin", "role:member"})
"""Names that a host's rule may list beside groups; the colon keeps them from being a group's."""
