"""`argos doctor` and `argos status`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argos.cli.command_line import Commands, add_command, add_json
from argos.cli.exits import FAILED, OK

if TYPE_CHECKING:
    from argos.application import Application

_MARKS = {"ok": "ok     ", "warning": "warning", "failed": "FAILED ", "unknown": "unknown"}


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    examination = add_command(
        commands, "doctor", "check this edge: what is wrong, and what to do", "sudo argos doctor", doctor
    )
    add_json(examination)
    state = add_command(
        commands, "status", "show what is running and what is declared", "sudo argos status --json", status
    )
    add_json(state)


def doctor(options: argparse.Namespace) -> int:
    """Print every finding; 1 when something is broken."""
    from argos.cli.session import print_json, read_settings, settle
    from argos.doctor.examine import examine
    from argos.doctor.finding import worst
    from argos.doctor.neighbours import check_gate

    settings = read_settings()
    # The gate's directory is closed to argos, so root looks before it becomes argos.
    gate = check_gate(settings.gate_socket) if os.geteuid() == 0 else None
    settle(settings)
    findings = examine(settings, gate=gate, whole_record=True)
    broken = worst(findings) != "ok"
    if options.json:
        import msgspec

        print_json({"status": worst(findings), "checks": msgspec.to_builtins(findings)})
    else:
        for finding in findings:
            print(f"{_MARKS[finding.state]} {finding.name}: {finding.message}")
            if finding.advice and finding.state != "ok":
                print(f"         {finding.advice}")
    return FAILED if broken else OK


def status(options: argparse.Namespace) -> int:
    """Print what runs and what is declared; 1 while ``argos serve`` does not answer."""
    import msgspec

    from argos.cli.session import print_json, read_settings, services
    from argos.doctor.configuration import check_configuration
    from argos.doctor.neighbours import check_caddy

    # The gate's directory is closed to argos, so root looks before it becomes argos.
    gate = _asked(read_settings().gate_socket, "/healthz") if os.geteuid() == 0 else None
    with services() as here:
        application = here.application
        settings, state, people = application.settings, application.state(), application.accounts.list()
        answer = _asked(settings.admin_socket, "/v1/kept")
        serving = answer is not None
        kept = answer["kept"] if answer else msgspec.to_builtins(application.sweeper.report())
        from argos import __version__

        facts: dict[str, Any] = {
            "version": __version__,
            "mode": settings.mode,
            "serving": serving,
            "panel_host": state.edge.panel_host if state.edge else None,
            "hosts": sum(1 for kind, _unused in state.resources if kind == "host"),
            "users": len(people),
            "set_up": application.accounts.setup_completed(),
            "etag": state.etag(),
            "caddy": check_caddy(settings.caddy_socket, settings.edge_dir / "caddy.json").message,
            "configuration": check_configuration(settings.database).message,
            "mail": msgspec.to_builtins(application.mail.state()),
            "crowdsec": _crowdsec(application, enabled=state.crowdsec.enabled),
        }
    if options.json:
        kept += [*(gate or {}).pop("kept", []), *_kept_by_caddy(settings.caddy_socket)]
        print_json({**facts, "kept": kept, "gate": gate})
    else:
        for group, shown in (("mail", "mail"), ("crowdsec", "CrowdSec")):
            facts |= {f"{shown} {name}": value for name, value in facts.pop(group).items()}
        for name, value in facts.items():
            print(f"{name.replace('_', ' ')}: {_word(value)}")
    return OK if serving else FAILED


def _word(value: object) -> object:
    """A fact as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else value


def _crowdsec(application: Application, *, enabled: bool) -> dict[str, Any]:
    """What the edge enforces, as Caddy counts it."""
    from argos.doctor.crowdsec import edge_view, shown_error

    view = edge_view(application.settings.caddy_socket) or {}
    return {
        "enabled": enabled,
        "decisions": view.get("decisions"),
        "left_out": view.get("left_out"),
        "seconds_since_answer": view.get("seconds_since_answer"),
        "refused": view.get("refused"),
        "error": application.scrubber.scrub(shown_error(view)) or None,
    }


def _kept_by_caddy(socket: Path) -> list[dict[str, Any]]:
    """Whom the rate limits remember and the bans that the edge holds; nothing while Caddy does not tell."""
    asked = (
        ("rate limits", "/argos/rate_limit", "keys", "most_keys"),
        ("bans", "/argos/crowdsec", "decisions", "most"),
    )
    rows = []
    for name, target, count, bound in asked:
        counts = _asked(socket, target)
        if counts is not None and counts.get(bound):  # no bound: the edge enforces no bans
            row = {"name": f"caddy: {name}", "kind": "map", "rows": counts[count], "bound": counts[bound]}
            rows.append({**row, "swept_at": None})
    return rows


def _asked(socket: Path, target: str) -> dict[str, Any] | None:
    """The JSON object that a service of ours answers; None when it does not."""
    import http.client
    import json

    from argos.unix_http import get

    try:
        status, body = get(socket, target)
        answer = json.loads(body)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return answer if status == 200 and isinstance(answer, dict) else None
