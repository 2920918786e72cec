"""Credentials that Caddy reads: files on tmpfs, so that none stands in its configuration.

A file named ``complete`` is written last; Caddy's start script takes the fallback
rendering while it is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from argos import durable_files
from argos.edge.context import CREDENTIAL_PREFIX
from argos.errors import ArgosError
from argos.named_secrets import NamedSecrets

if TYPE_CHECKING:
    from argos.settings import Settings

BOUNCER_KEY = "crowdsec-bouncer-key"
COMPLETE = "complete"
_MODE = 0o440


def write_credentials(secrets: NamedSecrets, names: Iterable[str], directory: Path) -> bool:
    """Lay out CrowdSec's bouncer key and the secrets that resources name; return whether a file changed.

    A secret without a value is left out: the bouncer then enforces the bans it knows.
    Files of secrets that nobody names any more are removed.

    Raises:
        OSError: the directory cannot be written; ``complete`` is then missing.
    """
    known = set(secrets.names())
    wanted = {CREDENTIAL_PREFIX + name: secrets.reveal(name) for name in sorted(set(names) & known)}
    if BOUNCER_KEY in known:
        wanted[BOUNCER_KEY] = secrets.reveal(BOUNCER_KEY)
    complete = directory / COMPLETE
    stale = [path for path in directory.iterdir() if path.name not in wanted and path != complete]
    changed = {name: value for name, value in wanted.items() if _differs(directory / name, value)}
    if not stale and not changed and complete.exists():
        return False
    complete.unlink(missing_ok=True)
    _replace(directory, changed, stale)
    durable_files.replace(complete, b"", _MODE)
    return True


def _replace(directory: Path, changed: Mapping[str, str], stale: Iterable[Path]) -> None:
    for path in stale:
        path.unlink(missing_ok=True)
    for name, value in changed.items():
        durable_files.replace(directory / name, value.encode(), _MODE)


def _differs(path: Path, value: str) -> bool:
    return durable_files.content_of(path) != value.encode()


def run(environ: Mapping[str, str]) -> int:
    """``argos credentials``: the one-shot that runs before Caddy, without the runtime.

    Returns:
        0, or 1 with one line on standard error; ``complete`` is then not there, and
        Caddy starts from its fallback.
    """
    from argos.backup.hold import refuse_half_restored
    from argos.settings import Settings

    try:
        settings = Settings.from_environment(environ)
        (settings.credentials_dir / COMPLETE).unlink(missing_ok=True)
        # The runtime lays them out when the restore is complete.
        refuse_half_restored(settings.data_dir)
        _lay_out(settings)
    except (ArgosError, OSError) as error:
        sys.stderr.write(f"argos credentials: {error}\n")
        return 1
    return 0


def _lay_out(settings: Settings) -> None:
    """Only what it takes to read secrets: this unit may write neither the epoch nor the schema."""
    from argos.application import opened
    from argos.edge.revisions import read_state

    with opened(settings) as here:
        with here.storage.read() as connection:
            names = read_state(connection).secret_names()
        write_credentials(here.secrets, names, settings.credentials_dir)
