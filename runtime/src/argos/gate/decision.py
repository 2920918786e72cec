"""What the gate answers: a pure function of the request, the host's rule and the sessions it named.

Nothing here does I/O or reads a clock. Both ways to ask for a decision, the gate's socket
and the panel's ``/api/auth/forward``, call :func:`decide`; the protocol stands in
``docs/architecture.md`` under "Gate protocol".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

import msgspec

from argos.gate.denied_page import POLICY, denied_page
from argos.gate.public_paths import is_public

LONGEST_RETURN_URL = 8192
"""Characters of a URL that a redirect to sign-in carries; a longer one gets 401."""

_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
_IDENTITY_SAFE = _VISIBLE.replace("%", "")
_VISIBLE_TEXT = re.compile(r"[\x21-\x7e]*").fullmatch
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
).fullmatch
_URI = re.compile(r"/[^\x00-\x20\x7f]*").fullmatch
_ASCII_LOWER = str.maketrans({chr(upper): chr(upper + 32) for upper in range(ord("A"), ord("Z") + 1)})


class RequestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The request a client made, as Caddy reports it. Absent headers are empty.

    ``uri`` is the raw request target; bytes that are not UTF-8 stand in it as surrogate escapes.
    ``cookies`` is the raw Cookie header.
    """

    host_id: str
    method: str = "GET"
    scheme: str = "https"
    host: str = ""
    uri: str = "/"
    accept: str = ""
    sec_fetch_mode: str = ""
    sec_fetch_dest: str = ""
    upgrade: str = ""
    x_requested_with: str = ""
    cookies: bytes = b""


class SessionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A session found by its token, with its person. Times are seconds since the epoch.

    ``groups`` are the person's, and ``role:admin`` or ``role:member``, which can be no group's name.
    ``second_factor`` tells whether one was proved in this session.
    """

    username: str
    name: str
    email: str
    provider: str
    groups: tuple[str, ...]
    assurance: str
    disabled: bool
    expires_at: int
    last_seen_at: int
    email_verified: bool = False
    second_factor: bool = False


class HostRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may enter a protected host: anyone on one of the lists, or, all empty, any signed-in person.

    ``public_paths`` are open to everybody (AUT-2), see :mod:`argos.gate.public_paths`.
    An unknown field is an error, and so a denial: it may have been meant to restrict.
    """

    required: bool = True
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    second_factor: Literal["optional", "required"] = "optional"
    public_paths: tuple[str, ...] = ()


class GateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The row of ``gate_settings``. ``panel_url`` has no trailing slash."""

    panel_url: str
    cookie_name: str
    idle_seconds: int


class Decision(msgspec.Struct, frozen=True):
    """A status, its headers, and one sentence for the person (empty for 200).

    ``page`` is HTML to be sent in the sentence's place. ``whole_host`` is False for a 200 that
    holds for a public path alone: such an answer must not be given to another request.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    reason: str = ""
    page: str = ""
    whole_host: bool = True


_NO_STORE = (("Cache-Control", "no-store"),)
UNKNOWN_HOST = Decision(403, _NO_STORE, "This host is not open to anyone yet.")
STRANGE = Decision(403, _NO_STORE, "This request could not be understood.")
UNDECIDED = Decision(403, _NO_STORE, "Nobody can be let in at the moment. Try again soon.")
AMBIGUOUS = Decision(
    403, _NO_STORE, "More than one sign-in was presented. Clear this site's cookies and sign in again."
)
NOT_ALLOWED = Decision(403, _NO_STORE, "You are signed in, but not allowed here.")
NO_SECOND_FACTOR = Decision(403, _NO_STORE, "This host asks for a sign-in with a second factor.")
ANONYMOUS_MARK = ("Argos-Visitor", "anonymous")
# All four, empty: an upstream must not be told anything by who asked.
ANONYMOUS = Decision(
    200,
    (
        ("X-Auth-User", ""),
        ("X-Auth-Email", ""),
        ("X-Auth-Name", ""),
        ("X-Auth-Provider", ""),
        ANONYMOUS_MARK,
        *_NO_STORE,
    ),
    whole_host=False,
)
UNAUTHENTICATED = Decision(401, _NO_STORE, "Sign in first.")


def decide(
    request: RequestFacts,
    settings: GateSettings,
    rule: HostRule | None,
    sessions: Sequence[SessionFacts],
    now: int,
) -> Decision:
    """Decide one request.

    ``sessions`` are those that the request's tokens named (distinct sessions, valid or not);
    ``rule`` is None for a host the gate does not know; ``now`` is seconds since the epoch.
    200 needs exactly one live session of full assurance whose person the rule admits, or a
    public path: there the visitor's identity is passed on if it is certain, and else is empty.
    """
    if rule is None:
        return UNKNOWN_HOST
    if not rule.required:  # the gate's table holds protected hosts only: a contradiction denies
        return STRANGE
    live = [session for session in sessions if is_live(session, settings.idle_seconds, now)]
    public = is_public(rule.public_paths, request.uri)
    if len(live) == 1:
        return _answer_person(request, settings, rule, live[0], public=public)
    if public:
        return ANONYMOUS
    # APPSEC: with more than one, a sibling planted its own session; asking to sign in would loop.
    return AMBIGUOUS if live else _ask_to_sign_in(request, settings)


def _answer_person(
    request: RequestFacts, settings: GateSettings, rule: HostRule, session: SessionFacts, *, public: bool
) -> Decision:
    refusal = _refusal(rule, session)
    if refusal is None:
        return Decision(200, identity_headers(session) + _NO_STORE)
    if public:
        return Decision(200, identity_headers(session) + _NO_STORE, whole_host=False)
    return _told(refusal, request, settings, session)


def _refusal(rule: HostRule, session: SessionFacts) -> Decision | None:
    if not admits(rule, session):
        return NOT_ALLOWED
    if rule.second_factor == "required" and not session.second_factor:
        return NO_SECOND_FACTOR
    return None


def _told(refusal: Decision, request: RequestFacts, settings: GateSettings, session: SessionFacts) -> Decision:
    """Make a refusal a page where a browser shows it."""
    url = requested_url(request)
    if url is None or not is_navigation(request) or not _VISIBLE_TEXT(settings.panel_url):
        return refusal
    target = "" if len(url) > LONGEST_RETURN_URL else f"?rd={quote(url, safe='', errors='surrogateescape')}"
    profile = f"{settings.panel_url}/profile#second-factor" if refusal is NO_SECOND_FACTOR else ""
    page = denied_page(_encoded(session.username), refusal.reason, f"{settings.panel_url}/denied{target}", profile)
    headers = (("Content-Security-Policy", POLICY), ("X-Content-Type-Options", "nosniff"), *refusal.headers)
    return Decision(refusal.status, headers, refusal.reason, page)


def is_live(session: SessionFacts, idle_seconds: int, now: int) -> bool:
    """Tell whether a session may pass at all: full assurance, enabled person, neither expired nor idle."""
    return (
        session.assurance == "full"
        and not session.disabled
        and now < session.expires_at
        and now < session.last_seen_at + idle_seconds
    )


def admits(rule: HostRule, session: SessionFacts) -> bool:
    """Tell whether the rule's lists let this person in. ASCII case does not matter, anything else does.

    An e-mail counts only when it is verified: whoever can write any address at a provider would else choose.
    """
    if not (rule.users or rule.groups or rule.emails or rule.domains):
        return True
    email = _folded(session.email) if session.email_verified else ""
    mailbox, _unused, domain = email.rpartition("@")
    return (
        _folded(session.username) in map(_folded, rule.users)
        or any(_folded(group) in map(_folded, rule.groups) for group in session.groups)
        or (bool(mailbox) and (email in map(_folded, rule.emails) or domain in map(_folded, rule.domains)))
    )


def identity_headers(session: SessionFacts) -> tuple[tuple[str, str], ...]:
    """Return the four ``X-Auth-*`` headers; what is not visible ASCII, and ``%``, is percent-encoded UTF-8.

    APPSEC: an e-mail that nobody has verified is sent empty. An upstream that knows its people by their
    address would else let in whoever can write another's at the provider.
    """
    return (
        ("X-Auth-User", _encoded(session.username)),
        ("X-Auth-Email", _encoded(session.email) if session.email_verified else ""),
        ("X-Auth-Name", _encoded(session.name)),
        ("X-Auth-Provider", _encoded(session.provider)),
    )


def requested_url(request: RequestFacts) -> str | None:
    """Return the absolute URL the client asked for, or None when its parts cannot be one."""
    if request.scheme not in {"http", "https"} or not _HOST(request.host) or not _URI(request.uri):
        return None
    return f"{request.scheme}://{request.host}{request.uri}"


def is_navigation(request: RequestFacts) -> bool:
    """Tell whether a browser is opening a page, so that a redirect to sign-in makes sense."""
    if request.method not in {"GET", "HEAD"} or request.upgrade or request.x_requested_with:
        return False
    if request.sec_fetch_mode or request.sec_fetch_dest:
        return request.sec_fetch_mode == "navigate"
    return "text/html" in request.accept.lower()  # plain HTTP: browsers send no Sec-Fetch-* there


def _ask_to_sign_in(request: RequestFacts, settings: GateSettings) -> Decision:
    url = requested_url(request)
    if url is None or not _VISIBLE_TEXT(settings.panel_url):
        return STRANGE
    if not is_navigation(request) or len(url) > LONGEST_RETURN_URL:
        return UNAUTHENTICATED
    target = quote(url, safe="", errors="surrogateescape")
    return Decision(302, (("Location", f"{settings.panel_url}/login?rd={target}"), *_NO_STORE), "Sign in first.")


def _encoded(value: str) -> str:
    return quote(value, safe=_IDENTITY_SAFE, errors="replace")


def _folded(value: str) -> str:
    # APPSEC: str.lower() would turn the Kelvin sign into "k": only ASCII is folded.
    return value.translate(_ASCII_LOWER)
