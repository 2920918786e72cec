"""Whose fault a refusal is: which of the changed resources Caddy does not take, and why."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argos.edge.decode.kinds import KINDS
from argos.edge.plan import Change, Key, State

VALIDATE_TIMEOUT_S = 15
SEARCH_S = 20.0  # a caller waits for the answer, and others for the lock
MOST = 10  # resources named in one refusal
_BUDGET = 12  # validations, which is enough to halve 4000 changes

log = logging.getLogger(__name__)


class NoAnswer(Exception):
    """It could not be told whether Caddy would take a state: not in time, or not at all."""


Validate = Callable[[State], str | None]
"""Says why Caddy would refuse a state, or None; raises :class:`NoAnswer`."""

# Caddy wraps a reason in the way it took to get there; a reader wants what is at the end.
_WAY = re.compile(
    r"^(?:loading (?:new )?config|loading config|loading [\w.]+ app module|loading handler modules|"
    r"loading module '[\w.]+'|provision [\w.]+|server \w+|setting up (?:route handlers|subroutes)|route \d+|"
    r"position \d+|loading handlers in routes|loading matcher modules|"
    r"adapting config[^:]*|module name '[\w.]+'|http): ?"
)


def short_reason(reason: str) -> str:
    """Caddy's reason without the path of modules before it."""
    text = reason.strip()
    while (found := _WAY.match(text)) and found.end() < len(text):
        text = text[found.end() :]
    return text


@dataclass(frozen=True)
class Blame:
    """A resource that Caddy refuses, and Caddy's reason, which may quote a secret."""

    key: Key
    reason: str


@dataclass(frozen=True)
class Found:
    """Who is to blame; ``whole`` when Caddy would take the changes without these."""

    blames: tuple[Blame, ...]
    whole: bool


def culprits(  # noqa: PLR0917 - what stands, what was wanted, what Caddy said, and how to ask it
    active: State,
    changes: Sequence[Change],
    after: State,
    reason: str,
    validate: Validate,
    seconds: float | None = None,
) -> Found:
    """Every changed resource that Caddy refuses, as far as :data:`MOST` and ``seconds`` (None: :data:`SEARCH_S`) allow.

    One is looked for, left out, and the rest tried again, until Caddy takes the rest. A question
    without an answer ends the search with what was found: silence proves nothing.
    """
    until = time.monotonic() + (SEARCH_S if seconds is None else seconds)
    left, said = list(changes), reason
    blames: list[Blame] = []
    try:
        while len(blames) < MOST and time.monotonic() < until:
            blame = culprit(active, left, after, said, validate)
            if blame is None:
                break
            blames.append(blame)
            left = [change for change in left if change.key != blame.key]
            suspects = [change for change in left if change.action != "delete"]
            rest = validate(_with(active, suspects, after)) if suspects else None
            if rest is None:
                return Found(tuple(blames), True)
            said = rest
    except NoAnswer as problem:
        log.warning("whose fault a refusal is was not found out: %s", problem)
    return Found(tuple(blames), False)


def culprit(active: State, changes: Sequence[Change], after: State, reason: str, validate: Validate) -> Blame | None:
    """One changed resource that Caddy refuses, None when it cannot be told; :class:`NoAnswer` of ``validate`` passes.

    A host that Caddy names is believed; otherwise the changes are looked at kind by kind,
    what others build on first, and the first kind that is refused is halved until one is left.
    """
    named = [change for change in changes if change.kind == "host" and _names(reason, change.name)]
    if len(named) == 1:
        return Blame(named[0].key, reason)
    suspects = [change for change in changes if change.action != "delete"]
    if len(suspects) == 1:
        return Blame(suspects[0].key, reason)
    layers = [[change for change in suspects if change.kind == kind] for kind in ("settings", *KINDS)]
    layers = [layer for layer in layers if layer]
    for layer in layers:
        whole = _with(active, layer, after)
        # All of them together are refused, so the last needs no question.
        if layer is layers[-1] or validate(whole) is not None:
            return _halve(active, layer, after, validate)
        active = whole
    return None


def _halve(active: State, suspects: Sequence[Change], after: State, validate: Validate) -> Blame | None:
    for _unused in range(_BUDGET):
        if len(suspects) <= 1:
            break
        half = suspects[: len(suspects) // 2]
        refused = validate(_with(active, half, after)) is not None
        suspects = half if refused else suspects[len(half) :]
    if len(suspects) != 1:
        return None
    reason = validate(_with(active, suspects, after))
    return None if reason is None else Blame(suspects[0].key, reason)


def _names(reason: str, name: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", reason) is not None


def _with(active: State, changes: Sequence[Change], after: State) -> State:
    """``active`` with some of the changes."""
    taken = dict(active.resources)
    for change in changes:
        key = (change.kind, change.name)
        taken[key] = after.resources[key]
    return State(taken)


def validation(binary: Path, render: Callable[[State], dict[str, Any]]) -> Validate:
    """A :data:`Validate` that asks ``argos-caddy validate`` in a process of its own.

    It runs as the runtime's user, who may enter neither Caddy's storage nor its log: both
    are replaced by a directory that goes afterwards.
    """

    def validate(state: State) -> str | None:
        config = render(state)
        with tempfile.TemporaryDirectory(prefix="argos-validate-") as place:
            config["storage"] = {"module": "file_system", "root": place}
            config["logging"] = {"logs": {"default": {"level": "ERROR"}}}
            if "crowdsec" in config["apps"]:
                config["apps"]["crowdsec"]["state_file"] = f"{place}/decisions.json"
            path = Path(place) / "caddy.json"
            path.write_text(json.dumps(config))
            return _validate_file(binary, path, place)

    return validate


def _validate_file(binary: Path, path: Path, home: str) -> str | None:
    try:
        done = subprocess.run(
            [str(binary), "validate", "--config", str(path)],
            capture_output=True,
            text=True,
            timeout=VALIDATE_TIMEOUT_S,
            env={"HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{binary} took more than {VALIDATE_TIMEOUT_S} s") from None
    except OSError as problem:
        raise NoAnswer(f"{binary}: {problem.strerror}") from None
    if done.returncode == 0:
        return None
    return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "refused"
