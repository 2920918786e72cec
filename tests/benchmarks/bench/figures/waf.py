"""What inspection costs: against no WAF, and against nginx with ModSecurity 3 on the same Core Rule Set files."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argos.edge.decode import decode_document
from argos.edge.plan import State, plan

from bench import stack as stacks
from bench.figures import Figures, Run, figure
from bench.load import LoadFailed
from bench.machine import cpu_seconds
from bench.processes import Processes

sys.path.insert(0, str(stacks.CHECKOUT / "tests" / "peers"))
import debian_nginx

MODULE = stacks.CHECKOUT / "roles/caddy/files/argos-caddy"
CONNECTIONS = 2  # as many bodies as one core inspects at once: more would measure the queue
NAMES = ("none", "pl1", "pl2")
MODSECURITY = {1: "modsecurity", 2: "modsecurity_pl2"}
"""An nginx of its own for each paranoia level."""
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass(frozen=True)
class Shape:
    """One kind of request; without a body it is a GET."""

    body: bytes = b""
    kind: str = ""
    count: int = 0
    """So many requests one after another in place of a slice: one may take longer than a slice."""


def _json(fields: int, value: int, count: int = 0) -> Shape:
    """A JSON object of honest fields, each value of about so many bytes."""
    words = "by the sea in summer with friends and family "
    text = {f"field_{n:03}": f"{(words * 9)[n % 40 : n % 40 + value - 4]} {n:03}" for n in range(fields)}
    return Shape(json.dumps(text).encode(), "application/json", count)


def _upload(size: int) -> Shape:
    head = b'--xyz\r\nContent-Disposition: form-data; name="album"\r\n\r\nsummer\r\n--xyz\r\n'
    part = b'Content-Disposition: form-data; name="f"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return Shape(head + part + _binary(size) + b"\r\n--xyz--\r\n", "multipart/form-data; boundary=xyz")


def _binary(size: int) -> bytes:
    return (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)) * (size // 256 + 1))[:size]


SHAPES = {
    "get": Shape(),
    "json1k": _json(35, 12),
    "json4k": _json(140, 12),
    "json64k": _json(800, 63, 4),
    "form1m": _upload(1 << 20),
    "file20m": Shape(_binary(20 << 20), "application/octet-stream", 2),
}


@figure
def waf(run: Run) -> Figures:
    """``waf.<request>_…``: GET, JSON of 1 to 64 KB, a form with a 1 MB file, a 20 MB file; memory under 200 bodies."""
    with Processes(run.directory) as processes:
        stack = stacks.Stack(run.directory, run.cores, processes, stacks.find_caddy())
        _upstream(stack)
        bases = {name: _nginx(stack, name, level) for level, name in MODSECURITY.items()} | _caddy(stack)
        pids = {name: stack.pids[name] for name in MODSECURITY.values()} | dict.fromkeys(NAMES, stack.pids["caddy"])
        _blocks(bases)
        figures: Figures = {}
        for name, shape in SHAPES.items():
            script = run.directory / f"{name}.lua"
            script.write_bytes(_script(shape))
            rates, used = _measure(run, bases, pids, script, shape)
            for path in ("pl1", "pl2"):
                figures[f"waf.{name}_{path}_over_none"] = _ratio(rates, path, "none")
                figures[f"waf.{name}_{path}_cpu_us"] = statistics.median(used[path])
            for level, peer in MODSECURITY.items():
                suffix = "" if level == 1 else f"_pl{level}"
                figures[f"waf.{name}{suffix}_over_modsecurity"] = _ratio(rates, f"pl{level}", peer)
                figures[f"waf.{name}{suffix}_modsecurity_cpu_us"] = statistics.median(used[peer])
            run.say("  ".join(f"{key} {value:.2f}" for key, value in figures.items() if f".{name}_" in key))
        return figures | _memory(stack.pids["caddy"], bases["pl1"])


@figure
def waf_exclusions(run: Run) -> Figures:
    """``waf.get_with_100_exclusions_over_none_of_them``: a host without exclusions beside a hundred that have one."""
    with Processes(run.directory) as processes:
        stack = stacks.Stack(run.directory, run.cores, processes, stacks.find_caddy())
        _upstream(stack)
        bases, pids = {}, {}
        for name, exclusions in (("plain", 0), ("beside", 100)):
            hosts = [_host("asked.bench.example", stack, {"policy": "shared"})]
            for number in range(100):
                own = [{"id": (942100, 941100, 930100)[number % 3], "path": f"/x{number}/*"}] if exclusions else []
                hosts.append(_host(f"h{number}.bench.example", stack, {"policy": "shared", "exclusions": own}))
            state = _state(hosts, [{"name": "shared"}])
            pids[name] = stacks.start_caddy(stack, name, state)
            bases[name] = (stack.ports[name], "asked.bench.example")
        script = run.directory / "get.lua"
        script.write_bytes(_script(Shape()))
        rates, _used = _measure(run, bases, pids, script, Shape())
    return {"waf.get_with_100_exclusions_over_none_of_them": _ratio(rates, "beside", "plain")}


Base = tuple[int, str]  # port, Host


def _measure(
    run: Run, bases: Mapping[str, Base], pids: Mapping[str, int], script: Path, shape: Shape
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Rates, and CPU microseconds per request, of each path once a cycle, in rotating order."""
    names = list(bases)
    rates: dict[str, list[float]] = {name: [] for name in names}
    used: dict[str, list[float]] = {name: [] for name in names}
    for cycle in range(max(1, run.cycles // 3)):
        for name in names[cycle % len(names) :] + names[: cycle % len(names)]:
            before = cpu_seconds(pids[name])
            requests, rate = _in_turn(bases[name], shape) if shape.count else _wrk(bases[name], script, run)
            rates[name].append(rate)
            used[name].append((cpu_seconds(pids[name]) - before) / requests * 1e6)
    return rates, used


def _ratio(rates: Mapping[str, list[float]], path: str, base: str) -> float:
    return statistics.median(one / other for one, other in zip(rates[path], rates[base], strict=True))


def _wrk(base: Base, script: Path, run: Run) -> tuple[int, float]:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise LoadFailed("wrk is not installed: scripts/bench installs it with apt-get")
    port, host = base
    argv = ["taskset", "-c", str(run.cores.driving), wrk, "-t1", f"-c{CONNECTIONS}", f"-d{run.seconds}s"]
    argv += ["--timeout", "30s", "-s", str(script), "-H", f"Host: {host}", f"http://127.0.0.1:{port}/album?page=2"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=run.seconds + 60)
    text = done.stdout + done.stderr
    requests = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if done.returncode or "Non-2xx" in text or not requests or not rate or int(requests[1]) == 0:
        raise LoadFailed(f"{host}, {script.stem}: {text.strip()}")
    return int(requests[1]), float(rate[1])


def _in_turn(base: Base, shape: Shape) -> tuple[int, float]:
    began = time.monotonic()
    for _unused in range(shape.count):
        if (status := _ask(*base, shape)) != 200:
            raise LoadFailed(f"{base[1]} answers {status} to {len(shape.body)} bytes of {shape.kind}")
    return shape.count, shape.count / (time.monotonic() - began)


def _script(shape: Shape) -> bytes:
    """What wrk sends, in Lua; the body as escapes, since it may be binary."""
    lines = [
        f'wrk.headers["User-Agent"] = "{AGENT}"',
        'wrk.headers["Accept"] = "*/*"',
        'wrk.headers["Cookie"] = "theme=dark; lang=en"',
    ]
    if shape.body:
        lines += ['wrk.method = "POST"', f'wrk.headers["Content-Type"] = "{shape.kind}"']
        lines.append('wrk.body = "' + "".join(f"\\x{byte:02x}" for byte in shape.body) + '"')
    return "\n".join(lines).encode()


def _blocks(bases: Mapping[str, Base]) -> None:
    """Who lets an attack pass is not measured."""
    for name, (port, host) in bases.items():
        for shape in (Shape(), Shape(b'{"q": "<script>alert(1)</script>"}', "application/json")):
            query = "" if shape.body else "?q=%3Cscript%3Ealert(1)%3C/script%3E"
            status = _ask(port, host, shape, query)
            if status != (200 if name == "none" else 403):
                raise AssertionError(f"{name} answers {status} to an attack")


def _ask(port: int, host: str, shape: Shape, query: str = "") -> int:
    headers = {
        "Host": host,
        "User-Agent": AGENT,
        "Accept": "*/*",
        **({"Content-Type": shape.kind} if shape.kind else {}),
    }
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{query}", shape.body or None, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def _memory(pid: int, base: Base) -> Figures:
    """The most that Caddy holds while 200 bodies of 64 KB arrive at once; every one is inspected or told to wait."""
    port, host = base
    statuses: list[int] = []
    shape = SHAPES["json64k"]
    senders = [threading.Thread(target=lambda: statuses.append(_ask(port, host, shape))) for _unused in range(200)]
    before = _rss_mb(pid)
    for sender in senders:
        sender.start()
    peak = before
    while any(sender.is_alive() for sender in senders):
        peak = max(peak, _rss_mb(pid))
        time.sleep(0.02)
    if set(statuses) - {200, 503} or 200 not in statuses:
        raise AssertionError(f"200 bodies at once were answered {sorted(set(statuses))}")
    return {"waf.rss_mb_200_bodies": peak, "waf.rss_mb_before_200_bodies": before}


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)[1]) / 1024  # type: ignore[index]


def _host(name: str, stack: stacks.Stack, waf_settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "upstreams": [{"url": f"http://127.0.0.1:{stack.ports['upstream']}"}],
        "tls": {"mode": "off"},
        "access_log": False,
        "waf": waf_settings,
    }


def _state(hosts: list[dict[str, Any]], policies: list[dict[str, Any]]) -> State:
    settings = {
        "edge": {"panel_host": stacks.PANEL_HOST, "parent_domain": "bench.example", "tls": {"mode": "off"}},
        "crowdsec": {"enabled": False},
    }
    return plan(State(), decode_document({"settings": settings, "hosts": hosts, "waf_policies": policies})).state


def _caddy(stack: stacks.Stack) -> dict[str, Base]:
    modes = {"none": {}, "pl1": {"mode": "block"}, "pl2": {"mode": "block", "paranoia": 2}}
    hosts = [_host(f"{name}.bench.example", stack, modes[name]) for name in NAMES]
    stacks.start_caddy(stack, "caddy", _state(hosts, []))
    return {name: (stack.ports["caddy"], f"{name}.bench.example") for name in NAMES}


def _upstream(stack: stacks.Stack) -> None:
    """An nginx that takes any body and answers 200: it costs little, on the driver's core."""
    stack.ports["upstream"] = port = stacks.free_port()
    server = f"server {{ listen 127.0.0.1:{port}; client_max_body_size 0; location / {{ return 200 ok; }} }}"
    _start_nginx(stack, "upstream", server, stack.cores.driving, "")


def _nginx(stack: stacks.Stack, name: str, paranoia: int) -> Base:
    """Debian's nginx with ModSecurity, on the Core Rule Set files that are compiled into argos-caddy."""
    stack.ports[name] = port = stacks.free_port()
    rules = stack.directory / f"{name}.conf"
    rules.write_text("\n".join(_rules(stack, paranoia)), encoding="utf-8")
    server = (
        f"server {{ listen 127.0.0.1:{port}; client_max_body_size 0; modsecurity on; modsecurity_rules_file {rules};"
        f" location / {{ proxy_http_version 1.1; proxy_set_header Connection ''; proxy_pass http://behind; }} }}"
        f" upstream behind {{ server 127.0.0.1:{stack.ports['upstream']}; keepalive 32; }}"
    )
    _start_nginx(stack, name, server, stack.cores.measured, f"load_module {debian_nginx.nginx().modsecurity_module};")
    return port, "modsecurity.bench.example"


def _rules(stack: stacks.Stack, paranoia: int) -> Iterator[str]:
    crs = _rule_set() / "rules"
    copied = stack.directory / f"crs-{paranoia}"
    shutil.copytree(crs / "@owasp_crs", copied, copy_function=shutil.copyfile)
    for file in copied.glob("*.conf"):
        # ModSecurity's parser wants actions of the last rule of a chain too.
        text = re.sub(r'(?m)^(\s+SecRule \S+ "(?:[^"\\]|\\.)*")$', r'\1 "t:none"', file.read_text(encoding="utf-8"))
        file.chmod(0o644)
        file.write_text(text, encoding="utf-8")
    settings = debian_nginx.nginx().settings
    recommended = (settings / "modsecurity.conf").read_text(encoding="utf-8")
    recommended = re.sub(r"(?m)^SecRuleEngine .*", "SecRuleEngine On", recommended)
    recommended = re.sub(r"(?m)^SecAuditEngine .*", "SecAuditEngine Off", recommended)
    recommended = re.sub(r"(?m)^SecRequestBodyLimit .*", "SecRequestBodyLimit 134217728", recommended)
    yield re.sub(r"(?m)^SecUnicodeMapFile (\S+)", f"SecUnicodeMapFile {settings}/unicode.mapping", recommended)
    yield (crs / "@crs-setup.conf.example").read_text(encoding="utf-8")
    # What the edge's policy allows too, or the 20 MB file would be refused.
    types = "|application/x-www-form-urlencoded| |multipart/form-data| |application/json| |application/octet-stream|"
    yield f"SecAction \"id:900220,phase:1,pass,nolog,t:none,setvar:'tx.allowed_request_content_type={types}'\""
    yield f'SecAction "id:900000,phase:1,pass,nolog,t:none,setvar:tx.blocking_paranoia_level={paranoia}"'
    yield f"Include {copied}/*.conf"


def _rule_set() -> Path:
    sys.path.insert(0, str(MODULE.parent))
    import build as caddy_build

    go = caddy_build.go_on_path()
    command = go[0] if go else caddy_build.install_go(Path.home() / ".cache/argos/caddy")
    module = "github.com/corazawaf/coraza-coreruleset/v4"
    done = subprocess.run(
        [command, "list", "-m", "-f", "{{.Dir}}", module], cwd=MODULE, check=True, capture_output=True, text=True
    )
    return Path(done.stdout.strip())


def _start_nginx(stack: stacks.Stack, name: str, server: str, core: int, load: str) -> None:
    nginx = debian_nginx.nginx()
    place = stack.directory / f"nginx-{name}"
    place.mkdir()
    paths = " ".join(
        f"{kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = place / "nginx.conf"
    config.write_text(
        f"{load} daemon off; master_process off; worker_processes 1; pid {place}/pid; error_log {place}/error.log;"
        f" events {{ worker_connections 1024; }} http {{ access_log off; {paths} {server} }}\n",
        encoding="utf-8",
    )
    stack.pids[name] = stack.processes.start(
        name,
        [str(nginx.binary), "-p", str(place), "-c", str(config), "-e", str(place / "error.log")],
        core=core,
        environ=nginx.environ,
        ready=lambda: stacks.listens(stack.ports[name]),
    )
