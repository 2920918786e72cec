"""`argos restore`: begun as root, which forks, waits and handles services, and reads no data.

The order, of which a crash may leave any beginning: everything is staged beside what lives; the
services stop; the journal comes into force; both trees change places; the services start. One restore
at a time does so, from its first look to the end of the third step.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

from argos.cli.archive_input import former_key, master_key, opened
from argos.cli.command_line import Commands, add_command, add_json
from argos.cli.exits import CONFIGURATION, OK, UNAVAILABLE, USAGE, Stop
from argos.settings import Settings

if TYPE_CHECKING:
    from argos.audit import Actor
    from argos.backup.difference import Difference

_AT_WORK = "another `argos restore` is running; try again when it has finished"


def add_to(commands: Commands) -> None:
    """Add this file's command to the command line."""
    path = "/var/lib/argos-backups/argos-20261123T020000Z-1f2e.backup"
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
        "--force", action="store_true", help="restore even if that undoes changes made since the backup"
    )
    restoring.add_argument(
        "--former-key-stdin",
        action="store_true",
        help="read the former master key of the backup (base64) from standard input",
    )
    add_json(restoring)
    restoring.add_argument("--resume", action="store_true", help="complete an interrupted restore (run by systemd)")
    restoring.add_argument("--without-services", action="store_true", help="do not stop and start systemd units")


def restore(options: argparse.Namespace) -> int:
    """Put a backup in the place of what is there; or end a restore that was interrupted."""
    from argos.cli.session import caller, read_settings
    from argos.cli.unit_control import services_stopped

    settings = read_settings()
    if options.resume:
        return _resume(settings)
    if not options.file:
        raise Stop(USAGE, "give the path of the backup, or --resume")
    actor, former = caller(os.environ), former_key(options.former_key_stdin)
    master_key(settings)
    if not settings.data_dir.is_dir() or not settings.caddy_storage.is_dir():
        raise Stop(
            CONFIGURATION,
            f"{settings.data_dir} or {settings.caddy_storage} does not exist; run playbooks/site.yml first.",
        )
    # The services start when the lock is free again: their units look for a restore that was interrupted.
    with ExitStack() as services, _alone(settings):
        if _interrupted(settings):
            raise Stop(UNAVAILABLE, "a restore was interrupted; complete it with `argos restore --resume`.")
        _stage(settings, options, former, actor)
        if options.dry_run:
            return OK
        try:
            if not options.without_services:
                services.enter_context(services_stopped())
            _change_over(settings, begin=True)
        except BaseException:
            if not _interrupted(settings):
                _clear(settings)
            raise
    return OK


def _stage(settings: Settings, options: argparse.Namespace, former: bytes | None, actor: Actor) -> None:
    """In children: Caddy's files by ``argos-caddy``, everything else by ``argos``."""
    from argos.backup import caddy_storage
    from argos.backup import restore as restoring
    from argos.cli.privileges import as_owner
    from argos.clock import SystemClock

    with opened(options.file) as source:
        digest = _digest(source)
        caddy = None if options.dry_run else caddy_storage.stager(settings.caddy_storage)

        def work() -> None:
            difference = restoring.stage(
                settings, source, former, caddy, SystemClock(),
                actor=actor, force=options.force, dry_run=options.dry_run,
                said={"file": Path(options.file).name[:255], "sha256": digest},
            )  # fmt: skip
            _print_difference(difference, options.json, done=not options.dry_run)

        try:
            as_owner(settings.data_dir, work, speaks_to=caddy)
        finally:
            if caddy is not None:
                caddy.abandon()


def _change_over(settings: Settings, *, begin: bool) -> None:
    """Let the trees change places; the same again after a crash."""
    from argos.backup import caddy_storage, changeover
    from argos.cli.privileges import as_owner
    from argos.clock import SystemClock

    caddy = caddy_storage.swapper(settings.caddy_storage)
    try:
        as_owner(
            settings.data_dir,
            lambda: changeover.change_over(settings, caddy, SystemClock(), begin=begin),
            speaks_to=caddy,
        )
    finally:
        caddy.abandon()


def _resume(settings: Settings) -> int:
    """End a restore that was interrupted; or clear away what one staged that never began."""
    try:
        with _alone(settings):
            if _interrupted(settings):
                _change_over(settings, begin=False)
                print(
                    "The interrupted restore is complete. Restart services that were running meanwhile: "
                    "systemctl restart argos-credentials argos-caddy argos-gate argos"
                )
            elif _clear(settings):
                print("A restore was interrupted before it changed anything; the files it had unpacked were removed.")
            else:
                print("No restore was interrupted.")
    except _AnotherAtWork:
        # Alive, and so it ends itself: this is no failure of the unit.
        print(f"Nothing to complete: {_AT_WORK}")
    return OK


def _interrupted(settings: Settings) -> bool:
    """Whether a journal stands; root may lack the right to enter the directory, its owner does not."""
    from argos.half_restored import JOURNAL

    return _told_by_owner(settings, (settings.data_dir / JOURNAL).exists)


def _clear(settings: Settings) -> bool:
    """Remove what is staged in both trees; whether there was something."""
    from argos.backup import caddy_storage, changeover

    found = _told_by_owner(settings, lambda: changeover.clear(settings))
    return caddy_storage.clear(settings.caddy_storage) or found


def _told_by_owner(settings: Settings, question: Callable[[], bool]) -> bool:
    from argos.cli.privileges import as_owner

    reading, writing = os.pipe()
    try:
        as_owner(settings.data_dir, lambda: print("yes" if question() else "", end=""), output=writing)
        os.close(writing)
        return os.read(reading, 8) == b"yes"
    finally:
        os.close(reading)


class _AnotherAtWork(Stop):
    def __init__(self) -> None:
        super().__init__(UNAVAILABLE, _AT_WORK)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Be the only restore of this guest for a block.

    Raises:
        _AnotherAtWork: another is.
    """
    from argos.backup.hold import take_restore
    from argos.cli.privileges import effective_owner

    with effective_owner(settings.data_dir):
        descriptor = take_restore(settings.data_dir)
    if descriptor is None:
        raise _AnotherAtWork
    try:
        yield
    finally:
        os.close(descriptor)


def _digest(source: BufferedReader) -> str:
    digest = hashlib.file_digest(source, "sha256").hexdigest()
    source.seek(0)
    return digest


def _print_difference(difference: Difference, as_json: bool, *, done: bool) -> None:
    from argos.api.bodies import encode

    if as_json:
        print(encode(difference))
        return
    made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(difference.made_at))
    print(f"A backup of {made}, made by Argos {difference.version}:")
    print(
        f"  revision {difference.revision} (now {difference.revision_now}), {difference.caddy_files} files of Caddy's"
    )
    if difference.changes_since is not None:
        print(f"  changes since the backup, which a restore undoes: {difference.changes_since}")
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
