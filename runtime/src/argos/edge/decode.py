"""Turn what a caller sent into a :class:`~argos.edge.model.Document`, or say everything that is wrong with it."""

from __future__ import annotations

import re
from collections import Counter

from argos.edge import secrules
from argos.edge.decode_auth import decode_auth
from argos.edge.fields import Fields, kind_of
from argos.edge.header_rules import header_name_problem, header_value_problem
from argos.edge.model import (
    MAX_HOSTS,
    Action,
    Block,
    CrowdsecSettings,
    Document,
    EdgeSettings,
    FixedResponse,
    Headers,
    HeaderValue,
    Host,
    Match,
    RateLimit,
    Redirect,
    Rule,
    SecretName,
    SessionSettings,
    Settings,
    Tls,
    Upstream,
    Waf,
)
from argos.edge.names import host_name_problem, network_problem, published_name_problem, upstream_problem
from argos.edge.oidc_settings import decode_oidc
from argos.errors import FieldError, Invalid

MAX_BODY = 64 * 1024
MAX_RULES = 200
MAX_UPSTREAMS = 64
MAX_NETWORKS = 256

SECRET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,63}")
# No braces: Caddy's ACME issuer replaces placeholders in it, and would send a CA what {file.…} holds.
_EMAIL = re.compile(r"[^@\s\x00-\x1f{}]{1,64}@[A-Za-z0-9.-]{1,253}")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,19}")
_URL_TEXT = re.compile(r"[\x21-\x7e]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")


def decode_document(raw: object) -> Document:
    """Decode one declaration.

    Raises:
        Invalid: with every error found, each naming its resource and field.
    """
    errors: list[FieldError] = []
    top = Fields({} if raw is None else raw, "document", "", errors)
    owner = top.text("owner", "", limit=64, expected="a label such as 'ansible'", check=_owner_problem)
    prune = top.boolean("prune", False)
    if prune and not owner:
        top.wrong("prune", "is true without an owner", "an owner, since prune removes only what that owner manages")
    settings = _settings(top.raw("settings"), errors)
    hosts = tuple(_host(place, member, errors) for place, member in top.items("hosts", limit=MAX_HOSTS))
    top.finish()
    for name, count in Counter(host.name for host in hosts if host.name).items():
        if count > 1:
            errors.append(FieldError(f"host/{name}", "name", f"is declared {count} times", "one declaration"))
    if errors:
        raise Invalid(errors)
    return Document(owner, prune, settings, hosts)


def decode_host(raw: object) -> Host:
    """Decode a single host, as :func:`decode_document` would.

    Raises:
        Invalid: with every error found.
    """
    return decode_document({"hosts": [raw]}).hosts[0]


def _settings(raw: object, errors: list[FieldError]) -> Settings:
    top = Fields(raw, "document", "settings", errors)
    edge = _edge(top.raw("edge"), errors) if top.given("edge") else None
    session = _session(top.raw("session"), errors) if top.given("session") else None
    crowdsec = _crowdsec(top.raw("crowdsec"), errors) if top.given("crowdsec") else None
    oidc = decode_oidc(top.raw("oidc"), errors) if top.given("oidc") else None
    top.finish()
    return Settings(edge, session, crowdsec, oidc)


def _edge(raw: object, errors: list[FieldError]) -> EdgeSettings:
    fields = Fields(raw, "settings/edge", "", errors)
    edge = EdgeSettings(
        panel_host=fields.text(
            "panel_host", limit=253, expected="a name such as argos.home.example", check=host_name_problem
        ),
        parent_domain=fields.text(
            "parent_domain", limit=253, expected="a domain such as home.example", check=host_name_problem
        ),
        tls=_tls(fields.inner("tls")),
        trusted_proxies=_networks(fields, "trusted_proxies"),
        auth_proxies=_networks(fields, "auth_proxies"),
    )
    fields.finish()
    return edge


def _session(raw: object, errors: list[FieldError]) -> SessionSettings:
    fields = Fields(raw, "settings/session", "", errors)
    absolute = fields.integer("absolute_hours", 168, low=1, high=8760)
    idle = fields.integer("idle_hours", 24, low=1, high=8760)
    if idle > absolute:
        fields.wrong("idle_hours", f"is {idle}", f"at most absolute_hours, which is {absolute}")
    fields.finish()
    return SessionSettings(absolute, idle)


def _crowdsec(raw: object, errors: list[FieldError]) -> CrowdsecSettings:
    fields = Fields(raw, "settings/crowdsec", "", errors)
    enabled = fields.boolean("enabled", True)
    url = fields.text(
        "lapi_url", "http://127.0.0.1:8080", limit=512, expected="http://host:port of LAPI", check=_lapi_problem
    )
    fields.finish()
    return CrowdsecSettings(enabled, url.rstrip("/"))


def _host(place: str, raw: object, errors: list[FieldError]) -> Host:
    resource = f"host/{raw['name'][:260]}" if isinstance(raw, dict) and isinstance(raw.get("name"), str) else place
    if not isinstance(raw, dict):
        errors.append(FieldError("document", place, f"is {kind_of(raw)}", "a host object"))
        return Host(name="")
    fields = Fields(raw, resource, "", errors)
    host = Host(
        name=fields.text(
            "name",
            limit=255,
            expected="a host name in lower case, such as photos.home.example",
            check=published_name_problem,
        ),
        state=fields.choice("state", ("present", "absent"), "present"),
        upstreams=tuple(
            _upstream(fields.nested(at, member)) for at, member in fields.items("upstreams", limit=MAX_UPSTREAMS)
        ),
        auth=decode_auth(fields.inner("auth")),
        waf=_waf(fields.inner("waf")),
        rate_limit=_rate_limit(fields.inner("rate_limit")) if fields.given("rate_limit") else None,
        tls=_tls(fields.inner("tls")) if fields.given("tls") else None,
        request_headers=_headers(fields.inner("request_headers"), secrets=True),
        response_headers=_headers(fields.inner("response_headers"), secrets=False),
        rules=_rules(fields),
        access_log=fields.boolean("access_log", True),
    )
    fields.finish()
    if host.state == "present" and not raw.get("upstreams") and not raw.get("rules"):
        fields.wrong("upstreams", "is empty", "at least one upstream, or rules that answer")
    if len({upstream.url.split(":")[0] for upstream in host.upstreams if upstream.url}) > 1:
        fields.wrong("upstreams", "mixes http and https", "one scheme for all upstreams of a host")
    return host


def _upstream(fields: Fields) -> Upstream:
    url = fields.text(
        "url",
        limit=512,
        expected="http://host:port or https://host:port of a server that is not Argos's own",
        check=upstream_problem,
    )
    weight = fields.integer("weight", 1, low=1, high=256)
    fields.finish()
    return Upstream(url.rstrip("/"), weight)


def _waf(fields: Fields) -> Waf:
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


def _rate_limit(fields: Fields) -> RateLimit:
    limit = RateLimit(
        fields.integer("requests", low=1, high=100_000),
        fields.integer("window", low=1, high=3600),
    )
    fields.finish()
    return limit


def _tls(fields: Fields) -> Tls:
    tls = Tls(
        fields.choice("mode", ("internal", "auto", "off"), "internal"),
        fields.text("email", "", limit=320, expected="an e-mail address or nothing", check=_email_problem),
    )
    fields.finish()
    return tls


def _headers(fields: Fields, *, secrets: bool) -> Headers:
    wanted: dict[str, HeaderValue] = {}
    for place, name, value in fields.mapping("set", limit=64):
        problem = header_name_problem(name)
        if problem:
            fields.wrong(place, problem, "another header name")
        if isinstance(value, dict) and secrets:
            wanted[name] = _secret(fields.nested(place, value))
        else:
            wanted[name] = fields.checked_text(
                place, value, limit=4096, expected="text without control characters", check=header_value_problem
            )
    if len({name.lower() for name in wanted}) != len(wanted):
        fields.wrong("set", "names a header twice in different case", "each header once")
    remove = fields.texts("remove", limit=64, each=256, expected="another header name", check=header_name_problem)
    fields.finish()
    return Headers(wanted, remove)


def _secret(fields: Fields) -> SecretName:
    name = fields.text("secret", limit=64, expected="the name of a secret, such as 'api-token'", check=_secret_problem)
    fields.finish()
    return SecretName(name)


def _rules(fields: Fields) -> tuple[Rule, ...]:
    rules = [_rule(fields.nested(place, member)) for place, member in fields.items("rules", limit=MAX_RULES)]
    for priority, count in Counter(rule.priority for rule in rules).items():
        if count > 1:
            fields.wrong("rules", f"has the priority {priority} {count} times", "a priority of its own for each rule")
    return tuple(sorted(rules, key=lambda rule: rule.priority))


def _rule(fields: Fields) -> Rule:
    rule = Rule(
        fields.integer("priority", low=0, high=1_000_000),
        _action(fields.inner("action")),
        _match(fields.inner("match")),
    )
    fields.finish()
    return rule


def _match(fields: Fields) -> Match:
    match = Match(
        path=fields.texts("path", limit=64, expected="a path from '/' or '*' on, without []\\?#", check=_path_problem),
        path_exact=fields.texts(
            "path_exact", limit=64, expected="a path from '/' on, without *[]\\?#", check=_exact_problem
        ),
        method=fields.texts("method", limit=16, expected="a method such as GET", check=_method_problem),
        header=_conditions(fields, "header", names=True),
        query=_conditions(fields, "query", names=False),
        remote_ip=_networks(fields, "remote_ip"),
    )
    fields.finish()
    return match


def _conditions(fields: Fields, name: str, *, names: bool) -> dict[str, tuple[str, ...]]:
    wanted: dict[str, tuple[str, ...]] = {}
    for place, key, values in fields.mapping(name, limit=32):
        if not key or len(key) > 256 or (names and not _HEADER_NAME.fullmatch(key)):
            fields.wrong(place, "is not a name", "a header name" if names else "a parameter's name")
            continue
        members = values if isinstance(values, list) else [values]
        if len(members) > 32:
            fields.wrong(place, f"has {len(members)} values", "at most 32 values")
            continue
        wanted[key] = tuple(
            fields.checked_text(
                place, member, limit=1024, expected="text or a list of texts", check=header_value_problem
            )
            for member in members
        )
    return wanted


def _action(fields: Fields) -> Action:
    kind = fields.choice("type", ("fixed_response", "redirect", "block"), "block")
    if not fields.given("type"):
        fields.wrong("type", "is missing", "one of fixed_response, redirect, block")
    action: Action = Block()
    if kind == "fixed_response":
        action = FixedResponse(
            fields.integer("status", 200, low=200, high=599),
            fields.text("body", "", limit=MAX_BODY),
            fields.text("content_type", "text/plain; charset=utf-8", limit=256, check=header_value_problem),
        )
        if len(action.body.encode()) > MAX_BODY:
            fields.wrong("body", f"has {len(action.body.encode())} bytes", f"at most {MAX_BODY} bytes")
    elif kind == "redirect":
        status = fields.integer("status", 302, low=301, high=308)
        if status not in (301, 302, 307, 308):
            fields.wrong("status", f"is {status}", "one of 301, 302, 307, 308")
        action = Redirect(
            fields.text("location", limit=2048, expected="a path or an http(s) URL", check=_location_problem), status
        )
    fields.finish()
    return action


def _networks(fields: Fields, name: str) -> tuple[str, ...]:
    return fields.texts(
        name, limit=MAX_NETWORKS, each=64, expected="an address or a network such as 10.0.0.0/8", check=network_problem
    )


def _owner_problem(text: str) -> str | None:
    return None if not text or _OWNER.fullmatch(text) else f"is {text!r}"


def _email_problem(text: str) -> str | None:
    return None if not text or _EMAIL.fullmatch(text) else f"is {text!r}"


def _secret_problem(text: str) -> str | None:
    return None if SECRET_NAME.fullmatch(text) and ".." not in text else "is not a secret's name"


def _method_problem(text: str) -> str | None:
    return None if _METHOD.fullmatch(text) else f"is {text!r}"


def _path_problem(text: str) -> str | None:
    # Caddy reads "[", "\\" and "?" as a glob's, and a bad glob matches nothing, in silence: a block rule would be none.
    if not text.startswith(("/", "*")) or header_value_problem(text) or set(text) & set("[]\\?#"):
        return f"is {text[:80]!r}"
    return None


def _exact_problem(text: str) -> str | None:
    return f"is {text[:80]!r}" if "*" in text or not text.startswith("/") else _path_problem(text)


def _location_problem(text: str) -> str | None:
    if not _URL_TEXT.fullmatch(text):
        return "holds a space, a control character or a letter outside ASCII (percent-encode it)"
    if text.startswith(("/", "http://", "https://", "{http.request.")):
        return None
    return f"is {text[:80]!r}"


def _lapi_problem(text: str) -> str | None:
    if not re.fullmatch(r"https?://(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+):\d{1,5}/?", text):
        return f"is {text[:80]!r}"
    return None
