"""The admin API over its socket."""

from __future__ import annotations

import httpx
import pytest
from panel_runtime import EDGE, GUARDED, HOST, PASSWORD, Browser, Runtime


def test_health_names_every_check(behind_caddy: Runtime) -> None:
    answer = behind_caddy.admin("GET", "/v1/health")
    assert answer.status_code == 200
    health = answer.json()
    assert health["status"] == "degraded", "there is no Caddy here"
    states = {check["name"]: check["state"] for check in health["checks"]}
    assert states["database"] == states["master key"] == states["clock"] == "ok"
    assert states["Caddy"] == states["gate"] == states["CrowdSec"] == "failed"
    for check in health["checks"]:
        assert check["message"]
        assert check["state"] == "ok" or check["advice"], check


def test_hosts_are_read_one_and_all(behind_caddy: Runtime) -> None:
    listed = behind_caddy.admin("GET", "/v1/hosts").json()["hosts"]
    assert [host["name"] for host in listed] == [GUARDED]
    assert listed[0]["url"] == f"https://{GUARDED}"
    assert listed[0]["owner"] == "test"
    assert behind_caddy.admin("GET", f"/v1/hosts/{GUARDED}").json() == listed[0]
    missing = behind_caddy.admin("GET", "/v1/hosts/nobody.home.example")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "not_found"


def test_a_plan_says_what_would_change_and_changes_nothing(behind_caddy: Runtime) -> None:
    host = {**HOST, "name": "new.home.example"}
    planned = behind_caddy.admin("POST", "/v1/config/plan", {"owner": "test", "hosts": [host]})
    assert planned.status_code == 200, planned.text
    answer = planned.json()
    assert answer["changed"] is True
    assert [(one["kind"], one["name"], one["action"]) for one in answer["changes"]] == [
        ("host", "new.home.example", "create")
    ]
    assert answer["changes"][0]["before"] is None
    assert behind_caddy.admin("GET", "/v1/hosts/new.home.example").status_code == 404
    config = behind_caddy.admin("GET", "/v1/config")
    edge = config.json()["settings"]["edge"]
    defaults = {
        "challenge": None,
        "dns_provider": "",
        "certificate": "",
        "ca": "",
        "ca_root": "",
        "min_version": None,
    }
    assert edge == {**EDGE, "tls": {**defaults, **EDGE["tls"]}}, "what was declared, and every default of tls"
    assert config.headers["ETag"].strip('"') == answer["etag"]


def test_impossible_values_are_named_together(behind_caddy: Runtime) -> None:
    host = {"name": "bad.home.example", "upstreams": [{"url": "ftp://x"}], "waf": {"mode": "maybe"}, "colour": 1}
    refused = behind_caddy.admin("POST", "/v1/config/apply", {"hosts": [host]})
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["code"] == "invalid"
    assert {one["field"] for one in error["errors"]} == {"upstreams[0].url", "waf.mode", "colour"}
    assert {one["resource"] for one in error["errors"]} == {"host/bad.home.example"}


def test_an_apply_without_caddy_is_unavailable_and_changes_nothing(behind_caddy: Runtime) -> None:
    before = behind_caddy.admin("GET", "/v1/config").json()
    host = {**HOST, "name": "new.home.example"}
    refused = behind_caddy.admin("POST", "/v1/config/apply", {"owner": "test", "hosts": [host]})
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "unavailable"
    assert int(refused.headers["Retry-After"]) > 0
    assert behind_caddy.admin("GET", "/v1/config").json() == before


def test_a_lost_race_is_412(behind_caddy: Runtime) -> None:
    stale = behind_caddy.admin("POST", "/v1/config/apply", {"hosts": []}, **{"If-Match": '"not-this-one"'})
    assert stale.status_code == 412
    assert stale.json()["error"]["code"] == "stale"


def test_secrets_are_written_and_never_read(behind_caddy: Runtime) -> None:
    value = {"value": "a-very-secret-token"}
    assert behind_caddy.admin("PUT", "/v1/secrets/dns-token?check=true", value).json()["changed"] is True
    assert behind_caddy.admin("GET", "/v1/secrets").json() == {"secrets": []}
    assert behind_caddy.admin("PUT", "/v1/secrets/dns-token", value).json()["version"] == 1
    assert behind_caddy.admin("PUT", "/v1/secrets/dns-token", value).json()["changed"] is False
    assert behind_caddy.admin("PUT", "/v1/secrets/dns-token?check=true", value).json()["changed"] is False
    (listed,) = behind_caddy.admin("GET", "/v1/secrets").json()["secrets"]
    assert (listed["name"], listed["version"], listed["used_by"]) == ("dns-token", 1, [])
    assert behind_caddy.admin("GET", "/v1/secrets/dns-token").status_code == 405
    assert behind_caddy.admin("DELETE", "/v1/secrets/dns-token").json() == {"changed": True}
    assert behind_caddy.admin("DELETE", "/v1/secrets/dns-token").status_code == 404
    assert "a-very-secret-token" not in behind_caddy.log.read_text()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/users", {"username": "alice"}, 409),
        ("POST", "/v1/users", {"username": "y", "colour": "red"}, 400),
        ("POST", "/v1/users", {"username": 5}, 400),
        ("POST", "/v1/users", {"username": "z", "role": "god"}, 400),
        ("POST", "/v1/users", {"username": "z", "password": "short"}, 400),
        ("POST", "/v1/users", [], 400),
        ("POST", "/v1/users/nobody/password", {"password": "long enough now"}, 404),
        ("DELETE", "/v1/users/nobody", None, 404),
        ("DELETE", "/v1/users/root-admin", None, 409),
        ("PUT", "/v1/secrets/Not%20Allowed", {"value": "x"}, 400),
        ("PATCH", "/v1/users", None, 405),
        ("GET", "/v1/nothing", None, 404),
        ("GET", "/login", None, 404),
    ],
)
def test_each_refusal_has_its_status_and_a_code(
    behind_caddy: Runtime, method: str, path: str, body: object, status: int
) -> None:
    answer = behind_caddy.admin(method, path, body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"]
    assert error["message"]
    assert "Traceback" not in answer.text


def test_an_account_is_made_once_and_removed_once(behind_caddy: Runtime) -> None:
    asked = [("POST", "/v1/users", {"username": "x"}), ("DELETE", "/v1/users/x", None)]
    answers = [behind_caddy.admin(*request).status_code for request in asked for _unused in range(2)]
    assert answers == [201, 409, 200, 404]


def test_a_body_that_is_no_json_is_refused(behind_caddy: Runtime) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(behind_caddy.admin_socket)), timeout=60) as client:
        for path in ("/v1/users", "/v1/config/plan", "/v1/config/apply"):
            for body in (b"\xff{not json", b'{"hosts": ["\xff"], "username": "\xff"}', b"[" * 100_000):
                answer = client.post(f"http://localhost{path}", content=body)
                assert answer.status_code == 400
                assert answer.json()["error"]["code"] == "invalid"


@pytest.mark.threat("DAT-3")
def test_the_actor_is_kept_as_the_claim_it_is(behind_caddy: Runtime) -> None:
    behind_caddy.admin("POST", "/v1/users", {"username": "claimed"}, **{"Argos-Actor": "ansible:carol"})
    behind_caddy.admin("DELETE", "/v1/users/claimed")
    rows = behind_caddy.rows("SELECT actor FROM audit WHERE target = 'user/claimed' ORDER BY id")
    assert rows == [("admin_api:ansible:carol",), ("admin_api:admin-socket",)]
    for claim in ("x" * 200, "a\x1bb"):
        answer = behind_caddy.admin("GET", "/v1/users", **{"Argos-Actor": claim})
        assert answer.status_code == 400


def test_the_panel_serves_the_same_api_to_an_admins_session(runtime: Runtime) -> None:
    admin, member = Browser(runtime, "127.0.0.40"), Browser(runtime, "127.0.0.41")
    admin.sign_in("root-admin")
    member.sign_in("alice")
    listed = admin.send("GET", "/api/v1/users")
    assert {user["username"] for user in listed.json()["users"]} >= {"alice", "root-admin"}
    assert member.send("GET", "/api/v1/users").status_code == 403
    assert Browser(runtime).send("GET", "/api/v1/users").status_code == 401
    body = b'{"username": "from-panel", "password": "' + PASSWORD.encode() + b'"}'
    refused = admin.send("POST", "/api/v1/users", content=body)
    assert refused.status_code == 403, "no Origin, no change"
    made = admin.send("POST", "/api/v1/users", headers={"Origin": admin.origin}, content=body)
    assert made.status_code == 201
    assert runtime.rows("SELECT actor, address FROM audit WHERE target = 'user/from-panel'")[0][0] == "user:root-admin"
    assert runtime.admin("DELETE", "/v1/users/from-panel").status_code == 200
