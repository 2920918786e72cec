"""An operator's own WAF rules: one SecLang rule each, and nothing smuggled in beside it.

What the engine itself refuses (a bad regular expression, an unknown operator) is left
to it; these checks are for what it would accept in silence (edge.md: a rule without id)
and for what reaches out of the policy: files, programs, the engine's own switches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ID_LOW, ID_HIGH = 100_000, 899_999
MAX_RULES = 100
MAX_LENGTH = 4096

_DIRECTIVE = re.compile(r"(SecRule|SecAction)[ \t]+\S", re.IGNORECASE)
_ID = re.compile(r"(?:^|[\s,\"'])id\s*:\s*'?\s*(\d+)", re.IGNORECASE)
_ESCAPED = re.compile(r"\\.")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
_REACHES_OUT = (
    (re.compile(r"@\s*\w*(?:FromFile|FromDataset)\b|@\s*pmf\b|@\s*ipMatchF\b", re.IGNORECASE), "reads a file"),
    (re.compile(r"@\s*inspectFile\b", re.IGNORECASE), "runs a program"),
    (re.compile(r"@\s*(?:rbl|geoLookup)\b", re.IGNORECASE), "asks a server"),
    (re.compile(r"\bexec\s*:", re.IGNORECASE), "runs a program"),
    (re.compile(r"\b(?:proxy|redirect)\s*:", re.IGNORECASE), "sends the client elsewhere"),
    (re.compile(r"\bctl\s*:\s*'?\s*(?:ruleEngine|auditEngine|auditLogParts)\b", re.IGNORECASE), "switches the engine"),
    (re.compile(r"(?:^|[\s,\"'])chain\b", re.IGNORECASE), "is chained to the rule after it"),
    (re.compile(r"\bskip(?:After)?\s*:", re.IGNORECASE), "skips other rules"),
)


def rule_problem(rule: str) -> str | None:
    """What is wrong with one custom rule, or None."""
    return _shape_problem(rule) or _reach_problem(rule) or _id_problem(rule)


def _shape_problem(rule: str) -> str | None:
    text = rule.strip()
    if _CONTROL.search(rule):
        return "holds a line break or another control character"
    if not _DIRECTIVE.match(text):
        return "is not a SecRule or a SecAction"
    if text.endswith("\\"):
        return "ends in a backslash, which would swallow the line after it"
    if _ESCAPED.sub("", text).count('"') % 2 or "`" in text:
        return "has an open quote"
    return None


def _reach_problem(rule: str) -> str | None:
    return next((problem for pattern, problem in _REACHES_OUT if pattern.search(rule)), None)


def _id_problem(rule: str) -> str | None:
    ids = {int(number) for number in _ID.findall(_actions_of(rule.strip()))}
    if len(ids) != 1:
        return "has more than one id" if ids else "has no id"
    number = ids.pop()
    return None if ID_LOW <= number <= ID_HIGH else f"has the id {number}"


def rule_id(rule: str) -> int | None:
    """The id a rule carries."""
    found = _ID.search(_actions_of(rule.strip()))
    return int(found[1]) if found else None


def is_custom(number: int) -> bool:
    """Whether an id is an operator's own, not the rule set's."""
    return ID_LOW <= number <= ID_HIGH


def duplicate_ids(rules: Iterable[str]) -> set[int]:
    """Ids that more than one of ``rules`` carries."""
    seen: set[int] = set()
    twice: set[int] = set()
    for rule in rules:
        number = rule_id(rule)
        if number is not None:
            (twice if number in seen else seen).add(number)
    return twice


def _actions_of(text: str) -> str:
    """The last quoted part: a rule's actions. An id inside the pattern is not the rule's."""
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
    if parts:
        return str(parts[-1])
    return text.partition(" ")[2]
