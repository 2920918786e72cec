"""The operator's own certificates on their way to Caddy, which keeps them: a key is never read back.

Each stands in argos-caddy's own directory as a file of mode 0400 under an identifier that
holds the chain's digest, so that the configuration before and the one after can both be loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from argos.edge import chains
from argos.edge.caddy import CaddyAdmin, CaddyRefused
from argos.edge.certificates import identifier
from argos.edge.model import Certificate
from argos.edge.plan import Change, State
from argos.errors import FieldError, NotFound

DAY = 86_400
REFUSED_BELOW = 7 * DAY
WARNED_BELOW = 30 * DAY

log = logging.getLogger(__name__)

Reveal = Callable[[str], str]


def lay_out(caddy: CaddyAdmin, state: State, reveal: Reveal) -> bool:
    """Give Caddy the certificates of ``state`` that it does not have; return whether there was one.

    One whose key cannot be had is left out and said in the log: the others must not wait for it.

    Raises:
        CaddyUnreachable: it cannot be asked.
    """
    declared = {identifier(certificate): certificate for certificate in state.of_kind("certificate")}
    if not declared:
        return False
    missing = declared.keys() - caddy.own_certificates()
    for key in sorted(missing):
        _hand_over(caddy, key, declared[key], reveal)
    return bool(missing)


def _hand_over(caddy: CaddyAdmin, key: str, certificate: Certificate, reveal: Reveal) -> None:
    try:
        caddy.keep_certificate(key, certificate.certificate, reveal(certificate.key.secret if certificate.key else ""))
    except (CaddyRefused, NotFound) as problem:
        why = problem.reason if isinstance(problem, CaddyRefused) else problem.message
        log.error("certificate/%s cannot be handed to Caddy: %s", certificate.name, why)  # noqa: TRY400 - no traceback


def sweep(caddy: CaddyAdmin, state: State) -> None:
    """Let Caddy forget what ``state`` does not name.

    Raises:
        CaddyUnreachable: it cannot be asked.
    """
    declared = {identifier(certificate) for certificate in state.of_kind("certificate")}
    for key in sorted(caddy.own_certificates() - declared):
        caddy.forget_certificate(key)


def errors_of(changes: tuple[Change, ...], state: State, reveal: Reveal, now: int) -> Iterator[FieldError]:
    """What is wrong with certificates and tokens that are being declared, now that time and secrets are known.

    Args:
        changes: what the plan would do: a certificate that stands is not judged again, or its
            last week would stop every other change.
        state: what it leads to.
        reveal: a secret's value by its name.
        now: Unix seconds.
    """
    for change in changes:
        if change.action != "delete" and change.kind == "certificate":
            yield from _certificate_errors(state.resources[change.kind, change.name].value, reveal, now)


def _certificate_errors(certificate: Certificate, reveal: Reveal, now: int) -> Iterator[FieldError]:
    resource = f"certificate/{certificate.name}"
    chain = chains.read(certificate.certificate)
    if chain.not_before > now:
        yield FieldError(resource, "certificate", "is not valid yet", "a certificate that is valid now")
    if chain.not_after - now < REFUSED_BELOW:
        left = chain.not_after - now
        problem = "has expired" if left <= 0 else f"expires in {left // DAY} days"
        yield FieldError(resource, "certificate", problem, "one with at least 7 days of life")
    if certificate.key is None:
        return
    try:
        problem_of_key = chains.key_problem(chain, reveal(certificate.key.secret))
    except NotFound:
        return  # the cross-check says that the secret has no value
    if problem_of_key:
        expected = "the secret with this certificate's private key, in PEM, not encrypted"
        yield FieldError(resource, "key.secret", f"names {certificate.key.secret!r}, which {problem_of_key}", expected)


def warnings_of(changes: tuple[Change, ...], state: State, now: int) -> Iterator[str]:
    """What an operator should know of certificates that are being declared."""
    for change in changes:
        if change.kind == "certificate" and change.action != "delete":
            chain = chains.read(state.resources[change.kind, change.name].value.certificate)
            if chain.not_after - now < WARNED_BELOW:
                yield f"certificate/{change.name} expires in {(chain.not_after - now) // DAY} days"
