"""The OWASP Core Rule Set's own regression suite, through the edge at level 4."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from edge_rig import Edge, free_port

ROOT = Path(__file__).parents[3]
HOST = "crs.home.example"
NEEDED_PERCENT = 99.5
ONLY = os.environ.get("ARGOS_CRS_ONLY", "")
"""Run only the tests whose id begins so: a proof that the harness works, and no verdict on the whole."""

# go-ftw finds a test's lines between two requests that carry its marker.
MARKER = (
    'SecRule REQUEST_HEADERS:X-CRS-Test "@rx ^.*$" "id:100000,phase:1,pass,log,t:none,'
    "msg:'X-CRS-Test %{MATCHED_VAR}',ctl:ruleRemoveById=1-999999\""
)

# What the suite's makers set for it: every optional limit on, and the rule set's own lists where the edge allows more.
LIMITS = (
    'SecAction "id:100001,phase:1,pass,nolog,t:none,setvar:tx.crs_validate_utf8_encoding=1,'
    "setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,"
    'setvar:tx.combined_file_sizes=65535"'
)
LISTS = (
    "SecAction \"id:100002,phase:1,pass,nolog,t:none,setvar:'tx.allowed_methods=GET HEAD POST OPTIONS',"
    "setvar:'tx.allowed_request_content_type=|application/x-www-form-urlencoded| |multipart/form-data| |text/xml| "
    "|application/xml| |application/soap+xml| |application/json|',"
    "setvar:'tx.restricted_headers_basic=/content-encoding/ /proxy/ /lock-token/ /content-range/ /if/ "
    "/x-http-method-override/ /x-http-method/ /x-method-override/ /x-middleware-subrequest/ /expect/'\""
)


def go(*arguments: str) -> None:
    """Run the Go that builds Caddy on the suite's runner."""
    sys.path.insert(0, str(ROOT / "roles/caddy/files"))
    import build as caddy_build

    found = caddy_build.go_on_path()
    command = found[0] if found else caddy_build.install_go(Path.home() / ".cache/argos/caddy")
    subprocess.run([command, *arguments], cwd=ROOT / "tests/crs", check=True)


def suite(place: Path) -> list[str]:
    """The command that runs the suite."""
    binary = place / "crs-suite"  # beside no other checkout's: they run at the same time
    go("build", "-trimpath", "-o", str(binary), ".")
    return [str(binary)]


@pytest.mark.timeout(900)  # Go may have to compile it first
def test_the_runner_tells_what_failed_from_what_it_could_not_ask() -> None:
    go("test", ".")


def answer_to_any_name(edge: Edge, kept: int) -> None:
    """The suite's tests name many hosts, or none. On ``kept`` also the two headers pass that Caddy drops unasked."""
    config = edge.admin.config()
    servers = config["apps"]["http"]["servers"]
    (by_name,) = [
        handler
        for route in servers["plain"]["routes"]
        for handler in route["handle"]
        if handler["handler"] == "host_map" and HOST in handler["hosts"]
    ]
    routes = by_name["hosts"][HOST]
    by_name.clear()
    by_name.update({"handler": "subroute", "routes": routes})
    names = {"expected_underscore_headers": ["X_Filename"], "expected_dot_headers": ["X.Filename"]}
    servers["kept"] = {**servers["plain"], "listen": [f":{kept}"], **names}
    edge.admin.load(json.dumps(config))


@pytest.mark.timeout(1500)  # a few minutes of thousands of tests, and of a build, on a machine that may be busy
@pytest.mark.threat("ING-2")
def test_the_rule_sets_own_suite_passes_through_the_edge(edge: Edge, tmp_path: Path) -> None:
    upstream = free_port()
    host = {
        "name": HOST,
        "upstreams": [{"url": f"http://127.0.0.1:{upstream}"}],
        "tls": {"mode": "off"},
        "waf": {"mode": "detect", "paranoia": 4, "custom_rules": [MARKER, LIMITS, LISTS]},
    }
    edge.apply([host])
    kept = free_port()
    answer_to_any_name(edge, kept)
    places = {
        "port": str(edge.http_port),
        "kept": str(kept),
        "upstream": f"127.0.0.1:{upstream}",
        "events": edge.context.waf_log,
        "scratch": str(tmp_path),
        "only": ONLY,
    }
    done = subprocess.run(
        [*suite(tmp_path), *(f"-{name}={value}" for name, value in places.items())],
        check=True,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    result = json.loads(done.stdout)
    explained = set(re.findall(r"^\| (\d{6}-\d+) \|", (ROOT / "docs/crs-deviations.md").read_text(), re.MULTILINE))
    percent = 100 * (1 - len(result["failed"]) / result["ran"])
    print(f"crs.pass_percent {percent:.2f} of {result['ran']}")
    print(f"crs.asked_again {len(result['asked_again'])}", *reasons(result["asked_again"]), sep="\n")
    assert result["ran"] > (10 if ONLY else 4000)
    assert percent >= NEEDED_PERCENT, "\n".join(reasons(result["failed"]))
    unexplained = {test: why for test, why in result["failed"].items() if test not in explained}
    assert not unexplained, "\n".join(["docs/crs-deviations.md lacks these:", *reasons(unexplained)])


def reasons(of: dict[str, Any]) -> list[str]:
    return [f"{test}: {why}" for test, why in sorted(of.items())]
