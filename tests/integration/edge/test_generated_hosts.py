"""Whatever is declared can be rendered, and a real Caddy takes it.

``ARGOS_GENERATED_DOCUMENTS`` says how many declarations Caddy validates: few here, many in ``make bench``.
"""

from __future__ import annotations

import contextlib
import os
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from argos.edge import attribution
from argos.edge.active_config import ActiveConfig
from argos.edge.attribution import validation
from argos.edge.context import RenderContext
from argos.edge.crosscheck import crosscheck
from argos.edge.decode import decode_document
from argos.edge.decode.kinds import KINDS
from argos.edge.model import SETTINGS, secret_places
from argos.edge.plan import State, plan
from argos.edge.render import render, rendered
from generated_documents import SECRETS, documents
from hypothesis import HealthCheck, Phase, given, settings

VALIDATED = int(os.environ.get("ARGOS_GENERATED_DOCUMENTS", "12"))
CONTEXT = RenderContext()
OURS = {
    "{file./run/argos-credentials/" + name + "}" for name in ("crowdsec-bouncer-key", *map("secret-{}".format, SECRETS))
}
# Caddy's replacer takes a brace with a backslash before it for itself, and knows what stands between two others.
OUTSIDE = re.compile(r"(?<!\\)\{\s*(?:file|env|system)\.[^}]*\}")


def state_of(document: dict[str, Any]) -> State:
    """The state that a declaration leads to."""
    return plan(State(), decode_document(document)).state


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents())
def test_every_declaration_renders_survives_storage_and_reads_nothing_from_outside(document: dict[str, Any]) -> None:
    state = state_of(document)
    assert crosscheck(state, "behind_caddy", SECRETS) == []
    config = render(state, CONTEXT)
    msgspec.json.encode(render(state, CONTEXT, fallback=True))
    for policy in config["apps"].get("waf", {}).get("policies", {}).values():
        del policy["rules"]  # SecLang, in which Caddy replaces nothing
    found = {text for whole in strings(config) for text in OUTSIDE.findall(whole)}
    assert found <= OURS
    again = State.from_json(state.as_json())
    assert again == state
    assert not plan(again, decode_document(document)).changed
    for kind in KINDS.keys() - {"certificate"}:  # whose key Caddy is given once, and does not read by its name
        for resource in state.of_kind(kind):
            assert resource.secret_names() == {name for _unused, name in secret_places(resource)}


def test_caddy_takes_every_declaration(caddy_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "VALIDATE_TIMEOUT_S", 100)  # seconds of a machine that may be busy
    context = laid_out(tmp_path)
    edge_directory = ActiveConfig(Path(context.edge_dir))

    def whole(state: State) -> dict[str, Any]:
        edge_directory.lay_out(rendered(state, context))
        return render(state, context)

    validate = validation(caddy_binary, whole)
    nonsense = [{"handler": "no_such_handler"}]
    refused = {"raw_handlers": nonsense, "raw_unrestricted": True}
    edge = {"panel_host": "argos.home.example", "parent_domain": "home.example"}
    bad = {"settings": {"edge": edge}, "hosts": [{"name": "a.home.example", **refused}]}
    assert "no_such_handler" in (validate(state_of(bad)) or ""), "a refusal would be seen"

    # Never shrunk: each try costs a process, and Caddy's reason tells the rest.
    @settings(
        max_examples=VALIDATED,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],
    )
    @given(documents())
    def takes(document: dict[str, Any]) -> None:
        assert validate(state_of(document)) is None

    takes()


def laid_out(place: Path) -> RenderContext:
    """A guest's context with every credential that a declaration may name where Caddy looks for it."""
    credentials, edge = place / "credentials", place / "edge"
    for directory in (credentials, edge):
        directory.mkdir()
    for name in ("crowdsec-bouncer-key", *map("secret-{}".format, SECRETS)):
        (credentials / name).write_text("v4l1d-t0k3n_of_forty_characters_or_more0")
    return RenderContext(credentials_dir=str(credentials), edge_dir=str(edge))


def strings(value: Any) -> Iterator[str]:
    """Every text within a rendering, keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


class AllSaid(Exception):
    """Every field has been drawn."""


def test_every_field_of_the_model_is_drawn_otherwise_than_its_default() -> None:
    """A field that no declaration says would go through the file untested; a new one wants its values drawn."""
    structs = (*(kind.struct for kind in KINDS.values()), *SETTINGS.values())
    missing = {place for struct in structs for place in leaves(struct)}

    # A seed alone does not settle what is drawn: Hypothesis also draws constants of the modules that are loaded.
    @settings(
        max_examples=2000,
        deadline=None,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(documents(every_setting=True))
    def draw(raw: dict[str, Any]) -> None:
        for stored in state_of(raw).resources.values():
            missing.difference_update(said(stored.value))
        if not missing:
            raise AllSaid

    with contextlib.suppress(AllSaid):
        draw()
    assert missing == set()


def leaves(struct: Any) -> Iterator[tuple[str, str]]:
    """Every field of ``struct`` and of the structs within, by the struct's name and its own."""
    for name, hint in typing.get_type_hints(struct).items():
        only = typing.get_origin(hint) is typing.Literal and len(typing.get_args(hint)) == 1
        if only or name in {"state", "name"}:  # it has one value; it is of the call; it is the identity
            continue
        yield struct.__name__, name
        for inner in structs_within(hint):
            yield from leaves(inner)


def structs_within(hint: Any) -> Iterator[Any]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
    for member in typing.get_args(hint):
        yield from structs_within(member)


def said(value: Any) -> Iterator[tuple[str, str]]:
    """The fields below ``value`` that are not at their defaults."""
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            held = getattr(value, field.name)
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory
            if default is msgspec.NODEFAULT or held != (default() if callable(default) else default):
                yield type(value).__name__, field.name
            yield from said(held)
    elif isinstance(value, dict):
        for held in value.values():
            yield from said(held)
    elif isinstance(value, tuple):
        for held in value:
            yield from said(held)
