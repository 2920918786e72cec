"""Where the panel stands: its names, its origin, the domain of its cookies."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from argos.edge.model import EdgeSettings
from argos.panel import cookies


@dataclass(frozen=True)
class Site:
    """The panel in one mode and under the active declaration; a value, made anew for each request.

    ``edge`` is None until something is declared. ``extra_hosts`` are the names and
    addresses of ``ARGOS_PANEL_HOSTS``, believed in ``lan`` only. ``provider`` is the name of the
    OpenID Connect provider that the sign-in page offers, empty elsewhere and without one.
    """

    behind_caddy: bool
    edge: EdgeSettings | None
    extra_hosts: frozenset[str]
    provider: str = ""

    @property
    def scheme(self) -> str:
        """What the browser speaks: behind Caddy always TLS, in ``lan`` plain HTTP."""
        return "https" if self.behind_caddy else "http"

    @property
    def cookie_names(self) -> cookies.CookieNames:
        """The cookies of this mode."""
        return cookies.BEHIND_CADDY if self.behind_caddy else cookies.LAN

    @property
    def parent_domain(self) -> str:
        """The domain below which the published hosts lie; empty until declared."""
        return self.edge.parent_domain if self.edge else ""

    def knows(self, host: str) -> bool:
        """Tell whether ``host``, a Host header's value, names this panel.

        A name that was not declared is refused whatever it resolves to: a foreign
        page whose name is re-bound to our address would else be same-origin with us.
        """
        name = hostname(host)
        if name is None:
            return False
        if self.edge is not None and name == self.edge.panel_host.lower():
            return True
        return not self.behind_caddy and name in self.extra_hosts

    def origin(self, host: str) -> str:
        """The panel's own origin as a browser writes it that reached it as ``host`` (a known one)."""
        default = ":443" if self.behind_caddy else ":80"
        return f"{self.scheme}://{host.lower().removesuffix(default)}"

    def cookie_domain(self, host: str) -> str | None:
        """``Domain`` of the published hosts' cookie when the panel is open as ``host``.

        None where a browser would refuse the parent domain: the cookie is then the
        panel's host's alone, and opens nothing below the domain.
        """
        name = hostname(host) or ""
        parent = self.parent_domain.lower()
        return parent if parent and (name == parent or name.endswith("." + parent)) else None


def hostname(host: str) -> str | None:
    """The name or address in a Host header's value, lower-case and without port; None when it is neither."""
    host = host.strip().lower()
    if not host or len(host) > 260 or not host.isascii():
        return None
    if host.startswith("["):
        literal, closing, port = host[1:].partition("]")
        if not closing or (port and not _is_port(port)):
            return None
        try:
            return str(ipaddress.IPv6Address(literal))
        except ValueError:
            return None
    name, colon, port = host.partition(":")
    if colon and not _is_port(colon + port):
        return None
    return name.removesuffix(".") or None


def _is_port(text: str) -> bool:
    return text[:1] == ":" and text[1:].isdigit() and len(text) <= 6
