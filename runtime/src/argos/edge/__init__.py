"""The edge: what an operator declares, and how it becomes what Caddy runs."""

from __future__ import annotations
