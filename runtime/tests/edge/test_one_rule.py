"""What several rooms must agree on has one answer."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml
from argos.audit import Actor
from argos.doctor.examine import examine
from argos.edge.context import context_of
from argos.edge.decode import decode_document
from argos.edge.plan import State, plan
from argos.edge.render import render
from argos.errors import Invalid
from argos.named_secrets import NamedSecrets
from argos.private_networks import NO_VISITORS, PRIVATE
from argos.scrub import Scrubber
from argos.settings import Settings
from argos.storage.engine import Storage
from argos.threat.access import lapi_of

EDGE = {"panel_host": "argos.home.example", "parent_domain": "home.example"}


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [
        (None, "http://127.0.0.1:9"),
        ({}, "http://127.0.0.1:9"),
        ({"whitelist": [{"value": "203.0.113.7"}]}, "http://127.0.0.1:9"),
        ({"lapi_url": ""}, "http://127.0.0.1:9"),
        ({"lapi_url": "http://127.0.0.1:11"}, "http://127.0.0.1:11"),
    ],
)
def test_caddy_the_panel_and_the_doctor_ask_the_same_lapi(
    storage: Storage,
    named_secrets: NamedSecrets,
    actor: Actor,
    tmp_path: Path,
    declared: dict[str, Any] | None,
    wanted: str,
) -> None:
    settings = Settings(
        master_key=bytes(range(32)),
        data_dir=tmp_path,
        credentials_dir=tmp_path,
        caddy_socket=tmp_path / "caddy.sock",
        lapi_url="http://127.0.0.1:9",
    )
    document = {"settings": {"edge": EDGE, **({} if declared is None else {"crowdsec": declared})}}
    state = plan(State(), decode_document(document)).state
    assert render(state, context_of(settings))["apps"]["crowdsec"]["api_url"] == wanted
    if declared is not None:
        connection = sqlite3.connect(settings.database)
        spec = json.dumps({"enabled": True, **declared})
        connection.execute("INSERT INTO resources (kind, name, spec, owner, updated_at) VALUES (?, ?, ?, '', 0)",
                           ("settings", "crowdsec", spec))  # fmt: skip
        connection.commit()
        connection.close()
    named_secrets.set(actor, "crowdsec-bouncer-key", "0123456789")
    (tmp_path / "crowdsec-bouncer-key").write_text("0123456789")
    assert lapi_of(settings, storage, named_secrets, Scrubber())._url() == wanted
    told = next(finding.message for finding in examine(settings) if finding.name == "CrowdSec")
    assert f"does not answer at {wanted}:" in told


@pytest.mark.parametrize("name", ["a", "api-token", "0", "a" * 63, "my.token", "a_b", "a" * 64, "-a", "A", "", "a\n"])
def test_a_secret_is_declared_by_any_name_that_one_is_stored_under_and_by_no_other(
    named_secrets: NamedSecrets, actor: Actor, name: str
) -> None:
    def accepted(act: Any) -> bool:
        try:
            act()
        except Invalid:
            return False
        return True

    used = {"request_headers": {"set": {"X-A": {"secret": name}}}}
    host = {"name": "a.home.example", "upstreams": [{"url": "http://10.0.0.5:80"}], **used}
    oidc = {"issuer": "https://id.home.example", "client_id": "a", "client_secret": {"secret": name}}
    stored = accepted(lambda: named_secrets.set(actor, name, "0123456789"))
    assert stored == (name in ("a", "api-token", "0", "a" * 63))
    assert accepted(lambda: decode_document({"hosts": [host]})) == stored
    assert accepted(lambda: decode_document({"settings": {"oidc": oidc}})) == stored


def test_the_role_exempts_the_networks_that_are_private_here(request: pytest.FixtureRequest) -> None:
    defaults = yaml.safe_load((request.config.rootpath / "roles/crowdsec/defaults/main.yml").read_text())
    assert sorted(defaults["argos_crowdsec_private_ranges"]) == sorted(PRIVATE)
    assert set(PRIVATE) < set(NO_VISITORS)
