"""The WAF's part of Caddy's configuration: each policy once, and each host's reference to one.

Hosts whose settings come to the same share one policy. A distinct SecLang text is an engine
of its own in Caddy, about 4 MB and 18 ms. Why each line of it stands there is told in the
annotated policy that the Caddy build is tested with,
``roles/caddy/files/argos-caddy/waf/testdata/default-policy.conf``; a test holds the two equal.

Exclusions are no SecLang: the handler takes rules away from the requests they name, so that a
host's own cost no engine, other hosts do not evaluate them, and nothing is smuggled in with one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec

from argos.edge import crs_rules, secrules
from argos.edge.context import RenderContext
from argos.edge.model import Exclusion, Host, Waf, WafPolicy
from argos.errors import FieldError

_ENGINE = {"block": "On", "detect": "DetectionOnly"}

# Custom rules stand before the CRS, so that they can also exclude some of it by ``ctl:``.
_POLICY = (files("argos.edge") / "waf_policy.conf").read_text(encoding="utf-8")

_BYTES_A_PARAMETER = 16
"""So many bytes of ``body_limit`` allow one parameter: each costs a look of every rule, however short it is."""

Policies = Mapping[str, WafPolicy]


@lru_cache(maxsize=512)
def policy_text(policy: WafPolicy) -> str:
    """SecLang for ``policy``, whose mode is ``detect`` or ``block``."""
    custom = "".join(f"{rule.strip()}\n" for rule in policy.custom_rules)
    return (
        _POLICY.replace("@ENGINE@", _ENGINE[policy.mode])
        .replace("@PARANOIA@", str(policy.paranoia))
        .replace("@INBOUND@", str(policy.inbound_threshold))
        .replace("@OUTBOUND@", str(policy.outbound_threshold))
        .replace("@RESPONSE@", "On" if policy.response else "Off")
        .replace("@ARGUMENTS@", str(policy.body_limit // _BYTES_A_PARAMETER))
        .replace("@CUSTOM@", custom)
    )


def effective(waf: Waf, policies: Policies) -> WafPolicy | None:
    """The policy that a host's ``waf`` comes to, under the name it has in Caddy and the event log; None: no inspection.

    A host's own settings are ``block-1``, with own rules also their digest; a named policy in
    another mode than its own is ``strict+detect``. The names an operator may give hold neither.
    """
    if waf.mode == "off":
        return None
    if waf.mode != "policy" and not waf.policy:
        name = f"{waf.mode}-{waf.paranoia}"
        if waf.custom_rules:
            name += "-" + hashlib.sha256("\n".join(waf.custom_rules).encode()).hexdigest()[:8]
        return WafPolicy(name, mode=waf.mode, paranoia=waf.paranoia, custom_rules=waf.custom_rules)
    named = policies.get(waf.policy)
    if named is None or named.mode == "off":
        return None
    if waf.mode in ("policy", named.mode):
        return named
    return msgspec.structs.replace(named, name=f"{named.name}+{waf.mode}", mode=waf.mode)


def app(hosts: Iterable[Host], policies: Policies, context: RenderContext) -> dict[str, Any]:
    """Caddy's app ``waf`` with every named policy, and those of hosts' own; empty when there are none."""
    rendered = {name: _policy(policy) for name, policy in sorted(policies.items()) if policy.mode != "off"}
    for host in hosts:
        policy = effective(host.waf, policies)
        if policy is None or policy.name in rendered:
            continue
        rendered[policy.name] = _policy(policy)
        if policy.custom_rules:
            rendered[policy.name]["for"] = host.name  # whom a refusal is about
    return {"waf": {"audit_log": context.waf_log, "policies": rendered}} if rendered else {}


def _policy(policy: WafPolicy) -> dict[str, Any]:
    rendered: dict[str, Any] = {"rules": policy_text(policy), "body_limit": policy.body_limit}
    if policy.inspections:
        rendered["inspections"] = policy.inspections
    if policy.response:
        rendered["response"] = True
    if policy.exclusions:
        rendered["exclusions"] = [_exclusion(exclusion) for exclusion in policy.exclusions]
    return rendered


def handlers(host: Host, policies: Policies) -> list[dict[str, Any]]:
    """What inspects the requests to ``host``: one handler, or none."""
    policy = effective(host.waf, policies)
    if policy is None:
        return []
    handler: dict[str, Any] = {"handler": "waf", "policy": policy.name, "host_id": host.name}
    if host.waf.exclusions:
        handler["exclusions"] = [_exclusion(exclusion) for exclusion in host.waf.exclusions]
    if host.grpc:
        handler["grpc"] = True  # its calls' bodies are streams that the rules cannot read
    return [handler]


def _exclusion(exclusion: Exclusion) -> dict[str, Any]:
    low, high = id_range(exclusion)
    rendered = {
        "id": low,
        "last": high if high != low else 0,
        "tag": exclusion.tag,
        "parameter": exclusion.parameter,
        "path": exclusion.path,
        "methods": list(exclusion.methods),
    }
    return {name: value for name, value in rendered.items() if value}


def id_range(exclusion: Exclusion) -> tuple[int, int]:
    """First and last id, both included; zeros when a tag says which rules."""
    if exclusion.range:
        first, _unused, last = exclusion.range.partition("-")
        return int(first), int(last)
    return exclusion.id or 0, exclusion.id or 0


def reference_errors(hosts: Iterable[Host], policies: Policies) -> Iterator[FieldError]:
    """Policies that hosts name and nobody has declared; exclusions of custom rules that nobody has written."""
    for policy in policies.values():
        yield from _exclusion_errors(f"waf_policy/{policy.name}", "exclusions", policy.exclusions, policy.custom_rules)
    for host in hosts:
        waf = host.waf
        if waf.policy and waf.policy not in policies:
            yield FieldError(
                f"host/{host.name}",
                "waf.policy",
                f"names {waf.policy!r}, which is not declared",
                "one of " + ", ".join(sorted(policies)[:20]) if policies else "a policy that waf_policies declares",
            )
            continue
        rules = policies[waf.policy].custom_rules if waf.policy else waf.custom_rules
        yield from _exclusion_errors(f"host/{host.name}", "waf.exclusions", waf.exclusions, rules)


def _exclusion_errors(
    resource: str, field: str, exclusions: Iterable[Exclusion], custom_rules: Iterable[str]
) -> Iterator[FieldError]:
    own = {secrules.rule_id(rule) for rule in custom_rules}
    for index, exclusion in enumerate(exclusions):
        low, high = id_range(exclusion)
        if exclusion.tag or any(low <= number <= high for number in crs_rules.rules()):
            continue
        if not any(number is not None and low <= number <= high for number in own):
            named = "range" if exclusion.range else "id"
            problem = f"names {exclusion.range or exclusion.id}, which no rule of this policy has"
            expected = "a rule of the rule set or of custom_rules"
            yield FieldError(resource, f"{field}[{index}].{named}", problem, expected)
