"""`argos oidc …`: the provider's state, its break glass, and trying it."""

from __future__ import annotations

import argparse

from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import OK


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    group = add_group(
        commands,
        "oidc",
        "the OpenID Connect provider that people can sign in with",
        "sudo argos oidc test\n  sudo argos oidc disable",
    )
    for name, text, command in (
        ("status", "show the declared provider", status),
        ("enable", "offer the declared provider at sign-in", enable),
        ("disable", "stop offering the provider, even if it is unreachable", disable),
        ("test", "try the connection and report each step", test),
    ):
        one = add_command(group, name, text, f"sudo argos oidc {name}", command)
        add_json(one)


def status(options: argparse.Namespace) -> int:
    """Print what is declared of the provider."""
    from argos.cli.session import print_json, services

    with services() as here:
        settings = here.application.oidc.settings()
    shown = {
        "declared": settings is not None,
        "enabled": bool(settings and settings.enabled),
        "name": settings.name if settings else "",
        "issuer": settings.issuer if settings else "",
        "client_id": settings.client_id if settings else "",
    }
    if options.json:
        print_json(shown)
    elif settings is None:
        print("no provider is declared")
    else:
        print(f"{settings.name} ({settings.issuer or 'no issuer'}) is {'on' if settings.enabled else 'off'}")
    return OK


def enable(options: argparse.Namespace) -> int:
    """Offer the declared provider at sign-in."""
    return _switch(options, enabled=True)


def disable(options: argparse.Namespace) -> int:
    """Break glass: take the provider away from sign-in; it is not asked (OIDC-6)."""
    return _switch(options, enabled=False)


def test(options: argparse.Namespace) -> int:
    """Try the connection, and print each step."""
    from argos.cli.session import services
    from argos.cli.trial import told

    with services() as here:
        edge = here.application.edge()
        panel = here.application.panel_url(edge.panel_host if edge else "localhost")
        steps = here.application.oidc.test(f"{panel}/oidc/callback")
    return told(steps, json=options.json)


def _switch(options: argparse.Namespace, *, enabled: bool) -> int:
    from argos.cli.session import print_json, services
    from argos.oidc.break_glass import switched

    with services() as here:
        outcome = here.application.engine.apply(here.actor, switched(here.application.state(), enabled=enabled))
    if options.json:
        print_json({"changed": outcome.changed, "enabled": enabled})
    else:
        word = "on" if enabled else "off, and everybody who signed in with it is signed out"
        print(f"the provider is {word}" if outcome.changed else f"the provider was already {word.partition(',')[0]}")
    return OK
