"""Every declared field: what is taken, and in which words the rest is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from argos.edge.decode import decode_document
from argos.edge.model import Block, FixedResponse, Host, Redirect, SecretName, Tls, Upstream
from argos.errors import Invalid
from hypothesis import given
from hypothesis import strategies as st

NAME = "photos.home.example"
UPSTREAM = [{"url": "http://10.0.0.5:2342"}]


def decode_host(raw: object) -> Host:
    return decode_document({"hosts": [raw]}).hosts[0]


def host(**more: Any) -> dict[str, Any]:
    return {"name": NAME, "upstreams": UPSTREAM, **more}


def errors_of(raw: object) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as invalid:
        decode_document(raw)
    return [(error.resource, error.field) for error in invalid.value.errors]


def test_the_documents_example_decodes_and_fills_defaults_in() -> None:
    document = decode_document(
        {
            "owner": "ansible",
            "prune": False,
            "settings": {
                "edge": {
                    "panel_host": "argos.home.example",
                    "parent_domain": "home.example",
                    "tls": {"mode": "internal", "email": ""},
                    "trusted_proxies": [],
                    "auth_proxies": [],
                },
                "session": {"absolute_hours": 168, "idle_hours": 24},
                "crowdsec": {"enabled": True, "lapi_url": "http://127.0.0.1:8080"},
            },
            "hosts": [
                {
                    "name": NAME,
                    "state": "present",
                    "upstreams": [{"url": "http://10.0.0.5:2342", "weight": 1}],
                    "auth": {"required": True},
                    "waf": {"mode": "block", "paranoia": 1, "custom_rules": []},
                    "rate_limit": {"requests": 100, "window": 60},
                    "tls": {"mode": "internal"},
                    "request_headers": {"set": {}, "remove": []},
                    "response_headers": {"set": {}, "remove": []},
                    "rules": [
                        {
                            "priority": 10,
                            "match": {"path": ["/old/*"]},
                            "action": {"type": "redirect", "location": "/new", "status": 308},
                        }
                    ],
                    "access_log": True,
                }
            ],
        }
    )
    (declared,) = document.hosts
    assert declared.rules[0].action == Redirect("/new", 308)
    assert declared.upstreams == (Upstream("http://10.0.0.5:2342", 1),)
    assert decode_host(host()) == Host(name=NAME, upstreams=(Upstream("http://10.0.0.5:2342"),))
    assert decode_document({}) == decode_document(None) == decode_document({"hosts": []})


def test_every_error_of_every_resource_comes_back_together() -> None:
    assert errors_of(
        {
            "hosts": [
                host(upstreams=[{"url": "ftp://x:1"}, {"url": "http://10.0.0.5:80", "weight": 0}]),
                {"name": "Bad_Name"},
                {"name": "b.home.example", "upstream": [], "upstreams": UPSTREAM, "waf": {"paranoia": 9}},
                "nothing",
            ],
            "settings": {"edge": {"panel_host": "x"}, "sesion": {}},
            "ownr": "x",
        }
    ) == [
        ("settings/edge", "panel_host"),
        ("settings/edge", "parent_domain"),
        ("document", "settings.sesion"),
        (f"host/{NAME}", "upstreams[0].url"),
        (f"host/{NAME}", "upstreams[1].weight"),
        ("host/Bad_Name", "name"),
        ("host/Bad_Name", "upstreams"),
        ("host/b.home.example", "waf.paranoia"),
        ("host/b.home.example", "upstream"),
        ("document", "hosts[3]"),
        ("document", "ownr"),
    ]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "localhost"}, "name"),
    ({"name": "a..example"}, "name"),
    ({"name": "PHOTOS.home.example"}, "name"),
    ({"name": "büro.home.example"}, "name"),
    ({"name": "a.*.example"}, "name"),
    ({"name": "*.*.example"}, "name"),
    ({"name": "192.0.2.1"}, "name"),
    ({"name": "-a.example"}, "name"),
    ({"name": "a.example."}, "name"),
    ({"name": "{env.HOME}.example"}, "name"),
    ({"name": "a.example\n"}, "name"),
    ({"name": 7}, "name"),
    ({"state": "gone"}, "state"),
    ({"upstreams": []}, "upstreams"),
    ({"upstreams": "http://10.0.0.5:80"}, "upstreams"),
    ({"upstreams": [None]}, "upstreams[0]"),
    ({"upstreams": [*UPSTREAM, {"url": "https://10.0.0.5:443"}]}, "upstreams"),
    ({"upstreams": UPSTREAM * 65}, "upstreams"),
    ({"auth": {"required": "yes"}}, "auth.required"),
    ({"auth": []}, "auth"),
    ({"waf": {"mode": True}}, "waf.mode"),
    ({"waf": {"paranoia": 0}}, "waf.paranoia"),
    ({"waf": {"paranoia": 1.5}}, "waf.paranoia"),
    ({"waf": {"custom_rules": "SecRule"}}, "waf.custom_rules"),
    ({"rate_limit": {"requests": 0, "window": 1}}, "rate_limit.requests"),
    ({"rate_limit": {"requests": 100_001, "window": 1}}, "rate_limit.requests"),
    ({"rate_limit": {"requests": 1, "window": 3601}}, "rate_limit.window"),
    ({"rate_limit": {"requests": True, "window": 1}}, "rate_limit.requests"),
    ({"tls": {"mode": "dns"}}, "tls.mode"),
    ({"tls": {"email": "nobody"}}, "tls.email"),
    ({"tls": {"email": "{env.HOME}@home.example"}}, "tls.email"),
    ({"tls": {"email": "{file./etc/hostname}@home.example"}}, "tls.email"),
    ({"upstreams": [{"url": "http://[fe80::1%{env.HOME}]:80"}]}, "upstreams[0].url"),
    ({"request_headers": {"set": {"X Y": "1"}}}, "request_headers.set.X Y"),
    ({"request_headers": {"set": {"X-A": "1\r\nX-Auth-User: root"}}}, "request_headers.set.X-A"),
    ({"request_headers": {"set": {"X-A": {"secret": "../x"}}}}, "request_headers.set.X-A.secret"),
    ({"request_headers": {"set": {"X-A": "1", "x-a": "2"}}}, "request_headers.set"),
    ({"response_headers": {"set": {"X-A": {"secret": "x"}}}}, "response_headers.set.X-A"),
    ({"response_headers": {"remove": ["*"]}}, "response_headers.remove[0]"),
    ({"rules": [{"match": {}, "action": {"type": "block"}}]}, "rules[0].priority"),
    ({"rules": [{"priority": 1}]}, "rules[0].action.type"),
    ({"rules": [{"priority": 1, "action": {"type": "block"}}] * 2}, "rules"),
    ({"rules": [{"priority": 1, "action": {"type": "redirect"}}]}, "rules[0].action.location"),
    (
        {"rules": [{"priority": 1, "action": {"type": "redirect", "location": "javascript:1"}}]},
        "rules[0].action.location",
    ),
    (
        {"rules": [{"priority": 1, "action": {"type": "redirect", "location": "/", "status": 303}}]},
        "rules[0].action.status",
    ),
    ({"rules": [{"priority": 1, "action": {"type": "fixed_response", "status": 101}}]}, "rules[0].action.status"),
    ({"rules": [{"priority": 1, "action": {"type": "fixed_response", "body": "é" * 40_000}}]}, "rules[0].action.body"),
    ({"rules": [{"priority": 1, "action": {"type": "block", "body": "x"}}]}, "rules[0].action.body"),
    ({"rules": [{"priority": 1, "match": {"path": ["x"]}, "action": {"type": "block"}}]}, "rules[0].match.path[0]"),
    ({"rules": [{"priority": 1, "match": {"path": ["/["]}, "action": {"type": "block"}}]}, "rules[0].match.path[0]"),
    (
        {"rules": [{"priority": 1, "match": {"path_exact": ["/*"]}, "action": {"type": "block"}}]},
        "rules[0].match.path_exact[0]",
    ),
    (
        {"rules": [{"priority": 1, "match": {"method": ["GET\n"]}, "action": {"type": "block"}}]},
        "rules[0].match.method[0]",
    ),
    (
        {"rules": [{"priority": 1, "match": {"remote_ip": ["10.0.0.1/8"]}, "action": {"type": "block"}}]},
        "rules[0].match.remote_ip[0]",
    ),
    (
        {"rules": [{"priority": 1, "match": {"remote_ip": ["fe80::1%{env.HOME}"]}, "action": {"type": "block"}}]},
        "rules[0].match.remote_ip[0]",
    ),
    ({"access_log": "false"}, "access_log"),
    # What the full model adds.
    ({"upstreams": [{"url": "http://10.0.0.5:80", "max_requests": -1}]}, "upstreams[0].max_requests"),
    ({"proxy": {"algorithm": "first"}}, "proxy.algorithm"),
    ({"proxy": {"health_check": {"interval": 4}}}, "proxy.health_check.interval"),
    ({"proxy": {"health_check": {"interval": 301}}}, "proxy.health_check.interval"),
    ({"proxy": {"health_check": {"timeout": 31}}}, "proxy.health_check.timeout"),
    ({"proxy": {"health_check": {"fails": 11}}}, "proxy.health_check.fails"),
    ({"proxy": {"health_check": {"passes": 0}}}, "proxy.health_check.passes"),
    ({"proxy": {"health_check": {"status": "200,,204"}}}, "proxy.health_check.status"),
    ({"proxy": {"health_check": {"status": "399-200"}}}, "proxy.health_check.status"),
    ({"proxy": {"health_check": {"status": "200-600"}}}, "proxy.health_check.status"),
    ({"proxy": {"health_check": {"status": ",".join(["200"] * 11)}}}, "proxy.health_check.status"),
    ({"proxy": {"health_check": {"path": "/{env.HOME}"}}}, "proxy.health_check.path"),
    ({"proxy": {"health_check": {"path": "health"}}}, "proxy.health_check.path"),
    ({"proxy": {"sticky_cookie": "__Secure-argos_session"}}, "proxy.sticky_cookie"),
    ({"proxy": {"sticky_cookie": "a;b"}}, "proxy.sticky_cookie"),
    ({"proxy": {"verify_tls": False}}, "proxy.verify_tls"),
    ({"proxy": {"timeouts": {"dial": 0}}}, "proxy.timeouts.dial"),
    ({"proxy": {"timeouts": {"respond": 1}}}, "proxy.timeouts.respond"),
    ({"upstreams": [{"url": "https://10.0.0.5:443"}], "proxy": {"trusted_ca": "no PEM"}}, "proxy.trusted_ca"),
    ({"upstreams": [{"url": "https://10.0.0.5:443"}], "proxy": {"h2c": True}}, "proxy.h2c"),
    (
        {"upstreams": [*UPSTREAM, {"url": "http://10.0.0.6:80", "weight": 2}], "proxy": {"algorithm": "random"}},
        "proxy.algorithm",
    ),
    ({"rate_limit": {"requests": 1, "window": 1, "key": "header"}}, "rate_limit.header"),
    ({"rate_limit": {"requests": 1, "window": 1, "header": "X-Key"}}, "rate_limit.header"),
    ({"path_limits": [{"requests": 1, "window": 1}]}, "path_limits[0].path"),
    ({"path_limits": [{"path": ["login"], "requests": 1, "window": 1}]}, "path_limits[0].path[0]"),
    ({"max_concurrent": 0}, "max_concurrent"),
    ({"max_concurrent_per_client": -1}, "max_concurrent_per_client"),
    ({"body_limit": -1}, "body_limit"),
    ({"request_headers": {"add": {"X-Auth-User": "root"}}}, "request_headers.add.X-Auth-User"),
    ({"keep_headers": ["X-Auth-User"]}, "keep_headers[0]"),
    ({"keep_headers": ["x_auth_user"]}, "keep_headers[0]"),
    ({"keep_headers": ["X-Auth.User"]}, "keep_headers[0]"),
    ({"keep_headers": ["argos.host-id"]}, "keep_headers[0]"),
    ({"keep_headers": ["REMOTE_USER"]}, "keep_headers[0]"),
    ({"keep_headers": ["content_type"]}, "keep_headers[0]"),
    ({"keep_headers": ["x_*"]}, "keep_headers[0]"),
    ({"www": "yes"}, "www"),
    ({"name": "www.home.example", "www": "remove"}, "www"),
    ({"name": "*.home.example", "www": "add"}, "www"),
    ({"trailing_slash": True}, "trailing_slash"),
    ({"lan_networks": ["100.64.0.0/10"]}, "lan_networks"),
    ({"maintenance": {"enabled": True, "text": "a\x00b"}}, "maintenance.text"),
    ({"maintenance": {"retry_after": 0}}, "maintenance.retry_after"),
    ({"grpc": True, "compression": True}, "compression"),
    ({"raw_unrestricted": True}, "raw_unrestricted"),
    ({"raw_handlers": [{"body": "x"}]}, "raw_handlers[0]"),
    ({"raw_handlers": [{"handler": "file_server"}]}, "raw_handlers[0]"),
    ({"raw_handlers": [{"handler": "static_response", "body": "{file./etc/hostname}"}]}, "raw_handlers[0]"),
    ({"raw_handlers": [{"handler": "headers", "request": {"set": {"{env.HOME}": ["x"]}}}]}, "raw_handlers[0]"),
    (
        {"raw_handlers": [{"handler": "subroute", "routes": [{"handle": [{"handler": "reverse_proxy"}]}]}]},
        "raw_handlers[0]",
    ),
    (
        {"raw_handlers": [{"handler": "subroute", "routes": [{"match": [{"file": {"root": "/etc"}}], "handle": []}]}]},
        "raw_handlers[0]",
    ),
    *(
        ({"raw_handlers": [{"handler": "subroute", **routes}]}, "raw_handlers[0]")
        for matchers in (
            [{"expression": "ph(req, 'file./run/credentials/x').startsWith('a')"}],
            [{"expression": {"expr": "file({'root': '/etc'})", "name": "x"}}],
            [{"path": ["/a"]}, {"not": [{"expression": "ph(req, 'env.HOME') != ''"}]}],
            [{"not": [{"not": [{"file": {}}]}]}],
            [{"no_such_matcher": {}}],
        )
        for routes in (
            {"routes": [{"match": matchers}]},
            {"ROUTES": [{"Match": matchers}]},  # Caddy reads its own members so too
            {"errors": {"routes": [{"match": matchers}]}},
        )
    ),
    ({"rules": [{"priority": 1, "action": {"type": "forward"}}]}, "rules[0].action.upstreams"),
    (
        {"rules": [{"priority": 1, "action": {"type": "forward", "upstreams": [{"url": "http://127.0.0.1:2019"}]}}]},
        "rules[0].action.upstreams[0].url",
    ),
    ({"rules": [{"priority": 1, "action": {"type": "rewrite"}}]}, "rules[0].action"),
    ({"rules": [{"priority": 1, "action": {"type": "rewrite", "path": "/{env.HOME}"}}]}, "rules[0].action.path"),
    (
        {"rules": [{"priority": 1, "action": {"type": "rewrite", "path": "/a", "add_prefix": "/b"}}]},
        "rules[0].action.path",
    ),
    (
        {"rules": [{"priority": 1, "match": {"host_header": ["A b"]}, "action": {"type": "block"}}]},
        "rules[0].match.host_header[0]",
    ),
]

ELSEWHERE = [
    "{http.request.uri}",
    "{http.request.uri.path}/",
    "/{http.request.uri.path}",
    "/{http.request.host}",
    "//evil.example",
    "/\\evil.example",
    "https://{http.request.uri.query}",
    "https://new.example{http.request.uri.query}",
    "https://new.example{http.request.host}",
    "https://user@new.example/",
    "{http.request.scheme}:{http.request.uri}",
]


@pytest.mark.parametrize("location", ELSEWHERE)
def test_a_redirect_in_which_a_visitor_could_choose_the_host_is_refused(location: str) -> None:
    """``GET //evil.example/`` is a request that anybody's link can make."""
    rules = [{"priority": 1, "action": {"type": "redirect", "location": location}}]
    assert errors_of({"hosts": [host(rules=rules)]}) == [(f"host/{NAME}", "rules[0].action.location")]


@pytest.mark.parametrize(
    "location",
    [
        "/",
        "/new",
        "/new{http.request.uri}",
        "https://new.example",
        "https://new.example:8443/a?b={http.request.uri.query}",
        "https://new.example{http.request.uri}",
        "https://[2001:db8::1]/x",
        "{http.request.scheme}://{http.request.host}{http.request.uri.path}/",
    ],
)
def test_a_redirect_to_a_place_of_the_operators_is_taken(location: str) -> None:
    rules = [{"priority": 1, "action": {"type": "redirect", "location": location}}]
    assert decode_host(host(rules=rules)).rules[0].action == Redirect(location)


@pytest.mark.parametrize(("bad", "field"), REFUSED)
def test_a_wrong_field_is_named(bad: dict[str, Any], field: str) -> None:
    assert [named for _unused, named in errors_of({"hosts": [host(**bad)]})] == [field]


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.5",
        "http://10.0.0.5:2342/path",
        "http://10.0.0.5:2342?x",
        "http://user:pass@10.0.0.5:80",
        "http://:80",
        "http://10.0.0.5:0",
        "http://10.0.0.5:65536",
        "unix//run/argos-gate/gate.sock",
        "http+unix://x:1",
        "http://127.0.0.1:8080",
        "http://127.9.9.9:8080",
        "http://localhost:2019",
        "http://LOCALHOST:2019",
        "http://localhost.:2019",
        "http://a.localhost:8080",
        "http://ip6-localhost:8080",
        "http://ip6-loopback:8080",
        "http://0.0.0.0:8080",
        "http://[::1]:8080",
        "http://[::]:9080",
        "http://[::ffff:127.0.0.1]:8080",
        "http://127.1:8080",
        "http://2130706433:8080",
        "http://0x7f000001:8080",
        "http://0177.0.0.1:8080",
        "http://{env.HOME}:80",
        "http://a b:80",
        "http://a\n:80",
        "HTTP://10.0.0.5:80",
        "",
    ],
)
def test_an_upstream_that_is_ours_or_no_server_is_refused(url: str) -> None:
    assert errors_of({"hosts": [host(upstreams=[{"url": url}])]}) == [(f"host/{NAME}", "upstreams[0].url")]


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.5:80", "https://nas.lan:8443", "http://nas:80", "http://[fd00::1]:80", "http://127.0.0.1:3000"],
)
def test_an_upstream_with_a_host_and_a_port_is_taken(url: str) -> None:
    assert decode_host(host(upstreams=[{"url": url}])).upstreams[0].url == url


@pytest.mark.threat("FWD-1")
@pytest.mark.parametrize(
    "name",
    [
        "X-Auth-User",
        "x_auth_user",
        "X-AUTH-EMAIL",
        "Argos-Host-Id",
        "argos_client_ip",
        "Remote-User",
        "Remote_User",
        "Connection",
        "Transfer-Encoding",
        "Content-Length",
        "Upgrade",
        "TE",
        "Cookie",
        "Set-Cookie",
        "X-Forwarded-For",
        "Forwarded",
        "Strict-Transport-Security",
        "X-Auth*",
        "",
    ],
)
def test_headers_of_the_edge_and_of_the_connection_cannot_be_declared(name: str) -> None:
    for where in ("request_headers", "response_headers"):
        assert errors_of({"hosts": [host(**{where: {"set": {name: "1"}}})]}) == [
            (f"host/{NAME}", f"{where}.set.{name}")
        ]
        assert errors_of({"hosts": [host(**{where: {"remove": [name]}})]}) == [(f"host/{NAME}", f"{where}.remove[0]")]


GOOD_RULE = 'SecRule ARGS:q "@rx ^a{2}$" "id:100001,phase:2,deny,status:403"'


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "SecRuleEngine Off",
        "Include /etc/passwd",
        'SecRule ARGS "@rx a"',
        'SecRule ARGS "@rx a" "phase:2,deny"',
        'SecRule ARGS "@rx id:100001" "phase:2,deny"',
        'SecRule ARGS "@rx a" "id:1,deny"',
        'SecRule ARGS "@rx a" "id:900001,deny"',
        'SecRule ARGS "@rx a" "id:99999,deny"',
        'SecRule ARGS "@rx a" "id:100001,id:100002,deny"',
        f"{GOOD_RULE}\nSecRuleEngine Off",
        f"{GOOD_RULE}\r\nSecRuleEngine Off",
        f"{GOOD_RULE}\x85SecRuleEngine Off",
        f"{GOOD_RULE}\u2028SecRuleEngine Off",
        f"{GOOD_RULE} \\",
        'SecRule ARGS "@rx a" "id:100001,deny',
        'SecRule ARGS "@pmFromFile /etc/passwd" "id:100001,deny"',
        'SecRule ARGS "@PMFROMFILE /etc/passwd" "id:100001,deny"',
        'SecRule ARGS "!@pmf /etc/passwd" "id:100001,deny"',
        'SecRule REMOTE_ADDR "@ipMatchFromFile /x" "id:100001,deny"',
        'SecRule FILES_TMPNAMES "@inspectFile /bin/sh" "id:100001,deny"',
        'SecRule REMOTE_ADDR "@rbl x.example" "id:100001,deny"',
        'SecAction "id:100001,exec:/bin/sh"',
        'SecAction "id:100001,phase:1,ctl:ruleEngine=Off"',
        'SecRule ARGS "@rx a" "id:100001,chain"',
        'SecAction "id:100001,skipAfter:END"',
        'SecAction "id:100001,redirect:https://x.example"',
        "x" * 4097,
    ],
)
def test_a_custom_rule_is_one_rule_with_an_id_and_reaches_nothing_outside(rule: str) -> None:
    assert errors_of({"hosts": [host(waf={"mode": "block", "custom_rules": [rule]})]}) == [
        (f"host/{NAME}", "waf.custom_rules[0]")
    ]


def test_custom_rules_that_are_sound_are_taken_and_ids_are_used_once() -> None:
    exclusion = 'SecRule REQUEST_URI "@beginsWith /api" "id:100002,phase:1,pass,nolog,ctl:ruleRemoveById=942100"'
    assert decode_host(host(waf={"custom_rules": [GOOD_RULE, exclusion]})).waf.custom_rules == (GOOD_RULE, exclusion)
    assert errors_of({"hosts": [host(waf={"custom_rules": [GOOD_RULE, GOOD_RULE]})]}) == [
        (f"host/{NAME}", "waf.custom_rules")
    ]


def test_yamls_bare_off_is_off() -> None:
    declared = decode_host(host(waf={"mode": False}, tls={"mode": False}))
    assert declared.waf.mode == "off"
    assert declared.tls == Tls("off")


def test_an_unknown_field_comes_with_the_nearest_known_one() -> None:
    with pytest.raises(Invalid, match=r"host/photos\.home\.example: upstream: is not a known field.*upstreams"):
        decode_document({"hosts": [host(upstream=[])]})


def test_duplicates_prune_without_an_owner_and_too_many_hosts_are_refused() -> None:
    assert errors_of({"hosts": [host(), host()]}) == [(f"host/{NAME}", "name")]
    assert errors_of({"prune": True}) == [("document", "prune")]
    assert errors_of({"hosts": [host()] * 5001}) == [("document", "hosts")]
    assert errors_of([]) == [("document", "")]
    assert errors_of({"settings": {"session": {"absolute_hours": 5, "idle_hours": 6}}}) == [
        ("settings/session", "idle_hours")
    ]
    assert errors_of({"settings": {"crowdsec": {"lapi_url": "http://{env.HOME}:1"}}}) == [
        ("settings/crowdsec", "lapi_url")
    ]


def test_an_absent_host_needs_only_its_name_and_rules_alone_can_answer() -> None:
    assert decode_host({"name": NAME, "state": "absent"}).state == "absent"
    rules = [
        {"priority": 2, "action": {"type": "block"}},
        {"priority": 1, "match": {"header": {"X-A": "1"}}, "action": {"type": "fixed_response", "body": "x"}},
    ]
    declared = decode_host({"name": NAME, "rules": rules})
    assert [rule.action for rule in declared.rules] == [FixedResponse(body="x"), Block()]
    assert declared.rules[0].match.header == {"X-A": ("1",)}
    named = decode_host(host(request_headers={"set": {"Authorization": {"secret": "token"}}}))
    assert named.request_headers.set == {"Authorization": SecretName("token")}
    assert named.secret_names() == {"token"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(
    [*Host.__struct_fields__, "settings", "hosts", "edge", "owner", "prune", "url", "mode", "type"]
)


@given(st.recursive(JSON, lambda inner: st.dictionaries(FIELDS, inner, max_size=6) | st.lists(inner, max_size=3)))
def test_no_input_does_worse_than_being_refused(raw: object) -> None:
    for document in (raw, {"hosts": [raw], "settings": raw}):
        with contextlib.suppress(Invalid):
            decode_document(document)
