"""Who may speak to the screen: known names only, and no other web page."""

import asyncio

import httpx
import pytest

from appliance.ui import api
from appliance.ui.guard import Guard, host_of
from appliance.ui.serve import Server

NAMES = ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "127.3.2.1", "[::1]:8080", "endo2.clinic.example:80"]
FOREIGN = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.7", "", "127.0.0.1:80:90"]


@pytest.fixture
def client(desk):
    server = Server(api.build(desk, allow_hosts=["endo2.clinic.example"]), "127.0.0.1", 0)
    with httpx.Client(base_url=f"http://127.0.0.1:{server.start()}", timeout=10) as client:
        yield client
    server.stop()


def get(client, **headers):
    return client.get("/api/state", headers={name.replace("_", "-"): value for name, value in headers.items()})


def post(client, **headers):
    return client.post("/api/exam/record", headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "127.3.2.1", "[::1]:8080", "endo2.clinic.example:80"]
)
def test_known_names_are_answered(client, host):
    assert get(client, host=host).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_is_not_ours_is_refused_even_if_it_resolves_to_us(client, desk, host):
    answer = get(client, host=host)
    assert answer.status_code == 403 and answer.json()["advice"]
    assert post(client, host=host).status_code == 403
    assert desk.calls == []


def test_the_address_on_which_the_connection_came_in_is_ours():
    def status(host, came_in_on):
        sent = []

        async def inside(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def send(message):
            sent.append(message)

        headers = [(b"host", host.encode())]
        scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "server": (came_in_on, 80)}
        asyncio.run(Guard(inside)(scope, None, send))
        return sent[0]["status"]

    assert status("10.1.2.3:80", "10.1.2.3") == 200
    assert status("[fd00::7]", "fd00::7") == 200
    assert status("10.9.9.9", "10.1.2.3") == 403
    assert status("endo2", "endo2") == 403  # a name is never taken on trust


def test_a_button_pressed_by_another_page_does_nothing(client, desk):
    own = str(client.base_url).rstrip("/")
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9", own.replace("127.0.0.1", "localhost")):
        assert post(client, origin=origin).status_code == 403, origin
    assert post(client, sec_fetch_site="cross-site").status_code == 403
    assert desk.calls == []
    assert post(client, origin=own, sec_fetch_site="same-origin").status_code == 200
    assert post(client).status_code in (200, 409)  # a script that is no browser sends neither


def test_another_page_cannot_show_our_pictures_but_may_link_to_us(client):
    assert client.get("/api/live.jpg", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/api/state", headers=link).status_code == 200
    rules = client.get("/api/state").headers
    assert rules["cross-origin-resource-policy"] == "same-origin" and "access-control-allow-origin" not in rules
    assert "frame-ancestors 'none'" in rules["content-security-policy"]


def test_hosts_are_read_without_port_and_brackets():
    assert [host_of(one) for one in ("A:1", "[::1]:2", "[::1]", "::1", "a")] == ["a", "::1", "::1", "::1", "a"]
