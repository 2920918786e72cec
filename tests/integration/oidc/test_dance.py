"""The whole sign-in over a real process and a real provider's HTTP, in both modes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from argos.oidc.starts import MOST
from dance import audit, declare_provider, new_browser, refresh_target, sign_in, start
from hostile_provider import SECRET, HostileProvider
from panel_runtime import GUARDED, Browser, Runtime, set_cookies


def test_a_person_signs_in_with_the_provider_and_comes_where_they_wanted(
    runtime: Runtime, provider: HostileProvider
) -> None:
    browser = new_browser(runtime)
    page = browser.get("/login?rd=%2Fpassword")
    assert "Sign in with Homelab ID" in page.text
    assert "/oidc/start?rd=%2Fpassword" in page.text

    answer = sign_in(browser, provider, f"https://{GUARDED}/album?id=1&x=2")

    assert answer.status_code == 200, answer.text
    assert refresh_target(answer.text) == f"https://{GUARDED}/album?id=1&x=2"
    assert "SameSite=Strict" in set_cookies(answer)[runtime.panel_cookie]
    assert browser.get("/").status_code == 200
    made = runtime.rows("SELECT username, role, provider, email, email_verified FROM users WHERE username = 'carol'")
    assert made == [("carol", "member", "oidc", "carol@home.example", 1)]
    actions = [(action, target) for action, target, _after in audit(runtime)]
    assert ("user.create", "user/carol") in actions
    assert ("oidc.link", "user/carol") in actions
    assert ("session.begin", "user/carol") in actions


def test_the_same_person_keeps_the_account_whatever_the_e_mail(runtime: Runtime, provider: HostileProvider) -> None:
    provider.person |= {"sub": "keeps", "preferred_username": "dora", "email": "dora@home.example"}
    assert sign_in(new_browser(runtime), provider).status_code == 200
    provider.person |= {"preferred_username": "other", "email": "new@home.example"}
    assert sign_in(new_browser(runtime), provider).status_code == 200
    rows = runtime.rows(
        "SELECT username, email FROM users JOIN oidc_identities ON user_id = users.id WHERE subject = 'keeps'"
    )
    assert rows == [("dora", "new@home.example")]


def test_a_stranger_with_a_local_persons_name_and_e_mail_gets_no_part_of_the_account(
    runtime: Runtime, provider: HostileProvider
) -> None:
    provider.person |= {"sub": "impostor", "preferred_username": "root-admin", "email": "root@home.example"}
    runtime.write("UPDATE users SET email = 'root@home.example' WHERE username = 'root-admin'")
    browser = new_browser(runtime)
    assert sign_in(browser, provider).status_code == 200
    assert browser.get("/hosts").status_code == 403, "a new person is a member"
    rows = runtime.rows(
        "SELECT username, role FROM users JOIN oidc_identities ON user_id = users.id WHERE subject = 'impostor'"
    )
    assert rows == [("root-admin-2", "member")]


@pytest.mark.threat("OIDC-2")
def test_the_provider_receives_a_challenge_at_first_and_the_verifier_only_with_the_code(
    runtime: Runtime, provider: HostileProvider
) -> None:
    browser = new_browser(runtime)
    url = start(browser)
    asked = parse_qs(urlsplit(url).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["response_type"] == ["code"]
    provider.received.clear()
    assert browser.get(provider.callback(url)).status_code == 200
    forms = [form for path, form, _headers in provider.received if path == "/token"]
    assert len(forms) == 1
    verifier = forms[0]["code_verifier"]
    assert 43 <= len(verifier) <= 128
    assert verifier not in url
    assert verifier not in str(browser.cookies)


@pytest.mark.threat("OIDC-2")
def test_a_stolen_code_with_another_sign_ins_verifier_is_worth_nothing(
    runtime: Runtime, provider: HostileProvider
) -> None:
    victim, thief = new_browser(runtime), new_browser(runtime)
    stolen = provider.sign_in(start(victim))["code"]
    state = parse_qs(urlsplit(start(thief)).query)["state"][0]
    answer = thief.get(f"/oidc/callback?code={stolen}&state={state}")
    assert answer.status_code == 400
    assert runtime.panel_cookie not in thief.cookies


@pytest.mark.threat("OIDC-1")
def test_a_callback_counts_once(runtime: Runtime, provider: HostileProvider) -> None:
    browser = new_browser(runtime)
    path = provider.callback(start(browser))
    held = dict(browser.cookies)
    assert browser.get(path).status_code == 200
    replay = new_browser(runtime)
    replay.cookies = held
    answer = replay.get(path)
    assert answer.status_code == 400
    assert runtime.panel_cookie not in replay.cookies


@pytest.mark.threat("OIDC-1")
def test_a_callback_in_another_browser_is_refused_and_the_right_one_goes_on(
    runtime: Runtime, provider: HostileProvider
) -> None:
    browser, victim = new_browser(runtime), new_browser(runtime)
    path = provider.callback(start(browser))
    start(victim)
    assert victim.get(path).status_code == 400
    assert runtime.panel_cookie not in victim.cookies
    assert browser.get(path).status_code == 200


@pytest.mark.threat("OIDC-1")
def test_several_tabs_at_once_each_succeed(runtime: Runtime, provider: HostileProvider) -> None:
    browser = new_browser(runtime)
    urls = [start(browser, f"/?tab={tab}") for tab in range(3)]
    for tab in (1, 0, 2):
        answer = browser.get(provider.callback(urls[tab]))
        assert answer.status_code == 200, answer.text
        assert refresh_target(answer.text) == f"/?tab={tab}"
    assert browser.get("/").status_code == 200


@pytest.mark.threat("OIDC-1")
def test_of_fifty_callbacks_at_once_exactly_one_signs_in(runtime: Runtime, provider: HostileProvider) -> None:
    browser = new_browser(runtime)
    path = provider.callback(start(browser))
    runners = []
    for _number in range(50):
        runner = Browser(runtime, browser.address)
        runner.cookies = dict(browser.cookies)
        runners.append(runner)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda runner: runner.get(path).status_code, runners))
    assert sorted(set(answers)) == [200, 400], answers
    assert answers.count(200) == 1
    assert sum(runtime.panel_cookie in runner.cookies for runner in runners) == 1


@pytest.mark.threat("SEC-1")
def test_nothing_secret_lies_open_in_the_database_or_the_log(runtime: Runtime, provider: HostileProvider) -> None:
    browser = new_browser(runtime)
    url = start(browser)
    nonce = parse_qs(urlsplit(url).query)["nonce"][0]
    pending = b"".join(path.read_bytes() for path in runtime.database.parent.glob("argos.db*"))
    assert nonce.encode() not in pending
    assert browser.get(provider.callback(url)).status_code == 200
    verifier = next(form["code_verifier"] for path, form, _unused in reversed(provider.received) if path == "/token")
    stored = b"".join(path.read_bytes() for path in runtime.database.parent.glob("argos.db*"))
    for secret in (SECRET, verifier, nonce, "eyJhbGciOi"):
        assert secret.encode() not in stored
        assert secret not in runtime.log.read_text()
    assert runtime.rows("SELECT count(*) FROM sessions WHERE id_token IS NOT NULL")[0][0] >= 1


def test_signing_out_goes_by_the_provider_with_the_token_as_hint(runtime: Runtime, provider: HostileProvider) -> None:
    browser = new_browser(runtime)
    assert sign_in(browser, provider).status_code == 200
    answer = browser.post("/logout")
    assert answer.status_code == 200
    url = urlsplit(refresh_target(answer.text))
    asked = parse_qs(url.query)
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{provider.issuer}/logout"
    assert asked["post_logout_redirect_uri"] == [f"{runtime.origin}/login"]
    assert asked["id_token_hint"][0].count(".") == 2
    assert browser.get("/").status_code == 303, "signed out here before anything else"


def test_a_signed_in_person_links_the_provider_and_then_signs_in_by_it(
    runtime: Runtime, provider: HostileProvider
) -> None:
    provider.person |= {"sub": f"alice-{runtime.mode}", "email": "elsewhere@home.example"}
    declare_provider(runtime, provider.issuer, auto_provision=False)
    stranger = new_browser(runtime)
    assert sign_in(stranger, provider).status_code == 403, "nobody is made without auto_provision"

    browser = new_browser(runtime)
    browser.sign_in("alice")
    assert "Link my account at Homelab ID" in browser.get("/profile").text
    answer = browser.post("/oidc/link", {"rd": "/"})
    callback = provider.callback(refresh_target(answer.text))
    # The Strict cookie stays at home on the way back.
    kept = browser.cookies.pop(runtime.panel_cookie)
    linked = browser.get(callback)
    assert linked.status_code == 200, linked.text
    assert runtime.panel_cookie not in set_cookies(linked), "linking is no sign-in"
    browser.cookies[runtime.panel_cookie] = kept
    assert "Unlink" in browser.get("/profile").text
    assert ("oidc.link", "user/alice") in [(action, target) for action, target, _unused in audit(runtime)]

    other = new_browser(runtime)
    assert sign_in(other, provider).status_code == 200
    assert "alice" in other.get("/").text


def test_a_link_begun_in_a_sign_in_that_has_ended_is_refused(runtime: Runtime, provider: HostileProvider) -> None:
    provider.person |= {"sub": "late"}
    browser = new_browser(runtime)
    browser.sign_in("root-admin")
    answer = browser.post("/oidc/link", {"rd": "/"})
    callback = provider.callback(refresh_target(answer.text))
    pending = dict(browser.cookies)
    browser.post("/logout")
    browser.cookies = pending
    assert browser.get(callback).status_code == 409
    assert runtime.rows("SELECT * FROM oidc_identities WHERE subject = 'late'") == []


def test_linking_wants_a_fresh_password_and_unlinking_closes_that_way_in(
    runtime: Runtime, provider: HostileProvider
) -> None:
    provider.person |= {"sub": "unlinked"}
    declare_provider(runtime, provider.issuer, auto_provision=False)
    browser = new_browser(runtime)
    browser.sign_in("root-admin")
    assert browser.get(provider.callback(refresh_target(browser.post("/oidc/link").text))).status_code == 200
    elsewhere = new_browser(runtime)
    assert sign_in(elsewhere, provider).status_code == 200
    assert elsewhere.get("/profile").status_code == 200
    assert browser.post("/oidc/link", {"unlink": "1", "rd": "/profile"}).status_code == 303
    assert elsewhere.get("/profile").status_code == 303, "what the provider signed in ends with the link"
    assert browser.get("/profile").status_code == 200, "the sign-in with the password stays"
    assert sign_in(new_browser(runtime), provider).status_code == 403
    runtime.write("UPDATE sessions SET proved_at = 0")
    answer = browser.post("/oidc/link", {"rd": "/profile"})
    assert provider.issuer not in answer.text + answer.headers.get("Location", ""), "it was proved too long ago"


def test_groups_and_the_admin_claim_follow_the_provider_and_end_older_sign_ins(
    runtime: Runtime, provider: HostileProvider
) -> None:
    declare_provider(
        runtime,
        provider.issuer,
        group_map={"family": ["photos", "music"]},
        admin_claim="roles",
        admin_values=["edge-admin"],
    )
    provider.person |= {"sub": "grouped", "preferred_username": "erin", "roles": ["edge-admin"]}
    first = new_browser(runtime)
    assert sign_in(first, provider).status_code == 200
    assert first.get("/hosts").status_code == 200
    provider.person |= {"roles": [], "groups": ["others"]}
    assert sign_in(new_browser(runtime), provider).status_code == 200
    assert first.get("/hosts").status_code == 303, "the sign-in with the old rights is over"
    row = runtime.rows("SELECT role, groups FROM users WHERE username = 'erin'")[0]
    assert (row[0], json.loads(row[1])) == ("member", [])


def test_what_only_the_userinfo_endpoint_says_counts_when_it_speaks_of_the_same_person(
    runtime: Runtime, provider: HostileProvider
) -> None:
    provider.userinfo_only = {"email", "email_verified", "preferred_username", "name", "groups"}
    assert sign_in(new_browser(runtime), provider).status_code == 200
    provider.answers["/userinfo"] = lambda handler: handler.say(200, {**provider.person, "sub": "somebody else"})
    assert sign_in(new_browser(runtime), provider).status_code == 400


@pytest.mark.threat("OIDC-4")
def test_what_the_token_says_of_an_address_vouches_for_no_address_of_the_userinfo_endpoint(
    runtime: Runtime, provider: HostileProvider
) -> None:
    provider.userinfo_only = {"email"}
    provider.answers["/userinfo"] = lambda handler: handler.say(200, {**provider.person, "email_verified": False})
    assert sign_in(new_browser(runtime), provider).status_code == 403


@pytest.mark.threat("LOG-3")
def test_a_second_factor_here_is_asked_unless_the_provider_says_it_was_used(
    runtime: Runtime, provider: HostileProvider
) -> None:
    provider.person |= {"sub": "factor", "preferred_username": "frida"}
    assert sign_in(new_browser(runtime), provider).status_code == 200
    runtime.write(
        "INSERT INTO totp (user_id, secret, confirmed_at, created_at) "
        "SELECT id, x'00', 1, 1 FROM users WHERE username = 'frida'"
    )
    browser = new_browser(runtime)
    answer = sign_in(browser, provider, "/?wanted=1")
    assert refresh_target(answer.text).startswith("/continue?rd=")
    assert browser.get("/").status_code == 303, "half signed in"
    provider.person |= {"amr": ["pwd", "mfa"]}
    browser = new_browser(runtime)
    assert refresh_target(sign_in(browser, provider).text) == "/"
    assert browser.get("/").status_code == 200


@pytest.mark.threat("OIDC-1")
def test_no_other_page_spends_its_visitors_sign_ins(runtime: Runtime, provider: HostileProvider) -> None:
    """An address may begin only so many: images, frames and windows that another site sends here begin none."""
    browser = new_browser(runtime)
    pending = runtime.rows("SELECT count(*) FROM oidc_pending")
    foreign: list[tuple[dict[str, str], int]] = [
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "websocket"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}, 303),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}, 303),
    ]
    for number in range(MOST + len(foreign)):
        headers, status = foreign[number % len(foreign)]
        answer = browser.get("/oidc/start?rd=%2Fpassword", **headers)
        assert answer.status_code == status, headers
        if status == 303:
            assert answer.headers["Location"] == "/login?rd=%2Fpassword"
    assert runtime.rows("SELECT count(*) FROM oidc_pending") == pending
    assert not browser.cookies
    own = {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert browser.get("/oidc/start", **own).status_code == 302
    typed = {**own, "Sec_Fetch_Site": "none"}
    answer = browser.get("/oidc/start?rd=%2Fpassword", **typed)
    assert answer.status_code == 302
    assert browser.get(provider.callback(answer.headers["Location"]), Sec_Fetch_Site="cross-site").status_code == 200


def test_the_command_line_tries_the_connection_with_the_address_that_browsers_come_back_to(
    runtime: Runtime, provider: HostileProvider
) -> None:
    provider.received.clear()
    runtime.argos("oidc", "test")
    forms = [form for path, form, _headers in provider.received if path == "/token"]
    assert [form["redirect_uri"] for form in forms] == [f"{runtime.origin}/oidc/callback"]
