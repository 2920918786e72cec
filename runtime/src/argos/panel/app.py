"""The panel's app: middleware, routes, errors."""

from __future__ import annotations

from typing import Any

import falcon

from argos.api.routes import add_routes
from argos.application import Application
from argos.panel import errors
from argos.panel.access import Access
from argos.panel.audit import AuditFile, AuditPage
from argos.panel.backups import BackupFile, Backups
from argos.panel.certificates import Certificates
from argos.panel.decisions import Decisions
from argos.panel.denied import Denied
from argos.panel.forward_auth import ForwardAuth
from argos.panel.history import HistoryPage, RevisionPage
from argos.panel.host_page import HostPage, NewHost
from argos.panel.hosts import Hosts, Overview
from argos.panel.mail import MailPage
from argos.panel.oidc import Callback, Link, Start
from argos.panel.oidc import Confirm as ConfirmElsewhere
from argos.panel.password import Password
from argos.panel.people import OnePerson, PeopleList
from argos.panel.profile import Profile, ProfileSecondFactor, ProfileSessions
from argos.panel.provider import Provider
from argos.panel.second_factor import Confirm, SecondFactor
from argos.panel.secrets import Secrets
from argos.panel.security_headers import SecurityHeaders
from argos.panel.sign_in import Continue, SignIn, SignOut
from argos.panel.static_files import StaticFile
from argos.panel.waf import WafEvent, WafEvents
from argos.panel.welcome import Welcome


def panel_app(application: Application) -> falcon.App[Any, Any]:
    """The app behind the panel's socket or port."""
    app: falcon.App[Any, Any] = falcon.App(
        middleware=[SecurityHeaders(), Access(application)], sink_before_static_route=True
    )
    app.req_options.strip_url_path_trailing_slash = False
    app.req_options.auto_parse_qs_csv = False
    errors.add_error_handlers(app)
    app.add_route("/", Overview(application))
    app.add_route("/hosts", Hosts(application))
    app.add_route("/hosts/new", NewHost(application))
    app.add_route("/hosts/{name}", HostPage(application))
    app.add_route("/certificates", Certificates(application))
    app.add_route("/decisions", Decisions(application))
    app.add_route("/history", HistoryPage(application))
    app.add_route("/history/{number}", RevisionPage(application))
    app.add_route("/login", SignIn(application))
    app.add_route("/logout", SignOut(application))
    app.add_route("/continue", Continue())
    app.add_route("/password", Password(application))
    app.add_route("/second-factor", SecondFactor(application))
    app.add_route("/confirm", Confirm(application))
    app.add_route("/profile", Profile(application))
    app.add_route("/profile/second-factor", ProfileSecondFactor(application))
    app.add_route("/profile/sessions", ProfileSessions(application))
    app.add_route("/oidc", Provider(application))
    app.add_route("/oidc/start", Start(application))
    app.add_route("/oidc/callback", Callback(application))
    app.add_route("/oidc/link", Link(application))
    app.add_route("/oidc/confirm", ConfirmElsewhere(application))
    app.add_route("/people", PeopleList(application))
    app.add_route("/people/{username}", OnePerson(application))
    app.add_route("/waf", WafEvents(application))
    app.add_route("/waf/{event}", WafEvent(application))
    app.add_route("/backups", Backups(application))
    app.add_route("/backups/{name}", BackupFile(application))
    app.add_route("/mail", MailPage(application))
    app.add_route("/secrets", Secrets(application))
    app.add_route("/audit", AuditPage(application))
    app.add_route("/audit/export", AuditFile(application))
    app.add_route("/welcome", Welcome(application))
    app.add_route("/denied", Denied(application))
    app.add_route("/static/{name}", StaticFile())
    app.add_route("/api/auth/forward", ForwardAuth(application))
    add_routes(app, "/api/v1", application)
    return app
