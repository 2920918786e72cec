"""A host as a form: what of its declaration the panel's fields show, and the declaration that a filled one means.

Pure. What no field shows stays as it is declared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from argos.edge.model import EdgeSettings, Host, spec_of

OWNER = "panel"
"""The label of what is first declared here; a playbook's stays its own."""

PLACES = {
    "name": ("name", "Name"),
    "upstreams": ("upstreams", "Upstreams"),
    "proxy.verify_tls": ("insecure", "Any certificate"),
    "auth": ("access", "Who may enter"),
    "auth.groups": ("groups", "Groups"),
    "auth.users": ("users", "People"),
    "auth.second_factor": ("second_factor", "Second factor"),
    "waf": ("waf_mode", "WAF"),
    "waf.policy": ("waf_policy", "Rules"),
    "waf.paranoia": ("paranoia", "Level"),
    "rate_limit": ("requests", "Requests"),
    "rate_limit.window": ("window", "Seconds"),
    "lan_only": ("lan_only", "Private networks only"),
    "maintenance": ("maintenance_text", "Text"),
    "panel_host": ("panel_host", "This panel's name"),
    "parent_domain": ("parent_domain", "Your domain"),
}
"""Where on the page each field of the model is, and what it is called there."""

FIELDS = (*dict.fromkeys(place for place, _label in PLACES.values()), "maintenance")
_SHOWN = {
    "auth": {"required", "groups", "users", "second_factor"},
    "waf": {"mode", "policy", "paranoia", "exclusions"},
    "maintenance": {"enabled", "text"},
    "proxy": {"verify_tls"},
}
"""Parts of the model of which the page shows some members."""

_SEPARATORS = re.compile(r"[\s,]+")
_DEFAULT_WINDOW = 60  # seconds


def blank(panel_name: str) -> dict[str, str]:
    """A new host's form: signed-in people only, and the WAF watching. ``panel_name`` is how the panel was reached."""
    form = dict.fromkeys(FIELDS, "")
    parent = panel_name.partition(".")[2]
    named = "." in parent and not panel_name.replace(".", "").isdigit()
    started = {"panel_host": panel_name, "parent_domain": parent} if named else {}
    return {**form, "access": "people", "waf_mode": "detect", "paranoia": "1", **started}


def form_of(host: Host) -> dict[str, str]:
    """What the fields hold for a declared host."""
    limit = host.rate_limit
    return {
        **dict.fromkeys(FIELDS, ""),
        "name": host.name,
        "upstreams": "\n".join(upstream.url for upstream in host.upstreams),
        "insecure": "" if host.proxy.verify_tls else "1",
        "access": "people" if host.auth.required else "public",
        "groups": ", ".join(host.auth.groups),
        "users": ", ".join(host.auth.users),
        "second_factor": "1" if host.auth.second_factor == "required" else "",
        "waf_mode": host.waf.mode,
        "waf_policy": host.waf.policy,
        "paranoia": str(host.waf.paranoia),
        "requests": "" if limit is None else str(limit.requests),
        "window": "" if limit is None else str(limit.window),
        "lan_only": "1" if host.lan_only else "",
        "maintenance": "1" if host.maintenance.enabled else "",
        "maintenance_text": host.maintenance.text,
    }


def posted(form: Mapping[str, str]) -> dict[str, str]:
    """What was typed, field by field: a box without its tick sends nothing."""
    return {name: form.get(name, "").replace("\r\n", "\n") for name in FIELDS}


def document_of(form: Mapping[str, str], stored: Host | None, owner: str, edge: EdgeSettings | None) -> dict[str, Any]:
    """The declaration that ``form`` means, not yet decoded.

    Args:
        form: as :func:`posted` gives it.
        stored: the host as it is declared; None makes a new one.
        owner: who manages it.
        edge: without one the form's own two fields declare it.
    """
    document: dict[str, Any] = {"owner": owner, "hosts": [_spec(form, stored)]}
    if edge is None:
        names = {name: form[name].strip().lower() for name in ("panel_host", "parent_domain")}
        document["settings"] = {"edge": names}
    return document


def removal(host: Host, owner: str) -> dict[str, Any]:
    """The declaration that takes ``host`` away."""
    return {"owner": owner, "hosts": [{"name": host.name, "state": "absent"}]}


def without_exclusion(host: Host, owner: str, number: int) -> dict[str, Any] | None:
    """The declaration without the host's exclusion at ``number``, counted from 0; None when there is none such."""
    spec = spec_of(host)
    exclusions = spec["waf"]["exclusions"]
    if not 0 <= number < len(exclusions):
        return None
    del exclusions[number]
    return {"owner": owner, "hosts": [spec]}


def beyond(host: Host) -> dict[str, Any]:
    """What is declared of ``host`` that no field shows, without what has its default."""
    spec = spec_of(host)
    for name in ("name", "rate_limit", "lan_only"):
        del spec[name]
    for part, shown in _SHOWN.items():
        spec[part] = {name: value for name, value in spec[part].items() if name not in shown}
    if not any(upstream.weight != 1 or upstream.max_requests for upstream in host.upstreams):
        del spec["upstreams"]
    found: dict[str, Any] = _different(spec, spec_of(Host(name=host.name)))
    return found


def _different(spec: Any, usual: Any) -> Any:
    if not isinstance(spec, dict) or not isinstance(usual, dict):
        return spec
    return {
        name: _different(value, usual.get(name)) for name, value in spec.items() if _differs(value, usual.get(name))
    }


def _differs(value: Any, usual: Any) -> bool:
    if isinstance(value, dict) and isinstance(usual, dict):
        return any(_differs(one, usual.get(name)) for name, one in value.items())
    return bool(value != usual)


def _spec(form: Mapping[str, str], stored: Host | None) -> dict[str, Any]:
    name = form["name"].strip().lower() if stored is None else stored.name
    spec = spec_of(stored or Host(name=name))
    spec["name"] = name
    spec["upstreams"] = _upstreams(form["upstreams"], spec["upstreams"])
    spec["proxy"]["verify_tls"] = not form["insecure"]
    spec["auth"] = _auth(form, spec["auth"])
    spec["waf"] = _waf(form, spec["waf"])
    spec["rate_limit"] = _rate_limit(form, spec["rate_limit"])
    spec["lan_only"] = bool(form["lan_only"])
    if not spec["lan_only"]:
        spec["lan_networks"] = []
    spec["maintenance"]["enabled"] = bool(form["maintenance"])
    if form["maintenance_text"].strip():
        spec["maintenance"]["text"] = form["maintenance_text"].strip()
    return spec


def _upstreams(text: str, stored: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One a line; a known one keeps its weight. A bare ``10.0.0.5:8080`` is plain HTTP."""
    known = {one["url"]: one for one in stored}
    urls = [line if "://" in line else f"http://{line}" for line in map(str.strip, text.split("\n")) if line]
    return [known.get(url.rstrip("/"), {"url": url}) for url in urls]


def _auth(form: Mapping[str, str], stored: dict[str, Any]) -> dict[str, Any]:
    if form["access"] != "people":
        return {"required": False}
    return {
        **stored,
        "required": True,
        "groups": _names(form["groups"]),
        "users": _names(form["users"]),
        "second_factor": "required" if form["second_factor"] else "optional",
    }


def _waf(form: Mapping[str, str], stored: dict[str, Any]) -> dict[str, Any]:
    policy = form["waf_policy"]
    level = 1 if policy else _number(form["paranoia"] or "1")
    return {**stored, "mode": form["waf_mode"] or "off", "policy": policy or None, "paranoia": level}


def _rate_limit(form: Mapping[str, str], stored: dict[str, Any] | None) -> dict[str, Any] | None:
    requests, window = form["requests"].strip(), form["window"].strip()
    if not requests and not window:
        return None
    kept = {} if stored is None else stored
    given = {"requests": _number(requests)} if requests else {"requests": None}
    return {**kept, **given, "window": _number(window) if window else _DEFAULT_WINDOW}


def _number(text: str) -> int | str:
    """A whole number; else the text as it came, which the decoder refuses with its reason."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else text


def _names(text: str) -> list[str]:
    return [name for name in _SEPARATORS.split(text) if name]
