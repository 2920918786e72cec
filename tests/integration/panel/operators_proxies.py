"""Proxies that an operator may have, each run with the example of docs/forward-auth.md and other addresses only."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ports import free_port
from waiting import until_listening

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests" / "peers"))
import debian_nginx  # noqa: E402

TRAEFIK = os.environ.get("ARGOS_TRAEFIK_BINARY", "")
"""Debian has no package of it, and it takes long to build: who has one, or built tests/peers/traefik, names it here."""
KINDS = ("caddy", "nginx", *(["traefik"] if TRAEFIK else []))


def example(language: str, **addresses: str) -> str:
    """Return the page's example in ``language``, its addresses replaced."""
    page = (ROOT / "docs" / "forward-auth.md").read_text(encoding="utf-8")
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", page.partition("\n## ")[2], re.MULTILINE | re.DOTALL)
    for old, new in (("argos.home.example:9080", addresses["argos"]), ("10.0.0.5:2342", addresses["upstream"])):
        assert old in text
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def running(kind: str, place: Path, argos: str, upstream: str) -> Iterator[int]:
    """Run ``caddy``, ``nginx`` or ``traefik`` over the example, and give its port."""
    port = free_port()
    command = {"caddy": _caddy, "nginx": _nginx, "traefik": _traefik}[kind](place, port, argos, upstream)
    environment = {"PATH": os.environ["PATH"], "HOME": str(place)}
    with (place / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=place)
    try:
        until_listening(port, process, lambda: (place / "proxy.log").read_text()[-2000:])
        yield port
    finally:
        process.terminate()
        process.wait(60)


def _caddy(place: Path, port: int, argos: str, upstream: str) -> list[str]:
    text = example("caddyfile", argos=argos, upstream=upstream)
    text = text.replace("photos.home.example {", f"http://photos.home.example:{port} {{")
    (place / "Caddyfile").write_text(f"{{\n\tadmin off\n\tpersist_config off\n}}\n{text}")
    build = [sys.executable, str(ROOT / "roles/caddy/files/build.py")]
    binary = os.environ.get("ARGOS_CADDY_BINARY") or subprocess.check_output(build, text=True).strip()
    return [binary, "run", "--config", str(place / "Caddyfile"), "--adapter", "caddyfile"]


def _nginx(place: Path, port: int, argos: str, upstream: str) -> list[str]:
    text = example("nginx", argos=argos, upstream=upstream).replace("listen 80;", f"listen 127.0.0.1:{port};")
    scratch = "".join(f"{kind}_temp_path {place};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    owner = "user root;\n" if os.geteuid() == 0 else ""
    (place / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log stderr;\n{owner}"
        f"events {{}}\nhttp {{\naccess_log off;\n{scratch}{text}}}\n"
    )
    binary = debian_nginx.nginx().binary
    return [str(binary), "-p", str(place), "-c", str(place / "nginx.conf"), "-e", "stderr"]


def _traefik(place: Path, port: int, argos: str, upstream: str) -> list[str]:
    (place / "dynamic.yml").write_text(example("yaml", argos=argos, upstream=upstream))
    options = [f"--entryPoints.web.address=127.0.0.1:{port}", f"--providers.file.filename={place / 'dynamic.yml'}"]
    return [TRAEFIK, *options, "--global.checkNewVersion=false"]
