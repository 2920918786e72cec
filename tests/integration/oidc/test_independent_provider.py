"""The dance with a provider that somebody else wrote: npm ``oidc-provider``, with its own pages and its own checks."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from dance import declare_provider, new_browser, refresh_target, start
from hostile_provider import SECRET
from panel_runtime import Runtime

HERE = Path(__file__).parent / "provider"


@pytest.fixture(scope="module")
def independent(served: Runtime) -> Iterator[str]:
    """Its issuer."""
    node, npm = shutil.which("node"), shutil.which("npm")
    assert node, "scripts/prepare test installs node"
    assert npm, "scripts/prepare test installs npm"
    if not (HERE / "node_modules" / "oidc-provider").is_dir():
        subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, check=True, timeout=300)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    process = subprocess.Popen(
        [node, "server.mjs", port, SECRET, served.origin],
        cwd=HERE,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


def at_the_provider(url: str, person: str, callback: str) -> str:
    """Fill in the provider's own pages; the callback that it sends the browser to."""
    with httpx.Client(timeout=30) as client:
        for _step in range(12):
            answer = client.get(url)
            if answer.status_code == 200:
                action = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
                prompt = re.search(r'name="prompt" value="([a-z]+)"', answer.text)
                assert action, answer.text
                assert prompt, answer.text
                form = {"prompt": prompt[1], "login": person, "password": "any"}
                answer = client.post(str(answer.url.join(action[1])), data=form)
            assert answer.is_redirect, answer.text
            url = str(answer.url.join(answer.headers["Location"]))
            if url.startswith(callback):
                parts = urlsplit(url)
                return f"{parts.path}?{parts.query}"
    raise AssertionError(f"the provider goes round in circles at {url}")


def test_a_person_signs_in_and_out_with_a_provider_that_somebody_else_wrote(runtime: Runtime, independent: str) -> None:
    declare_provider(runtime, independent)
    browser = new_browser(runtime)
    path = at_the_provider(start(browser, "/?from=there"), "gerda", f"{runtime.origin}/oidc/callback")
    assert "iss=" in path, "it speaks RFC 9207"
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    assert refresh_target(answer.text) == "/?from=there"
    assert "Person gerda" in browser.get("/").text
    url = refresh_target(browser.post("/logout").text)
    assert url.startswith(f"{independent}/session/end?")
    assert httpx.get(url, timeout=30).status_code == 200, "the provider takes the hint and the return address"


def test_the_connection_test_passes_there(runtime: Runtime, independent: str) -> None:
    declare_provider(runtime, independent)
    done = runtime.argos("oidc", "test")
    assert done.returncode == 0, done.stdout
