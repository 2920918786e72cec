"""Single tasks of the collection against a real runtime's admin socket, run by a real ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from panel_runtime import Runtime

CHECKOUT = Path(__file__).resolve().parents[3]


class Tasks:
    """Runs single tasks on this machine."""

    def __init__(self, runtime: Runtime, place: Path) -> None:
        self._socket, self._place = str(runtime.admin_socket), place
        collections = place / "collections" / "ansible_collections" / "argos"
        collections.mkdir(parents=True)
        (collections / "edge").symlink_to(CHECKOUT)

    def run(self, module: str, *flags: str, **options: Any) -> tuple[dict[str, Any], str]:
        """Return the task's result and all that was printed."""
        task = {f"argos.edge.{module}": {"socket": self._socket, **options}}
        play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
        book = self._place / "task.json"
        book.write_text(json.dumps(play))
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "-vvv", "-i", "localhost,", *flags, str(book)],
            cwd=self._place,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(self._place / "collections"),
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
                "ANSIBLE_LOCALHOST_WARNING": "false",
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        printed = done.stdout + done.stderr
        start = printed.find("=> {")
        assert start >= 0, printed
        return json.JSONDecoder().raw_decode(printed, start + 3)[0], printed
