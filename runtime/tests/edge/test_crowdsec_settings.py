"""``settings/crowdsec``: where LAPI may be, and whom no decision stops."""

from __future__ import annotations

from typing import Any

import pytest
from argos.edge.context import RenderContext
from argos.edge.decode import decode_document
from argos.edge.model import CrowdsecSettings, Exempt
from argos.edge.plan import State, plan
from argos.edge.render import render
from argos.errors import Invalid


def decoded(**crowdsec: Any) -> CrowdsecSettings:
    found = decode_document({"settings": {"crowdsec": crowdsec}}).settings.crowdsec
    assert found is not None
    return found


def refused(**crowdsec: Any) -> list[str]:
    with pytest.raises(Invalid) as error:
        decoded(**crowdsec)
    return [one.field for one in error.value.errors]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "http://localhost:8080",
        "https://lapi.home.example:8443",
        "https://10.0.0.9:8080",
    ],
)
def test_lapi_is_on_this_machine_or_behind_tls(url: str) -> None:
    assert decoded(lapi_url=url).lapi_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.9:8080",
        "http://lapi.home.example:8080",
        "http://169.254.169.254:80",
        "https://lapi.home.example",
        "https://user:word@lapi.home.example:1",
        "https://lapi.home.example:70000",
        "https://lapi.home.example:1/path",
        "https://lapi.home.example:1?x",
        "http://127.0.0.1:8080\n",
        "http://127.0.0.1:8080\r\nX: y",
        "file:///etc/shadow",
        "http://127.0.0.1.evil.example:8080",
    ],
)
def test_any_other_place_is_refused_as_credentials_go_there(url: str) -> None:
    assert refused(lapi_url=url) == ["lapi_url"]


def test_the_whitelist_is_read_and_every_mistake_in_it_named() -> None:
    whitelist = [{"value": "203.0.113.7", "reason": "my office"}, {"value": "2001:db8::/48"}]
    assert decoded(whitelist=whitelist).whitelist == (Exempt("203.0.113.7", "my office"), Exempt("2001:db8::/48"))
    wrong = [
        {"value": "203.0.113.7/24"},
        {"value": "0.0.0.0/0"},
        {"value": "fe80::1%eth0"},
        {"reason": "nothing"},
        {"value": "203.0.113.9", "reason": "a\nb"},
        {"value": "{env.HOME}"},
        "203.0.113.10",
    ]
    assert refused(whitelist=wrong) == [
        "whitelist[0].value",
        "whitelist[1].value",
        "whitelist[2].value",
        "whitelist[3].value",
        "whitelist[4].reason",
        "whitelist[5].value",
        "whitelist[6]",
    ]
    assert refused(whitelist=[{"value": "203.0.113.7"}, {"value": "203.0.113.7"}]) == ["whitelist"]
    assert refused(whitelist=[{"value": "203.0.113.7"}] * 1001) == ["whitelist"]


def test_the_bouncer_is_told_the_whitelist_and_only_where_there_is_one() -> None:
    document = decode_document({"settings": {"crowdsec": {"whitelist": [{"value": "203.0.113.0/28", "reason": "x"}]}}})
    app = render(plan(State(), document).state, RenderContext())["apps"]["crowdsec"]
    assert app["allow"] == ["203.0.113.0/28"]
    assert "allow" not in render(State(), RenderContext())["apps"]["crowdsec"]
