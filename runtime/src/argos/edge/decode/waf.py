"""Decoding of how requests are inspected."""

from __future__ import annotations

import difflib
import re

from argos.edge import crs_rules, secrules
from argos.edge.decode.rules import exact_path_problem
from argos.edge.fields import Fields
from argos.edge.model import Exclusion, Waf, WafPolicy
from argos.edge.model.waf import BODY_LIMIT

MAX_EXCLUSIONS = 100
MAX_BODY_LIMIT = 1024 * 1024

PARAMETERS = (
    "ARGS", "ARGS_GET", "ARGS_POST", "ARGS_NAMES", "ARGS_GET_NAMES", "ARGS_POST_NAMES",
    "REQUEST_COOKIES", "REQUEST_COOKIES_NAMES", "REQUEST_HEADERS", "REQUEST_HEADERS_NAMES",
    "FILES", "FILES_NAMES", "MULTIPART_PART_HEADERS", "REQUEST_URI", "REQUEST_URI_RAW", "REQUEST_FILENAME",
    "REQUEST_BASENAME", "REQUEST_LINE", "REQUEST_BODY", "QUERY_STRING", "XML", "RESPONSE_BODY",
)  # fmt: skip
"""The collections that the handler's exclusions know (exclusion.go)."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_OWN = re.compile(r"(?:off|detect|block)-[1-4](?:-.*)?")
_RANGE = re.compile(r"(\d{6})-(\d{6})")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,19}")
_CUSTOM_RULE = "one SecRule or SecAction with an id from 100000 to 899999, without files, programs or chains"


def decode_waf(fields: Fields) -> Waf:
    """A host's ``waf``."""
    named = bool(fields.raw("policy"))  # an empty name is none: "policy" would else mean no inspection at all
    waf = Waf(
        fields.choice("mode", ("off", "detect", "block", "policy"), "policy" if fields.raw("policy") else "off"),
        fields.integer("paranoia", 1, low=1, high=4),
        _custom_rules(fields),
        fields.text("policy", "", limit=64, expected="the name of a WAF policy", check=_reference_problem),
        decode_exclusions(fields),
    )
    if waf.mode == "policy" and not named:
        fields.wrong("mode", "is 'policy' without one", "the policy's name in policy, or one of off, detect, block")
    if waf.policy and (waf.paranoia != 1 or waf.custom_rules):
        own = "paranoia" if waf.paranoia != 1 else "custom_rules"
        fields.wrong(own, "is given with a policy", "the policy's own paranoia and custom_rules, or no policy")
    fields.finish()
    return waf


def decode_waf_policy(fields: Fields) -> WafPolicy:
    """A named policy; what is wrong with it goes to ``fields.errors``."""
    return WafPolicy(
        name=fields.text("name", limit=64, expected="a name in lower case, such as 'strict'", check=_name_problem),
        state=fields.choice("state", ("present", "absent"), "present"),
        mode=fields.choice("mode", ("off", "detect", "block"), "block"),
        paranoia=fields.integer("paranoia", 1, low=1, high=4),
        inbound_threshold=fields.integer("inbound_threshold", 5, low=1, high=1000),
        outbound_threshold=fields.integer("outbound_threshold", 4, low=1, high=1000),
        exclusions=decode_exclusions(fields),
        custom_rules=_custom_rules(fields),
        body_limit=fields.integer("body_limit", BODY_LIMIT, low=1024, high=MAX_BODY_LIMIT),
        inspections=fields.integer("inspections", 0, low=0, high=1000),
        response=fields.boolean("response", False),
    )


def _custom_rules(fields: Fields) -> tuple[str, ...]:
    rules = fields.texts(
        "custom_rules",
        limit=secrules.MAX_RULES,
        each=secrules.MAX_LENGTH,
        expected=_CUSTOM_RULE,
        check=secrules.rule_problem,
    )
    for number in sorted(secrules.duplicate_ids(rules)):
        fields.wrong("custom_rules", f"uses the id {number} twice", "an id of its own for each rule")
    return rules


def decode_exclusions(fields: Fields) -> tuple[Exclusion, ...]:
    """The member ``exclusions`` of a host's ``waf`` or of a policy."""
    return tuple(
        _exclusion(fields.nested(place, member)) for place, member in fields.items("exclusions", limit=MAX_EXCLUSIONS)
    )


def _exclusion(fields: Fields) -> Exclusion:
    exclusion = Exclusion(
        fields.integer("id", low=1, high=999_999) if fields.given("id") else None,
        fields.text("range", "", limit=13, expected="two ids, such as '942100-942199'", check=_range_problem),
        fields.text("tag", "", limit=128, expected="a tag of the rule set, such as 'attack-sqli'", check=_tag_problem),
        fields.text(
            "parameter",
            "",
            limit=300,
            expected="a collection and a name, such as ARGS:q or REQUEST_COOKIES:prefs",
            check=_parameter_problem,
        ),
        fields.text("path", "", limit=1024, expected="a path such as /api/save, or /api/* for all below", check=_path),
        fields.texts("methods", limit=16, each=20, expected="a method such as POST", check=_method_problem),
    )
    named = [name for name in ("id", "range", "tag") if getattr(exclusion, name)]
    if len(named) != 1 and not any(fields.given(name) for name in ("range", "tag") if not getattr(exclusion, name)):
        fields.wrong("", "names " + (" and ".join(named) or "no rule"), "one of id, range and tag")
    if exclusion.id is not None and exclusion.id not in crs_rules.rules() and not secrules.is_custom(exclusion.id):
        fields.wrong("id", f"is {exclusion.id}, which is no rule that finds something", _near(exclusion.id))
    fields.finish()
    return exclusion


def _near(number: int) -> str:
    close = difflib.get_close_matches(str(number), map(str, crs_rules.rules()), n=1)
    return f"a rule's id, such as {close[0] if close else 942100}"


def _range_problem(text: str) -> str | None:
    if not text:
        return None
    found = _RANGE.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        return f"is {text!r}"
    low, high = int(found[1]), int(found[2])
    if any(low <= number <= high for number in crs_rules.rules()) or (
        low <= secrules.ID_HIGH and high >= secrules.ID_LOW
    ):
        return None
    return f"is {text!r}, and no rule has an id in it"


def _tag_problem(text: str) -> str | None:
    if not text or text in crs_rules.tags():
        return None
    close = difflib.get_close_matches(text, crs_rules.tags(), n=1)
    return f"is {text!r}, which no rule carries" + (f"; did you mean {close[0]!r}?" if close else "")


def _parameter_problem(text: str) -> str | None:
    collection, separator, key = text.partition(":")
    if not text or (collection in PARAMETERS and key.isprintable() and (key or not separator)):
        return None
    return f"is {text[:80]!r}"


def _path(text: str) -> str | None:
    return None if not text else exact_path_problem(text.removesuffix("*") if text.endswith("/*") else text)


def _method_problem(text: str) -> str | None:
    return None if _METHOD.fullmatch(text) else f"is {text!r}"


def _reference_problem(text: str) -> str | None:
    return None if not text or _NAME.fullmatch(text) else f"is {text!r}"


def _name_problem(text: str) -> str | None:
    if not _NAME.fullmatch(text):
        return f"is {text!r}"
    return f"is {text!r}, which the event log has for hosts' own settings" if _OWN.fullmatch(text) else None
