"""A host's form: opening and saving it changes nothing, and what is typed means what the page says."""

from __future__ import annotations

from typing import Any

import pytest
from argos.edge.decode import decode_document
from argos.edge.model import EdgeSettings, Host, spec_of
from argos.errors import Conflict, Invalid
from argos.panel import host_form
from argos.panel.moments import Moment, relative
from argos.panel.problems import Problems

EDGE = EdgeSettings(panel_host="argos.home.example", parent_domain="home.example")
UPSTREAM = {"url": "http://10.0.0.5:2342"}
DECLARED: dict[str, dict[str, Any]] = {
    "plain": {},
    "guarded": {"auth": {"required": True, "groups": ["family"], "users": ["alice"], "second_factor": "required"}},
    "with emails": {"auth": {"required": True, "emails": ["alice@home.example"], "paths": [
        {"path": "/health", "access": "public"}]}},
    "own waf": {"waf": {"mode": "block", "paranoia": 3, "custom_rules": [
        'SecRule ARGS "@contains x" "id:100001,phase:2,deny"'], "exclusions": [{"id": 942100, "path": "/save"}]}},
    "policy": {"waf": {"policy": "strict"}},
    "policy that only watches": {"waf": {"policy": "strict", "mode": "detect"}},
    "limits": {"rate_limit": {"requests": 50, "window": 10, "key": "header", "header": "X-Api-Key"}, "grpc": True},
    "own network": {"lan_only": True, "lan_networks": ["203.0.113.0/24"]},
    "maintenance": {"maintenance": {"enabled": True, "text": "Back\nat nine.", "retry_after": 60}},
    "weights": {"upstreams": [{"url": "https://10.0.0.5:1", "weight": 3}, {"url": "https://10.0.0.6:1"}],
                "proxy": {"verify_tls": False, "timeouts": {"dial": 9}}},
    "rules": {"upstreams": [], "rules": [{"priority": 1, "match": {"path": ["/"]}, "action": {"type": "block"}}]},
}  # fmt: skip


def host(**declared: Any) -> Host:
    raw = {"name": "photos.home.example", "upstreams": [UPSTREAM], **declared}
    return decode_document({"hosts": [raw]}).hosts[0]


def saved(stored: Host | None, **typed: str) -> Host:
    """What the form means when ``typed`` is typed over what it showed."""
    shown = host_form.form_of(stored) if stored else host_form.blank("argos.home.example")
    document = host_form.document_of(host_form.posted({**shown, **typed}), stored, "panel", EDGE)
    return decode_document(document).hosts[0]


@pytest.mark.parametrize("name", DECLARED)
def test_opening_and_saving_changes_nothing(name: str) -> None:
    stored = host(**DECLARED[name])
    assert spec_of(saved(stored)) == spec_of(stored)


@pytest.mark.parametrize("name", DECLARED)
def test_one_field_changes_nothing_else(name: str) -> None:
    stored = host(**DECLARED[name])
    changed = spec_of(saved(stored, requests="7", window="", upstreams=host_form.form_of(stored)["upstreams"]))
    limit = {"key": "ip", "header": "", **(spec_of(stored)["rate_limit"] or {}), "requests": 7, "window": 60}
    assert changed == {**spec_of(stored), "rate_limit": limit}


def test_what_is_typed_means_what_the_page_says() -> None:
    made = saved(None, name=" Photos.Home.Example ", upstreams="10.0.0.5:80\r\n\r\nhttp://10.0.0.6:80/\r\n")
    assert made.name == "photos.home.example"
    assert [upstream.url for upstream in made.upstreams] == ["http://10.0.0.5:80", "http://10.0.0.6:80"]
    assert (made.auth.required, made.waf.mode) == (True, "detect"), "a new host is closed, and watched"
    opened = saved(host(**DECLARED["with emails"]), access="public")
    assert spec_of(opened.auth) == spec_of(host().auth), "nothing is left that would close it"
    named = saved(host(**DECLARED["own network"]), waf_mode="policy", waf_policy="strict", paranoia="4", lan_only="")
    assert (named.waf.policy, named.waf.mode, named.waf.paranoia) == ("strict", "policy", 1)
    assert named.lan_networks == ()
    assert saved(host(**DECLARED["limits"]), requests="", window="").rate_limit is None
    two = saved(host(**DECLARED["weights"]), upstreams="https://10.0.0.6:1\nhttps://10.0.0.5:1")
    assert [(upstream.url[-3:], upstream.weight) for upstream in two.upstreams] == [("6:1", 1), ("5:1", 3)]


def test_each_mistake_stands_beside_its_field() -> None:
    typed = {
        "name": "",
        "upstreams": "10.0.0.5",
        "requests": "²",
        "waf_mode": "policy",
        "paranoia": "9",
        "groups": "A!",
    }
    with pytest.raises(Invalid) as caught:
        saved(None, **typed)
    problems = Problems.of(caught.value, host_form.PLACES)
    for name in ("name", "upstreams", "requests", "waf_mode", "paranoia", "groups"):
        assert problems.at(name), name
    assert "Upstreams is 'http://10.0.0.5', which lacks a host or a port; expected: " in problems.at("upstreams")
    other = Problems.of(Conflict("The word is hunter2."), scrub=lambda text: text.replace("hunter2", "***"))
    assert [(one.text, one.field) for one in other.found] == [("The word is ***.", "")]


def test_an_edge_without_names_gets_them_from_the_first_form() -> None:
    typed = host_form.posted(
        {**host_form.blank("Argos.Home.example"), "name": "a.home.example", "upstreams": "10.0.0.5:1"}
    )
    settings = decode_document(host_form.document_of(typed, None, "panel", None)).settings.edge
    assert settings is not None
    assert (settings.panel_host, settings.parent_domain) == ("argos.home.example", "home.example")
    assert host_form.blank("192.0.2.10")["panel_host"] == "", "an address is no name"


def test_what_no_field_shows_is_told_without_its_defaults() -> None:
    assert host_form.beyond(host(**DECLARED["guarded"])) == {}
    assert host_form.beyond(host(**DECLARED["weights"])) == {
        "proxy": {"timeouts": {"dial": 9}},
        "upstreams": [
            {"url": "https://10.0.0.5:1", "weight": 3, "max_requests": 0},
            {"url": "https://10.0.0.6:1", "weight": 1, "max_requests": 0},
        ],
    }
    assert host_form.beyond(host(**DECLARED["with emails"]))["auth"]["emails"] == ["alice@home.example"]
    assert host_form.beyond(host(**DECLARED["maintenance"])) == {"maintenance": {"retry_after": 60}}


def test_an_exclusion_is_taken_back_by_its_place() -> None:
    stored = host(**DECLARED["own waf"])
    document = host_form.without_exclusion(stored, "panel", 0)
    assert document is not None
    assert decode_document(document).hosts[0].waf.exclusions == ()
    assert host_form.without_exclusion(stored, "panel", 1) is None
    assert host_form.without_exclusion(stored, "panel", -1) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (59, "just now"),
        (-60, "1 minute ago"),
        (7_300, "in 2 hours"),
        (-86_400, "24 hours ago"),
        (2 * 86_400, "in 2 days"),
    ],
)
def test_how_far_away_a_moment_is(seconds: int, words: str) -> None:
    assert relative(seconds) == words
    moment = Moment.of(1_800_000_000 + seconds, 1_800_000_000)
    assert moment.relative == words
    assert moment.iso.endswith("Z")
    assert moment.text.endswith(" UTC")
