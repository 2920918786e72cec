"""WAF policies: what is declared, what is refused, and what reaches Caddy."""

from __future__ import annotations

import re
from typing import Any

import pytest
from argos.edge import crs_rules
from argos.edge.context import RenderContext
from argos.edge.crosscheck import crosscheck
from argos.edge.decode import decode_document
from argos.edge.decode.waf import PARAMETERS
from argos.edge.model import EdgeSettings, Exclusion, Waf, WafPolicy, spec_of
from argos.edge.plan import State, Stored, plan
from argos.edge.render import render
from argos.edge.waf_policy import effective, policy_text
from argos.errors import Invalid
from hypothesis import given
from hypothesis import strategies as st

EDGE = EdgeSettings("argos.home.example", "home.example")
RULE = 'SecRule ARGS "@rx a" "id:100001,phase:2,deny,msg:\'x\'"'


def declared(waf: dict[str, Any], *policies: dict[str, Any]) -> State:
    host = {"name": "wiki.home.example", "upstreams": [{"url": "http://192.0.2.1:80"}], "waf": waf}
    document = decode_document({"hosts": [host], "waf_policies": list(policies)})
    return plan(State({("settings", "edge"): Stored(EDGE)}), document).state


def errors(waf: dict[str, Any], *policies: dict[str, Any]) -> dict[str, str]:
    try:
        return {error.field: error.problem for error in crosscheck(declared(waf, *policies), "behind_caddy")}
    except Invalid as refused:
        return {error.field: error.problem for error in refused.errors}


def caddy(waf: dict[str, Any], *policies: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The app's policies, and every handler."""
    config = render(declared(waf, *policies), RenderContext())
    found: list[dict[str, Any]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("handler") == "waf":
                found.append(value)
            value = list(value.values())
        if isinstance(value, list):
            for member in value:
                walk(member)

    walk(config["apps"]["http"])
    return config["apps"].get("waf", {}).get("policies", {}), found


def test_the_policy_is_the_one_the_caddy_build_is_tested_with(request: pytest.FixtureRequest) -> None:
    annotated = request.config.rootpath / "roles/caddy/files/argos-caddy/waf/testdata/default-policy.conf"
    lines = [line for line in annotated.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert policy_text(WafPolicy("x")).splitlines() == lines
    other = policy_text(WafPolicy("x", "present", "detect", 3, 10, 8, response=True))
    assert "SecRuleEngine DetectionOnly\n" in other
    assert "SecArgumentsLimit 8192\n" in policy_text(WafPolicy("x", body_limit=131072))
    assert "SecResponseBodyAccess On\n" in other
    assert "blocking_paranoia_level=3,setvar:tx.detection_paranoia_level=3" in other
    assert "inbound_anomaly_score_threshold=10,setvar:tx.outbound_anomaly_score_threshold=8" in other


def test_own_rules_stand_before_the_rule_set() -> None:
    lines = policy_text(WafPolicy("x", custom_rules=(RULE,))).splitlines()
    assert lines[-2:] == [RULE, "Include @owasp_crs/*.conf"]


def test_hosts_with_the_same_settings_share_one_policy() -> None:
    hosts = [
        {"name": f"h{n}.home.example", "upstreams": [{"url": "http://192.0.2.1:80"}], "waf": {"mode": "block"}}
        for n in range(5)
    ]
    state = plan(State({("settings", "edge"): Stored(EDGE)}), decode_document({"hosts": hosts})).state
    assert set(render(state, RenderContext())["apps"]["waf"]["policies"]) == {"block-1"}


@pytest.mark.parametrize(
    ("waf", "name", "mode"),
    [
        ({"policy": "strict"}, "strict", "block"),
        ({"policy": "strict", "mode": "policy"}, "strict", "block"),
        ({"policy": "strict", "mode": "block"}, "strict", "block"),
        ({"policy": "strict", "mode": "detect"}, "strict+detect", "detect"),
        ({"policy": "strict", "mode": "off"}, None, None),
        ({"policy": "idle"}, None, None),
        ({"mode": "detect", "paranoia": 3}, "detect-3", "detect"),
        ({"mode": "off"}, None, None),
        ({}, None, None),
    ],
)
def test_a_host_takes_a_policy_or_its_own_settings(waf: dict[str, Any], name: str | None, mode: str | None) -> None:
    policies, handlers = caddy(waf, {"name": "strict", "paranoia": 2}, {"name": "idle", "mode": "off"})
    assert [handler["policy"] for handler in handlers] == ([name] if name else [])
    if name:
        assert ("SecRuleEngine On" in policies[name]["rules"]) == (mode == "block")
    assert "strict" in policies  # a mistake in it is refused before a host takes it
    assert "idle" not in policies


def test_own_rules_make_a_policy_of_their_own_that_names_its_host() -> None:
    policies, handlers = caddy({"mode": "block", "custom_rules": [RULE]})
    assert re.fullmatch(r"block-1-[0-9a-f]{8}", handlers[0]["policy"])
    assert policies[handlers[0]["policy"]]["for"] == "wiki.home.example"


def test_all_of_a_policy_reaches_caddy() -> None:
    exclusion = {"range": "942100-942199", "parameter": "ARGS:q", "path": "/save", "methods": ["POST"]}
    policy = {"name": "wiki", "body_limit": 4096, "inspections": 2, "response": True, "exclusions": [exclusion]}
    policies, handlers = caddy({"policy": "wiki", "exclusions": [{"tag": "attack-xss"}, {"id": 942100}]}, policy)
    wanted = {"id": 942100, "last": 942199, "parameter": "ARGS:q", "path": "/save", "methods": ["POST"]}
    assert {key: value for key, value in policies["wiki"].items() if key != "rules"} == {
        "body_limit": 4096,
        "inspections": 2,
        "response": True,
        "exclusions": [wanted],
    }
    assert handlers[0]["exclusions"] == [{"tag": "attack-xss"}, {"id": 942100}]


@pytest.mark.parametrize(
    ("waf", "field", "problem"),
    [
        ({"policy": "none"}, "waf.policy", "names 'none', which is not declared"),
        ({"mode": "policy"}, "waf.mode", "is 'policy' without one"),
        ({"mode": "policy", "policy": ""}, "waf.mode", "is 'policy' without one"),
        ({"policy": "strict", "paranoia": 2}, "waf.paranoia", "is given with a policy"),
        ({"policy": "strict", "custom_rules": [RULE]}, "waf.custom_rules", "is given with a policy"),
        ({"mode": "block", "exclusions": [{}]}, "waf.exclusions[0]", "names no rule"),
        ({"exclusions": [{"id": 942100, "tag": "attack-sqli"}]}, "waf.exclusions[0]", "names id and tag"),
        ({"exclusions": [{"id": 942999}]}, "waf.exclusions[0].id", ""),
        ({"exclusions": [{"id": 949110}]}, "waf.exclusions[0].id", "is 949110, which is no rule that finds something"),
        ({"exclusions": [{"id": 100001}]}, "waf.exclusions[0].id", "names 100001, which no rule of this policy has"),
        ({"exclusions": [{"range": "942199-942100"}]}, "waf.exclusions[0].range", "is '942199-942100'"),
        ({"exclusions": [{"range": "900000-900999"}]}, "waf.exclusions[0].range", ""),
        ({"exclusions": [{"tag": "attack-sql"}]}, "waf.exclusions[0].tag", "did you mean 'attack-sqli'"),
        ({"exclusions": [{"tag": "OWASP_CRS"}]}, "waf.exclusions[0].tag", "which no rule carries"),
        ({"exclusions": [{"id": 942100, "parameter": "ARG:q"}]}, "waf.exclusions[0].parameter", "is 'ARG:q'"),
        ({"exclusions": [{"id": 942100, "parameter": "ARGS:"}]}, "waf.exclusions[0].parameter", "is 'ARGS:'"),
        ({"exclusions": [{"id": 942100, "path": "api"}]}, "waf.exclusions[0].path", "is 'api'"),
        ({"exclusions": [{"id": 942100, "path": "/a*b"}]}, "waf.exclusions[0].path", "is '/a*b'"),
        ({"exclusions": [{"id": 942100, "methods": ["post"]}]}, "waf.exclusions[0].methods[0]", "is 'post'"),
        ({"exclusions": [{"id": 942100}] * 101}, "waf.exclusions", "has 101 members"),
    ],
)
def test_what_fits_no_rule_is_refused_by_field(waf: dict[str, Any], field: str, problem: str) -> None:
    assert problem in errors(waf, {"name": "strict"})[field]


def test_a_policy_in_use_stays() -> None:
    before = declared({"policy": "strict"}, {"name": "strict"})
    after = plan(before, decode_document({"waf_policies": [{"name": "strict", "state": "absent"}]})).state
    assert [error.field for error in crosscheck(after, "behind_caddy")] == ["waf.policy"]


@pytest.mark.parametrize("name", ["block-1", "detect-4", "off-1", "block-1-abc", "a+b", "A", "", "a\nb"])
def test_a_policys_name_is_no_other_policys(name: str) -> None:
    assert "name" in errors({}, {"name": name})


def test_exclusions_of_own_rules_are_known() -> None:
    assert errors({"mode": "block", "custom_rules": [RULE], "exclusions": [{"id": 100001, "path": "/x"}]}) == {}
    policy = {"name": "strict", "custom_rules": [RULE]}
    assert errors({"policy": "strict", "exclusions": [{"id": 100001}]}, policy) == {}


ANYTHING = st.text(max_size=40)


@pytest.mark.threat("ING-2")
@given(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from([942100, None]),
            "range": ANYTHING,
            "tag": ANYTHING,
            "parameter": ANYTHING | ANYTHING.map("ARGS:".__add__),
            "path": ANYTHING | ANYTHING.map("/".__add__),
        }
    ),
    st.lists(ANYTHING, max_size=2),
)
def test_no_exclusion_adds_to_the_rules_text(exclusion: dict[str, Any], methods: list[str]) -> None:
    """Newlines, quotes and directives of an operator stay data: the SecLang text is the one without the exclusion."""
    plain, _unused = caddy({"mode": "block"})
    try:
        policies, handlers = caddy({"mode": "block", "exclusions": [{**exclusion, "methods": methods}]})
    except Invalid:
        return
    assert policies == plain
    assert set(handlers[0]["exclusions"][0]) <= {"id", "last", "tag", "parameter", "path", "methods"}


def test_a_stored_policy_reads_back_as_it_was_declared() -> None:
    policy = WafPolicy("strict", exclusions=(Exclusion(id=942100), Exclusion(tag="attack-sqli", path="/a/*")))
    host_waf = Waf("policy", policy="strict", exclusions=(Exclusion(range="942100-942199"),))
    state = declared(spec_of(host_waf), spec_of(policy))
    assert state.waf_policies() == {"strict": policy}
    assert state.hosts()[0].waf == host_waf
    found = effective(host_waf, state.waf_policies())
    assert found == policy


def test_parameters_are_those_that_the_handler_knows(request: pytest.FixtureRequest) -> None:
    source = (request.config.rootpath / "roles/caddy/files/argos-caddy/waf/exclusion.go").read_text()
    assert tuple(re.findall(r'^\t"([A-Z_]+)": +\{variables\.', source, re.MULTILINE)) == PARAMETERS


def test_the_catalogue_knows_rules_and_tags() -> None:
    assert crs_rules.rules()[942100].paranoia == 1
    assert "attack-sqli" in crs_rules.tags()
    assert "OWASP_CRS" not in crs_rules.tags()
