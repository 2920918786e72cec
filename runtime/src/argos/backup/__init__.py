"""Backups: one sealed file of the database and Caddy's storage, verified; and the way back (docs/backup.md)."""
