"""What the provider is asked for, and which of its claims says who belongs to a group."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from dance import declare_provider, new_browser, sign_in, start
from hostile_provider import HostileProvider
from panel_runtime import Runtime


def test_the_declared_scopes_are_asked_for_and_the_declared_claim_names_the_groups(
    runtime: Runtime, provider: HostileProvider
) -> None:
    declare_provider(
        runtime,
        provider.issuer,
        scopes=["openid", "teams"],
        groups_claim="teams",
        allowed_domains=[],
        allowed_groups=["family"],
    )
    asked = parse_qs(urlsplit(start(new_browser(runtime))).query)
    assert asked["scope"] == ["openid teams"]
    provider.person |= {"sub": "in-no-team", "groups": ["family"], "teams": ["others"]}
    assert sign_in(new_browser(runtime), provider).status_code == 403
    provider.person |= {"sub": "in-the-team", "groups": [], "teams": ["family"]}
    assert sign_in(new_browser(runtime), provider).status_code == 200
