"""`argos backup …` and `argos restore`: begun as root, which forks, waits and handles services, and reads no data."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import CONFIGURATION, NOT_FOUND, OK, UNAVAILABLE, USAGE, Stop, verdict
from argos.errors import ArgosError
from argos.settings import BadSetting, Settings, decode_master_key

if TYPE_CHECKING:
    from argos.backup.restore import Difference
    from argos.backup.service import Backup

FORMER_KEY = "ARGOS_FORMER_MASTER_KEY"
# The gate's socket stays: who asks meanwhile waits, and is not denied.
_STOPPED = ("argos.service", "argos-gate.service", "argos-caddy.service")
_STARTED = (
    ("restart", "argos-credentials.service"),
    ("start", "argos-caddy.service"),
    ("start", "argos-gate.service"),
    ("start", "argos.service"),
)


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    group = add_group(
        commands,
        "backup",
        "backups of this guest",
        "sudo argos backup create\n"
        "  sudo argos backup list\n"
        "  sudo argos backup verify /var/lib/argos-backups/argos-20261123T020000Z-1f2e.backup",
    )
    creation = add_command(group, "create", "make a backup and verify it", "sudo argos backup create", create)
    creation.add_argument("--requested", action="store_true", help="run by systemd: answer the panel's request")
    listing = add_command(group, "list", "list the backups", "sudo argos backup list --json", list_all)
    for one in (creation, listing):
        add_json(one)
    name = "argos-20261123T020000Z-1f2e.backup"
    path = f"/var/lib/argos-backups/{name}"
    drop = add_command(group, "delete", "remove a backup", f"sudo argos backup delete {name}", delete)
    drop.add_argument("name", help="as `argos backup list` shows it")
    check = add_command(
        group,
        "verify",
        "check that a backup is complete and opens with the master key",
        f"sudo argos backup verify {path}",
        verify,
    )
    check.add_argument("file", help="path of the file")
    restoring = add_command(
        commands,
        "restore",
        "replace this guest's data with a backup",
        f"sudo argos restore --dry-run {path}\n"
        f"  sudo argos restore --force {path}\n"
        f"  sudo argos restore --former-key-stdin {path} < former.key",
        restore,
    )
    restoring.add_argument("file", nargs="?", default="", help="path of the backup")
    restoring.add_argument("--dry-run", action="store_true", help="verify the backup and show what would change")
    restoring.add_argument(
        "--force", action="store_true", help="restore even if the backup is older than the running configuration"
    )
    restoring.add_argument(
        "--former-key-stdin",
        action="store_true",
        help="read the former master key of the backup (base64) from standard input",
    )
    add_json(restoring)
    restoring.add_argument("--resume", action="store_true", help="complete an interrupted restore (run by systemd)")
    restoring.add_argument("--without-services", action="store_true", help="do not stop and start systemd units")


def create(options: argparse.Namespace) -> int:
    """Make a backup and print its name."""
    from argos.backup import caddy_storage
    from argos.cli.session import read_settings, services

    settings = read_settings()
    collector = caddy_storage.collector(settings.caddy_storage) if settings.caddy_storage.is_dir() else None
    with services() as here:
        request = _request(settings) if options.requested else ""
        try:
            caddy = caddy_storage.collected(collector) if collector else {}
        except ArgosError as problem:
            here.application.backups.note_failure(here.actor, problem, request)
            raise
        made = here.application.backups.create(here.actor, caddy, request)
    _print_backups([made], options.json)
    return OK


def list_all(options: argparse.Namespace) -> int:
    """Print every backup."""
    from argos.cli.session import services

    with services() as here:
        found = here.application.backups.listing()
    if not found and not options.json:
        print("There are no backups yet. `argos backup create` makes one; the timer makes one each night.")
    _print_backups(found, options.json)
    return OK


def delete(options: argparse.Namespace) -> int:
    """Remove a backup."""
    from argos.cli.session import services

    with services() as here:
        here.application.backups.drop(here.actor, options.name)
    return OK


def verify(options: argparse.Namespace) -> int:
    """Open a backup whole and say whether it is sound."""
    from argos.backup.restore import Opened
    from argos.cli.session import read_settings, settle

    settings = read_settings()
    former = _former_key()
    with _opened(options.file) as source:
        settle(settings)
        keys = (_master(settings), settings.master_key_next, former)
        manifest = Opened(source, *(key for key in keys if key)).verify()
    size = sum(entry.size for entry in manifest.files)
    print(f"{options.file}: intact; {len(manifest.files)} files, {size} bytes")
    return OK


def restore(options: argparse.Namespace) -> int:
    """Put a backup in the place of what is there; or end a restore that was interrupted."""
    from argos.cli.session import caller, read_settings

    settings = read_settings()
    if options.resume:
        return _resume(settings)
    if not options.file:
        raise Stop(USAGE, "give the path of the backup, or --resume")
    actor, former = caller(os.environ), _former_key(options.former_key_stdin)
    _master(settings)
    if options.dry_run:
        _stage(settings, options, former, actor, taker=False)
        return OK
    _stage(settings, options, former, actor, taker=True)
    if options.without_services:
        return _carry_out(settings)
    with _services_stopped():
        return _carry_out(settings)


def _stage(settings: Settings, options: argparse.Namespace, former: bytes | None, actor: Any, *, taker: bool) -> None:
    """In children: Caddy's files by ``argos-caddy``, everything else by ``argos``, the journal last."""
    from argos.backup import caddy_storage, journal
    from argos.backup import restore as restoring
    from argos.clock import SystemClock

    if not settings.data_dir.is_dir() or not settings.caddy_storage.is_dir():
        raise Stop(
            CONFIGURATION,
            f"{settings.data_dir} or {settings.caddy_storage} does not exist; run playbooks/site.yml first.",
        )
    if _stamp(settings):
        raise Stop(UNAVAILABLE, "a restore was interrupted; complete it with `argos restore --resume`.")
    with _opened(options.file) as source:
        digest = _digest(source)
        caddy = caddy_storage.stager(settings.caddy_storage) if taker else None

        def work() -> None:
            difference = restoring.stage(
                settings, source, former, caddy, SystemClock(),
                actor=actor, force=options.force, dry_run=not taker,
                said={"file": Path(options.file).name[:255], "sha256": digest},
            )  # fmt: skip
            if caddy is not None:
                caddy_storage.staged(caddy)
                journal.write_journal(settings, SystemClock())
            _print_difference(difference, options.json, done=taker)

        try:
            _as_owner(settings.data_dir, work, waits_for=caddy)
        finally:
            if caddy is not None:
                caddy.abandon()


def _carry_out(settings: Settings) -> int:
    """From the journal on: each step may be done again."""
    from argos.backup import restore as restoring
    from argos.clock import SystemClock

    stamp = _stamp(settings)
    if not stamp:
        return OK
    _as_owner(settings.data_dir, lambda: restoring.swap_database(settings, stamp))
    _as_owner(settings.caddy_storage, lambda: restoring.swap_caddy(settings, stamp))
    _as_owner(settings.data_dir, lambda: restoring.conclude(settings, SystemClock()))
    return OK


def _stamp(settings: Settings) -> str:
    """The journal's time, empty without one; root may lack the right to enter the directory, its owner does not."""
    from argos.backup.journal import journal

    reading, writing = os.pipe()
    try:
        _as_owner(settings.data_dir, lambda: print(journal(settings) or "", end=""), writing)
        os.close(writing)
        return os.read(reading, 64).decode("ascii")
    finally:
        os.close(reading)


def _resume(settings: Settings) -> int:
    if not _stamp(settings):
        print("No restore was interrupted.")
        return OK
    _carry_out(settings)
    print("The interrupted restore is complete.")
    return OK


def _as_owner(directory: Path, work: Callable[[], None], output: int = 1, waits_for: Any = None) -> None:
    """Do ``work`` in a child that became the owner of ``directory``; its error is this command's.

    Args:
        directory: whose owner.
        work: what.
        output: the descriptor that takes what it prints.
        waits_for: the helper to which the child alone speaks from here on.

    Raises:
        Stop: with the child's message, which it has printed, and exit code.
    """
    from argos.cli.privileges import become_owner
    from argos.hardening import forbid_dumps

    sys.stdout.flush()
    child = os.fork()
    if child:
        if waits_for is not None:
            waits_for.tell.close()
        _unused, status = os.waitpid(child, 0)
        if status:
            raise Stop(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else UNAVAILABLE, "")
        return
    code = OK
    try:
        os.dup2(output, 1)
        become_owner(directory)
        forbid_dumps()
        work()
        sys.stdout.flush()
    except BaseException as problem:
        code, message = verdict(problem)
        print(f"argos: {message}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


class _services_stopped:  # noqa: N801  # used as a verb
    """Stop what reads and writes the trees, and start it again whatever happened meanwhile."""

    def __enter__(self) -> None:
        _systemctl("stop", *_STOPPED)

    def __exit__(self, *_unused: object) -> None:
        for verb, unit in _STARTED:
            _systemctl(verb, unit)


def _systemctl(*arguments: str) -> None:
    try:
        done = subprocess.run(
            ["/usr/bin/systemctl", *arguments], capture_output=True, text=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        print(f"argos: systemctl {' '.join(arguments)}: {problem}", file=sys.stderr)
        return
    if done.returncode:
        print(f"argos: systemctl {' '.join(arguments)}: {done.stderr.strip()[:500]}", file=sys.stderr)


def _opened(name: str) -> BinaryIO:
    try:
        return Path(name).open("rb")
    except FileNotFoundError:
        raise Stop(NOT_FOUND, f"{name}: no such file") from None
    except OSError as error:
        raise Stop(USAGE, f"{name}: {error.strerror}") from None


def _digest(source: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := source.read(1 << 20):
        digest.update(piece)
    source.seek(0)
    return digest.hexdigest()


def _master(settings: Settings) -> bytes:
    try:
        return settings.require_master_key()
    except BadSetting as error:
        raise Stop(CONFIGURATION, str(error)) from None


def _former_key(from_stdin: bool = False) -> bytes | None:
    from argos.cli.privileges import read_environment
    from argos.cli.session import read_secret

    text = read_secret(True, FORMER_KEY, 256) if from_stdin else read_environment(os.environ).get(FORMER_KEY, "")
    try:
        return decode_master_key(text) if text else None
    except BadSetting as error:
        raise Stop(CONFIGURATION, str(error).replace("ARGOS_MASTER_KEY", FORMER_KEY)) from None


def _request(settings: Settings) -> str:
    """The id that the panel or a module wrote down; the unit has put it aside as ``taken``."""
    taken = settings.backup_request.with_name("taken")
    try:
        with taken.open("rb") as stream:
            text = stream.read(64).decode("ascii", "replace").strip()
        taken.unlink()
    except FileNotFoundError:
        return ""
    return text if re.fullmatch(r"[0-9a-f]{32}", text) else ""


def _print_backups(backups: list[Backup], as_json: bool) -> None:
    from argos.api.bodies import encode
    from argos.cli.session import print_json

    if as_json:
        import json

        print_json([json.loads(encode(backup)) for backup in backups])
        return
    for backup in backups:
        print(f"{backup.name}  {_when(backup.created_at)}  {backup.size / 2**20:.1f} MiB")


def _print_difference(difference: Difference, as_json: bool, *, done: bool) -> None:
    from argos.api.bodies import encode

    if as_json:
        print(encode(difference))
        return
    print(f"A backup of {_when(difference.made_at)}, made by Argos {difference.version}:")
    print(
        f"  revision {difference.revision} (now {difference.revision_now}), {difference.caddy_files} files of Caddy's"
    )
    for what, changes in (
        ("declared", difference.resources),
        ("people", difference.people),
        ("secrets", difference.secrets),
    ):
        for how, names in changes.items():
            if names:
                shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
                print(f"  {what}: {how}: {shown}")
    print("Verified. Replacing the data now." if done else "Verified. Nothing was changed.")


def _when(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
