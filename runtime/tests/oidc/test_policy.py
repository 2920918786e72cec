"""Who is meant (OIDC-4): odd e-mails, groups, and the declaration's own rules."""

from __future__ import annotations

from typing import Any

import pytest
from argos.edge.decode import decode_document
from argos.edge.decode.oidc import OidcSwitch
from argos.edge.model import OidcSettings
from argos.errors import Invalid
from argos.oidc.errors import NotAllowed
from argos.oidc.policy import judge
from hypothesis import given
from hypothesis import strategies as st

ONE = OidcSettings(allowed_emails=("Carol@Home.example",))
DOMAIN = OidcSettings(allowed_domains=("home.example",))
GROUP = OidcSettings(allowed_groups=("family",), require_email_verified=False)


def person(email: object, verified: object = True, **more: object) -> dict[str, Any]:
    return {"sub": "s", "email": email, "email_verified": verified, **more}


@pytest.mark.threat("OIDC-4")
@pytest.mark.parametrize(
    ("settings", "claims", "meant"),
    [
        (ONE, person("carol@home.example"), True),
        (ONE, person("CAROL@HOME.EXAMPLE"), True),
        (ONE, person("carol+x@home.example"), False),
        (ONE, person("car.ol@home.example"), False),
        (ONE, person("carol@home.example "), False),
        (ONE, person("cаrol@home.example"), False),  # noqa: RUF001 - a Cyrillic a
        (ONE, person("carol@home.example", verified=False), False),
        (ONE, person("carol@home.example", verified="true"), False),
        (ONE, person("carol@home.example", verified=1), False),
        (ONE, person(["carol@home.example"]), False),
        (ONE, person({"value": "carol@home.example"}), False),
        (ONE, person(None), False),
        (ONE, person(""), False),
        (ONE, {"sub": "s", "preferred_username": "carol@home.example"}, False),
        (DOMAIN, person("anyone@home.example"), True),
        (DOMAIN, person("anyone+tag@HOME.example"), True),
        (DOMAIN, person("a@sub.home.example"), False),
        (DOMAIN, person("a@xhome.example"), False),
        (DOMAIN, person("a@home.example.evil.example"), False),
        (DOMAIN, person('"a@home.example"@evil.example'), False),
        (DOMAIN, person("a@evil.example,b@home.example"), False),
        (DOMAIN, person("a@home.example."), False),
        (DOMAIN, person("a@ho\u200bme.example"), False),
        (DOMAIN, person("a@home\u3002example"), False),
        (GROUP, person(None, groups=["family"]), True),
        (GROUP, person(None, groups="family"), True),
        (GROUP, person(None, groups=["Family"]), False),
        (GROUP, person(None, groups=[["family"]]), False),
        (GROUP, person(None, groups={"family": True}), False),
        (GROUP, person("carol@home.example"), False),
    ],
)
def test_exactly_those_who_were_meant_come_in(settings: OidcSettings, claims: dict[str, Any], meant: bool) -> None:
    if meant:
        assert judge(settings, claims).subject == "s"
    else:
        with pytest.raises(NotAllowed):
            judge(settings, claims)


@pytest.mark.threat("OIDC-4")
def test_without_a_verified_address_an_allowlisted_one_lets_nobody_in_even_where_none_is_demanded() -> None:
    settings = OidcSettings(allowed_domains=("home.example",), require_email_verified=False)
    with pytest.raises(NotAllowed):
        judge(settings, person("a@home.example", verified=False))


@pytest.mark.threat("OIDC-4")
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_no_odd_claim_lets_anybody_in_or_breaks(odd: object) -> None:
    with pytest.raises(NotAllowed):
        judge(DOMAIN, {"sub": "s", "email": odd, "email_verified": odd, "groups": odd, "name": odd, "amr": odd})


def test_groups_and_admin_come_from_declared_claims_only() -> None:
    claims = person("a@home.example", groups=["family", "other"], roles="boss", amr=["pwd", "mfa"])
    plain = judge(DOMAIN, claims)
    assert (plain.groups, plain.is_admin, plain.used_second_factor) == (None, None, True)
    mapped = OidcSettings(group_map={"family": ("photos",)}, admin_claim="roles", admin_values=("boss",))
    arrival = judge(mapped, claims)
    assert (arrival.groups, arrival.is_admin) == (("photos",), True)
    assert judge(mapped, person("a@home.example", roles=["bosses"])).is_admin is False


def errors_of(**oidc: Any) -> list[str]:
    full = {"issuer": "https://id.example", "client_id": "argos", "client_secret": {"secret": "oidc"}, **oidc}
    try:
        decode_document({"settings": {"oidc": full}})
    except Invalid as invalid:
        return [f"{error.resource} {error.field}" for error in invalid.errors]
    return []


@pytest.mark.threat("OIDC-4")
def test_accounts_are_made_for_nobody_in_particular_only_when_that_is_said() -> None:
    assert errors_of(auto_provision=True) == ["settings/oidc auto_provision"]
    assert errors_of(auto_provision=True, allow_anyone=True) == []
    assert errors_of(auto_provision=True, allowed_groups=["family"]) == []
    assert errors_of() == []


@pytest.mark.parametrize(
    ("oidc", "field"),
    [
        ({"issuer": "http://id.example"}, "issuer"),
        ({"issuer": "https://id.example?x=1"}, "issuer"),
        ({"issuer": "https://user@id.example"}, "issuer"),
        ({"issuer": None}, "issuer"),
        ({"client_secret": None}, "client_secret"),
        ({"client_secret": {"secret": "No Name"}}, "client_secret.secret"),
        ({"client_secret": "plain"}, "client_secret"),
        ({"scopes": ["email"]}, "scopes"),
        ({"allowed_domains": ["Home.example"]}, "allowed_domains[0]"),
        ({"allowed_emails": ["nobody"]}, "allowed_emails[0]"),
        ({"admin_claim": "roles"}, "admin_claim"),
        ({"token_auth": "none"}, "token_auth"),
        ({"isuer": "x"}, "isuer"),
    ],
)
def test_a_wrong_declaration_names_the_field(oidc: dict[str, Any], field: str) -> None:
    assert f"settings/oidc {field}" in errors_of(**oidc)


@pytest.mark.threat("OIDC-6")
def test_switched_off_it_needs_nothing() -> None:
    document = decode_document({"settings": {"oidc": {"enabled": False}}})
    assert document.settings.oidc == OidcSwitch(enabled=False)
