"""The history and the state as a file, by the command line beside a running ``argos serve``.

Only the provider changes here, of which Caddy knows nothing; with a real Caddy: tests/integration/edge.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from panel_runtime import Browser, Runtime

OIDC = {
    "name": "Homelab ID",
    "issuer": "https://id.home.example",
    "client_id": "argos",
    "client_secret": {"secret": "oidc-client"},
    "allowed_groups": ["family"],
}


@pytest.fixture
def runtime(lan: Runtime) -> Runtime:
    """With a declared provider, switched off again: two revisions."""
    assert lan.admin("PUT", "/v1/secrets/oidc-client", {"value": "a client secret"}).status_code == 200
    for settings in (OIDC, {"enabled": False}):
        done = lan.admin("POST", "/v1/config/apply", {"owner": "ansible", "settings": {"oidc": settings}})
        assert done.status_code == 200, done.text
    return lan


def revisions(runtime: Runtime) -> list[dict[str, object]]:
    listed = runtime.argos("config", "history", "--json")
    assert listed.returncode == 0, listed.stderr
    found: list[dict[str, object]] = json.loads(listed.stdout)["revisions"]
    return found


def test_history_show_and_rollback(runtime: Runtime) -> None:
    newest, before = revisions(runtime)[:2]
    assert (newest["state"], newest["summary"], newest["actor"]) == ("active", "1 update", "admin_api:admin-socket")
    shown = runtime.argos("config", "show", str(newest["id"])).stdout
    assert '-  "enabled": true,' in shown
    assert '+  "enabled": false,' in shown

    checked = runtime.argos("config", "rollback", str(before["id"]), "--check", "--diff")
    assert '+  "enabled": true,' in checked.stdout
    assert "would change 1 resource" in checked.stdout
    assert json.loads(runtime.argos("oidc", "status", "--json").stdout)["enabled"] is False
    stale = runtime.argos("config", "rollback", str(before["id"]), "--if-match", "0" * 64)
    assert stale.returncode == 1
    assert "has changed since" in stale.stderr
    done = runtime.argos("config", "rollback", str(before["id"]))
    assert done.returncode == 0, done.stderr
    assert json.loads(runtime.argos("oidc", "status", "--json").stdout)["enabled"] is True
    latest = revisions(runtime)[0]
    assert latest["summary"] == f"rollback to {before['id']}: 1 update"
    assert str(latest["actor"]).startswith("cli:")
    assert runtime.rows("SELECT action, target FROM audit ORDER BY id DESC LIMIT 2") == [
        ("config.replace", f"revision/{latest['id']}"),
        ("config.apply", "settings/oidc"),
    ]
    assert "nothing differs" in runtime.argos("config", "rollback", str(before["id"]), "--check").stdout
    assert revisions(runtime)[0] == latest
    assert runtime.argos("config", "rollback", "9999").returncode == 66
    facts = json.loads(runtime.argos("status", "--json").stdout)
    assert facts["configuration"].startswith(f"Revision {latest['id']} of ")
    assert "does not answer" in facts["caddy"], "there is none here"


def test_an_export_comes_back_as_it_was(runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "edge.yaml"
    etag = json.loads(runtime.argos("status", "--json").stdout)["etag"]
    assert runtime.argos("config", "export", "--output", str(file)).returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert "a client secret" not in file.read_text()
    again = runtime.argos("config", "export", "--output", str(file))
    assert (again.returncode, "already exists" in again.stderr) == (2, True)

    assert "nothing differs" in runtime.argos("config", "import", str(file), "--check").stdout
    changed = file.read_text().replace("name: Homelab ID", "name: Another ID")
    checked = runtime.argos("config", "import", "-", "--check", "--diff", stdin=changed)
    assert '+  "name": "Another ID",' in checked.stdout
    assert json.loads(runtime.argos("status", "--json").stdout)["etag"] == etag, "a check changes nothing"
    done = runtime.argos("config", "import", "-", "--json", stdin=changed)
    assert json.loads(done.stdout)["changed"] is True, done.stderr
    back = runtime.argos("config", "import", str(file))
    assert back.returncode == 0, back.stderr
    assert json.loads(runtime.argos("status", "--json").stdout)["etag"] == etag
    assert str(revisions(runtime)[0]["summary"]).startswith("import: ")
    wrong = runtime.argos("config", "import", "-", stdin=changed.replace("idle_hours", "idle") + "x: 1\n")
    assert wrong.returncode == 1
    assert "is no" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_the_admin_api_and_the_panel_tell_the_same_history(runtime: Runtime) -> None:
    newest = runtime.admin("GET", "/v1/revisions?limit=2").json()["revisions"]
    one = runtime.admin("GET", f"/v1/revisions/{newest[0]['id']}").json()
    assert one["changes"][0]["after"]["enabled"] is False
    assert runtime.admin("GET", "/v1/revisions/nonsense").status_code == 404
    assert runtime.admin("GET", "/v1/revisions?limit=0").status_code == 400
    stale = runtime.admin("POST", f"/v1/revisions/{newest[1]['id']}/rollback", **{"If-Match": '"0"'})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "stale")
    planned = runtime.admin("POST", f"/v1/revisions/{newest[1]['id']}/rollback?check=true").json()
    assert planned["changes"][0]["after"]["enabled"] is True

    browser = Browser(runtime, "127.8.0.1")
    browser.sign_in("root-admin")
    listing = browser.get("/history").text
    assert f'href="/history/{newest[0]["id"]}"' in listing
    page = browser.get(f"/history/{newest[1]['id']}").text
    assert "&#34;enabled&#34;: true" in page
    etag = page.partition('name="etag" value="')[2].partition('"')[0]
    assert etag == planned["etag"]
    # Somebody else changes something while the page is open: it is refused, and the page shows the present.
    runtime.admin("POST", "/v1/config/apply", {"settings": {"oidc": {**OIDC, "enabled": False, "name": "Third ID"}}})
    late = browser.post(f"/history/{newest[1]['id']}", {"etag": etag})
    assert late.status_code == 412
    assert "has changed since" in late.text
    assert "Third ID" in late.text
    etag = late.text.partition('name="etag" value="')[2].partition('"')[0]
    assert (
        browser.post(f"/history/{newest[1]['id']}", {"etag": etag}).headers["Location"]
        == f"/history?back={newest[1]['id']}"
    )
    assert json.loads(runtime.argos("oidc", "status", "--json").stdout)["name"] == "Homelab ID"
    assert revisions(runtime)[0]["actor"] == "user:root-admin"
