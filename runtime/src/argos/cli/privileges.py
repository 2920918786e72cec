"""Who runs a command: root becomes the owner of the data, everybody else must be that owner already."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from argos.cli.environment_file import parse
from argos.cli.exits import CONFIGURATION, NO_PERMISSION, OK, UNAVAILABLE, Stop, verdict

ENVIRONMENT_FILE = Path("/etc/argos/argos.env")
_DEFAULT_DATA_DIR = Path("/var/lib/argos")


def read_environment(environment: Mapping[str, str], path: Path = ENVIRONMENT_FILE) -> dict[str, str]:
    """The settings: ``path``, which only root can read, below what the process was given.

    systemd gives the services the same file as their environment, so a process that
    is not root and has the master key needs no file.

    Raises:
        Stop: neither the file nor the environment can be had.
    """
    merged = dict(environment)
    try:
        merged = {**parse(path.read_text(encoding="utf-8")), **merged}
    except FileNotFoundError:
        pass
    except PermissionError:
        if "ARGOS_MASTER_KEY" not in environment:
            raise Stop(NO_PERMISSION, f"only root can read {path}: run this with sudo.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(CONFIGURATION, f"{path} cannot be read: {error}") from None
    return merged


def become_owner(data_dir: Path) -> None:
    """As root, become the user who owns ``data_dir`` (``argos``), with that user's groups; then there is no way back.

    So a command of root's leaves no file of root's behind, which the services could
    not open. Files come into being 0640, as the gate reads the database.

    Raises:
        Stop: the directory is missing, root's own in its final place, or another user's.
    """
    os.umask(0o027)
    try:
        owner = data_dir.stat().st_uid
    except FileNotFoundError:
        raise Stop(
            CONFIGURATION,
            f"ARGOS_DATA_DIR: {data_dir} does not exist; role 'layout' makes it, or run: systemd-tmpfiles --create.",
        ) from None
    except PermissionError:
        raise Stop(NO_PERMISSION, f"{data_dir} cannot be entered: run this with sudo.") from None
    me = os.geteuid()
    if me == owner:
        if me == 0 and data_dir == _DEFAULT_DATA_DIR:
            raise Stop(
                CONFIGURATION, f"{data_dir} belongs to root and should belong to argos; run: systemd-tmpfiles --create."
            )
        return
    if me != 0:
        raise Stop(NO_PERMISSION, "this command needs root or the user that owns the data: run it with sudo.")
    try:
        account = pwd.getpwuid(owner)
    except KeyError:
        raise Stop(
            CONFIGURATION, f"{data_dir} belongs to user id {owner}, which has no name on this machine."
        ) from None
    os.initgroups(account.pw_name, account.pw_gid)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(owner, owner, owner)


@contextmanager
def effective_owner(directory: Path) -> Iterator[None]:
    """As root, open files as the owner of ``directory`` for a block; as anybody else, nothing."""
    owner = directory.stat().st_uid
    if os.geteuid() != 0 or owner == 0:
        yield
        return
    os.seteuid(owner)
    try:
        yield
    finally:
        os.seteuid(0)


class Helper(Protocol):
    """What a child of :func:`as_owner` speaks to."""

    tell: IO[bytes]


def as_owner(directory: Path, work: Callable[[], None], *, output: int = 1, speaks_to: Helper | None = None) -> None:
    """Do ``work`` in a child that became the owner of ``directory``; its error is this command's.

    Args:
        directory: whose owner.
        work: what.
        output: the descriptor that takes what it prints.
        speaks_to: the helper to which the child alone speaks from here on.

    Raises:
        Stop: with the child's exit code and no message, as the child has printed it.
    """
    from argos.hardening import forbid_dumps
    from argos.serving.process import clean_environment

    sys.stdout.flush()
    child = os.fork()
    if child:
        if speaks_to is not None:
            speaks_to.tell.close()
        _unused, status = os.waitpid(child, 0)
        if status:
            raise Stop(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else UNAVAILABLE, "")
        return
    code = OK
    try:
        os.dup2(output, 1)
        become_owner(directory)
        forbid_dumps()
        clean_environment()
        work()
        sys.stdout.flush()
    except BaseException as problem:
        code, message = verdict(problem)
        print(f"argos: {message}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)
