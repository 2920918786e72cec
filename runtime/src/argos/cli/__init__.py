"""The command `argos`."""
