"""Public paths by way of ``/api/auth/forward``: only for the path that the proxy names."""

from __future__ import annotations

import pytest
from argos.application import Application
from argos.panel.app import panel_app
from falcon import testing

GUARDED = "photos.home.example"
RULE = '{"required": true, "public_paths": ["/", "/health"]}'


@pytest.mark.threat("AUT-2")
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"Argos-Forwarded-Uri": "/health?a=1"}, 200),
        ({"Argos-Forwarded-Uri": "/"}, 200),
        ({"Argos-Forwarded-Uri": "/private"}, 401),
        ({"Argos-Forwarded-Uri": "/health/../private"}, 401),
        ({"Argos-Forwarded-Uri": "/health%2f"}, 401),
        ({"Argos-Forwarded-Uri": ""}, 401),
        ({}, 401),
    ],
)
def test_a_proxy_gets_a_public_path_only_for_the_path_it_names(
    application: Application, sent: dict[str, str], status: int
) -> None:
    with application.storage.write() as connection:
        connection.exec_driver_sql("INSERT INTO gate_hosts (host_id, rule) VALUES (?, ?)", (GUARDED, RULE))
        connection.exec_driver_sql(
            "INSERT INTO gate_settings (id, panel_url, cookie_name, idle_seconds) "
            "VALUES (1, 'https://argos.home.example', '__Secure-argos_session', 3600)"
        )
    headers = {"Host": "argos.home.example", "Argos-Client-Ip": "203.0.113.5", "Argos-Forwarded-Host": GUARDED}
    answer = testing.TestClient(panel_app(application), headers=headers).simulate_get("/api/auth/forward", headers=sent)
    assert answer.status_code == status
    if status == 200:
        assert [answer.headers[f"x-auth-{name}"] for name in ("user", "email", "name", "provider")] == [""] * 4
