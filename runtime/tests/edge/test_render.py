"""The rendering, as a function of values."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from argos.edge import client_network, cookies
from argos.edge.context import RenderContext
from argos.edge.decode import decode_document
from argos.edge.model import FixedResponse, Headers, Host, Match, Redirect, Rule, Upstream
from argos.edge.placeholders import ALLOWED, literal_text, operator_text
from argos.edge.plan import State, plan
from argos.edge.render import render
from hypothesis import given
from hypothesis import strategies as st

EDGE = {"panel_host": "argos.home.example", "parent_domain": "home.example"}
CONTEXT = RenderContext()


def host(name: str = "a.home.example", **more: Any) -> dict[str, Any]:
    return {"name": name, "upstreams": [{"url": "http://10.0.0.5:80"}], **more}


def state_of(*hosts: dict[str, Any], **settings: Any) -> State:
    edge = {**EDGE, **settings.pop("edge", {})}
    return plan(State(), decode_document({"settings": {"edge": edge, **settings}, "hosts": list(hosts)})).state


def rendered(*hosts: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return render(state_of(*hosts, **settings), CONTEXT)


def handlers(value: Any, name: str | None = None) -> Iterator[dict[str, Any]]:
    """Every handler within a rendering, in order."""
    if isinstance(value, dict):
        if "handler" in value and (name is None or value["handler"] == name):
            yield value
        for inner in value.values():
            yield from handlers(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from handlers(inner, name)


def servers(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["apps"]["http"]["servers"]
    return found


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("state", [State(), state_of(), state_of(host(auth={"required": True}))])
def test_the_admin_block_and_the_file_log_are_always_there(state: State, fallback: bool) -> None:
    config = render(state, CONTEXT, fallback=fallback)
    assert config["admin"] == {"listen": "unix//run/argos-caddy/admin.sock|0660", "config": {"persist": False}}
    assert config["logging"]["logs"]["access"]["writer"]["output"] == "file"
    assert '"net"' not in json.dumps(config["logging"])
    assert config["apps"]["pki"]["certificate_authorities"]["local"]["install_trust"] is False


@pytest.mark.threat("ING-3")
def test_crowdsec_comes_right_after_the_strip_on_every_server() -> None:
    for server in servers(rendered(host())).values():
        first, *_unused = server["routes"]
        assert [handler["handler"] for handler in first["handle"]][:3] == ["headers", "drop_trailers", "crowdsec"]
        assert "match" not in first
        assert server["trusted_proxies_strict"] == 1
    assert rendered(host())["apps"]["crowdsec"] == {
        "api_url": "http://127.0.0.1:8080",
        "api_key": "{file./run/argos-credentials/crowdsec-bouncer-key}",
        "interval": "10s",
        "state_file": "/var/lib/argos-caddy/crowdsec/decisions.json",
    }
    off = rendered(host(), crowdsec={"enabled": False})
    assert "crowdsec" not in off["apps"]
    assert not list(handlers(off, "crowdsec"))


@pytest.mark.threat("ING-5")
def test_cloudflare_stands_for_the_ranges_it_publishes_beside_ones_own() -> None:
    config = rendered(host(), edge={"trusted_proxies": ["cloudflare", "10.0.0.0/8"]})
    for server in servers(config).values():
        ranges = [ipaddress.ip_network(text) for text in server["trusted_proxies"]["ranges"]]
        assert ipaddress.ip_network("10.0.0.0/8") in ranges
        assert any(ipaddress.ip_address("104.16.1.2") in network for network in ranges)
        assert any(ipaddress.ip_address("2606:4700::1") in network for network in ranges)
        assert not any(ipaddress.ip_address("203.0.113.1") in network for network in ranges)
        assert server["trusted_proxies_strict"] == 1


def test_a_hosts_second_name_has_a_certificate_and_the_same_log_switch() -> None:
    config = rendered(host("blog.home.example", www="add", access_log=False))
    assert {"blog.home.example", "www.blog.home.example"} <= set(config["apps"]["tls"]["certificates"]["automate"])
    names = hosts_of(servers(config)["edge"])
    assert sorted(names) == ["blog.home.example", "www.blog.home.example"]
    assert all('"log_skip": true' in json.dumps(routes) for routes in names.values())


def test_what_began_under_an_old_configuration_goes_on_for_hours() -> None:
    config = rendered(host())
    (proxy,) = [handler for handler in handlers(config, "reverse_proxy") if "stream_close_delay" in handler]
    assert (config["apps"]["http"]["grace_period"], proxy["stream_close_delay"]) == ("8h", "8h")


def test_one_client_has_a_share_of_a_hosts_slots() -> None:
    def slots(**more: Any) -> dict[str, Any]:
        (found,) = [found for found in handlers(rendered(host(**more)), "host_slots") if found["host"] != "panel"]
        return found

    assert slots() == {"handler": "host_slots", "host": "a.home.example", "limit": 512, "per_client": 256}
    assert slots(max_concurrent_per_client=8)["per_client"] == 8
    assert "per_client" not in slots(max_concurrent_per_client=0)
    assert "per_client" not in slots(max_concurrent=256)


def test_guards_stand_in_their_order() -> None:
    everything = host(
        auth={"required": True},
        waf={"mode": "block"},
        rate_limit={"requests": 1, "window": 1},
        rules=[{"priority": 1, "match": {"path": ["/x"]}, "action": {"type": "block"}}],
    )
    found = handlers(servers(rendered(everything))["edge"]["routes"])
    names = [handler["name"] if handler["handler"] == "invoke" else handler["handler"] for handler in found]
    order = ["crowdsec", "rate_limit", "waf", "gate", cookies.NAMED_ROUTE, "error", "reverse_proxy"]
    of_host = names[names.index("host_map") :]  # after the panel's
    positions = [names.index("crowdsec")] + [of_host.index(name) for name in order[1:]]
    assert positions[1:] == sorted(positions[1:])
    assert names.index("crowdsec") < names.index("rate_limit")


def test_what_all_hosts_do_alike_stands_once() -> None:
    """A thousand hosts are Caddy's to decode at each change: a kilobyte each is a megabyte (docs/performance.md)."""

    def size(hosts: int) -> int:
        guarded = {"auth": {"required": True}, "waf": {"mode": "block"}, "rate_limit": {"requests": 1, "window": 1}}
        return len(json.dumps(rendered(*(host(f"h{number:03}.home.example", **guarded) for number in range(hosts)))))

    assert (size(40) - size(20)) / 20 < 1700


def test_every_handlers_identity_is_the_hosts_own() -> None:
    config = rendered(host("a.home.example", auth={"required": True}), host("b.home.example"))
    proxies = {
        proxy["upstreams"][0]["dial"]: proxy["headers"]["request"]
        for proxy in handlers(servers(config)["edge"]["routes"], "reverse_proxy")
    }
    assert "X-Auth-User" not in str(proxies["unix//run/argos-panel/panel.sock"])
    both = [
        proxy["headers"]["request"]
        for proxy in handlers(servers(config)["edge"]["routes"], "reverse_proxy")
        if proxy["upstreams"][0]["dial"] == "10.0.0.5:80"
    ]
    assert sorted("X-Auth-User" in operations["set"] for operations in both) == [False, True]
    assert sorted("X-Auth-*" in operations["delete"] for operations in both) == [False, True]


def hosts_of(server: dict[str, Any]) -> dict[str, Any]:
    """The routes of each name on a server."""
    (found,) = [handler["hosts"] for handler in handlers(server["routes"], "host_map")]
    return dict(found)


def test_a_thousand_hosts_are_found_by_their_name() -> None:
    names = ["*.home.example", *(f"h{number}.home.example" for number in range(1000))]
    server = servers(rendered(*(host(name) for name in names)))["edge"]
    assert len(server["routes"]) == 4, "the entrance, the panel, the hosts, and who is no host"
    assert sorted(hosts_of(server)) == sorted(names)


@pytest.mark.threat("ING-6")
def test_a_wildcard_without_tls_answers_for_no_name_that_has_tls() -> None:
    wild = host("*.home.example", tls={"mode": "off"})
    config = rendered(wild, host("a.home.example"), host("b.home.example", tls={"mode": "off"}))
    plain = hosts_of(servers(config)["plain"])
    assert sorted(plain) == ["*.home.example", "a.home.example", "argos.home.example", "b.home.example"]
    moved = {name for name, routes in plain.items() if "https://{http.request.host}" in json.dumps(routes)}
    assert moved == {"a.home.example", "argos.home.example"}


def test_tls_off_is_served_on_port_80_and_the_rest_is_redirected() -> None:
    config = rendered(
        host(), host("plain.home.example", tls={"mode": "off"}), host("le.home.example", tls={"mode": "auto"})
    )
    plain = hosts_of(servers(config)["plain"])
    assert "reverse_proxy" in json.dumps(plain.pop("plain.home.example"))
    assert sorted(plain) == ["a.home.example", "argos.home.example", "le.home.example"]
    assert all("https://{http.request.host}" in json.dumps(routes) for routes in plain.values())
    assert config["apps"]["tls"]["certificates"]["automate"] == [
        "a.home.example",
        "argos.home.example",
        "le.home.example",
        "unconfigured.invalid",
    ]
    assert config["apps"]["tls"]["automation"]["policies"] == [
        {
            "subjects": ["unconfigured.invalid", "a.home.example", "argos.home.example"],
            "issuers": [{"module": "internal"}],
        },
        {
            "subjects": ["le.home.example"],
            "issuers": [
                {
                    "module": "acme",
                    "challenges": {"http": {"alternate_port": 80}, "tls-alpn": {"disabled": True}},
                }
            ],
        },
    ]


@pytest.mark.threat("ING-6")
def test_lan_has_no_hsts_and_no_panel() -> None:
    config = render(state_of(host(auth={"required": True})), RenderContext(mode="lan"))
    assert "Strict-Transport-Security" not in json.dumps(config)
    assert "panel.sock" not in json.dumps(config)
    assert RenderContext(mode="lan").panel_url("argos.home.example") == "http://argos.home.example:9080"
    assert RenderContext(mode="lan").edge_cookie == "argos_session"
    assert RenderContext().panel_url("argos.home.example") == "https://argos.home.example"


@pytest.mark.threat("LOG-3")
def test_forwarded_headers_are_copied_for_auth_proxies_only() -> None:
    assert "Argos-Forwarded" not in json.dumps(rendered())
    config = rendered(edge={"auth_proxies": ["10.0.0.0/8"]})
    (route,) = [
        route
        for panel in servers(config)["edge"]["routes"]
        if "match" in panel
        for route in panel["handle"][0].get("routes", [])
        if "Argos-Forwarded" in json.dumps(route)
    ]
    assert route["match"] == [{"path": ["/api/auth/forward"], "remote_ip": {"ranges": ["10.0.0.0/8"]}}]


def test_the_fallback_differs_only_where_a_secret_is_named() -> None:
    named = host("named.home.example", request_headers={"set": {"Authorization": {"secret": "token"}}})
    state = state_of(host(), named)
    full, fallback = json.dumps(render(state, CONTEXT)), json.dumps(render(state, CONTEXT, fallback=True))
    assert "{file./run/argos-credentials/secret-token}" in full
    assert "secret-token" not in fallback
    assert '"status_code": 503' in fallback
    without = state_of(host())
    assert render(without, CONTEXT, fallback=True) == render(without, CONTEXT)


# Placeholders --------------------------------------------------------------------------------------------------------


def caddy_replaces(text: str) -> str:
    """Caddy 2.11's replacer (replacer.go), with each placeholder made visible."""
    if "{" not in text and "}" not in text:
        return text
    out, cursor, position = "", 0, 0
    while position < len(text):
        if position > 0 and text[position - 1] == "\\" and text[position] in "{}":
            out += text[cursor : position - 1]
            cursor = position
            position += 1
            continue
        if text[position] != "{":
            position += 1
            continue
        end = text.find("}", position)
        if end < 0:
            position += 1
            continue
        while 0 < end < len(text) - 1 and text[end - 1] == "\\":
            following = text.find("}", end + 1)
            if following < 0:
                break
            end = following
        out += text[cursor:position] + "<" + text[position + 1 : end] + ">"
        position = end + 1
        cursor = position
    return out + text[cursor:]


BRACED = st.text(alphabet="{}\\a.", max_size=30) | st.text(max_size=30)


@given(BRACED)
def test_an_operators_text_comes_out_as_it_went_in(text: str) -> None:
    assert caddy_replaces(operator_text(text)) == text


@given(st.lists(BRACED | st.sampled_from(ALLOWED), max_size=6).map("".join))
def test_a_text_in_html_comes_out_as_it_went_in_whatever_it_names(text: str) -> None:
    assert caddy_replaces(literal_text(text)) == text


def test_a_maintenance_page_says_nothing_of_the_request() -> None:
    config = rendered(host(maintenance={"enabled": True, "text": "See {http.request.uri.path}"}))
    (page,) = [found for found in handlers(config, "static_response") if found.get("status_code") == 503]
    assert "See \\{http.request.uri.path\\}" in page["body"]


@given(st.lists(BRACED | st.sampled_from(ALLOWED), max_size=6).map("".join))
def test_no_placeholder_but_the_allowed_ones_survives(text: str) -> None:
    marked = caddy_replaces(operator_text(text).replace("<", "").replace(">", ""))
    assert {f"{{{name}}}" for name in re.findall(r"<([^>]*)>", marked)} <= set(ALLOWED)


OPERATOR = st.text(max_size=20) | st.sampled_from(["{file./etc/shadow}", "{env.HOME}", "\\{env.HOME}", "{{env.HOME}}"])


@given(
    st.builds(
        Host,
        name=st.just("a.home.example"),
        upstreams=st.just((Upstream("http://10.0.0.5:80"),)),
        request_headers=st.builds(Headers, set=st.dictionaries(st.just("X-A"), OPERATOR)),
        response_headers=st.builds(Headers, set=st.dictionaries(st.just("X-A"), OPERATOR)),
        rules=st.lists(
            st.builds(
                Rule,
                priority=st.integers(0, 9),
                match=st.builds(
                    Match,
                    path=st.tuples(OPERATOR),
                    header=st.dictionaries(st.just("X-A"), st.tuples(OPERATOR)),
                    query=st.dictionaries(OPERATOR, st.tuples(OPERATOR), max_size=1),
                ),
                action=st.builds(FixedResponse, body=OPERATOR, content_type=OPERATOR)
                | st.builds(Redirect, location=OPERATOR),
            ),
            max_size=2,
        ).map(tuple),
    )
)
def test_whatever_is_declared_renders_and_reads_no_file_and_no_environment(declared: Host) -> None:
    document = decode_document({"settings": {"edge": EDGE, "crowdsec": {"enabled": False}}})
    document = type(document)(document.owner, document.prune, document.settings, (declared,))
    config = render(plan(State(), document).state, CONTEXT)
    msgspec.json.encode(config)
    for text in strings(config):
        for found in re.findall(r"<([^>]*)>", caddy_replaces(text.replace("<", "").replace(">", ""))):
            assert not found.startswith(("file.", "env.")), text


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


# The client's network ------------------------------------------------------------------------------------------------


def network_key(address: str) -> str:
    """What Caddy's map handler makes of an address."""
    for pattern, output in client_network.MAPPINGS:
        if found := re.search(pattern, address):
            return re.sub(r"\$\{(\d)\}", lambda group: found[int(group[1])], output)
    return address


@pytest.mark.threat("ING-5")
@given(st.one_of(st.integers(0, 2**128 - 1), st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF]), min_size=8, max_size=8)))
def test_addresses_of_one_64_have_one_key_and_of_two_have_two(value: int | list[int]) -> None:
    if isinstance(value, list):
        value = sum(group << (16 * (7 - index)) for index, group in enumerate(value))
    address = ipaddress.IPv6Address(value)
    if address.ipv4_mapped:
        return
    key = network_key(str(address))
    network = ipaddress.ip_network((value >> 64 << 64, 64))
    assert key.endswith("::/64")
    assert ipaddress.ip_network(key.replace("0:0:0:0::/64", "::/64")) == network
    assert network_key(f"{address}%eth0") == key


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_its_own_key(address: ipaddress.IPv4Address) -> None:
    assert network_key(str(address)) == network_key(f"::ffff:{address}") == str(address)


# Cookies -------------------------------------------------------------------------------------------------------------

OURS = ("__Host-argos_panel", "__Secure-argos_session", "argos_panel", "argos_session", "ARGOS_Session")
THEIRS = ("theme", "my_argos_x", "__Host-app", "xargos_session")
PAIRS = st.tuples(st.sampled_from(OURS + THEIRS), st.text(alphabet='ab=" ,', max_size=5))


@pytest.mark.threat("AUT-3")
@given(st.lists(PAIRS, min_size=1, max_size=6), st.sampled_from(["; ", ";", " ;  "]))
def test_stripping_leaves_exactly_the_cookies_of_others(pairs: list[tuple[str, str]], separator: str) -> None:
    header = separator.join(f"{name}={value}" for name, value in pairs)
    left = re.sub(cookies.LEADING, "", re.sub(cookies.SENT, "", header))
    kept = [pair.strip() for pair in left.split(";") if pair.strip()]
    assert kept == [f"{name}={value}".strip() for name, value in pairs if name in THEIRS]
