"""The command line's shape, and the one place where an error becomes an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from argos.cli.exits import FAILED, INTERNAL, INTERRUPTED, NOT_FOUND, OK, UNAVAILABLE, Stop
from argos.errors import ArgosError, NotFound, Unavailable

Command = Callable[[argparse.Namespace], int]

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  # argparse names it nowhere else

_EXIT_CODES = """\
exit codes: 0 done; 1 refused, or the doctor found something broken; 2 wrong usage; 66 not found;
69 not available now; 70 a fault of argos; 77 not permitted; 78 settings or master key wrong"""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; what goes wrong is one message on standard error."""
    options = build_parser().parse_args(arguments)
    command: Command = options.command
    try:
        code = command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return OK
    except (Exception, KeyboardInterrupt) as error:
        code, message = verdict(error)
        if message:  # a child may have said it already
            print(f"argos: {message}", file=sys.stderr)
    return code


def verdict(error: BaseException) -> tuple[int, str]:
    """The exit code of ``error`` and what a person is told."""
    if isinstance(error, Stop):
        return error.code, str(error)
    if isinstance(error, ArgosError):
        codes = {NotFound: NOT_FOUND, Unavailable: UNAVAILABLE}
        return next((code for kind, code in codes.items() if isinstance(error, kind)), FAILED), error.message
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    if os.environ.get("ARGOS_LOG_LEVEL", "").upper() == "DEBUG":
        traceback.print_exception(error)  # its text may hold values, so only who asks for it sees it
    return INTERNAL, f"a fault of argos itself ({type(error).__name__}); ARGOS_LOG_LEVEL=DEBUG shows where"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each sub-parser's ``command`` is what runs it."""
    parser = argparse.ArgumentParser(
        prog="argos",
        description="The runtime of an Argos edge: signs people in and applies what is declared.",
        epilog="examples:\n"
        "  sudo argos doctor                          what is wrong, and what to do\n"
        "  sudo argos user reset-password alice --password-stdin < new\n"
        "  sudo argos config plan edge.json           what would change\n\n" + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_services(commands)
    _add_user(commands)
    _add_key(commands)
    _add_secret(commands)
    _add_audit(commands)
    _add_config(commands)
    _add_waf(commands)
    _add_oidc(commands)
    _add_backup(commands)
    _add_decision(commands)
    _add_certificates(commands)
    _add_doctor(commands)
    return parser


def _add(commands: Commands, name: str, text: str, example: str, command: Command) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=text,
        description=text[:1].upper() + text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command)
    return parser


def _add_group(commands: Commands, name: str, text: str, examples: str = "") -> Commands:
    group = commands.add_parser(
        name,
        help=text,
        description=text[:1].upper() + text[1:] + ".",
        epilog=f"examples:\n  {examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return group.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _add_services(commands: Commands) -> None:
    from argos.cli import services

    _add(
        commands, "serve", "serve panel, API and admin API (systemd runs this)", "systemctl start argos", services.serve
    )
    _add(
        commands,
        "gate",
        "decide forward_auth requests (systemd runs this)",
        "systemctl start argos-gate",
        services.gate,
    )
    _add(
        commands,
        "prepare",
        "make the database readable for the gate (systemd runs this)",
        "systemctl start argos-prepare",
        services.prepare,
    )
    _add(
        commands,
        "credentials",
        "put the credentials that Caddy reads on tmpfs (systemd runs this)",
        "systemctl start argos-credentials",
        services.credentials,
    )


def _add_user(commands: Commands) -> None:
    from argos.cli import users

    group = _add_group(
        commands,
        "user",
        "people who may sign in",
        "sudo argos user create alice --email alice@home.example --group family --link\n"
        "  sudo argos user list\n"
        "  sudo argos user set-groups alice family photos\n"
        "  sudo argos user disable alice",
    )
    listing = _add(group, "list", "list everybody", "sudo argos user list --json", users.list_all)
    listing.add_argument("--json", action="store_true", help="for programs")
    create = _add(
        group,
        "create",
        "make an account",
        "sudo argos user create alice --email alice@home.example --group family --link\n"
        "  sudo argos user create bob --role admin --password-stdin < password",
        users.create,
    )
    _name_and_password(create)
    _link(create)
    create.add_argument("--group", action="append", default=[], metavar="GROUP", help="a group; may be given often")
    create.add_argument("--name", default="", help="the name a person is shown by")
    create.add_argument("--email", default="", help="handed to upstreams as X-Auth-Email")
    create.add_argument("--role", choices=("member", "admin"), default="member", help="default: member")
    create.add_argument("--keep-password", action="store_true", help="do not ask for another one at first sign-in")
    first = _add(
        group,
        "first-admin",
        "make the first administrator; works once, ever",
        "openssl rand -base64 18 | sudo argos user first-admin admin --password-stdin",
        users.first_admin,
    )
    _name_and_password(first)
    reset = _add(
        group,
        "reset-password",
        "set another password and end the account's sign-ins",
        "sudo argos user reset-password alice --password-stdin < password\n"
        "  sudo argos user reset-password alice --link",
        users.reset_password,
    )
    _name_and_password(reset)
    _link(reset)
    role = _add(
        group,
        "set-role",
        "make somebody an administrator or a member, and end their sign-ins",
        "sudo argos user set-role alice admin",
        users.set_role,
    )
    role.add_argument("username")
    role.add_argument("role", choices=("member", "admin"))
    role.add_argument("--json", action="store_true", help="for programs")
    groups = _add(
        group,
        "set-groups",
        "put somebody into these groups and no others, and end their sign-ins",
        "sudo argos user set-groups alice family photos",
        users.set_groups,
    )
    groups.add_argument("username")
    groups.add_argument("groups", nargs="*", metavar="GROUP", help="none: in no group")
    groups.add_argument("--json", action="store_true", help="for programs")
    for name, text, command in (
        ("disable-2fa", "remove the second factor of who has lost it, and end its sign-ins", users.disable_2fa),
        ("disable", "close an account and end its sign-ins", users.disable),
        ("enable", "open a disabled account again", users.enable),
        ("delete", "remove an account and end its sign-ins", users.delete),
    ):
        one = _add(group, name, text, f"sudo argos user {name} alice", command)
        one.add_argument("username")
        one.add_argument("--json", action="store_true", help="for programs")


def _link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--link", action="store_true", help="print a link by which the person sets a password: once, within 24 hours"
    )


def _name_and_password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("username")
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from standard input (first line); else it is asked",
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def _add_key(commands: Commands) -> None:
    from argos.cli import keys

    group = _add_group(
        commands,
        "key",
        "the master key, which opens the vault",
        "sudo argos key check\n  sudo argos key rotate --reencrypt\n  sudo argos key sheet --html > sheet.html",
    )
    for name, text, command in (
        ("check", "say which key the data wants and which one is given", keys.check),
        ("rotate", "put the data under ARGOS_MASTER_KEY_NEXT; can be run again after an interruption", keys.rotate),
        ("words", "read a recovery sheet's 24 words from standard input, print the key's line", keys.words),
    ):
        one = _add(group, name, text, f"sudo argos key {name}", command)
        one.add_argument("--json", action="store_true", help="for programs")
        if name == "rotate":
            one.add_argument(
                "--reencrypt", action="store_true", help="make new data keys too, and seal every secret anew"
            )
    sheet = _add(
        group, "sheet", "print the key as words and QR code, to keep on paper", "sudo argos key sheet", keys.sheet
    )
    sheet.add_argument("--html", action="store_true", help="as a page to print")


def _add_secret(commands: Commands) -> None:
    from argos.cli import secrets

    group = _add_group(commands, "secret", "values that declarations refer to by name; written, never shown")
    put = _add(group, "set", "store a value", "sudo argos secret set cloudflare-token --stdin < token", secrets.put)
    put.add_argument("name")
    put.add_argument("--stdin", action="store_true", required=True, help="read the value from standard input")
    put.add_argument("--json", action="store_true", help="for programs")
    listing = _add(group, "list", "list the names", "sudo argos secret list", secrets.list_all)
    listing.add_argument("--json", action="store_true", help="for programs")
    remove = _add(group, "delete", "forget a value", "sudo argos secret delete cloudflare-token", secrets.delete)
    remove.add_argument("name")
    remove.add_argument("--json", action="store_true", help="for programs")


def _add_audit(commands: Commands) -> None:
    from argos.cli import audit

    group = _add_group(
        commands,
        "audit",
        "the record of every change",
        "sudo argos audit list --action user. --since 2026-11-01\n  sudo argos audit export --format csv > record.csv",
    )
    verify = _add(
        group, "verify", "read the record from end to end; 1 when it was altered", "argos audit verify", audit.verify
    )
    verify.add_argument("--json", action="store_true", help="for programs")
    listing = _add(group, "list", "show the newest rows", "sudo argos audit list --target host/", audit.list_rows)
    listing.add_argument("--limit", default="50", help="at most so many rows, 1 to 500; default 50")
    listing.add_argument("--before", default="", metavar="ID", help="rows older than this one")
    listing.add_argument("--json", action="store_true", help="for programs")
    export = _add(
        group, "export", "write all rows that pass, oldest first", "sudo argos audit export > record", audit.export
    )
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default: jsonl")
    for one in (listing, export):
        for name, text in (
            ("kind", "person, token, ansible, socket, cli or system"),
            ("actor", "a part of the actor's name"),
            ("action", "what the action begins with, such as user."),
            ("target", "a part of the target, such as host/photos"),
            ("address", "what the address begins with"),
            ("text", "a part of action, target, before or after"),
            ("since", "a date, a time or seconds since 1970"),
            ("until", "likewise"),
        ):
            one.add_argument(f"--{name}", default="", help=text)


def _add_config(commands: Commands) -> None:
    from argos.cli import config

    group = _add_group(commands, "config", "what is declared")
    for name, text, command in (
        ("plan", "say what FILE would change, and change nothing", config.plan),
        ("apply", "make the edge what FILE declares", config.apply),
    ):
        one = _add(group, name, text, f"sudo argos config {name} edge.json", command)
        one.add_argument("file", metavar="FILE", help="a JSON document; - for standard input")
        if name == "apply":
            _if_match(one)
    show = _add(
        group,
        "show",
        "print the whole declared state as a document, or what one revision changed",
        "sudo argos config show > edge.json\n  sudo argos config show 12",
        config.show,
    )
    show.add_argument("revision", metavar="REVISION", type=int, nargs="?", help="a number from argos config history")
    show.add_argument("--json", action="store_true", help="for programs")
    history = _add(
        group, "history", "list the revisions, the newest first", "sudo argos config history", config.history
    )
    history.add_argument("--limit", type=int, default=50, help="how many; default: 50, at most 500")
    history.add_argument("--before", type=int, metavar="REVISION", help="only those with a smaller number")
    history.add_argument("--json", action="store_true", help="for programs")
    back = _add(
        group,
        "rollback",
        "make everything what it was at a revision",
        "sudo argos config rollback 12 --check --diff",
        config.rollback,
    )
    back.add_argument("revision", metavar="REVISION", type=int, help="a number from argos config history")
    _replacement(back)
    export = _add(
        group,
        "export",
        "print the whole declared state as YAML, owners included, secrets by name only",
        "sudo argos config export --output edge.yaml",
        config.export,
    )
    export.add_argument("--output", metavar="FILE", default="-", help="a new file, mode 0600; default: standard output")
    restore = _add(
        group,
        "import",
        "make the whole declared state what an exported file says; what it does not name goes",
        "sudo argos config import edge.yaml --check --diff",
        config.restore,
    )
    restore.add_argument("file", metavar="FILE", help="of argos config export; - for standard input")
    _replacement(restore)


def _replacement(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="only say what would change")
    parser.add_argument("--diff", action="store_true", help="print what changes, line by line")
    parser.add_argument("--json", action="store_true", help="for programs")
    _if_match(parser)


def _if_match(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--if-match", metavar="ETAG", help="refuse unless the stored state is this one (config plan)")


def _add_waf(commands: Commands) -> None:
    from argos.cli import waf

    group = _add_group(
        commands,
        "waf",
        "what the WAF found, why, and how to let a false positive pass",
        "sudo argos waf events --host wiki.home.example\n"
        "  sudo argos waf explain 3f1c0e6d5b7a9c21\n"
        "  sudo argos waf exclude 3f1c0e6d5b7a9c21 --apply",
    )
    listing = _add(group, "events", "list the last events, newest first", "sudo argos waf events", waf.events)
    listing.add_argument("--host", default="", help="only this host's")
    listing.add_argument("--limit", type=_positive, default=20, metavar="N", help="at most so many (20)")
    reason = _add(group, "explain", "say rule by rule why", "sudo argos waf explain 3f1c0e6d5b7a9c21", waf.explain)
    narrow = _add(
        group,
        "exclude",
        "show the narrowest exclusion that lets such requests pass",
        "sudo argos waf exclude 3f1c0e6d5b7a9c21 --apply",
        waf.exclude,
    )
    narrow.add_argument("--apply", action="store_true", help="make the change")
    for one in (reason, narrow):
        one.add_argument("event", metavar="EVENT", help="as `argos waf events` names it")
    for one in (listing, reason, narrow):
        one.add_argument("--json", action="store_true", help="for programs")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def _add_oidc(commands: Commands) -> None:
    from argos.cli import oidc

    group = _add_group(commands, "oidc", "the OpenID Connect provider that people may sign in with")
    for name, text, command in (
        ("status", "say what is declared of the provider", oidc.status),
        ("enable", "offer the declared provider at sign-in", oidc.enable),
        ("disable", "break glass: take the provider away from sign-in; it is not asked", oidc.disable),
        ("test", "try the connection and report each step", oidc.test),
    ):
        one = _add(group, name, text, f"sudo argos oidc {name}", command)
        one.add_argument("--json", action="store_true", help="for programs")


def _add_backup(commands: Commands) -> None:
    from argos.cli import backup

    group = _add_group(
        commands,
        "backup",
        "backups of this guest (docs/backup.md)",
        "sudo argos backup create\n"
        "  sudo argos backup list\n"
        "  sudo argos backup verify /var/lib/argos-backups/argos-20261123T020000Z-1f2e.backup",
    )
    create = _add(group, "create", "make a backup and verify it", "sudo argos backup create", backup.create)
    create.add_argument("--requested", action="store_true", help="answer the panel's request (systemd runs this)")
    listing = _add(group, "list", "list the backups", "sudo argos backup list --json", backup.list_all)
    for one in (create, listing):
        one.add_argument("--json", action="store_true", help="for programs")
    name = "argos-20261123T020000Z-1f2e.backup"
    drop = _add(group, "delete", "remove a backup", f"sudo argos backup delete {name}", backup.delete)
    drop.add_argument("name", help="as `argos backup list` shows it")
    check = _add(group, "verify", "open a backup whole", f"sudo argos backup verify {name}", backup.verify)
    check.add_argument("file", help="path of the file")
    restore = _add(
        commands,
        "restore",
        "put a backup in the place of what is there",
        f"sudo argos restore --dry-run {name}\n"
        f"  sudo argos restore --force {name}\n"
        f"  sudo argos restore --former-key-stdin {name} < former.key",
        backup.restore,
    )
    restore.add_argument("file", nargs="?", default="", help="path of the backup")
    restore.add_argument("--dry-run", action="store_true", help="verify it and say what would change")
    restore.add_argument("--force", action="store_true", help="also when it is older than the running revision")
    restore.add_argument(
        "--former-key-stdin", action="store_true", help="read the former master key it was made under (base64)"
    )
    restore.add_argument("--json", action="store_true", help="for programs")
    restore.add_argument("--resume", action="store_true", help="end an interrupted restore (systemd runs this)")
    restore.add_argument("--without-services", action="store_true", help="stop and start no systemd units")


def _add_decision(commands: Commands) -> None:
    from argos.cli import crowdsec, decisions

    group = _add_group(
        commands,
        "decision",
        "whom CrowdSec bans, and bans by hand",
        "sudo argos decision list --ip 203.0.113.7\n"
        "  sudo argos decision add 203.0.113.7 --duration 7d --reason 'floods the shop'\n"
        "  sudo argos decision delete 203.0.113.7",
    )
    listing = _add(
        group, "list", "list the decisions in force", "sudo argos decision list --origin argos", decisions.list_all
    )
    listing.add_argument("--ip", default="", help="on this address, or a range around it")
    listing.add_argument("--range", default="", help="overlapping this range")
    listing.add_argument("--origin", default="", help="of this origin: argos, crowdsec, cscli, CAPI, lists")
    listing.add_argument("--scenario", default="", help="whose scenario or reason holds this text")
    listing.add_argument("--limit", type=int, default=100, help="at most so many (default: 100)")
    listing.add_argument("--offset", type=int, default=0, help="leave out so many of the newest")
    listing.add_argument("--json", action="store_true", help="for programs")
    add = _add(
        group,
        "add",
        "ban an address or a range; in force at the edge within 20 seconds",
        "sudo argos decision add 203.0.113.0/24 --duration 1d --reason 'scans every night'",
        decisions.add,
    )
    add.add_argument("value", metavar="ADDRESS", help="an address, or a range such as 203.0.113.0/24")
    add.add_argument("--duration", default="4h", help="such as 30m, 4h, 7d, at most 8760h (default: 4h)")
    add.add_argument("--reason", default="banned by hand", help="kept with the ban")
    add.add_argument("--force", action="store_true", help="also your own address, or a private one")
    add.add_argument("--json", action="store_true", help="for programs")
    remove = _add(
        group,
        "delete",
        "end the decisions on exactly this address or range, of whatever origin",
        "sudo argos decision delete 203.0.113.7",
        decisions.delete,
    )
    remove.add_argument("value", metavar="ADDRESS", nargs="?", help="an address or a range")
    remove.add_argument("--id", type=int, help="one decision, by the number that the list shows")
    remove.add_argument("--json", action="store_true", help="for programs")
    group = _add_group(commands, "crowdsec", "the way to CrowdSec")
    renew = _add(
        group,
        "credentials",
        "make anew the credentials that CrowdSec refuses",
        "sudo argos crowdsec credentials",
        crowdsec.credentials,
    )
    renew.add_argument("--json", action="store_true", help="for programs")


def _add_certificates(commands: Commands) -> None:
    from argos.cli import certificates

    one = _add(
        commands,
        "certificates",
        "list what is served over TLS, until when, and what went wrong",
        "sudo argos certificates --json",
        certificates.show,
    )
    one.add_argument("--json", action="store_true", help="for programs")


def _add_doctor(commands: Commands) -> None:
    from argos.cli import health

    doctor = _add(
        commands, "doctor", "say what is wrong with this edge and what to do", "sudo argos doctor", health.doctor
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    status = _add(commands, "status", "say what runs and what is declared", "sudo argos status --json", health.status)
    status.add_argument("--json", action="store_true", help="for programs")
