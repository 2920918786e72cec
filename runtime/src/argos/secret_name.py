"""The one rule for names of secrets: what can be stored can be declared, and nothing else."""

from __future__ import annotations

import re

LONGEST = 63
RULE = f"1 to {LONGEST} of a-z, 0-9 and '-', not beginning with '-'"

_NAME = re.compile(rf"[a-z0-9][a-z0-9-]{{0,{LONGEST - 1}}}")


def is_secret_name(text: str) -> bool:
    """Whether a secret may have this name; it is also that of a file."""
    return _NAME.fullmatch(text) is not None
