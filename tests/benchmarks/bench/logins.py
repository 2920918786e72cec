"""People who sign in all the time: ``python logins.py PORT PANEL_HOST PASSWORD USERNAME …``, one thread each.

Through the edge, each from a loopback address of its own, as the throttle counts by address. Prints a line for each
sign-in that succeeded; one that fails ends the process with its answer.
"""

from __future__ import annotations

import http.client
import os
import sys
import threading
from urllib.parse import urlencode


def sign_in(port: int, host: str, source: str, username: str, password: str) -> None:
    """Post the form, and see the panel's cookie come back.

    Raises:
        AssertionError: it did not.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300, source_address=(source, 0))
    headers = {
        "Host": host,
        "Origin": f"https://{host}",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    }
    form = urlencode({"username": username, "password": password, "rd": "/"})
    try:
        connection.request("POST", "/login", form, headers)
        answer = connection.getresponse()
        answer.read()
        cookies = " ".join(answer.headers.get_all("Set-Cookie") or ())
    finally:
        connection.close()
    if "__Host-argos_panel=" not in cookies:
        raise AssertionError(f"{username}'s sign-in got {answer.status} and no session")


def _for_ever(port: int, host: str, source: str, username: str, password: str) -> None:
    while True:
        try:
            sign_in(port, host, source, username, password)
        except (AssertionError, OSError) as error:
            print(f"FAILED {error}", flush=True)
            os._exit(1)
        print("signed in", flush=True)


def main() -> None:
    """Start the threads; they end with the process."""
    port, host, password, *usernames = sys.argv[1:]
    threads = [
        threading.Thread(target=_for_ever, args=(int(port), host, f"127.0.1.{number}", username, password))
        for number, username in enumerate(usernames, start=1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
