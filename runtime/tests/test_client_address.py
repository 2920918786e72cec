"""LOG-3: who a request is from, in both modes."""

from __future__ import annotations

import pytest
from argos.client_address import NoClientAddress, canonical_address, client_address, network_key
from hypothesis import given
from hypothesis import strategies as st

FORGED = {
    "HTTP_X_FORWARDED_FOR": "198.51.100.66",
    "HTTP_X_REAL_IP": "198.51.100.66",
    "HTTP_FORWARDED": "for=198.51.100.66",
    "HTTP_CF_CONNECTING_IP": "198.51.100.66",
    "HTTP_TRUE_CLIENT_IP": "198.51.100.66",
    "HTTP_X_CLIENT_IP": "198.51.100.66",
}


@pytest.mark.threat("LOG-3")
def test_behind_caddy_only_caddys_word_counts() -> None:
    environ = {"REMOTE_ADDR": "localhost", "HTTP_ARGOS_CLIENT_IP": "203.0.113.7", **FORGED}
    assert client_address(environ, "behind_caddy") == "203.0.113.7"


@pytest.mark.threat("LOG-3")
def test_in_lan_only_the_peer_counts() -> None:
    environ = {"REMOTE_ADDR": "192.168.1.20", "HTTP_ARGOS_CLIENT_IP": "198.51.100.66", **FORGED}
    assert client_address(environ, "lan") == "192.168.1.20"


@pytest.mark.threat("LOG-3")
@pytest.mark.parametrize("mode", ["behind_caddy", "lan"])
@pytest.mark.parametrize("said", ["", "localhost", "203.0.113.7, 198.51.100.66", "203.0.113.7:443", "1", "é"])
def test_a_request_without_an_address_has_none(mode: str, said: str) -> None:
    environ = {"REMOTE_ADDR": said, "HTTP_ARGOS_CLIENT_IP": said, **FORGED}
    with pytest.raises(NoClientAddress):
        client_address(environ, mode)
    with pytest.raises(NoClientAddress):
        client_address(FORGED, mode)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("203.0.113.007", None),
        ("3405803783", None),
    ],
)
def test_an_address_has_one_spelling(text: str, canonical: str | None) -> None:
    assert canonical_address(text) == canonical


@pytest.mark.threat("LOG-1")
@given(st.ip_addresses(v=6))
def test_ipv6_is_counted_by_its_64(address: object) -> None:
    key = network_key(str(address))
    assert ("/64" in key) == (":" in key)
    if ":" in key:
        assert network_key(key.removesuffix("/64")) == key


@pytest.mark.threat("LOG-1")
@given(st.ip_addresses(v=4))
def test_ipv4_is_counted_one_by_one(address: object) -> None:
    assert network_key(str(address)) == str(address) == network_key(f"::ffff:{address}")
