"""`argos backup …`: begun as root, which starts a helper for Caddy's storage and becomes ``argos`` for the rest."""

from __future__ import annotations

import argparse
import re
import time
from typing import TYPE_CHECKING

from argos.cli.archive_input import former_key, master_key, opened
from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import OK
from argos.errors import ArgosError

if TYPE_CHECKING:
    from argos.backup.service import Backup
    from argos.settings import Settings


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


def create(options: argparse.Namespace) -> int:
    """Make a backup and print its name."""
    from argos.backup import caddy_storage
    from argos.cli.session import read_settings, services

    settings = read_settings()
    collector = caddy_storage.collector(settings.caddy_storage) if settings.caddy_storage.is_dir() else None
    try:
        with services() as here:
            request = _request(settings) if options.requested else ""
            try:
                caddy = caddy_storage.collected(collector) if collector else {}
            except ArgosError as problem:
                here.application.backups.note_failure(here.actor, problem, request)
                raise
            made = here.application.backups.create(here.actor, caddy, request)
    finally:
        if collector is not None:
            collector.abandon()
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
    former = former_key()
    with opened(options.file) as source:
        settle(settings)
        keys = (master_key(settings), settings.master_key_next, former)
        manifest = Opened(source, *(key for key in keys if key)).verify()
    size = sum(entry.size for entry in manifest.files)
    print(f"{options.file}: intact; {len(manifest.files)} files, {size} bytes")
    return OK


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


def _when(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
