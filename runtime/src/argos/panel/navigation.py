"""The panel's menu: a page that an administrator opens by itself has a line here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One page: where it is, and what the menu and its own heading call it."""

    address: str
    word: str

    def is_at(self, here: str) -> bool:
        """Whether the page ``here`` is this one or stands below it."""
        return here == self.address or (self.address != "/" and here.startswith(f"{self.address}/"))


@dataclass(frozen=True)
class Group:
    """Pages that belong together, under one word."""

    word: str
    entries: tuple[Entry, ...]


OVERVIEW = Entry("/", "Overview")

# For administrators; everybody has the overview and the own profile.
GROUPS = (
    Group(
        "Publishing",
        (Entry("/hosts", "Hosts"), Entry("/certificates", "Certificates"), Entry("/history", "History")),
    ),
    Group("Protection", (Entry("/waf", "WAF"), Entry("/decisions", "Bans"))),
    Group("Access", (Entry("/people", "People"), Entry("/oidc", "Sign-in provider"))),
    Group(
        "Upkeep",
        (
            Entry("/secrets", "Secrets"),
            Entry("/backups", "Backups"),
            Entry("/mail", "Mail"),
            Entry("/audit", "Audit log"),
        ),
    ),
)
