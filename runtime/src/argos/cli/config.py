"""`argos config …`: the same plan and apply as the admin API's, the history, and the state as a file."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import NOT_FOUND, OK, USAGE, Stop

if TYPE_CHECKING:
    from argos.cli.session import Services
    from argos.edge.history import Revision
    from argos.edge.model import Document
    from argos.edge.plan import State

_LIMIT = 16 * 1024 * 1024


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    group = add_group(
        commands,
        "config",
        "the declared configuration and its history",
        "sudo argos config show\n"
        "  sudo argos config history\n"
        "  sudo argos config rollback 12 --check --diff\n"
        "  sudo argos config export --output edge.yaml",
    )
    for name, text, command in (
        ("plan", "show what FILE would change", plan),
        ("apply", "apply what FILE declares", apply),
    ):
        one = add_command(group, name, text, f"sudo argos config {name} edge.json", command)
        one.add_argument("file", metavar="FILE", help="a JSON document; - for standard input")
        if name == "apply":
            _if_match(one)
    showing = add_command(
        group,
        "show",
        "print the declared configuration, or what one revision changed",
        "sudo argos config show > edge.json\n  sudo argos config show 12",
        show,
    )
    showing.add_argument("revision", metavar="REVISION", type=int, nargs="?", help="a number from argos config history")
    add_json(showing)
    revisions = add_command(group, "history", "list the revisions, newest first", "sudo argos config history", history)
    revisions.add_argument("--limit", type=int, default=50, help="maximum number, up to 500; default: 50")
    revisions.add_argument("--before", type=int, metavar="REVISION", help="only revisions before this one")
    add_json(revisions)
    back = add_command(
        group,
        "rollback",
        "go back to the configuration of a revision",
        "sudo argos config rollback 12 --check --diff",
        rollback,
    )
    back.add_argument("revision", metavar="REVISION", type=int, help="a number from argos config history")
    _replacement(back)
    exporting = add_command(
        group,
        "export",
        "print the declared configuration as YAML, with owners, and secrets by name only",
        "sudo argos config export --output edge.yaml",
        export,
    )
    exporting.add_argument(
        "--output", metavar="FILE", default="-", help="a new file, mode 0600; default: standard output"
    )
    importing = add_command(
        group,
        "import",
        "replace the declared configuration with an exported file; removes what it does not name",
        "sudo argos config import edge.yaml --check --diff",
        restore,
    )
    importing.add_argument("file", metavar="FILE", help="from argos config export; - for standard input")
    _replacement(importing)


def _replacement(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="only show what would change")
    parser.add_argument("--diff", action="store_true", help="print the changes line by line")
    add_json(parser)
    _if_match(parser)


def _if_match(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--if-match", metavar="ETAG", help="refuse unless the current state has this etag (see config plan)"
    )


def plan(options: argparse.Namespace) -> int:
    """Print what the document would change, as JSON."""
    from argos.api.bodies import encode
    from argos.cli.session import services

    document = _read(options.file)
    with services() as here:
        print(encode(here.application.engine.plan(document)))
    return OK


def apply(options: argparse.Namespace) -> int:
    """Apply the document, and print what changed, as JSON."""
    from argos.api.bodies import encode
    from argos.cli.session import services

    document = _read(options.file)
    with services() as here:
        print(encode(here.application.engine.apply(here.actor, document, options.if_match)))
    return OK


def show(options: argparse.Namespace) -> int:
    """Print the declared state as a document, or what one revision changed."""
    from argos.api.bodies import encode
    from argos.api.config import document_of
    from argos.cli.session import services

    with services() as here:
        if options.revision is None:
            print(encode(document_of(here.application.state())))
            return OK
        recorded = here.application.history.get(options.revision)
    if options.json:
        print(encode({"revision": recorded.revision, "changes": recorded.changes}))
        return OK
    from argos.edge.history import diff_text

    print(_line(recorded.revision))
    if recorded.revision.reason:
        print(recorded.revision.reason)
    if recorded.changes is None:
        print("the changes of this revision were not stored")
    else:
        print("\n".join(diff_text(recorded.changes)))
    return OK


def history(options: argparse.Namespace) -> int:
    """Print the revisions, the newest first."""
    from argos.api.bodies import encode
    from argos.cli.session import services

    with services() as here:
        found = here.application.history.newest(before=options.before, limit=options.limit)
    if options.json:
        print(encode({"revisions": found}))
    else:
        for revision in found:
            print(_line(revision))
    return OK


def rollback(options: argparse.Namespace) -> int:
    """Apply the whole state of a revision anew."""
    from argos.api.revisions import rollback_note
    from argos.cli.session import services

    with services() as here:
        target = here.application.history.state_of(options.revision)
        return _replace(here, target, rollback_note(options.revision), options)


def export(options: argparse.Namespace) -> int:
    """Print the whole declared state as YAML, or write it to a file of mode 0600."""
    from argos.cli.session import services

    # Opened as whoever runs this, before root is given up; a file that stands there is not overwritten.
    descriptor = None if options.output == "-" else _new_file(options.output)
    with services() as here:
        from argos.edge.export_file import to_yaml

        text = to_yaml(here.application.state())
    if descriptor is None:
        sys.stdout.write(text)
    else:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    return OK


def restore(options: argparse.Namespace) -> int:
    """Make the whole declared state what an exported file says."""
    from argos.cli.session import services

    raw = _bytes_of(options.file)
    with services() as here:
        from argos.edge.export_file import from_yaml

        return _replace(here, from_yaml(raw), "import", options)


def _replace(here: Services, target: State, note: str, options: argparse.Namespace) -> int:
    from argos.api.bodies import encode
    from argos.edge.history import diff_text

    engine = here.application.engine
    if options.check:
        outcome = engine.replacement(target)
    else:
        outcome = engine.replace(here.actor, target, note, options.if_match)
    if options.json:
        print(encode(outcome))
        return OK
    for warning in outcome.warnings:
        print(f"note: {warning}", file=sys.stderr)
    if options.diff:
        for line in diff_text(outcome.changes):
            print(here.application.scrubber.scrub(line))
    counted = f"{len(outcome.changes)} resource{'' if len(outcome.changes) == 1 else 's'}"
    if not outcome.changed:
        print("nothing differs")
    else:
        print(f"would change {counted}" if options.check else f"changed {counted}, revision {outcome.revision}")
    return OK


def _line(revision: Revision) -> str:
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(revision.created_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return f"{revision.id:>6}  {at}  {revision.state:<10}  {revision.actor:<24}  {revision.summary}"


def _new_file(name: str) -> int:
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Stop(USAGE, f"{name}: already exists") from None
    except OSError as error:
        raise Stop(USAGE, f"{name}: {error.strerror}") from None


def _read(name: str) -> Document:
    from argos.edge.decode import decode_json

    return decode_json(_bytes_of(name))


def _bytes_of(name: str) -> bytes:
    # Read as whoever runs this, before root is given up: the file may be root's.
    try:
        raw = sys.stdin.buffer.read(_LIMIT + 1) if name == "-" else Path(name).read_bytes()
    except FileNotFoundError:
        raise Stop(NOT_FOUND, f"{name}: no such file") from None
    except OSError as error:
        raise Stop(USAGE, f"{name}: {error.strerror}") from None
    if len(raw) > _LIMIT:
        raise Stop(USAGE, f"{name}: over 16 MiB")
    return raw
