"""The master keys of one guest on the controller: their ids, and the step from one key to the next.

``ids DIRECTORY`` prints {"key": ID or null, "next": ID or null} of master.key and master.key.next;
``promote DIRECTORY`` keeps master.key as master.key.ID and puts master.key.next in its place, and prints
{"changed": bool}. A value is never printed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import sys
from pathlib import Path


def key_id(path: Path) -> str | None:
    """What Argos calls the key in a file (argos.vault.key_id); None without the file.

    Raises:
        SystemExit: it holds no key.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
        key = base64.b64decode(text, validate=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise SystemExit(f"{path}: {problem if isinstance(problem, OSError) else 'is not base64'}") from None
    if len(key) != 32:
        raise SystemExit(f"{path}: holds {len(key)} bytes, and a master key has 32")
    return hashlib.sha256(b"argos master key id\0" + key).hexdigest()[:16]


def promote(directory: Path) -> bool:
    """Let master.key.next be master.key; return whether there was one.

    What is replaced is kept first, under the id of what the file holds itself: backups of its time open with
    nothing else. Interrupted anywhere and called again, it ends as if it had never been.
    """
    current, following = directory / "master.key", directory / "master.key.next"
    identity = key_id(current)
    if key_id(following) is None:
        return False
    if identity is not None:
        former = directory / f"master.key.{identity}"
        try:
            os.link(current, former)
        except FileExistsError:
            if key_id(former) != identity:
                raise SystemExit(f"{former}: holds another key than its name says; move it away") from None
        _sync(directory)
    following.replace(current)
    _sync(directory)
    return True


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main() -> int:
    """Do what is asked and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("ids", "promote"))
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "ids":
        names = {"key": "master.key", "next": "master.key.next"}
        print(json.dumps({name: key_id(arguments.directory / file) for name, file in names.items()}))
    else:
        print(json.dumps({"changed": promote(arguments.directory)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
