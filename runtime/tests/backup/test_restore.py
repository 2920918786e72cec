"""From a backup to the same guest, a fresh one, one with another key; and what is refused untouched."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argos.backup import caddy_storage
from argos.backup.journal import begin_journal, end_journal, journal, note_staged
from argos.clock import FixedClock
from argos.edge import revisions
from argos.edge.context import context_of
from argos.edge.decode import decode_document
from argos.edge.plan import State, plan
from argos.vault import Vault, key_id
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from guest_rig import ACTOR, CADDY_FILES, Guest

pytestmark = pytest.mark.long

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    guest = Guest(tmp_path / "guest", KEY)
    with guest.services() as here:
        here.accounts.create(ACTOR, "alice", "admin", "the password of alice")
        here.secrets.set(ACTOR, "api-token", "planted-secret-value")
        here.sessions.begin(ACTOR, here.accounts.get("alice").id, "192.0.2.7", "Firefox")
    return guest


def test_a_backup_holds_everything_and_shows_nothing(guest: Guest) -> None:
    raw = guest.backup().read_bytes()
    assert guest.newest_action() == "backup.create"
    for planted in (b"alice", b"planted-secret-value", b"PRIVATE KEY", b"photos.home.example", b"SQLite"):
        assert planted not in raw
    assert [path.name for path in guest.settings.backup_dir.glob(".argos-*")] == []


@pytest.mark.threat("DAT-6")
def test_a_restore_brings_back_what_was_and_signs_everybody_out(guest: Guest) -> None:
    with guest.services() as here:
        assert here.audit.checkpoint() is True
    made = guest.backup()
    with guest.services() as here:
        here.accounts.create(ACTOR, "mallory", "member", "another password")
        here.secrets.set(ACTOR, "api-token", "another value")
    guest.settings.caddy_storage.joinpath("pki/authorities/local/root.key").write_bytes(b"another CA")

    done = guest.run("restore", "--without-services", "--force", str(made))

    assert done.returncode == 0, done.stderr
    assert "people: goes away: mallory" in done.stdout
    with guest.services() as here:
        assert [account.username for account in here.accounts.list()] == ["alice"]
        assert here.secrets.reveal("api-token") == "planted-secret-value"
        assert here.sessions.list_for(here.accounts.get("alice").id) == []
        assert guest.newest_action() == "backup.restore"
        assert here.audit.examine().sound is True, "a checkpoint of the state before is not missed"
        assert here.audit.checkpoint() is True
    assert guest.caddy_files() == CADDY_FILES
    (kept,) = guest.settings.data_dir.glob("before-restore-*")
    with sqlite3.connect(kept / "argos.db") as old:
        assert old.execute("SELECT count(*) FROM users").fetchone() == (2,)
    assert (guest.settings.edge_dir / "caddy.json").exists()


def test_a_fresh_guest_with_the_same_key_takes_it(guest: Guest, tmp_path: Path) -> None:
    made = guest.backup()
    fresh = Guest(tmp_path / "fresh", KEY)
    shutil.rmtree(fresh.settings.caddy_storage / "pki")
    done = fresh.run("restore", "--without-services", str(made))
    assert done.returncode == 0, done.stderr
    with fresh.services() as here:
        assert here.accounts.authenticate("alice", "the password of alice", address="192.0.2.7")
    assert fresh.caddy_files() == CADDY_FILES


def test_a_former_key_opens_it_and_the_data_moves_to_todays(guest: Guest, tmp_path: Path) -> None:
    made = guest.backup()
    fresh = Guest(tmp_path / "fresh", OTHER_KEY)
    refused = fresh.run("restore", "--without-services", str(made))
    assert refused.returncode == 1
    assert key_id(KEY) in refused.stderr
    done = fresh.run("restore", "--without-services", str(made), ARGOS_FORMER_MASTER_KEY=base64.b64encode(KEY).decode())
    assert done.returncode == 0, done.stderr
    with fresh.services() as here:
        assert here.secrets.reveal("api-token") == "planted-secret-value"
        assert Vault(here.storage, OTHER_KEY).key_id == key_id(OTHER_KEY)


def authority() -> str:
    """The root of somebody's own ACME server, in PEM."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=the CA of this house")
    day = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day + timedelta(days=30))
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def declare(guest: Guest, document: dict[str, object]) -> None:
    """What an apply leaves in the database; no Caddy runs here."""
    with guest.services() as here:
        planned, now = plan(State(), decode_document(document)), here.clock.now()
        with here.storage.write() as connection:
            revision = revisions.begin(connection, planned, str(ACTOR), now)
            revisions.activate(connection, revision, planned, context_of(guest.settings), now)


def named_files(config: object, directory: str) -> set[Path]:
    """Every path below ``directory`` that a configuration of Caddy's names."""
    if isinstance(config, str):
        return {Path(config)} if config.startswith(directory) else set()
    inner = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    return {path for one in inner for path in named_files(one, directory)}


def test_a_fresh_guest_has_every_file_that_caddy_starts_from(guest: Guest, tmp_path: Path) -> None:
    root = authority()
    tls = {"mode": "auto", "ca": "https://acme.home.example/directory", "ca_root": root}
    secretive = {"name": "b.home.example", "upstreams": [{"url": "http://10.0.0.5:80"}]}
    secretive["request_headers"] = {"set": {"X-Key": {"secret": "api-token"}}}
    declare(guest, {"hosts": [{**secretive, "name": "a.home.example", "tls": tls}, secretive]})
    made = guest.backup()
    fresh = Guest(tmp_path / "fresh", KEY)
    done = fresh.run("restore", "--without-services", str(made))
    assert done.returncode == 0, done.stderr
    for name in ("caddy.json", "fallback.json"):
        config = json.loads((fresh.settings.edge_dir / name).read_text())
        (named,) = named_files(config, str(fresh.settings.edge_dir))
        assert named.read_text() == root, name
        assert named.stat().st_mode & 0o777 == 0o640


def tree(guest: Guest) -> dict[str, bytes]:
    """Every file of the guest, but for SQLite's companions and what is locked."""
    skipped = ("-wal", "-shm", ".lock")
    return {str(p): p.read_bytes() for p in guest.top.rglob("*") if p.is_file() and not p.name.endswith(skipped)}


@pytest.mark.threat("DAT-6")
@pytest.mark.parametrize("place", [3, 40, 400, 5000, -1])
def test_an_altered_one_is_refused_before_anything_is_touched(guest: Guest, tmp_path: Path, place: int) -> None:
    raw = bytearray(guest.backup().read_bytes())
    raw[place] ^= 1
    altered = tmp_path / "altered.backup"
    altered.write_bytes(raw)
    before = tree(guest)
    done = guest.run("restore", "--without-services", str(altered))
    assert done.returncode == 1
    assert done.stderr.startswith("argos: ")
    assert "Traceback" not in done.stderr
    assert tree(guest) == before


def test_a_dry_run_says_what_would_change_and_changes_nothing(guest: Guest) -> None:
    made = guest.backup()
    with guest.services() as here:
        here.accounts.create(ACTOR, "bob", "member", "the password of bob")
    before = tree(guest)
    done = guest.run("restore", "--dry-run", "--json", str(made))
    assert done.returncode == 0, done.stderr
    difference = json.loads(done.stdout)
    assert difference["people"] == {"comes back": [], "goes away": ["bob"], "changes": []}
    assert difference["caddy_files"] == len(CADDY_FILES)
    assert tree(guest) == before


def apply_something(guest: Guest, name: str) -> None:
    """A revision, as the engine leaves it; no Caddy runs here."""
    with sqlite3.connect(guest.settings.database) as connection:
        connection.execute("UPDATE revisions SET state = 'superseded' WHERE state = 'active'")
        connection.execute(
            "INSERT INTO revisions (state, etag, resources, actor, created_at)"
            " VALUES ('active', ?, '{}', 'cli:root', 1)",
            (name,),
        )


def test_an_older_revision_needs_force(guest: Guest) -> None:
    apply_something(guest, "one")
    made = guest.backup()
    apply_something(guest, "two")
    refused = guest.run("restore", "--without-services", str(made))
    assert refused.returncode == 1
    assert "revision 1" in refused.stderr
    assert "--force" in refused.stderr
    done = guest.run("restore", "--without-services", "--force", str(made))
    assert done.returncode == 0, done.stderr


def test_a_newer_schema_is_refused(guest: Guest, tmp_path: Path) -> None:
    made = guest.backup()
    with sqlite3.connect(guest.settings.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    raw = made.read_bytes().replace(b'"schema":"', b'"schema":"9')
    newer = tmp_path / "newer.backup"
    newer.write_bytes(raw)
    refused = guest.run("restore", "--without-services", str(newer))
    assert refused.returncode == 1
    assert "newer one" in refused.stderr


def test_a_guest_whose_database_is_broken_can_be_restored(guest: Guest) -> None:
    made = guest.backup()
    guest.settings.database.write_bytes(b"no database any more" * 1000)
    done = guest.run("restore", "--without-services", str(made))
    assert done.returncode == 0, done.stderr
    with guest.services() as here:
        assert [account.username for account in here.accounts.list()] == ["alice"]


def test_old_ones_go_and_the_newest_stays(guest: Guest) -> None:
    old = guest.settings.backup_dir / "argos-20200101T020000Z-0000.backup"
    old.write_bytes(b"old")
    made = guest.backup()
    assert [path.name for path in guest.settings.backup_dir.glob("*.backup")] == [made.name]


def test_what_a_killed_run_left_is_taken_away(guest: Guest) -> None:
    left = [guest.settings.backup_dir / name for name in (".argos-x.backup.partial", ".argos-x.backup.db")]
    for path in left:
        path.write_bytes(b"half")
    guest.backup()
    assert not any(path.exists() for path in left)


def test_links_and_devices_in_caddys_storage_are_left_alone(guest: Guest, tmp_path: Path) -> None:
    storage = guest.settings.caddy_storage
    (storage / "certificates" / "stray").symlink_to("/etc/shadow")
    (storage / "pki" / "stray").symlink_to(tmp_path, target_is_directory=True)
    made = guest.backup()
    done = guest.run("restore", "--without-services", str(made))
    assert done.returncode == 0, done.stderr
    assert guest.caddy_files() == CADDY_FILES


@pytest.mark.parametrize("arguments", [("restore",), ("restore", "/nowhere.backup"), ("backup", "delete", "../x")])
def test_a_wrong_use_is_one_line(guest: Guest, arguments: tuple[str, ...]) -> None:
    done = guest.run(*arguments)
    assert done.returncode in {2, 66}
    assert len(done.stderr.splitlines()) == 1


def test_two_restores_of_one_second_each_keep_the_state_before(guest: Guest) -> None:
    clock = FixedClock()
    tree = guest.settings.caddy_storage
    for content in (b"first", b"second"):
        key = tree.joinpath("pki/authorities/local/root.key")
        key.write_bytes(content)
        shutil.copytree(tree / "pki", tree / ".restore" / "pki")
        note_staged(guest.settings, clock, ["pki"])
        begin_journal(guest.settings)
        found = journal(guest.settings)
        assert found
        swapper = caddy_storage.swapper(tree)
        caddy_storage.swap(swapper, found.stamp, found.caddy)
        swapper.finish()
        end_journal(guest.settings)
    kept = {path.read_bytes() for path in tree.glob("before-restore-*/pki/authorities/local/root.key")}
    assert kept == {b"first", b"second"}


def test_changes_since_the_backup_need_force_under_the_same_revision_too(guest: Guest) -> None:
    apply_something(guest, "one")
    made = guest.backup()
    with guest.services() as here:
        here.sessions.begin(ACTOR, here.accounts.get("alice").id, "192.0.2.7", "Firefox")
    dry = guest.run("restore", "--dry-run", "--json", str(made))
    assert json.loads(dry.stdout)["changes_since"] == 0, "a backup's own row or a sign-in was taken for a change"
    with guest.services() as here:
        here.accounts.create(ACTOR, "bob", "member", "the password of bob")
        here.secrets.set(ACTOR, "api-token", "another value")
    refused = guest.run("restore", "--without-services", str(made))
    assert refused.returncode == 1
    assert "2 changes" in refused.stderr
    assert "--force" in refused.stderr
    with guest.services() as here:
        assert here.secrets.reveal("api-token") == "another value"
    done = guest.run("restore", "--without-services", "--force", str(made))
    assert done.returncode == 0, done.stderr
    again = guest.run("restore", "--without-services", str(made))
    assert again.returncode == 0, "nothing was changed since, and force was asked for: " + again.stderr


CROWDSEC = {"crowdsec-bouncer-key": "bouncer", "crowdsec-machine": '{"login": "argos", "password": "machine"}'}


@pytest.mark.threat("ING-3")
def test_a_fresh_guest_keeps_the_credentials_that_its_own_crowdsec_knows(guest: Guest, tmp_path: Path) -> None:
    with guest.services() as here:
        for name, value in CROWDSEC.items():
            here.secrets.set(ACTOR, name, f"{value} of the lost guest")
    made = guest.backup()
    fresh = Guest(tmp_path / "fresh", OTHER_KEY)
    with fresh.services() as here:
        for name, value in CROWDSEC.items():
            here.secrets.set(ACTOR, name, value)
    former = {"ARGOS_FORMER_MASTER_KEY": base64.b64encode(KEY).decode()}
    shown = json.loads(fresh.run("restore", "--dry-run", "--json", str(made), **former).stdout)
    assert shown["secrets"] == {"comes back": ["api-token"], "goes away": [], "changes": []}
    done = fresh.run("restore", "--without-services", str(made), **former)
    assert done.returncode == 0, done.stderr
    with fresh.services() as here:
        assert {name: here.secrets.reveal(name) for name in CROWDSEC} == CROWDSEC
        assert here.secrets.reveal("api-token") == "planted-secret-value"
        assert here.audit.verify() is None


@pytest.mark.threat("ING-3")
def test_a_guest_without_crowdsecs_credentials_has_those_of_the_backup(guest: Guest, tmp_path: Path) -> None:
    with guest.services() as here:
        here.secrets.set(ACTOR, "crowdsec-bouncer-key", "of the LAPI elsewhere")
    made = guest.backup()
    fresh = Guest(tmp_path / "fresh", KEY)
    fresh.settings.database.write_bytes(b"no database any more")
    done = fresh.run("restore", "--without-services", str(made))
    assert done.returncode == 0, done.stderr
    with fresh.services() as here:
        assert here.secrets.reveal("crowdsec-bouncer-key") == "of the LAPI elsewhere"
