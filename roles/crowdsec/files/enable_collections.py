"""Enable collections and scenarios of CrowdSec's packaged hub by symlinks, without the internet, and take others out.

``cscli collections install`` downloads; the packaged hub stands whole under /var/lib/crowdsec/hub, so an item
is enabled by a link from /etc/crowdsec, as the package's own postinst does it. A scenario is taken out by
removing its link, whoever made it; a file of the operator's own in its place is refused, never removed.

Prints one JSON object: {"changed": [link, ...]}. With --check nothing is written.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

KINDS = ("collections", "parsers", "scenarios", "postoverflows")


class Refused(Exception):
    """What was asked for cannot be done; the text says why."""


def full_name(name: str) -> str:
    """Return the hub's name: one without a vendor is CrowdSec's own."""
    return name if "/" in name else f"crowdsecurity/{name}"


def items_of(index: dict, collections: list[str], scenarios: list[str]) -> dict[str, str]:
    """Return hub paths by (kind, item) of all these and of everything they name, transitively.

    Raises KeyError naming the item that the hub does not have.
    """
    found: dict[str, str] = {}
    waiting = [("collections", full_name(name)) for name in collections]
    waiting += [("scenarios", full_name(name)) for name in scenarios]
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


def unwanted(index: dict, off: list[str], hub: Path, etc: Path) -> list[Path]:
    """Return the links of the scenarios that are to be off and are not.

    Raises KeyError naming a scenario that the hub does not have, Refused where no link of the hub's stands.
    """
    found = []
    for name in off:
        item = index.get("scenarios", {}).get(full_name(name))
        if item is None:
            raise KeyError(f"scenarios {full_name(name)}")
        link = link_of(item["path"], etc)
        if not link.is_symlink():
            if link.exists():
                raise Refused(f"{link} is a file of its own, not the hub's {full_name(name)}: remove it by hand")
            continue
        if hub not in link.readlink().parents:
            raise Refused(f"{link} leads to {link.readlink()}, not into {hub}: remove it by hand")
        found.append(link)
    return found


def main() -> int:
    """Make it so; exit code 2 when the hub lacks an item, or something of the operator's stands in the way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collections", nargs="*")
    parser.add_argument("--scenario", action="append", default=[], help="enabled beside the collections' own")
    parser.add_argument("--off", action="append", default=[], help="a scenario that is not to run")
    parser.add_argument("--hub", type=Path, default=Path("/var/lib/crowdsec/hub"))
    parser.add_argument("--etc", type=Path, default=Path("/etc/crowdsec"))
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    index = json.loads((arguments.hub / ".index.json").read_text(encoding="utf-8"))
    try:
        wanted = items_of(index, arguments.collections, arguments.scenario)
        removed = unwanted(index, arguments.off, arguments.hub, arguments.etc)
    except KeyError as error:
        print(f"the packaged hub has no {error.args[0]}: see argos_crowdsec_collections", file=sys.stderr)
        return 2
    except Refused as error:
        print(f"argos_crowdsec_scenarios_off: {error}", file=sys.stderr)
        return 2
    off = {f"scenarios:{full_name(name)}" for name in arguments.off}
    changed = [str(link) for link in removed]
    if not arguments.check:
        for link in removed:
            link.unlink()
    for hub_path in sorted(path for item, path in wanted.items() if item not in off):
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
