"""Decoding of how requests are inspected."""

from __future__ import annotations

from argos.edge import secrules
from argos.edge.fields import Fields
from argos.edge.model import Waf


def decode_waf(fields: Fields) -> Waf:
    """A host's ``waf``."""
    waf = Waf(
        fields.choice("mode", ("off", "detect", "block"), "off"),
        fields.integer("paranoia", 1, low=1, high=4),
        fields.texts(
            "custom_rules",
            limit=secrules.MAX_RULES,
            each=secrules.MAX_LENGTH,
            expected="one SecRule or SecAction with an id from 100000 to 899999, without files, programs or chains",
            check=secrules.rule_problem,
        ),
    )
    for number in sorted(secrules.duplicate_ids(waf.custom_rules)):
        fields.wrong("custom_rules", f"uses the id {number} twice", "an id of its own for each rule")
    fields.finish()
    return waf
