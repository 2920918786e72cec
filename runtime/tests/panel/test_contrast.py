"""Colours as WCAG 2.2 wants them (1.4.3, 1.4.11), computed from the sheet's own names for both themes."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

SHEET = (files("argos.panel") / "static" / "panel.css").read_text(encoding="utf-8")
TEXT, PARTS = 4.5, 3.0  # the least ratio of text (AA), and of what shows a control's edge or the focus
# Text on the grounds that it can stand on; every rule that sets both is found in the sheet itself.
ON = [(ink, ground) for ink in ("ink", "quiet", "accent", "bad") for ground in ("ground", "sheet")]
EDGES = [(edge, ground) for edge in ("edge", "focus", "accent", "bad") for ground in ("ground", "sheet")]


def themes() -> dict[str, dict[str, str]]:
    """The values of the custom properties, in light and in dark."""
    light, dark = re.findall(r":root \{(.*?)\}", SHEET.partition("@media print")[0], re.DOTALL)
    both = [dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6});", block)) for block in (light, dark)]
    assert set(both[0]) == set(both[1]), "a colour is named in one theme only"
    return {"light": both[0], "dark": both[1]}


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def pairs_of_rules() -> set[tuple[str, str]]:
    """Ink and ground of every rule that names both."""
    found = set()
    for rule in re.findall(r"\{([^{}]*)\}", SHEET):
        ink = re.search(r"(?<![\w-])color:\s*var\(--([\w-]+)\)", rule)
        ground = re.search(r"background(?:-color)?:\s*var\(--([\w-]+)\)", rule)
        if ink and ground:
            found.add((ink[1], ground[1]))
    return found


def test_the_ratio_is_wcags() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read(theme: str) -> None:
    colours = themes()[theme]
    pairs = {*ON, *pairs_of_rules()}
    assert {("good", "good-ground"), ("warn", "warn-ground"), ("bad", "bad-ground"), ("accent-ink", "accent")} <= pairs
    weak = {pair: round(ratio, 2) for pair in pairs if (ratio := contrast(*(colours[name] for name in pair))) < TEXT}
    assert not weak


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_edges_of_fields_and_the_focus_can_be_seen(theme: str) -> None:
    colours = themes()[theme]
    weak = {pair: round(ratio, 2) for pair in EDGES if (ratio := contrast(*(colours[name] for name in pair))) < PARTS}
    assert not weak


def test_every_colour_is_named_once() -> None:
    """A colour beside the names would be one for both themes, and nobody would compute it."""
    named = re.sub(r":root \{.*?\}", "", SHEET, flags=re.DOTALL)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", re.sub(r"/\*.*?\*/", "", named, flags=re.DOTALL))
