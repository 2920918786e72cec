"""Names, origins and cookie domains of the panel in each mode."""

from __future__ import annotations

import pytest
from argos.edge.model import EdgeSettings
from argos.panel.origin import is_own
from argos.panel.site import Site, hostname

EDGE = EdgeSettings(panel_host="argos.home.example", parent_domain="home.example")
CADDY = Site(behind_caddy=True, edge=EDGE, extra_hosts=frozenset({"10.0.0.2"}))
LAN = Site(behind_caddy=False, edge=EDGE, extra_hosts=frozenset({"10.0.0.2", "::1"}))
BARE = Site(behind_caddy=False, edge=None, extra_hosts=frozenset({"10.0.0.2"}))


@pytest.mark.threat("LOG-3")
@pytest.mark.parametrize(
    ("site", "host", "known"),
    [
        (CADDY, "argos.home.example", True),
        (CADDY, "ARGOS.home.example:8443", True),
        (CADDY, "argos.home.example.", True),
        (CADDY, "10.0.0.2", False),
        (CADDY, "", False),
        (LAN, "10.0.0.2:9080", True),
        (LAN, "[::1]:9080", True),
        (LAN, "[0:0:0:0:0:0:0:1]", True),
        (LAN, "10.0.0.3", False),
        (LAN, "home.example", False),
        (LAN, "argos.home.example:80:90", False),
        (LAN, "argos.home.example:port", False),
        (LAN, "argos.home.example/x", False),
        (BARE, "10.0.0.2", True),
        (BARE, "argos.home.example", False),
    ],
)
def test_a_host_is_known_only_if_declared(site: Site, host: str, known: bool) -> None:
    assert site.knows(host) is known


@pytest.mark.parametrize(
    ("text", "name"),
    [("a.b:80", "a.b"), ("A.B.", "a.b"), ("[::1]:80", "::1"), ("[x]", None), ("[::1", None), ("é.example", None),
     ("x" * 300, None), (":80", None), ("a:123456", None)],
)  # fmt: skip
def test_the_name_in_a_host_header(text: str, name: str | None) -> None:
    assert hostname(text) == name


@pytest.mark.parametrize(
    ("site", "host", "origin", "domain"),
    [
        (CADDY, "argos.home.example:443", "https://argos.home.example", "home.example"),
        (CADDY, "argos.home.example:8443", "https://argos.home.example:8443", "home.example"),
        (LAN, "Argos.home.example:9080", "http://argos.home.example:9080", "home.example"),
        (LAN, "10.0.0.2:80", "http://10.0.0.2", None),
        (BARE, "10.0.0.2:9080", "http://10.0.0.2:9080", None),
    ],
)
def test_origin_and_cookie_domain(site: Site, host: str, origin: str, domain: str | None) -> None:
    assert site.origin(host) == origin
    assert site.cookie_domain(host) == domain


@pytest.mark.threat("AUT-3")
@pytest.mark.parametrize(
    ("method", "origin", "fetch_site", "own"),
    [
        ("GET", "https://evil.example", "cross-site", True),
        ("POST", "https://argos.home.example", None, True),
        ("POST", "HTTPS://ARGOS.home.example", "same-origin", True),
        ("POST", None, "same-origin", True),
        ("POST", "https://argos.home.example", "same-site", False),
        ("POST", "http://argos.home.example", None, False),
        ("POST", "https://argos.home.example:8443", None, False),
        ("POST", "https://argos.home.example.evil.example", "same-origin", False),
        ("POST", "null", "same-origin", False),
        ("POST", None, None, False),
        ("DELETE", None, "none", False),
        ("PUT", "", None, False),
    ],
)
def test_whose_form_it_is(method: str, origin: str | None, fetch_site: str | None, own: bool) -> None:
    assert is_own(method, origin, fetch_site, "https://argos.home.example") is own
