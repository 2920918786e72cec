"""Tell a database that a newer version of the runtime wrote, before anything is replaced.

``wheel FILE`` prints the schemas that a wheel's runtime knows, oldest first, as {"revisions": [...]};
``database [FILE]``, run on the guest as root, prints {"schema": ...} of the database there, null for none or for
one that cannot be read: the runtime itself says what is wrong with that.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import pwd
import re
import sqlite3
import sys
import zipfile
from pathlib import Path

DATABASE = Path("/var/lib/argos/argos.db")


def of_wheel(path: Path) -> list[str]:
    """The tuple REVISIONS of argos/storage/upgrade.py.

    Raises:
        SystemExit: the wheel holds none.
    """
    with zipfile.ZipFile(path) as wheel:
        source = wheel.read("argos/storage/upgrade.py").decode()
    found = re.search(r"^REVISIONS = (\([^)]*\))", source, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{path}: argos/storage/upgrade.py names no REVISIONS")
    return list(ast.literal_eval(found[1]))


def of_database(path: Path) -> str | None:
    """What the database says of itself, read as its owner: root would leave companions that nobody else may open."""
    if not path.is_file() or path.with_name("restore.journal").exists():
        return None
    owner = pwd.getpwuid(path.stat().st_uid)
    if os.geteuid() == 0 and owner.pw_uid != 0:
        os.umask(0o027)
        os.initgroups(owner.pw_name, owner.pw_gid)
        os.setgid(owner.pw_gid)
        os.setuid(owner.pw_uid)
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10)
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("wheel", "database"))
    parser.add_argument("path", type=Path, nargs="?", default=DATABASE)
    arguments = parser.parse_args()
    if arguments.what == "wheel":
        answer: dict[str, object] = {"revisions": of_wheel(arguments.path)}
    else:
        answer = {"schema": of_database(arguments.path)}
    print(json.dumps(answer))
    sys.stdout.flush()
    # Not a return: whoever closes the database last takes its -wal and -shm along, and the gate needs them.
    os._exit(0)


if __name__ == "__main__":
    main()
