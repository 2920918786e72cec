"""The harness behind ``make bench``: it measures the real parts, and refuses to measure a gate that guards nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests" / "benchmarks"))

from bench import __main__ as bench_main  # noqa: E402
from bench import figures, load, machine, processes, progress, report, slices  # noqa: E402
from bench import preflight as checks  # noqa: E402
from bench import stack as stacks  # noqa: E402
from bench.figures import backups as backups_figure  # noqa: E402
from bench.figures import gate as gate_figure  # noqa: E402
from bench.figures import up as up_figure  # noqa: E402

# A gate that lets everybody pass as the one who is expected: the fastest there is, and the one not to measure.
OPEN_GATE = """
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            if line == b"\\r\\n":
                self.wfile.write(ANSWER)
ANSWER = (b"HTTP/1.1 200 OK\\r\\nX-Auth-User: bench\\r\\nX-Auth-Email: \\r\\nX-Auth-Name: \\r\\n"
          b"X-Auth-Provider: local\\r\\nContent-Length: 0\\r\\n\\r\\n")
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
Server(sys.argv[1], Handler).serve_forever()
"""


@pytest.fixture(scope="module", autouse=True)
def wrk() -> None:
    """It is there, or is installed, while another worker's tests wait for the same."""
    install = ["apt-get", "install", "-y", "-q", "-o", "DPkg::Lock::Timeout=250", "wrk"]
    if shutil.which("wrk") is None:
        subprocess.run(install, check=True, capture_output=True)


@pytest.mark.timeout(2800)
def test_a_quick_run_measures_every_figure_of_this_machine(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    command = [sys.executable, "-m", "bench", "--quick", "--output", str(output)]
    done = subprocess.run(
        command, cwd=CHECKOUT / "tests" / "benchmarks", capture_output=True, text=True, check=False, timeout=2700
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(output.read_text(encoding="utf-8"))
    assert all(isinstance(value, int | float) and value >= 0 for value in measured.values())
    wanted = {
        "gate.stock_over_none",
        "gate.waitress_over_none",
        "gate.stock_over_waitress",
        "gate.stock_over_oauth2_proxy",
        "gate.stock_over_oauth2_proxy_lean",
        "gate.p99_under_8_logins_ratio",
        "gate.p99_under_1000_host_apply_ratio",
        "rss_mb.gate",
        "rss_mb.gate_10000_sessions",
        "rss_mb.argos",
        "rss_mb.caddy",
        "apply.noop_200_hosts_ms",
        "edge.load_1000_s",
        "edge.rss_mb_1000_hosts",
        "edge.one_change_of_1000_s",
        "edge.noop_1000_ms",
        "edge.last_of_1000_over_single",
        "edge.p99_under_flood_ratio",
        "rotate.secrets_s",
        "audit.verify_rows_s",
        "audit.append_rows_s",
        "backup.mb_s",
        "restore.mb_s",
        "backup.serving_p99_ratio",
        "waf.get_over_modsecurity",
        "waf.json4k_over_modsecurity",
        "waf.get_with_100_exclusions_over_none_of_them",
        "edge.p99_under_waf_flood_ratio",
        "edge.generated_documents_taken",
        "crs.pass_percent",
    }
    assert wanted <= measured.keys()
    for name in wanted:
        assert name in done.stdout
    assert measured["rss_mb.gate_10000_sessions"] <= 45


@pytest.fixture
def stack(tmp_path: Path):
    with processes.Processes(tmp_path) as running:
        yield stacks.Stack(tmp_path, machine.cores(), running, stacks.find_caddy())


def start_open_gate(stack) -> None:
    stack.processes.start(
        "open-gate",
        [sys.executable, "-c", OPEN_GATE, str(stack.directory / "gate.sock")],
        core=stack.cores.measured,
        environ=stack.environ,
        ready=lambda: stacks.listens(stack.directory / "gate.sock"),
    )


@pytest.mark.threat("FWD-3")
def test_a_gate_that_lets_everybody_pass_is_not_measured(stack) -> None:
    state = stacks.prepare(stack)
    start_open_gate(stack)
    stacks.start_caddy(stack, "caddy", state)
    unguarded = stack.target(stacks.OPEN_HOST)
    guarded = stack.target(stacks.CLOSED_HOST)
    with pytest.raises(checks.PreflightFailed, match="guards nothing"):
        gate_figure.check({"none": unguarded, "stock": guarded})


def test_a_gate_that_is_not_there_is_not_measured(stack) -> None:
    state = stacks.prepare(stack)
    stacks.start_caddy(stack, "caddy", state)
    guarded = stack.target(stacks.CLOSED_HOST)
    with pytest.raises(checks.PreflightFailed, match="a valid cookie got 50"):
        gate_figure.check({"none": stack.target(stacks.OPEN_HOST), "stock": guarded})
    with pytest.raises(load.LoadFailed):
        load.drive(guarded, 1, stack.cores.driving)


def test_the_real_gate_passes_the_checks_and_no_identity_reaches_the_open_host(stack) -> None:
    state = stacks.prepare(stack)
    stacks.start_gate(stack)
    stacks.start_caddy(stack, "caddy", state)
    guarded = stack.target(stacks.CLOSED_HOST)
    gate_figure.check({"none": stack.target(stacks.OPEN_HOST), "stock": guarded})
    with pytest.raises(checks.PreflightFailed, match="open"):
        checks.check_open("open", guarded)


def sample(rate: float, others: float = 0.0) -> slices.Sample:
    return slices.Sample(rate, {"caddy": 100.0}, others, 1.0, 2.0)


def test_ratios_are_taken_within_a_cycle() -> None:
    samples = slices.Samples(
        [
            {"a": sample(50), "b": sample(100)},
            {"a": sample(500), "b": sample(1000)},
            {"a": sample(90), "b": sample(100)},
        ]
    )
    assert samples.ratio("a", "b") == 0.5
    assert samples.spread("a", "b") == (0.5, 0.9)


def test_cycles_disturbed_by_others_are_dropped_and_the_order_rotates(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def slice_of(path, *_rest):
        asked.append(path.target.url)
        return sample(100, others=0.5 if len(asked) <= 2 else 0.0)

    monkeypatch.setattr(slices, "_slice", slice_of)
    paths = {name: slices.Path(load.Target(name, ()), {}) for name in ("a", "b")}
    arguments = {"ours": [], "cycles": 2, "seconds": 0, "core": 0, "say": lambda _line: None}
    samples = slices.measure(paths, noisy=False, **arguments)
    assert (len(samples.cycles), samples.dropped) == (2, 1)
    assert asked == ["a", "b", "b", "a", "a", "b"]
    monkeypatch.setattr(slices, "_slice", lambda *_unused: sample(100, others=0.5))
    with pytest.raises(machine.NotQuiet):
        slices.measure(paths, noisy=False, **arguments)


def test_the_map_is_flat_and_keeps_what_was_not_measured_now(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    report.write(path, {"up.cold_s": 600.0, "rss_mb.gate": 27.0})
    report.write(path, {"rss_mb.gate": 28.123456})
    assert json.loads(path.read_text(encoding="utf-8")) == {"rss_mb.gate": 28.1235, "up.cold_s": 600.0}
    assert "rss_mb.gate" in report.table({"rss_mb.gate": 28.1})


def test_the_times_of_make_up_are_read_where_it_notes_them(tmp_path: Path) -> None:
    path = tmp_path / "timings.json"
    noted = {"cold": {"total_s": 812.4, "changed": 97, "parts": {"caddy": 160.0}}}
    path.write_text(json.dumps(noted), encoding="utf-8")
    assert up_figure.read(path) == {"up.cold_s": 812.4}
    noted["warm"] = {"total_s": 90, "changed": 0, "parts": {}}
    path.write_text(json.dumps(noted), encoding="utf-8")
    assert up_figure.read(path) == {"up.cold_s": 812.4, "up.warm_s": 90.0, "up.second_changed": 0.0}


def test_latencies_are_read_in_the_units_that_wrk_prints() -> None:
    text = "  Latency Distribution\n     50%  812.00us\n     75%    3.10ms\n     90%    1.02s \n     99%    1.50s \n"
    assert load.latency_ms(text, 50) == 0.812
    assert load.latency_ms(text, 99) == 1500.0
    with pytest.raises(load.LoadFailed):
        load.latency_ms("nothing", 99)


def test_a_run_that_was_interrupted_goes_on_and_a_finished_one_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "bench-run.json"
    first = progress.Progress(path, "a commit", ["gate", "memory"])
    assert not first.done("gate")
    first.note("gate", 12.3)
    again = progress.Progress(path, "a commit", ["gate", "memory"])
    assert again.done("gate")
    assert not again.done("memory")
    assert not progress.Progress(path, "another commit", ["gate", "memory"]).done("gate")
    assert not progress.Progress(path, "a commit", ["gate", "memory"], fresh=True).done("gate")
    again.note("memory", 1, "NotQuiet: others use 90% of the machine's cores")
    assert again.problems() == {"memory": "NotQuiet: others use 90% of the machine's cores"}
    assert not progress.Progress(path, "a commit", ["gate", "memory"]).done("gate")


def test_a_figure_that_fails_leaves_the_others_measured_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_run: figures.Run) -> figures.Figures:
        raise ZeroDivisionError("no reading")

    monkeypatch.setattr(figures, "FIGURES", {"broken": broken, "sound": lambda _run: {"sound.figure": 1.0}})
    monkeypatch.setattr(figures, "load_all", lambda: None)
    output = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["bench", "--quick", "--output", str(output)])
    assert bench_main.main() == 1
    assert json.loads(output.read_text(encoding="utf-8")) == {"sound.figure": 1.0}
    assert "broken: NOT MEASURED" in capsys.readouterr().out


def test_the_runtime_is_measured_as_nice_as_its_unit_makes_it() -> None:
    unit = (CHECKOUT / "roles" / "runtime" / "templates" / "argos.service.j2").read_text(encoding="utf-8")
    assert f"\nNice={stacks.UNIT_NICE}\n" in unit


def test_backups_are_made_as_gently_as_their_unit_makes_them() -> None:
    unit = (CHECKOUT / "roles" / "runtime" / "templates" / "argos-backup.service.j2").read_text(encoding="utf-8")
    assert backups_figure.AS_THE_UNIT == ("nice", "-n", "10", "ionice", "-c", "3")
    assert "\nNice=10\nIOSchedulingClass=idle\n" in unit


def test_every_figure_says_what_it_is() -> None:
    figures.load_all()
    assert {"gate", "memory", "apply", "up", "logins", "applies", "edge", "record", "backups"} <= figures.FIGURES.keys()
    for function in figures.FIGURES.values():
        assert function.__doc__
