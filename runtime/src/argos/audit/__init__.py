"""The record of every mutation: written and verified here, searched, exported and thinned out by its neighbours."""

from argos.audit.record import HEAD, Actor, Audit, Verdict

__all__ = ["HEAD", "Actor", "Audit", "Verdict"]
