"""Signed-in people: tokens, lifetimes, revocation."""

from argos.sessions.model import Assurance, IssuedSession, Session
from argos.sessions.store import Sessions

__all__ = ["Assurance", "IssuedSession", "Session", "Sessions"]
