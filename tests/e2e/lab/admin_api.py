"""The admin API, spoken to from inside the guest as root does, and the hosts that the suite declares."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lab.guest import Guest
from lab.served import wait_until_served

OWNER = "e2e"  # prune removes what the suite declared and nothing of the operator's
SAMPLE = "http://127.0.0.1:8081"

# Runs in the guest, which needs no curl: method, path and headers as arguments, the body on stdin.
_REQUEST = """
import http.client, json, socket, sys
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(240)
        self.sock.connect(sys.argv[1])
connection = Unix("localhost")
body = sys.stdin.buffer.read()
connection.request(sys.argv[2], sys.argv[3], body or None, json.loads(sys.argv[4]))
answer = connection.getresponse()
print(json.dumps({"status": answer.status, "body": answer.read().decode("utf-8", "replace")}))
"""


@dataclass(frozen=True)
class Answer:
    """A status and decoded JSON."""

    status: int
    body: Any

    @property
    def error(self) -> dict[str, Any]:
        """Return the error object; fail when the answer holds none."""
        assert self.status >= 400, f"expected a refusal, got {self.status}: {str(self.body)[:500]}"
        return self.body["error"]


class AdminApi:
    """The runtime's admin socket in the guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send one request; raise OSError when the runtime does not answer. What it declares is served afterwards."""
        sent = {"Argos-Actor": "e2e:suite", "Content-Type": "application/json", **(headers or {})}
        payload = b"" if body is None else json.dumps(body).encode()
        status, printed, complaint = self._guest.attempt(
            "python3", "-c", _REQUEST, "/run/argos-admin/admin.sock", method, path, json.dumps(sent), stdin=payload
        )
        if status:
            raise ConnectionError(f"{method} {path}: {complaint[-800:]}")
        answer = json.loads(printed)
        if answer["status"] == 200 and path == "/v1/config/apply":
            wait_until_served(self._guest, (body or {}).get("hosts", []))
        return Answer(answer["status"], json.loads(answer["body"]) if answer["body"] else None)

    def get(self, path: str) -> Any:
        """Return what a GET answers; fail when it is refused."""
        answer = self.request("GET", path)
        assert answer.status == 200, f"GET {path}: {answer}"
        return answer.body

    def settings(self) -> dict[str, Any]:
        """Return the settings in force, as declared."""
        return self.get("/v1/config")["settings"]


class Declaration:
    """Hosts that the suite declares, below the site's own parent domain, owned by ``e2e``."""

    def __init__(self, api: AdminApi) -> None:
        self._api = api
        edge = api.settings()["edge"]
        self.panel: str = edge["panel_host"]
        self.parent: str = edge["parent_domain"]

    def name(self, label: str) -> str:
        """Return the full name of a host of the suite."""
        return f"{label}.{self.parent}"

    def host(self, label: str, **spec: Any) -> dict[str, Any]:
        """Return a host in front of the sample upstream."""
        return {"name": self.name(label), "upstreams": [{"url": SAMPLE}], **spec}

    def document(self, hosts: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a document that declares exactly these hosts as the suite's."""
        return {"owner": OWNER, "prune": True, "hosts": hosts}

    def apply(self, hosts: list[dict[str, Any]]) -> dict[str, Any]:
        """Declare exactly these hosts; fail when the edge refuses them."""
        answer = self.try_apply(hosts)
        assert answer.status == 200, f"refused: {json.dumps(answer.body)[:2000]}"
        return answer.body

    def try_apply(self, hosts: list[dict[str, Any]]) -> Answer:
        """Declare exactly these hosts and return the answer, a refusal too."""
        return self._api.request("POST", "/v1/config/apply", self.document(hosts))

    def plan(self, hosts: list[dict[str, Any]]) -> Answer:
        """Return what declaring these hosts would change."""
        return self._api.request("POST", "/v1/config/plan", self.document(hosts))

    def clear(self) -> None:
        """Remove every host of the suite."""
        self.apply([])


def path_of(*parts: str) -> str:
    """Return an API path with each part percent-encoded."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)
