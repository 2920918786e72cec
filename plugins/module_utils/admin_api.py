# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules' way to the runtime: JSON over HTTP over the admin API's unix socket.

Only the standard library, as this runs on the guest with whatever Python is there.
"""

from __future__ import annotations

import getpass
import http.client
import json
import os
import socket

DEFAULT_SOCKET = "/run/argos-admin/admin.sock"
CONNECTION_OPTIONS = {"socket": {"type": "path", "default": DEFAULT_SOCKET}}
MAX_ANSWER = 64 * 1024 * 1024  # bytes; a thousand hosts' plan is below 2 MiB


class AdminApiError(Exception):
    """The runtime refused, in words meant for the operator.

    ``errors`` holds one dict for each mistake: resource, field, problem, expected.
    """

    def __init__(self, message, status=None, code="", errors=()):
        super().__init__(message)
        self.status = status
        self.code = code
        self.errors = list(errors)


class RuntimeAbsent(AdminApiError):
    """Nothing listens on the socket: no runtime yet, or it is stopped."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def caller_name():
    """Return who runs the play, for the audit: a claim, and stored as one."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


class AdminApi:
    """One runtime, spoken to as ``ansible:<user>``."""

    def __init__(self, socket_path=DEFAULT_SOCKET, timeout=60):
        self._path = socket_path
        self._timeout = timeout  # seconds; an apply waits for Caddy at most 10

    def get(self, path):
        """Return the decoded answer of a GET."""
        return self._request("GET", path)

    def post(self, path, body, headers=None):
        """Return the decoded answer of a POST with a JSON body."""
        return self._request("POST", path, body, headers)

    def put(self, path, body):
        """Return the decoded answer of a PUT with a JSON body."""
        return self._request("PUT", path, body)

    def delete(self, path):
        """Return the decoded answer of a DELETE."""
        return self._request("DELETE", path)

    def _request(self, method, path, body=None, headers=None):
        sent = {"Argos-Actor": "ansible:%s" % caller_name(), "Accept": "application/json"}
        sent.update(headers or {})
        payload = None
        if body is not None:
            payload = json.dumps(body).encode("utf-8")
            sent["Content-Type"] = "application/json"
        connection = _UnixConnection(self._path, self._timeout)
        try:
            connection.request(method, path, payload, sent)
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER)
        except (FileNotFoundError, ConnectionRefusedError):
            raise RuntimeAbsent(
                "The runtime's admin socket %s does not answer. Run role argos.edge.runtime on this machine, "
                "or look at 'systemctl status argos' and 'argos doctor'." % self._path
            ) from None
        except PermissionError:
            raise AdminApiError(
                "May not open %s: the task needs become: true, or a user in group argos-admin." % self._path
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise AdminApiError("The runtime broke off while answering %s %s: %s" % (method, path, error)) from error
        finally:
            connection.close()
        return _decode(response.status, answer, method, path)


def _decode(status, answer, method, path):
    try:
        decoded = json.loads(answer.decode("utf-8")) if answer else {}
    except ValueError:
        raise AdminApiError(
            "The runtime answered %s %s with %d and no JSON." % (method, path, status), status
        ) from None
    if status < 400:
        return decoded
    error = decoded.get("error") or {} if isinstance(decoded, dict) else {}
    errors = error.get("errors") or []
    message = error.get("message") or "The runtime answered %s %s with %d." % (method, path, status)
    raise AdminApiError(message_of(message, errors), status, error.get("code", ""), errors)


def message_of(message, errors):
    """Return one text that names every mistake, a line each."""
    lines = [message]
    for item in errors:
        line = "%s: %s: %s" % (item.get("resource", "?"), item.get("field", "?"), item.get("problem", "?"))
        if item.get("expected"):
            line += " (expected %s)" % item["expected"]
        if line not in message:
            lines.append(line)
    return "\n".join(lines)
