"""The provider's switch: what is stored stays, and comes back."""

from __future__ import annotations

import pytest
from argos.edge.decode import decode_document
from argos.edge.model import Document, OidcSettings
from argos.edge.plan import State, plan
from argos.errors import Invalid
from argos.oidc.break_glass import ends_sign_ins, resolved

DECLARED = {
    "name": "Homelab ID",
    "issuer": "https://id.home.example",
    "client_id": "argos",
    "client_secret": {"secret": "oidc-client"},
    "allowed_groups": ["family"],
    "auto_provision": True,
    "group_map": {"family": ["everyone"]},
}


def document(owner: str = "", **settings: object) -> Document:
    return decode_document({"owner": owner, "settings": settings})


def after(state: State, wanted: Document) -> State:
    return plan(state, resolved(state, wanted)).state


@pytest.fixture
def declared() -> State:
    return after(State(), document("ansible", oidc=DECLARED))


@pytest.mark.threat("OIDC-6")
def test_enabled_alone_switches_and_keeps_everything_else(declared: State) -> None:
    off = after(declared, document(oidc={"enabled": False}))
    assert off.oidc is not None
    assert off.resources["settings", "oidc"].owner == "ansible"
    assert not off.oidc.enabled
    changes = plan(declared, resolved(declared, document(oidc={"enabled": False}))).changes
    assert [(change.name, change.action) for change in changes] == [("oidc", "update")]
    assert changes[0].before is not None
    assert changes[0].after == {**changes[0].before, "enabled": False}
    assert after(off, document(oidc={"enabled": True})) == declared
    assert not plan(off, resolved(off, document(oidc={"enabled": False}))).changed


def test_a_declaration_in_full_still_means_what_it_says(declared: State) -> None:
    spoken = {**DECLARED, "enabled": False}
    spoken.pop("group_map")
    state = after(declared, document("ansible", oidc=spoken))
    assert state.oidc is not None
    assert state.oidc.group_map == {}


def test_beside_other_declarations_the_switch_goes_to_their_owner(declared: State) -> None:
    state = after(declared, document("carol", oidc={"enabled": False}, session={"idle_hours": 1}))
    assert state.resources["settings", "oidc"].owner == "carol"
    assert state.oidc is not None
    assert state.oidc.issuer == DECLARED["issuer"]


@pytest.mark.parametrize("stored", [State(), after(State(), document(oidc={"enabled": False}))], ids=["none", "empty"])
def test_switching_on_what_was_never_declared_names_what_is_missing(stored: State) -> None:
    with pytest.raises(Invalid) as refused:
        resolved(stored, document(oidc={"enabled": True}))
    assert [(error.resource, error.field) for error in refused.value.errors] == [
        ("settings/oidc", name) for name in ("issuer", "client_id", "client_secret")
    ]


def test_an_odd_switch_is_refused_as_any_field_is() -> None:
    with pytest.raises(Invalid, match="enabled"):
        document(oidc={"enabled": "perhaps"})


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"enabled": False}, True),
        ({**DECLARED, "issuer": "https://other.home.example"}, True),
        ({**DECLARED, "name": "Another word", "allowed_groups": ["friends"]}, False),
    ],
    ids=["off", "another issuer", "another policy"],
)
def test_sign_ins_end_with_the_provider_that_vouched_for_them(
    declared: State, change: dict[str, object], ends: bool
) -> None:
    assert ends_sign_ins(declared, after(declared, document(oidc=change))) is ends


def test_no_sign_in_ends_twice(declared: State) -> None:
    off = after(declared, document(oidc={"enabled": False}))
    assert not ends_sign_ins(off, after(off, document(oidc={"enabled": True})))
    assert not ends_sign_ins(off, after(off, document(oidc={**DECLARED, "enabled": False, "name": "x"})))
    assert ends_sign_ins(declared, State())
    assert OidcSettings().enabled
