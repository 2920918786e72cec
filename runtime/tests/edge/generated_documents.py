"""Whole declarations, drawn at random over every field of every kind, such that each is one that Argos takes.

What a field may not hold, the tests of decoding say. Here a drawn value is honest, so that no field is left at its
default for want of a value that is accepted: ``test_generated_hosts.py`` demands that every field was drawn otherwise.
"""

from __future__ import annotations

from typing import Any

from generated_hosts import NETWORK, NETWORKS, TEXT, host, some
from hypothesis import strategies as st
from own_chain import CHAIN

PANEL = {"panel_host": "argos.home.example", "parent_domain": "home.example"}
LINE = TEXT.map(lambda text: "".join(letter for letter in text if letter.isprintable()))
ADDRESS = st.sampled_from(["me@home.example", "no@home.example", "a.b+c@mail.example"])


def secret(name: str) -> st.SearchStrategy[dict[str, str]]:
    """A value that is a secret's name; those that a whole declaration may name are :data:`SECRETS`."""
    return st.just({"secret": name})


SECRETS = frozenset({"one", "two", "certificate-key", "cloudflare-token", "aws-key", "oidc-client", "smtp-password"})

EXCLUSION = st.builds(
    lambda which, more: {**which, **more},
    st.sampled_from([{"id": 942100}, {"range": "942100-942199"}, {"tag": "attack-sqli"}]),
    some(
        parameter=st.sampled_from(["ARGS", "ARGS:q", "REQUEST_COOKIES:prefs", "XML"]),
        path=st.sampled_from(["/api/*", "/save"]),
        methods=st.lists(st.sampled_from(["GET", "POST"]), max_size=2, unique=True),
    ),
)
EXCLUSIONS = st.lists(EXCLUSION, max_size=3)
CUSTOM_RULES = st.lists(
    st.sampled_from([
        'SecRule ARGS:pet "@streq unicorn" "id:100007,phase:2,deny"',
        'SecRule REQUEST_HEADERS:X-{env.HOME} "@contains {file./etc/hostname}" "id:100008,phase:1,deny"',
        'SecAction "id:100009,phase:1,pass,nolog,setvar:tx.own=1"',
    ]),
    max_size=3,
    unique=True,
)  # fmt: skip
POLICY = some(
    mode=st.sampled_from(["off", "detect", "block"]),
    paranoia=st.integers(1, 4),
    inbound_threshold=st.integers(1, 1000),
    outbound_threshold=st.integers(1, 1000),
    exclusions=EXCLUSIONS,
    custom_rules=CUSTOM_RULES,
    body_limit=st.integers(1024, 1024 * 1024),
    inspections=st.integers(0, 1000),
    response=st.booleans(),
)
DNS_PROVIDER = st.builds(
    lambda own, more: {**own, **more},
    st.one_of(
        st.fixed_dictionaries({"type": st.just("cloudflare"), "api_token": secret("cloudflare-token")}),
        st.fixed_dictionaries(
            {
                "type": st.just("route53"),
                "access_key_id": st.just("AKIAIOSFODNN7EXAMPLE"),
                "secret_access_key": secret("aws-key"),
                "region": st.sampled_from(["eu-central-1", "us-gov-west-1"]),
            },
            optional={"hosted_zone_id": st.just("Z1D633PJN98FT9")},
        ),
    ),
    some(
        resolvers=st.lists(st.sampled_from(["1.1.1.1", "[2606:4700:4700::1111]:53", "ns.example:5353"]), max_size=2),
        propagation_timeout=st.integers(5, 3600),
    ),
)
AUTH = some(
    users=st.lists(st.sampled_from(["alice", "b.c@d"]), max_size=2),
    groups=st.lists(st.sampled_from(["family", "role:admin"]), max_size=2),
    emails=st.lists(ADDRESS, max_size=2),
    domains=st.lists(st.just("home.example"), max_size=1),
    second_factor=st.sampled_from(["optional", "required"]),
    paths=st.lists(
        st.fixed_dictionaries({"path": st.sampled_from(["/health", "/static/*"])} | {"access": st.just("public")}),
        max_size=2,
    ),
).map(lambda found: {"required": True, **found})
SESSION = st.integers(1, 8760).flatmap(
    lambda absolute: st.fixed_dictionaries(
        {"absolute_hours": st.just(absolute), "idle_hours": st.integers(1, min(absolute, 168))}
    )
)
CROWDSEC = some(
    enabled=st.booleans(),
    lapi_url=st.sampled_from(["http://127.0.0.1:8081", "https://lapi.home.example:8080"]),
    whitelist=st.lists(
        st.builds(lambda value, reason: {"value": value, "reason": reason}, NETWORK.filter("0.0.0.0/0".__ne__), LINE),
        max_size=2,
        unique_by=lambda one: one["value"],
    ),
)
OIDC = st.builds(
    lambda whole, more, gates: {**whole, **more, **gates},
    st.just({"issuer": "https://id.home.example", "client_id": "012", "client_secret": {"secret": "oidc-client"}}),
    some(
        enabled=st.booleans(),
        name=st.sampled_from(["Authentik", "2026-11-24", "yes"]),
        scopes=st.just(["openid", "groups"]),
        token_auth=st.sampled_from(["client_secret_basic", "client_secret_post"]),
        require_email_verified=st.booleans(),
        groups_claim=st.sampled_from(["roles", "null"]),
        group_map=st.dictionaries(st.sampled_from(["no", "0x10", "é: #"]), st.just(["everyone"]), max_size=2),
    ),
    st.one_of(
        st.just({}),
        some(
            allowed_emails=st.lists(ADDRESS, min_size=1, max_size=2),
            allowed_domains=st.just(["home.example"]),
            allowed_groups=st.lists(st.sampled_from(["yes", "~"]), min_size=1, max_size=2),
        ),
        st.just({"allow_anyone": True, "auto_provision": True}),
        st.just({"admin_claim": "groups", "admin_values": ["argos-admins", "off"]}),
        st.just({"allowed_groups": ["family"], "auto_provision": True}),
    ),
)
MAIL = st.builds(
    lambda whole, more, secure: {**whole, **more, **secure},
    st.fixed_dictionaries({
        "host": st.sampled_from(["smtp.home.example", "192.0.2.25"]),
        "sender": ADDRESS,
        "recipients": st.lists(ADDRESS, min_size=1, max_size=2),
    }),
    some(
        enabled=st.booleans(),
        port=st.integers(1, 65535),
        timeout=st.integers(1, 60),
        events=st.lists(st.sampled_from(["backup_failed", "login_ban"]), max_size=2),
    ),
    st.one_of(
        st.just({"security": "none", "host": "127.0.0.1"}),
        some(security=st.sampled_from(["starttls", "tls"]), trusted_ca=st.just(CHAIN)),
        st.just({"username": "on", "password": {"secret": "smtp-password"}}),
    ),
)  # fmt: skip


def tls(providers: list[str], certificates: list[str], *, wildcard: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Where a certificate comes from, of what is declared; for a wildcard only as a CA would give it."""
    challenges = [st.just({"challenge": "dns", "dns_provider": name}) for name in providers]
    if not wildcard:
        challenges += [st.sampled_from([{}, {"challenge": "http"}, {"challenge": "tls-alpn"}])]
    authority = st.one_of(
        st.just({}),
        st.just({"ca": "https://acme.example/directory"}),
        st.just({"ca": "https://ca.lan:9000/acme/directory", "ca_root": CHAIN}),
    )
    ways = [st.just({"mode": "internal"})]
    ways += [
        st.builds(lambda one, ca, more: {"mode": "auto", **one, **ca, **more}, challenge, authority, _mailed())
        for challenge in challenges
    ]
    ways += [st.just({"mode": "manual", "certificate": name}) for name in certificates]
    least = some(min_version=st.sampled_from(["1.2", "1.3"]))
    return st.builds(lambda way, more: {**way, **more}, st.one_of(*ways), least)


def _mailed() -> st.SearchStrategy[dict[str, Any]]:
    return some(email=ADDRESS)


@st.composite
def documents(draw: st.DrawFn, *, every_setting: bool = False) -> dict[str, Any]:
    """A whole declaration: a few of each kind, and any of the singletons, or with ``every_setting`` all of them."""
    providers = {f"zone-{n}": draw(DNS_PROVIDER) for n in range(draw(st.integers(0, 2)))}
    certificates = [f"own-{n}" for n in range(draw(st.integers(0, 2)))]
    policies = {f"policy-{n}": draw(POLICY) for n in range(draw(st.integers(0, 2)))}
    proxies = draw(st.lists(st.sampled_from(["cloudflare", "10.0.0.0/8"]), max_size=2, unique=True))
    edge = {**PANEL, "trusted_proxies": proxies, "auth_proxies": draw(NETWORKS)}
    edge["tls"] = draw(tls(list(providers), certificates, wildcard=False))
    singletons = {"session": SESSION, "crowdsec": CROWDSEC, "oidc": OIDC, "mail": MAIL}
    drawn = {name: draw(values) for name, values in singletons.items() if every_setting or draw(st.booleans())}
    names = draw(st.sets(st.sampled_from(["a", "b", "c", "d", "*"]), min_size=1, max_size=5))
    return {
        "owner": draw(st.sampled_from(["", "ansible", "carol@laptop", "null"])),
        "settings": {"edge": edge, **drawn},
        "dns_providers": [{"name": name, **fields} for name, fields in providers.items()],
        "certificates": [
            {"name": name, "certificate": CHAIN, "key": {"secret": "certificate-key"}} for name in certificates
        ],
        "waf_policies": [{"name": name, **fields} for name, fields in policies.items()],
        "hosts": [
            draw(_published(name, edge, list(providers), certificates, list(policies))) for name in sorted(names)
        ],
    }


@st.composite
def _published(
    draw: st.DrawFn, name: str, edge: dict[str, Any], providers: list[str], certificates: list[str], policies: list[str]
) -> dict[str, Any]:
    """A host with what refers to other resources, or depends on them."""
    found = draw(host(f"{name}.home.example"))
    ways = tls(providers, certificates, wildcard=name == "*")
    inherits_http = name == "*" and edge["tls"]["mode"] == "auto" and edge["tls"].get("challenge") != "dns"
    if inherits_http or draw(st.booleans()):
        found["tls"] = draw(ways | st.just({"mode": "off"}))
    if edge["trusted_proxies"] or (found.get("tls") or edge["tls"])["mode"] != "off":
        found |= draw(some(auth=AUTH))
    own = some(
        mode=st.sampled_from(["off", "detect", "block"]),
        paranoia=st.integers(1, 4),
        custom_rules=CUSTOM_RULES,
        exclusions=EXCLUSIONS,
    )
    shared = [
        st.fixed_dictionaries(
            {"policy": st.just(policy)},
            optional={"mode": st.sampled_from(["detect", "block"]), "exclusions": EXCLUSIONS},
        )
        for policy in policies
    ]
    found |= draw(some(waf=st.one_of(own, *shared)))
    return found
