"""What the keeping of secrets and of the record of changes costs, without any service running."""

from __future__ import annotations

import time

from argos.application import Application
from argos.storage.tables import named_secrets
from sqlalchemy import insert

from bench import stack as stacks
from bench.figures import Figures, Run, figure
from bench.processes import Processes

SECRETS = 10_000
ROWS = 100_000
SINGLE_ROWS = 1_000
BATCH = 1_000


@figure
def record(run: Run) -> Figures:
    """``rotate.secrets_s``, ``audit.verify_rows_s``, ``audit.append_rows_s``: 10 000 secrets, 100 000 rows."""
    with Processes(run.directory) as processes:
        stack = stacks.Stack(run.directory, run.cores, processes, run.directory)
        application = stack.application()
        try:
            return {**_rotate(application, run), **_audit(application, run)}
        finally:
            application.close()


def _rotate(application: Application, run: Run) -> Figures:
    now = application.clock.now()
    rows = [
        {
            "name": name,
            "version": 1,
            "sealed": application.vault.seal("named_secrets", "sealed", name, f"the value of {name}".encode()),
            "updated_at": now,
        }
        for name in (f"secret-{number:05}" for number in range(SECRETS))
    ]
    with application.storage.write() as connection:
        connection.execute(insert(named_secrets), rows)
    begun = time.monotonic()
    done = application.rotation.reencrypt(stacks.ACTOR)
    took = time.monotonic() - begun
    if (
        done.secrets < SECRETS
        or done.broken
        or application.secrets.reveal("secret-00007") != "the value of secret-00007"
    ):
        raise AssertionError(f"the rotation left secrets behind: {done}")
    run.say(f"{done.secrets} secrets sealed anew in {took:.1f} s")
    return {"rotate.secrets_s": took}


def _audit(application: Application, run: Run) -> Figures:
    """Rows per second: each in a transaction of its own (as mutations are), and read back along the whole chain."""

    def append(number: int, rows: int) -> None:
        with application.storage.write() as connection:
            for row in range(number, number + rows):
                target = f"host/host-{row}.bench.example"
                application.audit.record(
                    connection, stacks.ACTOR, "bench.row", target, {"number": row}, {"number": -row}
                )

    begun = time.monotonic()
    for number in range(SINGLE_ROWS):
        append(number, 1)
    appended = SINGLE_ROWS / (time.monotonic() - begun)
    for number in range(SINGLE_ROWS, ROWS, BATCH):
        append(number, BATCH)
    run.say(f"{ROWS} rows written")
    begun = time.monotonic()
    broken = application.audit.verify()
    took = time.monotonic() - begun
    if broken is not None:
        raise AssertionError(f"the chain that was just written is broken at row {broken}")
    return {"audit.append_rows_s": appended, "audit.verify_rows_s": ROWS / took, "audit.verify_100000_rows_s": took}
