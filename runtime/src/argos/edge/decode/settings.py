"""Decoding of the singletons."""

from __future__ import annotations

from argos.edge.decode.crowdsec import decode_crowdsec
from argos.edge.decode.mail import decode_mail
from argos.edge.decode.oidc import decode_oidc
from argos.edge.decode.tls import decode_tls
from argos.edge.decode.values import networks
from argos.edge.fields import Fields
from argos.edge.model import EdgeSettings, SessionSettings, Settings
from argos.edge.names import host_name_problem
from argos.edge.proxy_presets import PROXY_PRESETS
from argos.errors import FieldError


def decode_settings(raw: object, errors: list[FieldError]) -> Settings:
    """The member ``settings`` of a document; what is wrong with it goes to ``errors``."""
    top = Fields(raw, "document", "settings", errors)
    edge = _edge(top.raw("edge"), errors) if top.given("edge") else None
    session = _session(top.raw("session"), errors) if top.given("session") else None
    crowdsec = decode_crowdsec(top.raw("crowdsec"), errors) if top.given("crowdsec") else None
    oidc = decode_oidc(top.raw("oidc"), errors) if top.given("oidc") else None
    mail = decode_mail(top.raw("mail"), errors) if top.given("mail") else None
    top.finish()
    return Settings(edge, session, crowdsec, oidc, mail)


def _edge(raw: object, errors: list[FieldError]) -> EdgeSettings:
    fields = Fields(raw, "settings/edge", "", errors)
    edge = EdgeSettings(
        panel_host=fields.text(
            "panel_host", limit=253, expected="a name such as argos.home.example", check=host_name_problem
        ),
        parent_domain=fields.text(
            "parent_domain", limit=253, expected="a domain such as home.example", check=host_name_problem
        ),
        tls=decode_tls(fields.inner("tls")),
        trusted_proxies=networks(fields, "trusted_proxies", presets=tuple(PROXY_PRESETS)),
        auth_proxies=networks(fields, "auth_proxies"),
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
