"""Telling people outside the panel what happened: notices that wait, and the mail that takes them away.

What happens writes a notice in its own transaction and goes on (:mod:`argos.notify.outbox`);
the serving process mails what waits (:mod:`argos.notify.service`), so a dead mail server
holds up no sign-in and no backup.
"""
