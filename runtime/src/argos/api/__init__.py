"""The JSON API: mounted at the admin socket as ``/v1`` and in the panel as ``/api/v1``."""
