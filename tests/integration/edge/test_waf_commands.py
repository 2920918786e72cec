"""`argos waf events|explain|exclude`, as an operator runs them beside a real ``argos serve`` and a real Caddy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from panel_runtime import EDGE, Runtime
from waiting import until

WIKI = "wiki.home.example"
SQLI = quote("1' UNION SELECT username, password FROM users-- -")
ASK = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=20)
headers = {"Host": sys.argv[1], "User-Agent": "Mozilla/5.0", "Accept": "*/*"}
connection.request("GET", sys.argv[2], headers=headers)
print(connection.getresponse().status)
"""


@dataclass
class Guarded:
    """A runtime, and the Caddy that it drives: in a network of its own, as it wants ports 80 and 443."""

    runtime: Runtime
    caddy: subprocess.Popen[bytes]

    def ask(self, path: str) -> int:
        """The status that a visitor gets."""
        user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        enter = ["nsenter", "--target", str(self.caddy.pid), *user, "--net"]
        done = subprocess.run(
            [*enter, sys.executable, "-c", ASK, WIKI, path], capture_output=True, text=True, timeout=60, check=True
        )
        return int(done.stdout)

    def blocked(self, path: str) -> str:
        """Have a request blocked on that path; its event's key, once it is in the log."""
        assert self.ask(f"{path}?text={SQLI}") == 403
        until(lambda: self.keys(path) != [])
        (key,) = self.keys(path)
        return key

    def keys(self, path: str) -> list[str]:
        """The events on a path."""
        listed = json.loads(self.says("events", "--json"))
        return [event["key"] for event in listed if event["uri"].startswith(f"{path}?")]

    def says(self, *arguments: str, code: int = 0) -> str:
        """What the command line prints, on success to standard output."""
        done = self.runtime.argos("waf", *arguments)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, caddy_binary: Path) -> Iterator[Guarded]:
    """One host with a WAF that blocks."""
    tmp_path = tmp_path_factory.mktemp("waf")
    runtime = Runtime(tmp_path, "behind_caddy")
    runtime.extra = {"ARGOS_CADDY_BINARY": str(caddy_binary), "ARGOS_CADDY_STORAGE": str(tmp_path / "storage")}
    socket = runtime.environment["ARGOS_CADDY_SOCKET"]
    bootstrap = tmp_path / "bootstrap.json"
    bootstrap.write_text(json.dumps({"admin": {"listen": f"unix/{socket}|0660", "config": {"persist": False}}}))
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    begin = 'ip link set lo up && exec "$0" run --config "$1"'
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with (tmp_path / "caddy.out").open("wb") as out:
        caddy = subprocess.Popen(
            ["unshare", "--net", *user, "sh", "-c", begin, str(caddy_binary), str(bootstrap)],
            stdout=out,
            stderr=out,
            env=environment,
        )
    made = Guarded(runtime, caddy)
    try:
        until(lambda: Path(socket).exists(), within=60)
        runtime.start()
        edge = {**EDGE, "tls": {"mode": "off"}, "trusted_proxies": ["192.0.2.1"]}
        rule = {"priority": 1, "action": {"type": "fixed_response", "body": "ok"}}
        host = {"name": WIKI, "waf": {"mode": "block"}, "rules": [rule]}
        settings = {"edge": edge, "crowdsec": {"enabled": False}}
        answer = runtime.admin("POST", "/v1/config/apply", {"owner": "ansible", "settings": settings, "hosts": [host]})
        assert answer.status_code == 200, answer.text
        yield made
    finally:
        runtime.stop()
        caddy.terminate()
        caddy.wait(60)


def test_a_false_positive_is_listed_explained_and_let_pass(guarded: Guarded) -> None:
    key = guarded.blocked("/save")
    listed = guarded.says("events", "--host", WIKI)
    assert key in listed
    assert f"{WIKI} GET /save" in listed
    assert guarded.says("events", "--host", "other.home.example") == "no events\n"

    explained = guarded.says("explain", key)
    assert "942" in explained
    assert "in ARGS:text" in explained
    assert f"sudo argos waf exclude {key} --apply" in explained
    offered = json.loads(guarded.says("explain", key, "--json"))["exclusions"]
    assert all((one["parameter"], one["path"]) == ("ARGS:text", "/save") for one in offered)

    shown = guarded.says("exclude", key)
    assert "Nothing has been changed" in shown
    assert "'ansible' manages this host" in shown
    assert '"parameter": "ARGS:text"' in shown
    assert guarded.ask(f"/save?text={SQLI}") == 403, "what is only shown is not made"
    planned = json.loads(guarded.says("exclude", key, "--json"))
    assert (planned["changed"], planned["host"], planned["added"]) == (True, WIKI, offered)

    guarded.says("exclude", key, "--apply")
    assert guarded.ask(f"/save?text={SQLI}") == 200
    assert guarded.ask(f"/save?other={SQLI}") == 403
    assert guarded.ask(f"/else?text={SQLI}") == 403
    revision = guarded.runtime.rows("SELECT actor FROM revisions WHERE state = 'active'")
    assert [actor.startswith("cli:") for (actor,) in revision] == [True]
    kept = json.loads(guarded.runtime.argos("status", "--json").stdout)["kept"]
    assert ("caddy: rate limits", 0, 100_000) in [(one["name"], one["rows"], one["bound"]) for one in kept]
    audited = guarded.runtime.rows("SELECT action, target FROM audit ORDER BY id DESC LIMIT 1")
    assert audited == [("config.apply", f"host/{WIKI}")]


def test_what_cannot_be_done_has_its_exit_code(guarded: Guarded) -> None:
    assert "0123456789abcdef" in guarded.says("explain", "0123456789abcdef", code=66)
    guarded.says("exclude", "0123456789abcdef", "--apply", code=66)
    assert "--limit" in guarded.says("events", "--limit", "0", code=2)
    guarded.says("explain", code=2)
    key = guarded.blocked("/twice")
    guarded.says("exclude", key, "--apply")
    again = guarded.says("exclude", key, "--apply", code=1)
    assert "already" in again
