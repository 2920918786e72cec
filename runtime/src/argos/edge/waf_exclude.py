"""From a logged false positive to the narrowest exclusion, and the declaration that adds it."""

from __future__ import annotations

import difflib
import json
import posixpath
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import msgspec

from argos.edge import crs_rules, secrules
from argos.edge.crs_rules import CrsRule
from argos.edge.decode import decode_document
from argos.edge.decode.waf import PARAMETERS
from argos.edge.model import Document, Exclusion, Host, Waf, spec_of
from argos.edge.plan import State
from argos.edge.waf_events import Event, Finding, printable, verdict
from argos.errors import Conflict, NotFound

_LOGGED_URI = 1024
_LOGGED_KEY = 200
_MASK = "***"
_STEP = re.compile(r"(?<=\.)\d+(?=\.|$)")
_UNNAMEABLE = set("[]*\\?#")


class NotExcludable(Conflict):
    """No exclusion would be narrow and hold: the message says why, and what to do."""


@dataclass(frozen=True)
class Explained:
    """One finding with what the rule set says of its rule; None for an operator's own rule."""

    finding: Finding
    rule: CrsRule | None

    @property
    def excludable(self) -> bool:
        """Whether an exclusion may name the rule."""
        return self.rule is not None or secrules.is_custom(self.finding.id)


@dataclass(frozen=True)
class Explanation:
    """An event in words, and what would let such requests pass: ``exclusions``, or why none is offered."""

    event: Event
    verdict: str
    findings: tuple[Explained, ...]
    exclusions: tuple[Exclusion, ...] = ()
    problem: str = ""

    def shown(self) -> dict[str, Any]:
        """Plain JSON values without control characters."""
        return {
            **shown_event(self.event),
            "rules": [
                {
                    **{name: printable(str(value)) for name, value in spec_of(entry.finding).items() if name != "id"},
                    "id": entry.finding.id,
                    "paranoia": entry.rule.paranoia if entry.rule else None,
                    "file": entry.rule.file if entry.rule else "custom_rules" if entry.excludable else "",
                    "tags": list(entry.rule.tags) if entry.rule else [],
                    "excludable": entry.excludable,
                }
                for entry in self.findings
            ],
            "exclusions": [exclusion_spec(exclusion) for exclusion in self.exclusions],
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Proposal:
    """A document that adds ``added`` to the host, with the host's ``waf`` ``before`` and ``after`` it."""

    document: Document
    host: str
    owner: str
    added: tuple[Exclusion, ...]
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


def shown_event(event: Event) -> dict[str, Any]:
    """An event as plain JSON values without control characters, with its verdict in words."""
    plain = spec_of(event)
    texts = {name: printable(value, 1100) for name, value in plain.items() if isinstance(value, str)}
    rules = [{"id": finding.id, "msg": printable(finding.msg)} for finding in event.rules]
    return {**plain, **texts, "rules": rules, "verdict": verdict(event)}


def exclusion_spec(exclusion: Exclusion) -> dict[str, Any]:
    """An exclusion as one would write it: without what it leaves out."""
    return {name: value for name, value in spec_of(exclusion).items() if value}


def explain(event: Event) -> Explanation:
    """What happened, rule by rule, and the narrowest exclusions that would let such a request pass."""
    known = crs_rules.rules()
    findings = tuple(Explained(finding, known.get(finding.id)) for finding in event.rules)
    try:
        exclusions, problem = exclusions_for(event), ""
    except NotExcludable as reason:
        exclusions, problem = (), reason.message
    return Explanation(event, verdict(event), findings, exclusions, problem)


def exclusions_for(event: Event) -> tuple[Exclusion, ...]:
    """One for each rule that matched: on this path and method, and for the parameter that it matched in.

    Raises:
        NotExcludable: the event is of no rule, or its path is none that an exclusion can name.
    """
    rules = [finding for finding in event.rules if Explained(finding, crs_rules.rules().get(finding.id)).excludable]
    if not rules:
        raise NotExcludable(_why_none(event))
    path = _path(event.uri)
    return tuple(
        dict.fromkeys(
            Exclusion(id=finding.id, parameter=_parameter(finding.variable), path=path, methods=(event.method,))
            for finding in rules
        )
    )


def _why_none(event: Event) -> str:
    if event.reason == "body_limit":
        return "The body was longer than what is inspected: raise the policy's body_limit, or send it as a file"
    if event.reason in {"multipart", "busy", "engine", "panic"}:
        return f"No rule refused it ({event.reason}), so no exclusion would let it pass"
    return "None of its rules may be excluded: each is one of the policy's own checks"


def _path(uri: str) -> str:
    raw, question, _unused = uri.partition("?")
    if not question and len(uri.encode()) >= _LOGGED_URI:
        raise NotExcludable("The log has only the beginning of the path: declare an exclusion by hand")
    try:
        path = unquote(raw, errors="strict")
    except UnicodeDecodeError:
        path = ""
    same = posixpath.normpath(path) in {path, path.removesuffix("/")} and not path.startswith("//")
    if not path.startswith("/") or not same or set(path) & set(";%\\\0"):
        raise NotExcludable("Servers may read its path differently, so an exclusion does not hold there")
    if _MASK in path or set(path) & _UNNAMEABLE or not path.isprintable():
        raise NotExcludable("Its path holds what an exclusion cannot name: declare one for the path above it by hand")
    return path


def _parameter(variable: str) -> str:
    """What an exclusion calls a logged variable; empty where it has to name the whole rule."""
    collection, separator, key = variable.partition(":")
    if collection not in PARAMETERS or len(key.encode()) >= _LOGGED_KEY or not key.isprintable() or "\ufffd" in key:
        return ""
    if key.startswith("json."):
        key = _STEP.sub("*", key)  # the next request has the same at another index
    return collection + separator + key if key else collection  # one without a name: the engine would take all


def propose(state: State, event: Event) -> Proposal:
    """The declaration that adds the event's exclusions to its host, whose owner stays as it is.

    Raises:
        NotFound: the host is not declared any more.
        NotExcludable: no exclusion would help.
        Invalid: the host would have too many.
    """
    stored = state.resources.get(("host", event.host_id))
    if stored is None:
        raise NotFound(f"host/{printable(event.host_id, 260)}: not declared")
    host: Host = stored.value
    added = tuple(wanted for wanted in exclusions_for(event) if wanted not in host.waf.exclusions)
    if not added:
        raise NotExcludable("The host has these exclusions already: the event is from before them, or they do not hold")
    waf = msgspec.structs.replace(host.waf, exclusions=(*host.waf.exclusions, *added))
    changed = spec_of(msgspec.structs.replace(host, waf=waf))
    document = decode_document({"owner": stored.owner, "hosts": [changed]})
    return Proposal(document, host.name, stored.owner, added, _waf_spec(host.waf), _waf_spec(waf))


def _waf_spec(waf: Waf) -> dict[str, Any]:
    """A host's ``waf`` as one would write it."""
    spec = {name: value for name, value in spec_of(waf).items() if value}
    return {**spec, "exclusions": [exclusion_spec(exclusion) for exclusion in waf.exclusions]}


def difference(proposal: Proposal) -> str:
    """The host's ``waf`` before and after, line by line."""
    before, after = (
        json.dumps(spec, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
        for spec in (proposal.before, proposal.after)
    )
    name = f"host/{proposal.host} waf"
    return "\n".join(difflib.unified_diff(before, after, f"{name} (now)", f"{name} (then)", lineterm=""))
