"""Who gets in: tokens, hosts, origins, sizes; on every path."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from inos.api.gate import HEADERS_MAX, JSON_BODY_MAX, OPEN_PATHS, TARGET_MAX_BYTES

PATHS = ["/v1/status", "/v1/objects", "/v1/objects/content?target=a", "/metrics", "/v1/nothing", "/nothing", "/docs/x"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "authorization", ["none", "Bearer", "Bearer wrong", "Basic a-token-for-tests", "Bearer a-token-for-testsX"]
)
def test_without_the_token_nothing(ask: Any, path: str, authorization: str) -> None:
    answer = ask("GET", path, authorization=authorization)
    assert answer.status == 401 and answer.code == "unauthorised"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
def test_what_carries_no_data_is_open(ask: Any, path: str) -> None:
    assert ask("GET", path, authorization="none").status == 200


@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
def test_what_is_open_is_open_to_our_own_pages_only(ask: Any, path: str) -> None:
    assert ask("GET", path, authorization="none", origin="http://evil.example").status == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "127.0.0.1.nip.io"])
def test_a_name_that_was_rebound_to_us_is_refused(ask: Any, host: str) -> None:
    for path in ("/v1/status", "/health", "/docs"):
        answer = ask("GET", path, host=host)
        assert answer.status in (400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9999", "localhost", "LOCALHOST:1", "[::1]:80", "192.168.1.7"])
def test_addresses_and_localhost_are_hosts(ask: Any, host: str) -> None:
    assert ask("GET", "/v1/status", host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_another_sites_page_is_refused(ask: Any, headers: dict[str, str]) -> None:
    answer = ask("GET", "/v1/status", **headers)
    assert answer.status == 403 and answer.code == "refused"


def test_our_own_origin_is_fine(ask: Any) -> None:
    host = f"127.0.0.1:{ask.node.port}"
    assert ask("GET", "/v1/status", origin=f"http://{host}", sec_fetch_site="same-origin").status == 200


def test_a_long_target_is_refused(ask: Any) -> None:
    answer = ask("GET", "/v1/objects?prefix=" + "a" * TARGET_MAX_BYTES)
    assert answer.status == 413 and answer.code == "too_large"


def test_many_headers_are_refused(ask: Any) -> None:
    headers = {f"x-{number}": "1" for number in range(HEADERS_MAX)}
    assert ask("GET", "/v1/status", **headers).code == "too_large"


def test_a_large_json_body_is_refused_announced_or_not(ask: Any) -> None:
    body = b'{"ticket": "' + b"a" * JSON_BODY_MAX + b'"}'
    assert ask("POST", "/v1/join", body, content_type="application/json").code == "too_large"
    parts = iter([body[: 600 * 1024], body[600 * 1024 :]])
    assert ask("POST", "/v1/join", parts, content_type="application/json").code == "too_large"


def raw(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while chunk := connection.recv(65536):
            found += chunk
        return found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"PUT /v1/objects HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: -5\r\n\r\n",
        b"PUT /v1/objects HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: h2c\r\nconnection: upgrade\r\nhttp2-settings: \r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + b"\xff" * 50,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_garbage_is_survived(ask: Any, data: bytes) -> None:
    assert b" 200 " not in raw(ask.node.port, data).split(b"\r\n")[0]
    assert ask("GET", "/health").status == 200
