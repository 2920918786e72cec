"""The API's routes, mounted by whoever serves them."""

from __future__ import annotations

from typing import Any

import falcon

from argos.api import errors
from argos.api.access import AdminSocketAccess
from argos.api.audit import AuditExport, AuditList, AuditVerdict
from argos.api.backups import BackupList, BackupRequest, OneBackup
from argos.api.certificates import Certificates
from argos.api.config import Apply, Config, Plan
from argos.api.decisions import Decisions, OneDecision
from argos.api.health import Health
from argos.api.hosts import HostList, OneHost
from argos.api.kept import KeptList
from argos.api.keys import Key
from argos.api.mail import MailStanding, MailTest
from argos.api.revisions import OneRevision, RevisionList, RevisionRollback
from argos.api.secrets import OneSecret, SecretList
from argos.api.users import OneUser, UserLink, UserList, UserPassword, UserSecondFactor
from argos.api.waf import WafEvent, WafEvents, WafExclusion
from argos.application import Application


def add_routes(app: falcon.App[Any, Any], prefix: str, application: Application) -> None:
    """Mount all resources below ``prefix`` (``/v1``, ``/api/v1``)."""
    for path, resource in (
        ("/health", Health(application)),
        ("/config", Config(application)),
        ("/config/plan", Plan(application)),
        ("/config/apply", Apply(application)),
        ("/audit", AuditList(application)),
        ("/audit/export", AuditExport(application)),
        ("/audit/verify", AuditVerdict(application)),
        ("/kept", KeptList(application)),
        ("/key", Key(application)),
        ("/revisions", RevisionList(application)),
        ("/revisions/{number}", OneRevision(application)),
        ("/revisions/{number}/rollback", RevisionRollback(application)),
        ("/certificates", Certificates(application)),
        ("/hosts", HostList(application)),
        ("/hosts/{name}", OneHost(application)),
        ("/waf/events", WafEvents(application)),
        ("/waf/events/{event}", WafEvent(application)),
        ("/waf/events/{event}/exclusion", WafExclusion(application)),
        ("/secrets", SecretList(application)),
        ("/secrets/{name}", OneSecret(application)),
        ("/backups", BackupList(application)),
        ("/backups/requests/{request}", BackupRequest(application)),
        ("/backups/{name}", OneBackup(application)),
        ("/decisions", Decisions(application)),
        ("/decisions/{number}", OneDecision(application)),
        ("/mail", MailStanding(application)),
        ("/mail/test", MailTest(application)),
        ("/users", UserList(application)),
        ("/users/{username}", OneUser(application)),
        ("/users/{username}/password", UserPassword(application)),
        ("/users/{username}/link", UserLink(application)),
        ("/users/{username}/second-factor", UserSecondFactor(application)),
    ):
        app.add_route(prefix + path, resource)


def admin_app(application: Application) -> falcon.App[Any, Any]:
    """The app behind the admin socket."""
    app: falcon.App[Any, Any] = falcon.App(middleware=[AdminSocketAccess()])
    errors.add_error_handlers(app)
    add_routes(app, "/v1", application)
    return app
