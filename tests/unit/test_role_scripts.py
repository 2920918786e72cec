"""The scripts that roles crowdsec and runtime run on the controller and on the guest."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNTIME_FILES = ROOT / "roles" / "runtime" / "files"
CROWDSEC_FILES = ROOT / "roles" / "crowdsec" / "files"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: Path, *arguments: str | Path, expected: int = 0) -> str:
    command = [sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stderr
    return done.stdout if expected == 0 else done.stderr


# --- the wheels fit the guest, not the controller


def test_a_glibc_guest_takes_every_manylinux_down_to_2014_and_nothing_newer_than_itself() -> None:
    names = load(RUNTIME_FILES / "wheelhouse.py").platforms("glibc", "2.36", "aarch64")
    assert names[0] == "manylinux_2_36_aarch64"
    assert "manylinux_2_17_aarch64" in names
    assert "manylinux2014_aarch64" in names
    assert "manylinux_2_37_aarch64" not in names
    assert not [name for name in names if "x86_64" in name]


def test_a_musl_guest_takes_no_manylinux_wheel() -> None:
    names = load(RUNTIME_FILES / "wheelhouse.py").platforms("musl", "1.2", "x86_64")
    assert names == ["musllinux_1_2_x86_64", "musllinux_1_1_x86_64"]


def test_an_unknown_libc_is_refused() -> None:
    with pytest.raises(ValueError, match="neither glibc nor musl"):
        load(RUNTIME_FILES / "wheelhouse.py").platforms("bionic", "1.0", "aarch64")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / "argos_edge-0.0.1-py3-none-any.whl").write_bytes(b"wheel")
    (directory / "requirements.lock").write_text("# nothing\n")
    return directory


def gather(files: Path, cache: Path, *more: str) -> dict[str, object]:
    system = ("--python-version", "3.11", "--libc", "glibc", "--libc-version", "2.36", "--machine", "x86_64")
    return json.loads(run(RUNTIME_FILES / "wheelhouse.py", "--files", files, "--cache", cache, *system, *more))


def test_the_archive_is_made_once_for_the_same_content_and_anew_for_another(files: Path, tmp_path: Path) -> None:
    first = gather(files, tmp_path / "cache", "--index")
    again = gather(files, tmp_path / "cache", "--index")
    (files / "argos_edge-0.0.1-py3-none-any.whl").write_bytes(b"another wheel")
    other = gather(files, tmp_path / "cache", "--index")
    assert (first["changed"], again["changed"], other["changed"]) == (True, False, True)
    assert first["digest"] == again["digest"] != other["digest"]
    with tarfile.open(str(first["archive"])) as tar:
        assert tar.getnames() == ["argos_edge-0.0.1-py3-none-any.whl", "requirements.lock"]


def test_check_mode_gathers_nothing(files: Path, tmp_path: Path) -> None:
    assert gather(files, tmp_path / "cache", "--index", "--check")["changed"] is True
    assert not (tmp_path / "cache").exists()


def test_an_archive_that_no_run_used_for_long_is_forgotten(files: Path, tmp_path: Path) -> None:
    old = Path(str(gather(files, tmp_path / "cache", "--index")["archive"]))
    os.utime(old, (0, 0))
    gather(files, tmp_path / "cache", "--index")  # used again: kept
    (files / "requirements.lock").write_text("# another\n")
    gather(files, tmp_path / "cache", "--index")
    assert old.exists()
    os.utime(old, (0, 0))
    (files / "requirements.lock").write_text("# a third\n")
    gather(files, tmp_path / "cache", "--index")
    assert not old.exists()


# --- secrets of the controller


def test_a_secret_is_made_once_with_closed_modes_and_never_printed(tmp_path: Path) -> None:
    path = tmp_path / "state" / "master.key"
    first = run(RUNTIME_FILES / "controller_secret.py", "master-key", path)
    value = path.read_text()
    again = run(RUNTIME_FILES / "controller_secret.py", "master-key", path)
    assert (json.loads(first), json.loads(again)) == ({"changed": True}, {"changed": False})
    assert path.read_text() == value
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert value.strip() not in first + again
    assert list(path.parent.iterdir()) == [path]


def test_a_made_master_key_is_one_that_the_runtime_takes(tmp_path: Path) -> None:
    from argos.settings import decode_master_key

    run(RUNTIME_FILES / "controller_secret.py", "master-key", tmp_path / "key")
    assert len(decode_master_key((tmp_path / "key").read_text())) == 32


def test_runs_at_once_make_one_secret(tmp_path: Path) -> None:
    path = tmp_path / "state" / "master.key"
    command = [sys.executable, str(RUNTIME_FILES / "controller_secret.py"), "master-key", str(path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE) for _unused in range(4)]
    answers = [json.loads(run.communicate()[0])["changed"] for run in runs]
    assert sorted(answers) == [False, False, False, True]
    assert list(path.parent.iterdir()) == [path]


# --- releases on the guest


def archive_of(directory: Path, members: dict[str, bytes]) -> Path:
    source = directory / "members"
    source.mkdir(parents=True)
    archive = directory / "release.tar"
    with tarfile.open(archive, "w") as tar:
        for number, (name, content) in enumerate(members.items()):
            file = source / str(number)
            file.write_bytes(content)
            tar.add(file, arcname=name)
    return archive


@pytest.mark.parametrize("name", ["../outside", "a/b", ".hidden", "/etc/passwd"])
def test_an_archive_with_anything_but_plain_names_is_refused(tmp_path: Path, name: str) -> None:
    install = load(RUNTIME_FILES / "install_venv.py")
    archive = archive_of(tmp_path, {name: b"x"})
    (tmp_path / "target").mkdir()
    with pytest.raises(SystemExit, match="unexpected member"):
        install.unpack(archive, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_the_link_moves_to_the_new_release_and_only_the_one_before_is_kept(tmp_path: Path) -> None:
    install = load(RUNTIME_FILES / "install_venv.py")
    for name in ("one", "two", "three"):
        (tmp_path / "venvs" / name).mkdir(parents=True)
    assert install.use(tmp_path, tmp_path / "venvs" / "two") is True
    assert install.use(tmp_path, tmp_path / "venvs" / "three") is True
    assert install.use(tmp_path, tmp_path / "venvs" / "three") is False
    install.prune(tmp_path, {"two", "three"})
    assert (tmp_path / "venv").resolve() == tmp_path / "venvs" / "three"
    assert sorted(path.name for path in (tmp_path / "venvs").iterdir()) == ["three", "two"]


# --- CrowdSec's hub and its local API


def hub(directory: Path) -> Path:
    items = {
        "collections": {
            "crowdsecurity/caddy": {
                "path": "collections/crowdsecurity/caddy.yaml",
                "parsers": ["crowdsecurity/caddy-logs"],
                "collections": ["crowdsecurity/base-http-scenarios"],
            },
            "crowdsecurity/base-http-scenarios": {
                "path": "collections/crowdsecurity/base-http-scenarios.yaml",
                "scenarios": ["crowdsecurity/http-probing", "ltsich/http-w00tw00t"],
            },
        },
        "parsers": {"crowdsecurity/caddy-logs": {"path": "parsers/s01-parse/crowdsecurity/caddy-logs.yaml"}},
        "scenarios": {
            "crowdsecurity/http-probing": {"path": "scenarios/crowdsecurity/http-probing.yaml"},
            "ltsich/http-w00tw00t": {"path": "scenarios/ltsich/http-w00tw00t.yaml"},
        },
    }
    directory.mkdir()
    (directory / ".index.json").write_text(json.dumps(items))
    return directory


def test_a_collection_brings_all_that_it_names_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    script = CROWDSEC_FILES / "enable_collections.py"
    where = ("--hub", hub(tmp_path / "hub"), "--etc", tmp_path / "etc")
    planned = json.loads(run(script, "caddy", *where, "--check"))["changed"]
    assert not (tmp_path / "etc").exists()
    assert json.loads(run(script, "caddy", *where))["changed"] == planned
    links = sorted(str(path.relative_to(tmp_path / "etc")) for path in (tmp_path / "etc").rglob("*.yaml"))
    assert links == [
        "collections/base-http-scenarios.yaml",
        "collections/caddy.yaml",
        "parsers/s01-parse/caddy-logs.yaml",
        "scenarios/http-probing.yaml",
        "scenarios/http-w00tw00t.yaml",
    ]
    assert json.loads(run(script, "caddy", *where))["changed"] == []


def test_scenarios_are_switched_off_and_on_exactly_and_again_changes_nothing(tmp_path: Path) -> None:
    script = CROWDSEC_FILES / "enable_collections.py"
    where = ("--hub", hub(tmp_path / "hub"), "--etc", tmp_path / "etc")
    scenarios = tmp_path / "etc" / "scenarios"

    def changed(*arguments: str) -> list[str]:
        planned = json.loads(run(script, "base-http-scenarios", *where, *arguments, "--check"))["changed"]
        made = json.loads(run(script, "base-http-scenarios", *where, *arguments))["changed"]
        assert made == planned
        assert json.loads(run(script, "base-http-scenarios", *where, *arguments))["changed"] == []
        return [Path(link).name for link in made]

    def running() -> list[str]:
        return sorted(path.name for path in scenarios.iterdir())

    changed("--off", "http-probing")
    assert running() == ["http-w00tw00t.yaml"]
    assert changed() == ["http-probing.yaml"]
    assert changed("--off", "ltsich/http-w00tw00t", "--off", "crowdsecurity/http-probing") == [
        "http-w00tw00t.yaml",
        "http-probing.yaml",
    ]
    assert running() == []
    assert json.loads(run(script, *where, "--scenario", "http-probing"))["changed"] == [
        str(scenarios / "http-probing.yaml")
    ]
    assert "http-nothing" in run(script, *where, "--off", "http-nothing", expected=2)
    (scenarios / "http-probing.yaml").unlink()
    (scenarios / "http-probing.yaml").write_text("the operator's own")
    assert "by hand" in run(script, *where, "--off", "http-probing", expected=2)
    assert (scenarios / "http-probing.yaml").read_text() == "the operator's own"


def test_a_collection_that_the_hub_lacks_is_named(tmp_path: Path) -> None:
    where = ("--hub", hub(tmp_path / "hub"), "--etc", tmp_path / "etc")
    message = run(CROWDSEC_FILES / "enable_collections.py", "cady", *where, expected=2)
    assert "crowdsecurity/cady" in message
    assert "argos_crowdsec_collections" in message


@pytest.fixture
def answering() -> Iterator[Callable[[int], int]]:
    """Start an HTTP server that gives every request one status; returns its port."""
    servers = []

    def start(status: int) -> int:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()

            do_POST = do_GET  # noqa: N815  # the name that http.server calls

            def log_message(self, *_unused: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "works"), [(200, True), (403, False), (401, False)])
def test_credentials_are_kept_when_taken_and_made_anew_when_refused(
    answering: Callable[[int], int], status: int, works: bool
) -> None:
    credentials = load(CROWDSEC_FILES / "lapi_credentials.py")
    port = answering(status)
    assert credentials.bouncer_works(port, "key") is works
    assert credentials.machine_works(port, '{"login": "argos", "password": "p"}') is works


def test_a_local_api_in_trouble_is_an_error_and_no_reason_to_make_credentials_anew(
    answering: Callable[[int], int],
) -> None:
    credentials = load(CROWDSEC_FILES / "lapi_credentials.py")
    with pytest.raises(credentials.LapiError, match="500"):
        credentials.bouncer_works(answering(500), "secret-key")
    with pytest.raises(credentials.LapiError) as caught:
        credentials.machine_works(1, '{"login": "argos", "password": "secret-word"}')
    assert "secret" not in str(caught.value)


# --- what units do as root


@pytest.mark.threat("DAT-2")
def test_a_request_for_a_backup_is_taken_without_following_what_argos_laid_there(tmp_path: Path) -> None:
    unit = (ROOT / "roles" / "runtime" / "templates" / "argos-backup.service.j2").read_text(encoding="utf-8")
    (line,) = [text for text in unit.splitlines() if text.startswith("ExecStartPre=")]
    command = line.removeprefix("ExecStartPre=").removeprefix("-").split()
    assert command[:4] == ["/usr/bin/setpriv", "--reuid=argos", "--regid=argos", "--clear-groups"]
    theirs, roots = tmp_path / "argos-backup", tmp_path / "roots"
    theirs.mkdir()
    roots.mkdir()
    (theirs / "request").write_text("anything")
    (theirs / "taken").symlink_to(roots)
    move = [word.replace("/run/argos-backup", str(theirs)) for word in command[4:]]
    subprocess.run(move, check=True)
    assert list(roots.iterdir()) == []
    assert (theirs / "taken").read_text() == "anything"
    assert not (theirs / "request").exists()


# --- the master keys on the controller

KEYS = {name: base64.b64encode(bytes([number]) * 32).decode() + "\n" for number, name in enumerate(("first", "second"))}


def key_files(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_the_controller_names_keys_as_the_runtime_does(tmp_path: Path) -> None:
    from argos.vault import key_id

    script = RUNTIME_FILES / "master_key_files.py"
    assert json.loads(run(script, "ids", tmp_path)) == {"key": None, "next": None}
    tmp_path.joinpath("master.key").write_text(KEYS["first"])
    tmp_path.joinpath("master.key.next").write_text(KEYS["second"])
    assert json.loads(run(script, "ids", tmp_path)) == {"key": key_id(bytes(32)), "next": key_id(b"\1" * 32)}
    tmp_path.joinpath("master.key").write_text("c2hvcnQ=\n")
    said = run(script, "ids", tmp_path, expected=1)
    assert "holds 5 bytes" in said
    assert "c2hvcnQ" not in said


def test_the_former_key_is_kept_under_the_id_of_what_its_file_holds(tmp_path: Path) -> None:
    script, module = RUNTIME_FILES / "master_key_files.py", load(RUNTIME_FILES / "master_key_files.py")
    current, following = tmp_path / "master.key", tmp_path / "master.key.next"
    current.write_text(KEYS["first"])
    assert json.loads(run(script, "promote", tmp_path)) == {"changed": False}
    following.write_text(KEYS["second"])
    first = f"master.key.{module.key_id(current)}"
    (tmp_path / first).write_text(KEYS["first"])  # an interrupted run kept it already
    assert json.loads(run(script, "promote", tmp_path)) == {"changed": True}
    assert key_files(tmp_path) == {"master.key": KEYS["second"], first: KEYS["first"]}
    assert json.loads(run(script, "promote", tmp_path)) == {"changed": False}
    following.write_text(KEYS["first"])
    second = f"master.key.{module.key_id(current)}"
    (tmp_path / second).write_text(KEYS["first"])
    assert "another key than its name says" in run(script, "promote", tmp_path, expected=1)
    assert key_files(tmp_path)["master.key"] == KEYS["second"], "a key went that is kept nowhere else"


# --- a database of a newer version


def test_a_wheel_tells_the_schemas_that_its_runtime_knows(tmp_path: Path) -> None:
    from argos.storage.upgrade import REVISIONS

    wheel = tmp_path / "argos_edge-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(ROOT / "runtime" / "src" / "argos" / "storage" / "upgrade.py", "argos/storage/upgrade.py")
    answer = run(RUNTIME_FILES / "schema_revisions.py", "wheel", wheel)
    assert json.loads(answer) == {"revisions": list(REVISIONS)}


def test_a_database_tells_its_schema_and_keeps_its_companions(tmp_path: Path) -> None:
    script, database = RUNTIME_FILES / "schema_revisions.py", tmp_path / "argos.db"
    assert json.loads(run(script, "database", database)) == {"schema": None}
    with contextlib.closing(sqlite3.connect(database)) as opened:
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("CREATE TABLE alembic_version (version_num)")
        opened.execute("INSERT INTO alembic_version VALUES ('9999')")
        opened.commit()
    assert json.loads(run(script, "database", database)) == {"schema": "9999"}
    assert database.with_name("argos.db-wal").exists(), "the gate cannot open what has lost it"
    database.write_bytes(b"no database")
    assert json.loads(run(script, "database", database)) == {"schema": None}
