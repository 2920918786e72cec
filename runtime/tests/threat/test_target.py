"""What may be banned, for how long, and in which spelling."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from argos.edge.model import CrowdsecSettings, EdgeSettings, Exempt
from argos.threat.lapi import go_seconds
from argos.threat.protected import own_addresses, protected_networks, protection_errors, whitelist_errors
from argos.threat.target import LONGEST, duration_errors, duration_text, parse_target, target_errors
from hypothesis import given
from hypothesis import strategies as st

NETWORKS = st.one_of(
    st.builds(lambda n, p: ipaddress.IPv4Network((n, p), strict=False), st.integers(0, 2**32 - 1), st.integers(8, 32)),
    st.builds(
        lambda n, p: ipaddress.IPv6Network((n, p), strict=False), st.integers(0, 2**128 - 1), st.integers(16, 128)
    ),
)


@given(NETWORKS)
def test_every_network_has_one_spelling_that_reads_back(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    target = parse_target(str(network))
    assert parse_target(target.value) == target
    assert (target.scope == "ip") == ("/" not in target.value)


@given(st.text(max_size=40))
def test_any_text_is_a_target_or_refused_by_name(text: str) -> None:
    target, errors = target_errors(text, None)
    assert [one.field for one in errors] == ([] if target else ["value"])
    assert target is None or (target.value.isascii() and target.value.isprintable())


@given(st.integers(60, LONGEST))
def test_a_duration_reads_back_as_it_is_written(seconds: int) -> None:
    assert duration_errors(duration_text(seconds), "x") == (seconds, [])
    assert go_seconds(f"{seconds}s") == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3h59m57.8s", 14398), ("999.9ms", 1), ("1h", 3600), ("8759h59m0s", 31535940), ("0s", 0), ("-1h0m0s", 0), ("", 0)],
)
def test_what_is_left_is_read_as_go_writes_it(text: str, seconds: int) -> None:
    assert go_seconds(text) == seconds


def test_everybody_whom_a_ban_would_hit_by_mistake_is_protected() -> None:
    edge = EdgeSettings("argos.home.example", "home.example", trusted_proxies=("192.0.2.0/28",))
    protected = list(protected_networks(edge, ["203.0.113.5", "", "localhost"], ["2001:db8::5"], ["198.51.100.1"]))

    def why(value: str) -> str:
        found = protection_errors(parse_target(value), protected)
        return found[0].problem if found else ""

    assert why("203.0.113.5") == "is 203.0.113.5: your own address"
    assert why("::ffff:203.0.113.5") == "is 203.0.113.5: your own address"
    assert why("203.0.113.0/24") == "is 203.0.113.0/24, which contains 203.0.113.5: your own address"
    assert why("2001:db8::/32").endswith("an address from which an administrator is signed in")
    assert why("198.51.100.1").endswith("an address of this machine")
    assert why("192.0.2.9").endswith("a trusted proxy")
    assert why("fe80::9").endswith("a private range")
    assert why("203.0.113.6") == why("2001:db9::1") == why("192.0.2.16") == ""


def test_a_named_proxys_ranges_are_protected_while_they_are_declared() -> None:
    address, range_ = "104.16.0.9", "2606:4700::/48"
    for proxies, refused in (("cloudflare",), True), ((), False):
        edge = EdgeSettings("argos.home.example", "home.example", trusted_proxies=proxies)
        protected = list(protected_networks(edge, [], [], []))
        found = [protection_errors(parse_target(value), protected) for value in (address, range_)]
        assert [bool(errors) for errors in found] == [refused, refused]
    edge = EdgeSettings("argos.home.example", "home.example", trusted_proxies=("cloudflare",))
    [error] = protection_errors(parse_target(address), protected_networks(edge, [], [], []))
    assert error.problem == "is 104.16.0.9: a trusted proxy"
    assert error.expected == "another one, or force"


def test_only_what_lies_within_the_whitelist_is_refused_for_it() -> None:
    declared = CrowdsecSettings(whitelist=(Exempt("203.0.113.0/28"), Exempt("2001:db8::1", "home")))
    for value, refused in (
        ("203.0.113.1", True),
        ("203.0.113.0/29", True),
        ("203.0.113.0/24", False),
        ("2001:db8::1", True),
    ):
        assert bool(whitelist_errors(parse_target(value), declared)) is refused, value


def test_this_machines_addresses_are_read_from_the_kernels_own_list(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n"
        "     |-- 203.0.113.4\n        /32 host LOCAL\n     |-- 203.0.113.255\n        /32 link BROADCAST\n"
    )
    (tmp_path / "if_inet6").write_text("20010db8000000000000000000000004 02 40 00 80     eth0\nnonsense\n")
    assert own_addresses(tmp_path) == ["203.0.113.4", "2001:db8::4"]
    assert own_addresses(tmp_path / "nothing") == []
    assert "127.0.0.1" in own_addresses()
