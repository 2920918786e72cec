"""Plan, apply, refusal, secrets and reconcile against a real Caddy and a real database."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from argos.edge.decode import decode_document
from argos.edge.model import Document
from argos.edge.render import render
from argos.edge.secret_use import DeclaredSecrets
from argos.errors import Invalid, Refused, Stale, Unavailable
from argos.storage.tables import audit, gate_hosts, gate_settings, resources, revisions
from edge_rig import ACTOR, EchoUpstream, Edge
from sqlalchemy import select, text
from waiting import until

OPEN, GUARDED = "open.home.example", "guarded.home.example"
BAD_REGEXP = 'SecRule ARGS "@rx (unclosed" "id:100001,phase:2,deny"'


def host(name: str, echo: EchoUpstream, **more: Any) -> dict[str, Any]:
    """A host in front of the echo upstream."""
    return {"name": name, "upstreams": [{"url": echo.url}], **more}


def rows(edge: Edge, table: Any) -> list[Any]:
    """Everything in a table."""
    with edge.storage.read() as connection:
        return list(connection.execute(select(table)).all())


def loads(edge: Edge) -> int:
    """How many configurations Caddy has begun to run."""
    return (edge.place / "caddy.out").read_text().count("servers shutting down")


def test_an_apply_brings_caddy_database_gate_and_files_to_the_same_state(edge: Edge, echo: EchoUpstream) -> None:
    before = edge.settings.epoch_file.read_bytes()
    outcome = edge.apply([host(OPEN, echo), host(GUARDED, echo, auth={"required": True})])
    assert outcome.changed
    assert [(change.kind, change.name, change.action) for change in outcome.changes] == [
        ("host", GUARDED, "create"),
        ("host", OPEN, "create"),
        ("settings", "crowdsec", "create"),
        ("settings", "edge", "create"),
    ]
    active = json.loads((edge.place / "edge/caddy.json").read_text())
    assert edge.admin.config() == active
    assert (edge.place / "edge/fallback.json").exists()
    assert [(row.host_id, json.loads(row.rule)["required"]) for row in rows(edge, gate_hosts)] == [(GUARDED, True)]
    (settings,) = rows(edge, gate_settings)
    assert settings.panel_url == f"https://argos.home.example:{edge.https_port}"
    assert (settings.cookie_name, settings.idle_seconds) == ("__Secure-argos_session", 86400)
    assert [row.state for row in rows(edge, revisions)] == ["active"]
    assert {row.action for row in rows(edge, audit)} == {"config.apply"}
    assert {row.target for row in rows(edge, audit)} == {
        f"host/{OPEN}",
        f"host/{GUARDED}",
        "settings/edge",
        "settings/crowdsec",
    }
    assert edge.settings.epoch_file.read_bytes()[:8] != before[:8]


def test_a_second_apply_of_200_hosts_writes_nothing_and_reloads_nothing(edge: Edge, echo: EchoUpstream) -> None:
    declared = [host(f"h{number}.home.example", echo) for number in range(200)]
    first = edge.apply(declared)
    assert edge.ask("h137.home.example").status == 200
    watched = [edge.settings.database, Path(f"{edge.settings.database}-wal"), *(edge.place / "edge").iterdir()]
    before = [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in watched]
    epoch, reloads = edge.settings.epoch_file.read_bytes(), loads(edge)
    second = edge.apply(declared)
    assert (second.changed, second.changes, second.etag, second.revision) == (False, (), first.etag, first.revision)
    assert before == [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in watched]
    assert edge.engine.reconcile() is False
    assert before == [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in watched]
    assert (edge.settings.epoch_file.read_bytes(), loads(edge)) == (epoch, reloads)


def test_what_only_caddy_refuses_names_host_and_reason_and_changes_nothing(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply([host(OPEN, echo)])
    running, kept = edge.admin.config(), (edge.place / "edge/caddy.json").read_bytes()
    bad = host("bad.home.example", echo, waf={"mode": "block", "custom_rules": [BAD_REGEXP]})
    fine = [host(f"fine{number}.home.example", echo) for number in range(5)]
    with pytest.raises(Refused) as refused:
        edge.apply([host(OPEN, echo), *fine[:3], bad, *fine[3:]])
    assert "host/bad.home.example" in refused.value.message
    assert "unclosed" in refused.value.message or "missing closing" in refused.value.message
    assert edge.admin.config() == running
    assert (edge.place / "edge/caddy.json").read_bytes() == kept
    assert edge.ask(OPEN).status == 200
    assert {row.name for row in rows(edge, resources)} == {OPEN, "edge", "crowdsec"}
    states = [(row.state, row.reason) for row in rows(edge, revisions)]
    assert [state for state, _unused in states] == ["active", "failed"]
    assert "bad.home.example" in states[1][1]
    assert any(row.action == "config.refused" for row in rows(edge, audit))


def test_a_refusal_that_names_no_host_is_traced_by_trying_the_changes(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply([host(OPEN, echo)])
    match = {"remote_ip": ["203.0.113.7"]}
    rule = {"priority": 1, "match": match, "action": {"type": "block"}}
    document = decode_document({"hosts": [host(f"h{number}.home.example", echo, rules=[rule]) for number in range(6)]})
    # Our own checks refuse such an address; put in behind them, it is Caddy that does.
    bad = msgspec.convert(json.loads(msgspec.json.encode(document).replace(b"203.0.113.7", b"203.0.113.x")), Document)
    hosts = (*document.hosts[:4], bad.hosts[4], document.hosts[5])
    with pytest.raises(Refused) as refused:
        edge.engine.apply(ACTOR, Document(hosts=hosts))
    assert "host/h4.home.example" in refused.value.message


def test_three_bad_fields_give_one_message_naming_all_three(edge: Edge, echo: EchoUpstream) -> None:
    bad = host(OPEN, echo, waf={"mode": "sometimes"}, rate_limit={"requests": 0, "window": 5}, tsl={"mode": "off"})
    with pytest.raises(Invalid) as invalid:
        edge.apply([bad])
    assert {(error.resource, error.field) for error in invalid.value.errors} == {
        (f"host/{OPEN}", "waf.mode"),
        (f"host/{OPEN}", "rate_limit.requests"),
        (f"host/{OPEN}", "tsl"),
    }
    assert "did you mean 'tls'" in invalid.value.message
    assert rows(edge, resources) == []
    assert edge.admin.config()["admin"], "the bootstrap still runs"


def test_a_lost_race_is_refused(edge: Edge, echo: EchoUpstream) -> None:
    seen = edge.apply([host(OPEN, echo)]).etag
    edge.apply([host(OPEN, echo), host("other.home.example", echo)])
    with pytest.raises(Stale):
        edge.engine.apply(ACTOR, decode_document({"hosts": [{"name": OPEN, "state": "absent"}]}), seen)
    assert edge.ask(OPEN).status == 200


def test_caddy_away_changes_nothing_and_says_so(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply([host(OPEN, echo)])
    edge.stop()
    with pytest.raises(Unavailable, match="Nothing was changed"):
        edge.apply([host("other.home.example", echo)])
    assert {row.name for row in rows(edge, resources)} == {OPEN, "edge", "crowdsec"}
    edge.start(edge.place / "edge/caddy.json")
    assert edge.ask(OPEN).status == 200


def test_a_restarted_caddy_is_brought_back_to_the_active_revision(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply([host(OPEN, echo)])
    assert edge.ask(OPEN).status == 200
    assert edge.engine.reconcile() is False
    edge.stop(kill=True)
    edge.start(edge.place / "bootstrap.json")
    assert edge.engine.reconcile() is True
    assert edge.ask(OPEN).status == 200
    assert edge.engine.reconcile() is False


def test_a_crash_between_load_and_commit_is_mended(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply([host(OPEN, echo)])
    with edge.storage.write() as connection:
        connection.execute(
            text(
                "INSERT INTO revisions (state, etag, resources, actor, created_at)"
                " VALUES ('pending', 'x', '{}', 'cli', 1)"
            )
        )
    edge.admin.load(json.dumps({"admin": edge.admin.config()["admin"]}))
    (edge.place / "edge/caddy.json").write_text("{}")
    assert edge.engine.reconcile() is True
    assert [row.state for row in rows(edge, revisions)] == ["active", "failed"]
    assert json.loads((edge.place / "edge/caddy.json").read_text()) == edge.admin.config()
    assert edge.ask(OPEN).status == 200


def test_a_database_that_fails_at_the_commit_leaves_the_old_configuration_serving(
    edge: Edge, echo: EchoUpstream
) -> None:
    edge.apply([host(OPEN, echo)])
    with edge.storage.write() as connection:
        connection.execute(
            text("CREATE TRIGGER no_more BEFORE INSERT ON resources BEGIN SELECT RAISE(ABORT, 'full'); END")
        )
    with pytest.raises(Exception, match="full"):
        edge.apply([host(OPEN, echo), host("new.home.example", echo)])
    assert "new.home.example" not in json.dumps(edge.admin.config())
    assert edge.ask(OPEN).status == 200
    assert [row.state for row in rows(edge, revisions)] == ["active", "failed"]


@pytest.mark.threat("SEC-1")
def test_a_secret_reaches_the_upstream_and_stands_in_no_configuration(edge: Edge, echo: EchoUpstream) -> None:
    declared = [host(OPEN, echo, request_headers={"set": {"Authorization": {"secret": "upstream-token"}}})]
    with pytest.raises(Invalid, match="upstream-token"):
        edge.apply(declared)
    edge.secrets.set(ACTOR, "upstream-token", "Bearer first-value")
    edge.apply(declared)
    assert edge.ask(OPEN).received().all("Authorization") == ["Bearer first-value"]
    assert "first-value" not in json.dumps(edge.admin.config())

    reloads = loads(edge)
    edge.secrets.set(ACTOR, "upstream-token", "Bearer second-value")
    assert edge.apply(declared).changed is False
    assert loads(edge) == reloads + 1, "a secret that changed behind an unchanged name forces the load"
    assert edge.ask(OPEN).received().all("Authorization") == ["Bearer second-value"]
    assert edge.apply(declared).changed is False
    assert loads(edge) == reloads + 1
    for path in (edge.place / "credentials").iterdir():
        assert path.stat().st_mode & 0o777 == 0o440


@pytest.mark.threat("SEC-1")
def test_a_changed_secret_reaches_caddy_before_its_writer_is_answered(edge: Edge, echo: EchoUpstream) -> None:
    secrets = DeclaredSecrets(edge.engine, edge.secrets)
    secrets.set(ACTOR, "upstream-token", "Bearer first-value")
    edge.apply([host(OPEN, echo, request_headers={"set": {"Authorization": {"secret": "upstream-token"}}})])
    reloads = loads(edge)
    assert secrets.set(ACTOR, "upstream-token", "Bearer second-value").warnings == ()
    assert edge.ask(OPEN).received().all("Authorization") == ["Bearer second-value"]
    assert loads(edge) == reloads + 1
    assert secrets.set(ACTOR, "upstream-token", "Bearer second-value").changed is False
    assert secrets.set(ACTOR, "spare", "nobody uses it").warnings == ()
    assert edge.engine.reconcile() is False
    assert loads(edge) == reloads + 1, "what nobody uses, or what stays, loads nothing"
    with pytest.raises(Invalid, match="one line"):
        secrets.set(ACTOR, "upstream-token", "two\nlines")
    assert edge.ask(OPEN).status == 200
    edge.stop()
    change = secrets.set(ACTOR, "upstream-token", "Bearer third-value")
    assert "has not taken it yet" in change.warnings[0]
    edge.start(edge.place / "edge/caddy.json")
    assert edge.ask(OPEN).received().all("Authorization") == ["Bearer third-value"]


def test_the_fallback_serves_all_but_hosts_that_name_a_secret(edge: Edge, echo: EchoUpstream) -> None:
    edge.secrets.set(ACTOR, "upstream-token", "Bearer value")
    named = host("named.home.example", echo, request_headers={"set": {"Authorization": {"secret": "upstream-token"}}})
    edge.apply([host(OPEN, echo), named])
    edge.stop()
    edge.start(edge.place / "edge/fallback.json")
    assert edge.ask(OPEN).status == 200
    assert edge.ask("named.home.example").status == 503
    assert edge.engine.reconcile() is True
    assert edge.ask("named.home.example").status == 200


@pytest.mark.threat("ING-1")
def test_the_waf_blocks_detects_or_stays_out(edge: Edge, echo: EchoUpstream) -> None:
    modes = ("off", "detect", "block")
    custom = 'SecRule ARGS:pet "@streq unicorn" "id:100001,phase:2,deny,status:403,msg:\'no unicorns\'"'
    edge.apply(
        [host(f"{mode}.home.example", echo, waf={"mode": mode}) for mode in modes]
        + [host("custom.home.example", echo, waf={"mode": "block", "custom_rules": [custom]})]
    )
    probe = "/?q=1%27%20OR%20%271%27=%271%27%20UNION%20SELECT%20password%20FROM%20users--"
    assert [edge.ask(f"{mode}.home.example", probe).status for mode in modes] == [200, 200, 403]
    assert [edge.ask("custom.home.example", f"/?pet={pet}").status for pet in ("cat", "unicorn")] == [200, 403]
    assert edge.ask("block.home.example", "/?pet=unicorn").status == 200


def test_a_load_with_an_open_stream_neither_waits_nor_cuts_it(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply([host(OPEN, echo)])
    with edge.connect(OPEN) as stream:
        stream.sendall(f"GET / HTTP/1.1\r\nHost: {OPEN}\r\n\r\n".encode())
        assert stream.recv(65536)
        edge.apply([host(OPEN, echo), host("other.home.example", echo)])
    assert edge.ask("other.home.example").status == 200


def test_a_hung_caddy_is_given_up_after_its_time(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply([host(OPEN, echo)])
    edge.admin._timeout = 1
    assert edge.caddy is not None
    edge.caddy.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="Nothing was changed"):
            edge.apply([host(OPEN, echo), host("other.home.example", echo)])
    finally:
        edge.caddy.send_signal(signal.SIGCONT)
    edge.admin._timeout = 10
    # Caddy takes what was given up when it wakes, and in what order is its own affair: the runtime keeps looking.
    assert edge.engine.unsettled()
    until(lambda: not edge.engine.reconcile() and "other.home.example" not in json.dumps(edge.admin.config()))
    with edge.storage.read() as connection:
        state = connection.execute(select(resources.c.name)).scalars().all()
    assert "other.home.example" not in state
    assert "other.home.example" not in json.dumps(edge.admin.config())


def test_an_empty_declaration_renders_and_loads(edge: Edge) -> None:
    from argos.edge.plan import State

    edge.admin.load(json.dumps(render(State(), edge.context)))
    assert edge.ask("any.home.example", plain=True).status == 421
