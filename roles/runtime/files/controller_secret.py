"""Make a secret on the controller, in a file of mode 0600 in a directory of mode 0700, once.

A file that stands is never touched. The value is never printed: {"changed": bool} is all.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import sys
from pathlib import Path

MAKERS = {
    # ARGOS_MASTER_KEY: base64 of 32 bytes.
    "master-key": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
    # For a person to type once: 120 bits, letters, digits, - and _.
    "password": lambda: secrets.token_urlsafe(15),
}


def make(path: Path, kind: str) -> bool:
    """Write the secret unless the file stands; return whether it was written.

    Two runs at once make one secret: the file appears whole, by a link that only one of them can make.
    """
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(MAKERS[kind]() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def main() -> int:
    """Make what is missing and say whether something was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(MAKERS))
    parser.add_argument("path", type=Path)
    parser.add_argument("--check", action="store_true", help="only say whether it would be made")
    arguments = parser.parse_args()
    changed = not arguments.path.exists() if arguments.check else make(arguments.path, arguments.kind)
    print(json.dumps({"changed": changed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
