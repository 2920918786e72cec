"""Enable collections of CrowdSec's packaged hub, with all that they name, by symlinks, without the internet.

``cscli collections install`` downloads; the packaged hub stands whole under /var/lib/crowdsec/hub, so an item
is enabled by a link from /etc/crowdsec, as the package's own postinst does it.

Prints one JSON object: {"changed": [link, ...]}. With --check nothing is written.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

KINDS = ("collections", "parsers", "scenarios", "postoverflows")


def items_of(index: dict, collections: list[str]) -> dict[str, str]:
    """Return hub paths by (kind, item) of the collections and of everything they name, transitively.

    Raises KeyError naming the item that the hub does not have.
    """
    found: dict[str, str] = {}
    waiting = [("collections", f"crowdsecurity/{name}") for name in collections]
    while waiting:
        kind, name = waiting.pop()
        if f"{kind}:{name}" in found:
            continue
        item = index.get(kind, {}).get(name)
        if item is None:
            raise KeyError(f"{kind} {name}")
        found[f"{kind}:{name}"] = item["path"]
        for child_kind in KINDS:
            waiting.extend((child_kind, child) for child in item.get(child_kind) or [])
    return found


def link_of(hub_path: str, etc: Path) -> Path:
    """Return where CrowdSec wants the item enabled: the hub's path without the vendor's directory."""
    path = Path(hub_path)
    return etc / path.parent.parent / path.name


def main() -> int:
    """Enable the named collections; exit code 2 when the hub lacks one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--hub", type=Path, default=Path("/var/lib/crowdsec/hub"))
    parser.add_argument("--etc", type=Path, default=Path("/etc/crowdsec"))
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    index = json.loads((arguments.hub / ".index.json").read_text(encoding="utf-8"))
    try:
        wanted = items_of(index, arguments.collections)
    except KeyError as error:
        print(f"the packaged hub has no {error.args[0]}: see argos_crowdsec_collections", file=sys.stderr)
        return 2
    changed = []
    for hub_path in sorted(wanted.values()):
        link = link_of(hub_path, arguments.etc)
        if link.is_symlink() or link.exists():
            continue
        changed.append(str(link))
        if not arguments.check:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(arguments.hub / hub_path)
    print(json.dumps({"changed": changed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
