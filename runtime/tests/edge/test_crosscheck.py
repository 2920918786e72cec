"""Rules between resources."""

from __future__ import annotations

from typing import Any

import pytest
from argos.edge.crosscheck import Mode, crosscheck
from argos.edge.decode import decode_document
from argos.edge.plan import State, plan

EDGE = {"panel_host": "argos.home.example", "parent_domain": "home.example"}


def errors_of(
    hosts: list[dict[str, Any]], edge: dict[str, Any] | None = None, mode: Mode = "behind_caddy", **more: Any
) -> list[tuple[str, str]]:
    settings = {"edge": {**EDGE, **(edge or {})}, **more}
    state = plan(State(), decode_document({"settings": settings, "hosts": hosts})).state
    return [(error.resource, error.field) for error in crosscheck(state, mode, ["known"], {9080, 2019})]


def host(name: str = "a.home.example", **more: Any) -> dict[str, Any]:
    return {"name": name, "upstreams": [{"url": "http://10.0.0.5:80"}], **more}


GUARDED = {"auth": {"required": True}}


def test_hosts_without_settings_get_one_clear_error() -> None:
    state = plan(State(), decode_document({"hosts": [host(), host("b.home.example", **GUARDED)]})).state
    (error,) = crosscheck(state, "behind_caddy")
    assert (error.resource, error.problem) == ("settings/edge", "is not declared")
    assert crosscheck(State(), "behind_caddy") == []


def test_a_sound_state_has_no_errors() -> None:
    assert errors_of([host(), host("b.home.example", **GUARDED), host("*.home.example", **GUARDED)]) == []
    assert errors_of([host("other.example"), host("home.example", **GUARDED)]) == []


@pytest.mark.parametrize("parent", ["co.uk", "com", "github.io", "home.arpa"])
def test_a_public_suffix_is_no_parent_domain(parent: str) -> None:
    raw = {"panel_host": f"argos.{parent}", "parent_domain": parent}
    if "." not in parent:
        with pytest.raises(Exception, match="no domain"):
            errors_of([], raw)
    else:
        assert errors_of([], raw) == [("settings/edge", "parent_domain")]


@pytest.mark.parametrize("panel", ["argos.other.example", "home.example", "evilhome.example", "a.xhome.example"])
def test_the_panel_stands_below_the_parent_domain(panel: str) -> None:
    assert errors_of([], {"panel_host": panel}) == [("settings/edge", "panel_host")]


@pytest.mark.parametrize("name", ["a.other.example", "xhome.example", "example.home"])
def test_a_protected_host_outside_the_cookies_domain_is_refused(name: str) -> None:
    assert errors_of([host(name, **GUARDED)]) == [(f"host/{name}", "auth.required")]
    assert errors_of([host(name)]) == []


def test_the_panels_name_is_no_hosts() -> None:
    assert errors_of([host("argos.home.example")]) == [("host/argos.home.example", "name")]


def test_sign_on_without_tls_needs_a_trusted_proxy_in_front() -> None:
    off = {"tls": {"mode": "off"}}
    assert errors_of([host(**GUARDED, **off)]) == [("host/a.home.example", "tls.mode")]
    assert errors_of([host(**off)]) == []
    assert errors_of([host(**GUARDED, **off)], {"trusted_proxies": ["10.0.0.1"]}) == []
    assert errors_of([host(**GUARDED, **off)], mode="lan") == []
    assert errors_of([], off) == [("settings/edge", "tls.mode")]
    assert errors_of([host(**GUARDED)], off) == [("settings/edge", "tls.mode"), ("host/a.home.example", "tls.mode")]


def test_a_wildcard_with_acme_needs_a_dns_challenge() -> None:
    assert errors_of([host("*.home.example", tls={"mode": "auto"})]) == [("host/*.home.example", "tls.challenge")]
    assert errors_of([host("*.home.example")], {"tls": {"mode": "auto"}}) == [("host/*.home.example", "tls.challenge")]


def test_a_secret_that_has_no_value_is_named() -> None:
    named = {"set": {"X-A": {"secret": "known"}, "X-B": {"secret": "unknown"}}}
    assert errors_of([host(request_headers=named)]) == [("host/a.home.example", "request_headers.set.X-B.secret")]


def test_an_upstream_on_the_declared_lapi_or_our_ports_is_refused() -> None:
    declared = [{"url": "http://127.0.0.1:6060"}, {"url": "http://10.0.0.5:6060"}]
    one = {"name": "a.home.example", "upstreams": declared}
    crowdsec = {"lapi_url": "http://127.0.0.1:6060"}
    assert errors_of([one], crowdsec=crowdsec) == [("host/a.home.example", "upstreams[0].url")]
    assert errors_of([one]) == []


def test_in_lan_the_panel_is_no_upstream_by_the_machines_own_address_either() -> None:
    declared = {"name": "a.home.example", "upstreams": [{"url": "http://192.0.2.7:9080"}]}
    state = plan(State(), decode_document({"settings": {"edge": EDGE}, "hosts": [declared]})).state
    at = [("192.0.2.7", 9080), ("2001:db8::7", 9080)]
    assert [error.field for error in crosscheck(state, "lan", panel_at=at)] == ["upstreams[0].url"]
    assert crosscheck(state, "lan", panel_at=at[1:]) == []


def test_a_rule_must_not_forward_to_our_own_services_either() -> None:
    crowdsec = {"lapi_url": "http://127.0.0.1:6060"}
    action = {"type": "forward", "upstreams": [{"url": "http://10.0.0.5:80"}, {"url": "http://localhost:6060"}]}
    declared = host(rules=[{"priority": 7, "action": action}])
    place = "rules[priority 7].action.upstreams[1].url"
    assert errors_of([declared], crowdsec=crowdsec) == [("host/a.home.example", place)]


def test_the_second_name_of_www_is_nobody_elses() -> None:
    assert errors_of([host(www="add"), host("www.a.home.example")]) == [("host/a.home.example", "www")]
    assert errors_of([host("home.example", www="remove")], {"panel_host": "www.home.example"}) == [
        ("host/home.example", "www")
    ]
    assert errors_of([host(www="add"), host("*.a.home.example")]) == []
