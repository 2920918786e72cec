"""The whole declared state as documents, one for each owner, and back; secrets by name only."""

from __future__ import annotations

from typing import Any

from argos.edge.decode import decode_document
from argos.edge.decode.kinds import KINDS
from argos.edge.model import Document, spec_of
from argos.edge.plan import State, plan
from argos.errors import FieldError, Invalid
from argos.oidc.break_glass import resolved


def documents_of(state: State) -> list[dict[str, Any]]:
    """The state as documents that could be applied one after another, one for each owner."""
    owners: dict[str, dict[str, Any]] = {}
    for (kind, name), stored in sorted(state.resources.items(), key=lambda item: item[0]):
        document = owners.setdefault(stored.owner, {"owner": stored.owner})
        if kind == "settings":
            document.setdefault("settings", {})[name] = spec_of(stored.value)
        else:
            document.setdefault(KINDS[kind].field, []).append(spec_of(stored.value))
    return [owners[owner] for owner in sorted(owners)]


def state_of(documents: object) -> State:
    """The state that :func:`documents_of` told.

    Raises:
        Invalid: with everything that is wrong with it; a resource may stand in one document only.
    """
    if not isinstance(documents, list):
        raise Invalid([FieldError("file", "declarations", "is no list", "a list of documents, one for each owner")])
    errors: list[FieldError] = []
    state = State()
    for place, raw in enumerate(documents):
        try:
            document = resolved(State(), decode_document(raw))
        except Invalid as invalid:
            errors.extend(invalid.errors)
            continue
        errors.extend(_unfit(f"declarations[{place}]", document, state))
        state = plan(state, document).state
    if errors:
        raise Invalid(errors)
    return state


def _unfit(place: str, document: Document, before: State) -> list[FieldError]:
    errors = []
    if document.prune:
        errors.append(FieldError("file", f"{place}.prune", "is true", "no prune: an import replaces everything"))
    only = plan(State(), document).state.resources
    declared = sum(len(kind.declared(document)) for kind in KINDS.values())
    if declared != sum(1 for kind, _unused in only if kind != "settings"):
        errors.append(FieldError("file", place, "names a resource with state: absent", "what is to be there only"))
    twice = sorted(only.keys() & before.resources.keys())
    errors.extend(
        FieldError(f"{kind}/{name}", "", f"appears again in {place}", "one document for each resource")
        for kind, name in twice
    )
    return errors


def checked(state: State) -> State:
    """``state`` as this version reads it from a file; for a state of an earlier day.

    Raises:
        Invalid: this version would not take it.
    """
    return state_of(documents_of(state))
