"""Argos: signs people in and decides every request of a homelab's edge."""

from __future__ import annotations

__version__ = "0.1.0"
