"""The process `argos serve`: listeners, background threads, start and stop."""
