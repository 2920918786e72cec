"""The decision as a table, and what must hold for any input at all."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import pytest
from argos.gate.cookies import session_tokens
from argos.gate.decision import Decision, GateSettings, HostRule, RequestFacts, SessionFacts, admits, decide
from argos.gate.public_paths import is_public
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000
SETTINGS = GateSettings(panel_url="https://argos.home.example", cookie_name="__Secure-argos_session", idle_seconds=3600)
OPEN = HostRule()
ALICE = SessionFacts(
    username="alice",
    name="Alice",
    email="alice@home.example",
    provider="local",
    groups=("family", "role:member"),
    email_verified=True,
    assurance="full",
    disabled=False,
    expires_at=NOW + 100,
    last_seen_at=NOW,
)
PAGE = RequestFacts(
    host_id="photos.home.example",
    host="photos.home.example",
    uri="/album?a=1&b=%2F",
    sec_fetch_mode="navigate",
    accept="text/html",
)


def changed(facts, **values):
    return msgspec.structs.replace(facts, **values)


def test_one_live_session_passes_with_all_four_identity_headers() -> None:
    decision = decide(PAGE, SETTINGS, OPEN, [ALICE], NOW)
    assert decision.status == 200
    assert dict(decision.headers) == {
        "X-Auth-User": "alice",
        "X-Auth-Email": "alice@home.example",
        "X-Auth-Name": "Alice",
        "X-Auth-Provider": "local",
        "Cache-Control": "no-store",
    }


@pytest.mark.threat("FWD-1")
def test_identity_is_visible_ascii_whatever_the_name_is() -> None:
    odd = changed(ALICE, name="Zoë\r\nX-Auth-User: root 100%", email="")
    sent = dict(decide(PAGE, SETTINGS, OPEN, [odd], NOW).headers)
    assert sent["X-Auth-Name"] == "Zo%C3%AB%0D%0AX-Auth-User:%20root%20100%25"
    assert unquote(sent["X-Auth-Name"]) == odd.name
    assert sent["X-Auth-Email"] == ""


@pytest.mark.threat("FWD-1")
@pytest.mark.parametrize(
    ("rule", "uri"),
    [
        pytest.param(OPEN, PAGE.uri, id="a protected page"),
        pytest.param(HostRule(users=("bob",), public_paths=("/album",)), "/album", id="a public path"),
    ],
)
@pytest.mark.parametrize(
    ("verified", "email"), [(True, "alice@home.example"), (False, "")], ids=["verified", "not verified"]
)
def test_an_upstream_is_told_a_verified_email_only(rule: HostRule, uri: str, verified: bool, email: str) -> None:
    session = changed(ALICE, email_verified=verified)
    sent = dict(decide(changed(PAGE, uri=uri), SETTINGS, rule, [session], NOW).headers)
    assert (sent["X-Auth-User"], sent["X-Auth-Email"]) == ("alice", email)


@pytest.mark.parametrize(
    ("session", "status"),
    [
        pytest.param(changed(ALICE, assurance="password_change"), 302, id="must first set a password"),
        pytest.param(changed(ALICE, assurance="second_factor"), 302, id="half signed in"),
        pytest.param(changed(ALICE, assurance="FULL"), 302, id="an assurance we do not know"),
        pytest.param(changed(ALICE, disabled=True), 302, id="disabled"),
        pytest.param(changed(ALICE, expires_at=NOW), 302, id="expired this second"),
        pytest.param(changed(ALICE, expires_at=NOW + 1), 200, id="expires in a second"),
        pytest.param(changed(ALICE, last_seen_at=NOW - 3600), 302, id="idle"),
        pytest.param(changed(ALICE, last_seen_at=NOW - 3599), 200, id="nearly idle"),
    ],
)
def test_only_a_live_session_of_full_assurance_passes(session: SessionFacts, status: int) -> None:
    assert decide(PAGE, SETTINGS, OPEN, [session], NOW).status == status


@pytest.mark.threat("AUT-3")
def test_two_live_sessions_deny_and_do_not_loop_through_sign_in() -> None:
    mallory = changed(ALICE, username="mallory")
    assert decide(PAGE, SETTINGS, OPEN, [ALICE, mallory], NOW).status == 403


@pytest.mark.threat("AUT-3")
def test_a_planted_dead_session_does_not_lock_the_person_out() -> None:
    dead = changed(ALICE, username="mallory", expires_at=NOW - 1)
    decision = decide(PAGE, SETTINGS, OPEN, [dead, ALICE], NOW)
    assert decision.status == 200
    assert dict(decision.headers)["X-Auth-User"] == "alice"


@pytest.mark.threat("FWD-3")
@pytest.mark.parametrize("rule", [None, HostRule(required=False)], ids=["unknown host", "rule that requires nothing"])
def test_a_host_without_a_real_rule_denies_even_the_signed_in(rule: HostRule | None) -> None:
    assert decide(PAGE, SETTINGS, rule, [ALICE], NOW).status == 403


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        (HostRule(users=("Alice",)), 200),
        (HostRule(users=("bob",)), 403),
        (HostRule(groups=("role:member",)), 200),
        (HostRule(groups=("role:admin",)), 403),
        (HostRule(groups=("family",)), 200),
        (HostRule(groups=("member",)), 403),
        (HostRule(groups=("famil",)), 403),
        (HostRule(emails=("ALICE@home.example",)), 200),
        (HostRule(emails=("alice@home.example.evil",)), 403),
        (HostRule(domains=("home.example",)), 200),
        (HostRule(domains=("example",)), 403),
        (HostRule(users=("bob",), domains=("home.example",)), 200),
    ],
)
def test_a_rule_admits_whom_it_names(rule: HostRule, status: int) -> None:
    assert decide(PAGE, SETTINGS, rule, [ALICE], NOW).status == status


@pytest.mark.parametrize(
    ("rule", "email"),
    [
        (HostRule(emails=("kate@home.example",)), "\u212aate@home.example"),
        (HostRule(domains=("home.example",)), "home.example"),
        (HostRule(domains=("home.example",)), "@home.example"),
        (HostRule(domains=("home.example",)), "x@home.example@evil.example"),
        (HostRule(domains=("",)), "x@"[:-1]),
        (HostRule(emails=("",)), ""),
    ],
)
def test_a_lookalike_or_broken_email_is_nobodys(rule: HostRule, email: str) -> None:
    assert decide(PAGE, SETTINGS, rule, [changed(ALICE, email=email)], NOW).status == 403


@pytest.mark.parametrize("rule", [HostRule(emails=("alice@home.example",)), HostRule(domains=("home.example",))])
def test_an_address_that_nobody_has_verified_opens_nothing(rule: HostRule) -> None:
    assert decide(PAGE, SETTINGS, rule, [changed(ALICE, email_verified=False)], NOW).status == 403


STRICT = HostRule(second_factor="required")
PUBLIC = HostRule(groups=("work",), public_paths=("/album", "/static/*"))
PRIVATE_PAGE = changed(PAGE, uri="/private")
PROVED = changed(ALICE, second_factor=True)


@pytest.mark.threat("AUT-2")
@pytest.mark.parametrize(
    ("request_", "rule", "found", "status", "user"),
    [
        pytest.param(PAGE, STRICT, [PROVED], 200, "alice", id="a second factor, asked for and proved"),
        pytest.param(PAGE, STRICT, [ALICE], 403, None, id="a second factor, asked for and not proved"),
        pytest.param(PAGE, OPEN, [PROVED], 200, "alice", id="a second factor that nobody asked for"),
        pytest.param(PAGE, PUBLIC, [], 200, "", id="nobody on a public path"),
        pytest.param(PAGE, PUBLIC, [ALICE], 200, "alice", id="a person without the right on a public path"),
        pytest.param(PAGE, PUBLIC, [PROVED, ALICE], 200, "", id="two sessions on a public path: nobody for certain"),
        pytest.param(PAGE, PUBLIC, [changed(ALICE, disabled=True)], 200, "", id="a disabled person is nobody"),
        pytest.param(PAGE, PUBLIC, [changed(ALICE, assurance="second_factor")], 200, "", id="half signed in: nobody"),
        pytest.param(PRIVATE_PAGE, PUBLIC, [], 302, None, id="nobody elsewhere"),
        pytest.param(PRIVATE_PAGE, PUBLIC, [ALICE], 403, None, id="a person without the right elsewhere"),
        pytest.param(changed(PAGE, uri="/static/../album"), PUBLIC, [], 302, None, id="a stretched path"),
        pytest.param(PAGE, changed(PUBLIC, required=False), [], 403, None, id="a rule that requires nothing"),
    ],
)
def test_second_factor_and_public_paths(request_, rule, found, status: int, user: str | None) -> None:
    decision = decide(request_, SETTINGS, rule, found, NOW)
    assert decision.status == status
    assert dict(decision.headers).get("X-Auth-User") == user


@pytest.mark.parametrize("rule", [HostRule(users=("bob",)), STRICT], ids=["not on a list", "no second factor"])
def test_a_person_without_the_right_is_told_who_they_are_and_where_to_switch(rule: HostRule) -> None:
    odd = changed(ALICE, username="<b>alice")
    decision = decide(PAGE, SETTINGS, rule, [odd], NOW)
    assert "&lt;b&gt;alice" in decision.page
    assert "<b>alice" not in decision.page
    assert 'href="https://argos.home.example/denied?rd=https%3A%2F%2Fphotos.home.example%2Falbum' in decision.page
    assert ('href="https://argos.home.example/profile#second-factor"' in decision.page) == (rule is STRICT)
    assert "frame-ancestors 'none'" in dict(decision.headers)["Content-Security-Policy"]
    api = decide(changed(PAGE, sec_fetch_mode="cors"), SETTINGS, rule, [odd], NOW)
    assert (api.status, api.page) == (403, "")
    assert api.reason


def test_a_rule_with_a_field_of_the_future_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"required": true, "networks": ["10.0.0.0/8"]}', type=HostRule)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(PAGE, 302, id="a page"),
        pytest.param(changed(PAGE, method="HEAD"), 302, id="HEAD"),
        pytest.param(changed(PAGE, method="POST"), 401, id="a form"),
        pytest.param(changed(PAGE, sec_fetch_mode="cors"), 401, id="fetch()"),
        pytest.param(changed(PAGE, sec_fetch_mode="", sec_fetch_dest="image"), 401, id="an image"),
        pytest.param(changed(PAGE, sec_fetch_mode=""), 302, id="plain HTTP, a browser"),
        pytest.param(changed(PAGE, sec_fetch_mode="", accept="*/*"), 401, id="curl"),
        pytest.param(changed(PAGE, upgrade="websocket"), 401, id="WebSocket"),
        pytest.param(changed(PAGE, x_requested_with="XMLHttpRequest"), 401, id="XHR"),
        pytest.param(changed(PAGE, uri="/" + "a" * 9000), 401, id="a URL too long to carry"),
        pytest.param(changed(PAGE, uri="photos"), 403, id="no path"),
        pytest.param(changed(PAGE, uri="/a b"), 403, id="a space"),
        pytest.param(changed(PAGE, uri="/a\r\nb"), 403, id="a line break"),
        pytest.param(changed(PAGE, host=""), 403, id="no host"),
        pytest.param(changed(PAGE, host="evil.example/@x"), 403, id="a host that is none"),
        pytest.param(changed(PAGE, host="a@b"), 403, id="userinfo"),
        pytest.param(changed(PAGE, scheme="javascript"), 403, id="a scheme that is none"),
    ],
)
def test_only_a_navigation_is_sent_to_sign_in(request_: RequestFacts, status: int) -> None:
    assert decide(request_, SETTINGS, OPEN, [], NOW).status == status


def returned_url(decision: Decision) -> str:
    location = dict(decision.headers)["Location"]
    assert location.startswith("https://argos.home.example/login?rd=")
    (url,) = parse_qs(urlsplit(location).query, strict_parsing=True, errors="surrogateescape")["rd"]
    return url


@pytest.mark.parametrize(
    "uri",
    [
        "/?a=1&b=2",
        "/a%2Fb?c=%26&d=%2F",
        "/f%C3%BC?q=ü",
        "/?q=a+b%20c",
        "/;x//y/../z?#",
        "//evil.example/",
        "/%",
        "/\udcff",
    ],
)
def test_the_way_back_is_the_url_first_asked_for(uri: str) -> None:
    assert returned_url(decide(changed(PAGE, uri=uri), SETTINGS, OPEN, [], NOW)) == f"https://photos.home.example{uri}"


texts = st.text(max_size=30)
sessions = st.builds(
    SessionFacts,
    username=texts,
    name=texts,
    email=texts,
    provider=texts,
    groups=st.tuples(texts),
    assurance=st.sampled_from(["full", "password_change", "second_factor", ""]),
    disabled=st.booleans(),
    expires_at=st.integers(NOW - 5, NOW + 5),
    last_seen_at=st.integers(NOW - 3605, NOW - 3595) | st.just(NOW),
)
requests = st.builds(
    RequestFacts,
    host_id=texts,
    method=st.sampled_from(["GET", "HEAD", "POST", "get"]) | texts,
    scheme=st.sampled_from(["http", "https"]) | texts,
    host=st.sampled_from(["photos.home.example", "photos.home.example:8443", "[2001:db8::1]"]) | texts,
    uri=texts.map(lambda text: f"/{text}") | texts,
    accept=st.sampled_from(["text/html", "*/*"]),
    sec_fetch_mode=st.sampled_from(["navigate", "cors", ""]),
    upgrade=st.sampled_from(["", "websocket"]),
)
rules = st.none() | st.builds(HostRule, required=st.booleans(), users=st.sampled_from([(), ("a",)]))
open_rules = st.builds(
    HostRule,
    users=st.sampled_from([(), ("a",)]),
    second_factor=st.sampled_from(["optional", "required"]),
    public_paths=st.sampled_from([(), ("/a",), ("/a/*",)]),
)


@pytest.mark.threat("FWD-3")
@given(requests, rules, st.lists(sessions, max_size=4))
def test_nobody_passes_without_exactly_one_valid_full_session(request_, rule, found) -> None:
    decision = decide(request_, SETTINGS, rule, found, NOW)
    valid = [
        session
        for session in found
        if session.assurance == "full"
        and not session.disabled
        and session.expires_at > NOW
        and session.last_seen_at + 3600 > NOW
    ]
    if len(valid) != 1 or rule is None or not rule.required:
        assert decision.status in {302, 401, 403}
    else:
        assert decision.status == (200 if not rule.users or valid[0].username.lower() == "a" else 403)


@pytest.mark.threat("AUT-2")
@given(requests, open_rules, st.lists(sessions, max_size=4))
def test_a_pass_without_an_admitted_person_is_of_a_public_path_and_of_no_other(request_, rule, found) -> None:
    decision = decide(request_, SETTINGS, rule, found, NOW)
    if decision.status != 200:
        return
    sent = dict(decision.headers)
    assert {"X-Auth-User", "X-Auth-Email", "X-Auth-Name", "X-Auth-Provider"} <= sent.keys()
    if not decision.whole_host:
        assert is_public(rule.public_paths, request_.uri)
    else:
        assert any(admits(rule, one) and (rule.second_factor == "optional" or one.second_factor) for one in found)
    if sent.get("Argos-Visitor") == "anonymous":
        assert not any(sent[name] for name in sent if name.startswith("X-Auth-"))


@pytest.mark.threat("FWD-1")
@given(requests, open_rules, texts, st.booleans())
def test_an_email_is_told_when_it_is_verified_and_never_else(request_, rule, email: str, verified: bool) -> None:
    session = changed(ALICE, email=email, email_verified=verified)
    decision = decide(request_, SETTINGS, rule, [session], NOW)
    if decision.status == 200:
        sent = dict(decision.headers)["X-Auth-Email"]
        assert bool(sent) == (verified and bool(email))


@given(requests, rules, st.lists(sessions, max_size=4), texts)
def test_no_header_ever_holds_a_line_break(request_, rule, found, panel_url) -> None:
    settings = changed(SETTINGS, panel_url=panel_url)
    for _unused, value in decide(request_, settings, rule, found, NOW).headers:
        assert value.isascii()
        assert value.isprintable() or value == ""


@given(requests)
def test_a_location_always_parses_back_to_the_same_url(request_) -> None:
    decision = decide(request_, SETTINGS, OPEN, [], NOW)
    if decision.status == 302:
        assert returned_url(decision) == f"{request_.scheme}://{request_.host}{request_.uri}"


T1, T2 = "a" * 43, "b" * 43
NAME = "__Secure-argos_session"


@pytest.mark.threat("AUT-3")
@pytest.mark.parametrize(
    ("cookie", "tokens"),
    [
        (f"{NAME}={T1}", [T1]),
        (f"a=1;{NAME}={T1};b=2", [T1]),
        (f"a=1; \t{NAME}={T1} ; b=2", [T1]),
        (f'{NAME}="{T1}"', [T1]),
        (f'{NAME}="{T1}', []),
        (f"x{NAME}={T1}", []),
        (f"{NAME}x={T1}", []),
        (f"{NAME} ={T1}", []),
        (f"{NAME.lower()}={T1}", []),
        (f"a={NAME}={T1}", []),
        (f'a="; {NAME}={T1}"', []),
        (f"a=b {NAME}={T1}", []),
        (f"{NAME}={T1}x", []),
        (f"{NAME}={T1[:-1]}=", []),
        (f"{NAME}={T1[:-1]}\n", []),
        (f"{NAME}=", []),
        (NAME, []),
        (f"{NAME}={T1}; {NAME}={T2}", [T1, T2]),
        (f"{NAME}={T1}; {NAME}={T1}", [T1]),
        (f"{NAME}=x; " * 50 + f"{NAME}={T1}", [T1]),
        ("; ".join(f"{NAME}={c * 43}" for c in "cdefgh"), [c * 43 for c in "cdef"]),
        (f"__Host-argos_panel={T1}", []),
    ],
)
def test_tokens_are_found_as_a_browser_would_send_them(cookie: str, tokens: list[str]) -> None:
    assert session_tokens(cookie.encode(), NAME.encode()) == [token.encode() for token in tokens]


@given(st.binary(max_size=200))
def test_no_cookie_header_yields_what_is_no_token(cookie: bytes) -> None:
    for token in session_tokens(cookie + b"; __Secure-argos_session=" + cookie, NAME.encode()):
        assert len(token) == 43
