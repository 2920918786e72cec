"""Argos's figures, measured on loopback with the real parts; run by ``scripts/bench``."""
