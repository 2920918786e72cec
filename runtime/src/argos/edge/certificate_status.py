"""Every certificate that the edge serves or should: whose it is, until when, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import msgspec

from argos.edge import chains
from argos.edge.caddy import CaddyAdmin, CaddyUnreachable
from argos.edge.certificates import secured, used_certificates
from argos.edge.model import Tls
from argos.edge.own_certificates import WARNED_BELOW
from argos.edge.plan import State
from argos.errors import Unavailable
from argos.scrub import Scrubber

Source = Literal["internal", "auto", "manual"]
Condition = Literal["valid", "expiring", "failing", "expired", "missing", "unused"]


class CertificateStatus(msgspec.Struct, frozen=True):
    """One name's certificate, or one of the operator's that no host uses.

    Attributes:
        name: the host, or ``certificate/NAME`` of an unused one.
        source: ``internal``, ``auto`` or ``manual``.
        certificate: name of the operator's own, else empty.
        condition: ``failing``: it is valid, and the last renewal went wrong; ``missing``: there is none yet.
        issuer: common name or organisation, empty when there is none.
        not_before: Unix seconds, None when there is none.
        not_after: the same.
        renew_at: when Caddy begins to renew; None for the operator's own.
        error: why the last attempt went wrong, scrubbed; empty after a success.
        failed_at: Unix seconds of that.
    """

    name: str
    source: Source
    certificate: str
    condition: Condition
    issuer: str = ""
    not_before: int | None = None
    not_after: int | None = None
    renew_at: int | None = None
    error: str = ""
    failed_at: int | None = None


def certificate_statuses(
    state: State, caddy: CaddyAdmin, scrubber: Scrubber, now: int, *, with_panel: bool
) -> list[CertificateStatus]:
    """All of them, by name.

    Args:
        state: what is declared.
        caddy: asked what it would show for each name.
        scrubber: takes credentials out of a provider's words.
        now: Unix seconds.
        with_panel: whether Caddy serves the panel.

    Raises:
        Unavailable: Caddy does not answer.
    """
    names = secured(state, with_panel=with_panel)
    try:
        shown = caddy.certificates({name: tls.certificate for name, tls in names})
    except CaddyUnreachable as problem:
        raise Unavailable(problem.message) from None
    found = [_status(name, tls, shown[name], scrubber, now) for name, tls in names]
    return sorted([*found, *_unused(state)], key=lambda status: status.name)


def _status(name: str, tls: Tls, shown: dict[str, Any], scrubber: Scrubber, now: int) -> CertificateStatus:
    source: Source = "internal" if tls.mode == "off" else tls.mode
    not_after, error = _seconds(shown["not_after"]), scrubber.scrub(shown.get("error", ""))
    status = CertificateStatus(
        name, source, tls.certificate, "missing", error=error, failed_at=_seconds(shown.get("failed_at"))
    )
    if not_after is None:
        return status
    return msgspec.structs.replace(
        status,
        condition=_condition(source, not_after, error, now),
        issuer=shown["issuer"],
        not_before=_seconds(shown["not_before"]),
        not_after=not_after,
        renew_at=_seconds(shown["renew_at"]),
    )


def _condition(source: str, not_after: int, error: str, now: int) -> Condition:
    if not_after <= now:
        return "expired"
    if error:
        return "failing"
    # Caddy renews the others by itself, however short their lives.
    return "expiring" if source == "manual" and not_after - now < WARNED_BELOW else "valid"


def _unused(state: State) -> Iterator[CertificateStatus]:
    used = {certificate for certificate, _host in used_certificates(state)}
    for certificate in state.of_kind("certificate"):
        if certificate.name not in used:
            chain = chains.read(certificate.certificate)
            yield CertificateStatus(
                f"certificate/{certificate.name}",
                "manual",
                certificate.name,
                "unused",
                issuer=chain.issuer,
                not_before=chain.not_before,
                not_after=chain.not_after,
            )


def _seconds(text: str | None) -> int | None:
    return None if not text else int(datetime.fromisoformat(text).timestamp())
