"""What changes something: every form of the panel and every route of the API, with the rows that it must leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pyotp
from argos.accounts.people import Wanted
from argos.application import Application
from argos.audit import Actor
from argos.panel.app import panel_app
from argos.sessions.model import IssuedSession
from falcon import testing

from .conftest import PASSWORD, SYSTEM

ADDRESS = "203.0.113.5"
ARCHIVE = "argos-20261123T020000Z-1f2e.backup"
HEADERS = {
    "Host": "argos.home.example",
    "Argos-Client-Ip": ADDRESS,
    "Origin": "https://argos.home.example",
    "Content-Type": "application/x-www-form-urlencoded",
}
MAIL = {
    "host": "127.0.0.1",
    "port": 1,
    "security": "none",
    "sender": "a@home.example",
    "recipients": ["b@home.example"],
}
OIDC = {
    "name": "Homelab ID",
    "issuer": "https://id.home.example",
    "client_id": "argos",
    "client_secret": {"secret": "oidc-client"},
    "allow_anyone": True,
}
NEW_PASSWORD = "some other long password"
SECRET = "a long secret value"

Given = dict[str, str]
"""What a preparation hands to the form: texts that take the place of ``{name}`` in path and fields."""


class Walk:
    """One application, and whoever sends a form to it."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def session(self, who: str) -> IssuedSession:
        """Sign somebody in."""
        user = self.application.accounts.get(who)
        return self.application.sessions.begin(Actor("user", who), user.id, ADDRESS)

    def post(self, path: str, form: Given, token: str | None) -> testing.Result:
        """Send a form, with the panel's token of who is signed in."""
        cookie = {} if token is None else {"Cookie": f"__Host-argos_panel={token}"}
        client = testing.TestClient(panel_app(self.application), headers={**HEADERS, **cookie})
        return client.simulate_post(path, body=urlencode(form))

    def rows(self, after: int = 0) -> list[tuple[str, str, str]]:
        """Of the rows after that one who, what and on what."""
        query = f"SELECT actor, action, target FROM audit WHERE id > {after} ORDER BY id"
        with self.application.storage.read() as connection:
            return [(row[0], row[1], row[2]) for row in connection.exec_driver_sql(query)]


def declare(application: Application, name: str, spec: dict[str, Any]) -> None:
    """Store settings, as an apply would: Caddy is not asked for these."""
    with application.storage.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO resources (kind, name, spec, owner, updated_at) VALUES ('settings', ?, ?, '', 0)",
            (name, json.dumps(spec)),
        )


@dataclass(frozen=True)
class Form:
    """A form, or a request to the API.

    Args:
        body: its fields.
        rows: what it must leave in the record, in order: action and target.
        who: is signed in; None for nobody.
        prepare: makes what it needs; returns what stands for ``{name}`` in path, fields and targets, and ``token``,
            the panel's, when it must not be a new one.
        actor: who the record says did it, where that is another.
    """

    body: dict[str, Any]
    rows: tuple[tuple[str, str], ...]
    who: str | None = "root-admin"
    prepare: Callable[[Walk], Given] = field(default=lambda _walk: {})
    actor: str = ""


@dataclass(frozen=True)
class Elsewhere:
    """Asks for a Caddy, a provider or a CrowdSec: ``test`` walks it, and asserts ``action`` in its own text."""

    action: str
    test: str


# --- preparations


def with_link(walk: Walk) -> Given:
    return {"link": walk.application.links.issue(SYSTEM, "alice")}


def with_factor(walk: Walk) -> Given:
    """Alice with a confirmed second factor, in a session that has proved it; and a code that is still unused."""
    session = walk.session("alice").session
    actor, factors = Actor("user", "alice", ADDRESS), walk.application.second_factors
    secret = factors.begin(actor, session).secret
    now = walk.application.clock.now()
    made = factors.confirm(actor, session, pyotp.TOTP(secret).at(now))
    walk.application.clock.advance(60)
    return {"token": made.issued.panel_token, "code": pyotp.TOTP(secret).at(walk.application.clock.now())}


def with_factor_and_half_signed_in(walk: Walk) -> Given:
    return {**with_factor(walk), "token": walk.session("alice").panel_token}


def with_factor_begun(walk: Walk) -> Given:
    issued = walk.session("alice")
    secret = walk.application.second_factors.begin(Actor("user", "alice"), issued.session).secret
    return {"token": issued.panel_token, "code": pyotp.TOTP(secret).at(walk.application.clock.now())}


def with_two_sessions(walk: Walk) -> Given:
    return {"session": str(walk.session("alice").session.id), "token": walk.session("alice").panel_token}


def with_tie(walk: Walk) -> Given:
    user = walk.application.accounts.get("alice").id
    with walk.application.storage.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO oidc_identities (issuer, subject, user_id, created_at) VALUES (?, 'x', ?, 0)",
            (OIDC["issuer"], user),
        )
    return {}


def with_secret(walk: Walk) -> Given:
    walk.application.secrets.set(SYSTEM, "token", SECRET)
    return {}


def with_mail(walk: Walk) -> Given:
    declare(walk.application, "mail", MAIL)  # no server is there: the try is on record all the same
    return {}


def with_provider(walk: Walk) -> Given:
    walk.application.secrets.set(SYSTEM, "oidc-client", SECRET)
    declare(walk.application, "oidc", OIDC)
    return {}


def with_archive(walk: Walk) -> Given:
    (walk.application.settings.backup_dir / ARCHIVE).write_bytes(b"sealed")
    return {}


def with_alice_disabled(walk: Walk) -> Given:
    walk.application.people.put(SYSTEM, "alice", Wanted(disabled=True))
    return {}


def with_session(walk: Walk) -> Given:
    walk.session("alice")
    return {}


def with_factor_of_alice(walk: Walk) -> Given:
    with_factor(walk)
    return {}


def with_a_change_to_take_back(walk: Walk) -> Given:
    """Two revisions that differ in mail alone: Caddy is not asked to go back."""
    from argos.edge.decode import decode_document

    engine, made = walk.application.engine, []
    for sender in ("first@home.example", "second@home.example"):
        outcome = engine.apply(SYSTEM, decode_document({"settings": {"mail": {**MAIL, "sender": sender}}}))
        made.append(str(outcome.revision))
    return {"number": made[0], "etag": walk.application.state().etag()}


# --- the tables

ALICE, TOKEN, ARCHIVED = "user/alice", "secret/token", f"backup/{ARCHIVE}"
PUBLISHING = (
    "tests/integration/edge/test_publishing_in_the_panel.py::"
    "test_a_first_host_is_published_and_protected_by_the_panel_alone"
)
BANNING = "tests/integration/threat/test_decisions.py::"
BY_PANEL = BANNING + "test_the_panel_bans_finds_and_ends_and_names_the_address_that_one_comes_from"

PANEL_FORMS: dict[str, dict[str, Form | Elsewhere]] = {
    "/login": {
        "": Form({"username": "alice", "password": PASSWORD}, (("session.begin", ALICE),), who=None, actor="user:alice")
    },
    "/logout": {"": Form({}, (("session.revoke", ALICE),), who="alice")},
    "/denied": {"": Form({}, (("session.revoke", ALICE),), who="alice")},
    "/confirm": {"": Form({"password": PASSWORD}, (("session.renew", ALICE),), who="alice")},
    "/password": {
        "": Form(
            {"current": PASSWORD, "new": NEW_PASSWORD, "again": NEW_PASSWORD},
            (("user.change_password", ALICE), ("session.begin", ALICE)),
            who="alice",
        )
    },
    "/welcome": {
        "": Form(
            {"token": "{link}", "new": NEW_PASSWORD, "again": NEW_PASSWORD},
            (("user.set_password_by_link", ALICE),),
            who=None,
            prepare=with_link,
            actor="user:alice",
        )
    },
    "/second-factor": {
        "": Form(
            {"code": "{code}"},
            (("session.renew", ALICE), ("second_factor.prove", ALICE)),
            who="alice",
            prepare=with_factor_and_half_signed_in,
        )
    },
    "/profile/second-factor": {
        "begin": Form({"action": "begin"}, (("second_factor.begin", ALICE),), who="alice"),
        "confirm": Form(
            {"action": "confirm", "code": "{code}"},
            (("session.renew", ALICE), ("second_factor.enable", ALICE)),
            who="alice",
            prepare=with_factor_begun,
        ),
        "codes": Form({"action": "codes"}, (("second_factor.new_codes", ALICE),), who="alice", prepare=with_factor),
        "off": Form(
            {"action": "off"},
            (("session.renew", ALICE), ("second_factor.disable", ALICE)),
            who="alice",
            prepare=with_factor,
        ),
    },
    "/profile/sessions": {
        "others": Form(
            {"session": "others"}, (("session.revoke_others", ALICE),), who="alice", prepare=with_two_sessions
        ),
        "one": Form({"session": "{session}"}, (("session.revoke", ALICE),), who="alice", prepare=with_two_sessions),
    },
    "/people": {
        "": Form(
            {"username": "bob", "role": "member"}, (("user.create", "user/bob"), ("user.password_link", "user/bob"))
        )
    },
    "/people/{username}": {
        "save": Form({"do": "save", "role": "member", "groups": "family"}, (("user.update", ALICE),)),
        "disable": Form({"do": "disable"}, (("user.update", ALICE),)),
        "enable": Form({"do": "enable"}, (("user.update", ALICE),), prepare=with_alice_disabled),
        "link": Form({"do": "link"}, (("user.password_link", ALICE),)),
        "reset": Form({"do": "reset"}, (("user.reset_password", ALICE), ("user.password_link", ALICE))),
        "sign_out": Form({"do": "sign_out"}, (("session.revoke_user", ALICE),), prepare=with_session),
        "no_second_factor": Form(
            {"do": "no_second_factor"}, (("second_factor.disable", ALICE),), prepare=with_factor_of_alice
        ),
        "delete": Form({"do": "delete", "sure": "alice"}, (("user.delete", ALICE),)),
    },
    "/secrets": {
        "set": Form({"do": "set", "name": "token", "value": SECRET}, (("secret.create", TOKEN),)),
        "set anew": Form(
            {"do": "set", "name": "token", "value": NEW_PASSWORD}, (("secret.update", TOKEN),), prepare=with_secret
        ),
        "delete": Form({"do": "delete", "name": "token"}, (("secret.delete", TOKEN),), prepare=with_secret),
    },
    "/backups": {
        "create": Form({"action": "create"}, (("backup.request", "backup"),)),
        "delete": Form({"action": "delete", "name": ARCHIVE}, (("backup.delete", ARCHIVED),), prepare=with_archive),
    },
    "/mail": {
        "save": Form(
            {"do": "save", "enabled": "1", **MAIL, "recipients": "b@home.example"},
            (("config.apply", "settings/mail"),),
        ),
        "test": Form({"do": "test", "to": ""}, (("mail.test", "settings/mail"),), prepare=with_mail),
    },
    "/oidc": {
        "disable": Form({"action": "disable"}, (("config.apply", "settings/oidc"),), prepare=with_provider),
        "test": Form({"action": "test"}, (), prepare=with_provider),
    },
    "/oidc/link": {
        "unlink": Form({"unlink": "1"}, (("oidc.unlink", ALICE),), who="alice", prepare=with_tie),
        "begin": Elsewhere(
            "oidc.link",
            "tests/integration/oidc/test_dance.py::test_a_signed_in_person_links_the_provider_and_then_signs_in_by_it",
        ),
    },
    "/oidc/confirm": {
        "": Elsewhere(
            "session.renew",
            "tests/integration/oidc/test_confirm.py::test_being_asked_anew_by_the_provider_counts_for_ten_minutes",
        )
    },
    "/audit": {"verify": Form({"do": "verify"}, ())},
    "/history/{number}": {
        "": Form(
            {"etag": "{etag}"},
            (("config.apply", "settings/mail"), ("config.replace", "revision/")),
            prepare=with_a_change_to_take_back,
        )
    },
    "/decisions": {"add": Elsewhere("decision.add", BY_PANEL), "end": Elsewhere("decision.delete", BY_PANEL)},
    "/hosts/new": {"": Elsewhere("config.apply", PUBLISHING)},
    "/hosts/{name}": {"": Elsewhere("config.apply", PUBLISHING)},
    "/waf/{event}": {"": Elsewhere("config.apply", PUBLISHING)},
}

API: dict[tuple[str, str], Form | Elsewhere] = {
    ("POST", "/v1/users"): Form({"username": "bob", "password": NEW_PASSWORD}, (("user.create", "user/bob"),)),
    ("PUT", "/v1/users/{username}"): Form({"role": "admin", "groups": ["family"]}, (("user.update", ALICE),)),
    ("POST", "/v1/users/{username}/link"): Form({}, (("user.password_link", ALICE),)),
    ("POST", "/v1/users/{username}/password"): Form({"password": NEW_PASSWORD}, (("user.reset_password", ALICE),)),
    ("DELETE", "/v1/users/{username}"): Form({}, (("user.delete", ALICE),)),
    ("DELETE", "/v1/users/{username}/second-factor"): Form(
        {}, (("second_factor.disable", ALICE),), prepare=with_factor_of_alice
    ),
    ("PUT", "/v1/secrets/{name}"): Form({"value": SECRET}, (("secret.create", TOKEN),)),
    ("DELETE", "/v1/secrets/{name}"): Form({}, (("secret.delete", TOKEN),), prepare=with_secret),
    ("POST", "/v1/backups"): Form({}, (("backup.request", "backup"),)),
    ("DELETE", "/v1/backups/{name}"): Form({}, (("backup.delete", ARCHIVED),), prepare=with_archive),
    ("POST", "/v1/mail/test"): Form({}, (("mail.test", "settings/mail"),), prepare=with_mail),
    ("POST", "/v1/config/plan"): Form({"settings": {"mail": MAIL}}, ()),
    ("POST", "/v1/config/apply"): Form({"settings": {"mail": MAIL}}, (("config.apply", "settings/mail"),)),
    ("POST", "/v1/revisions/{number}/rollback"): Form(
        {},
        (("config.apply", "settings/mail"), ("config.replace", "revision/")),
        prepare=with_a_change_to_take_back,
    ),
    ("POST", "/v1/waf/events/{event}/exclusion"): Elsewhere("config.apply", PUBLISHING),
    ("PUT", "/v1/decisions"): Elsewhere("decision.add", BANNING + "test_a_ban_is_planned_made_kept_changed_and_ended"),
    ("DELETE", "/v1/decisions"): Elsewhere(
        "decision.delete", BANNING + "test_a_ban_is_planned_made_kept_changed_and_ended"
    ),
    ("DELETE", "/v1/decisions/{number}"): Elsewhere("decision.delete", BY_PANEL),
}


def _rotated(application: Application) -> None:
    from argos.key_rotation import KeyRotation

    rotation = KeyRotation(application.storage, application.vault, application.audit)
    rotation.rewrap(SYSTEM, bytes(range(1, 33)))
    rotation.reencrypt(SYSTEM)


# What only a command does, by the service that the command calls.
COMMANDS: dict[str, Callable[[Application], object]] = {
    "key.rotate": _rotated,
    "key.reencrypt": _rotated,
    "key.reencrypted": _rotated,
    "audit.checkpoint": lambda here: here.audit.renew_checkpoint(SYSTEM),
}

# What needs a machine of its own to happen: action, file, test.
ACTIONS_ELSEWHERE: tuple[tuple[str, str, str], ...] = (
    ("audit.prune", "runtime/tests/test_audit_kept.py", "test_retention_by_number_keeps_the_rest_verifiable"),
    ("backup.create", "runtime/tests/backup/test_restore.py", "test_a_backup_holds_everything_and_shows_nothing"),
    ("backup.failed", "runtime/tests/backup/test_requests.py", "test_a_failure_is_on_record_with_its_reason"),
    (
        "backup.restore",
        "runtime/tests/backup/test_restore.py",
        "test_a_restore_brings_back_what_was_and_signs_everybody_out",
    ),
    (
        "config.raw_handlers",
        "tests/integration/edge/test_host_model.py",
        "test_raw_handlers_run_before_the_upstream_and_are_told_of",
    ),
    (
        "config.refused",
        "tests/integration/edge/test_apply.py",
        "test_what_only_caddy_refuses_names_host_and_reason_and_changes_nothing",
    ),
    (
        "key.sheet",
        "tests/integration/panel/test_key_rotation.py",
        "test_the_sheet_leads_back_to_the_key_and_is_recorded",
    ),
    (
        "session.revoke_provider",
        "tests/integration/oidc/test_provider_in_trouble.py",
        "test_a_provider_that_goes_off_takes_its_sign_ins_along_and_no_other",
    ),
)
