"""Write docs/variables.md from the roles' argument specs. ``--check``: only say whether it is current (exit 1: not)."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parent.parent
PAGE = TOP / "docs/variables.md"
HEAD = """# Variables

Set these in your inventory's `group_vars`: those of the guest in `all.yml`, the others in `edge.yml`. A variable that
begins with `argos_` and is not on this page stops `playbooks/site.yml`, which names it. Variables of your own may have
any other prefix.

`scripts/generate_variables.py` writes this page from the roles' `argument_specs.yml`. `ansible-doc -t role
argos.edge.ROLE` shows the same.
"""
SECTIONS = (
    ("site", "main", "The site", "What the edge publishes, and under which names. For `playbooks/site.yml`."),
    ("guest", "main", "The guest", "Where the edge runs. A machine of your own needs only `argos_guest_provider`."),
    ("runtime", "main", "The runtime", "Panel, API, backups and audit log."),
    ("crowdsec", "main", "CrowdSec", "What [crowdsec.md](crowdsec.md) leaves to the inventory."),
    ("caddy", "main", "Caddy", "How Caddy is built and started. You should not need these."),
    ("layout", "main", "Users and groups", ""),
    ("sample", "main", "The sample application", "Installed if `argos_sample` is true."),
    ("site", "backup", "Making a backup", "For `playbooks/backup.yml`; see [backup.md](backup.md)."),
    ("site", "restore", "Restoring a backup", "For `playbooks/restore.yml`."),
    ("site", "rotate_key", "Rotating the master key", "For `playbooks/rotate_key.yml`."),
)  # fmt: skip
MARKUP = re.compile(r"\b[COVMBI]\(([^)]*)\)")


def plain(text: str | list[str]) -> str:
    """Turn Ansible's markup into Markdown."""
    joined = " ".join(text) if isinstance(text, list) else text
    return MARKUP.sub(lambda found: f"`{found[1]}`", " ".join(joined.split())).replace("|", "\\|")


def kind(option: dict[str, Any]) -> str:
    """Say what a value may be."""
    elements = option.get("elements")
    name = f"list of {elements}" if elements else str(option["type"])
    choices = option.get("choices")
    return f"{name}: {', '.join(f'`{choice}`' for choice in choices)}" if choices else name


def default(option: dict[str, Any]) -> str:
    """Show the default; a template only says that the value is worked out."""
    value = option.get("default")
    if option.get("required"):
        return "required"
    if value in (None, "", []):
        return ""
    if "{{" in str(value):
        return "see `ansible-doc`"
    if isinstance(value, list):
        return "`[" + ", ".join(map(str, value)) + "]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for role, entry, title, about in SECTIONS:
        path = TOP / "roles" / role / "meta/argument_specs.yml"
        options = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"][entry]["options"]
        parts.append(
            f"## {title}\n\n"
            + (f"{about}\n\n" if about else "")
            + "| variable | type | default | |\n| --- | --- | --- | --- |"
        )
        for name, option in options.items():
            parts[-1] += f"\n| `{name}` | {kind(option)} | {default(option)} | {plain(option['description'])} |"
        parts[-1] += "\n"
    return "\n".join(parts)


def main() -> int:
    """Write it, or compare."""
    if "--check" in sys.argv:
        if PAGE.read_text(encoding="utf-8") == page():
            return 0
        print("docs/variables.md is not what the argument specs say: run scripts/generate_variables.py")
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
