"""The HTML panel, and the door to the JSON API for an admin's session."""
