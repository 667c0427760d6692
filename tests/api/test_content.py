"""Object bytes over HTTP: in, out, in part; streamed both ways; and what happens when one side goes away."""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inos.api.service import Download
from inos.core.batch import BATCH_BODY_MAX, encode_batch
from inos.core.env import RealEnv
from inos.core.errors import Corrupt
from inos.core.reports import BatchItem, PutOptions, PutReport, from_dict
from inos.testing.memory_service import MemoryService
from served import served

MIB = 1024 * 1024


def test_what_is_put_comes_back(ask: Any) -> None:
    content = bytes(range(256)) * 10_000
    put = ask("PUT", "/v1/objects?name=/a%20b/%C3%BC.bin&mode=384&modified_ms=1700000000123", content)
    report = from_dict(PutReport, put.json)
    assert (put.status, report.name, report.size) == (200, "/a b/ü.bin", len(content))
    for target in ("/a%20b/%C3%BC.bin", report.ref.replace("#", "%23"), report.cid):
        got = ask("GET", f"/v1/objects/content?target={target}")
        assert got.status == 200 and got.body == content
    head = ask("HEAD", "/v1/objects/content?target=/a%20b/%C3%BC.bin")
    assert head.body == b"" and head.headers["content-length"] == str(len(content))
    assert head.headers["x-inos-name"] == "/a%20b/%C3%BC.bin"
    assert (head.headers["x-inos-mode"], head.headers["x-inos-modified-ms"]) == ("384", "1700000000123")
    assert head.headers["x-inos-reference"] == report.ref


def test_a_browser_never_renders_content(ask: Any) -> None:
    ask("PUT", "/v1/objects?name=page.html", b"<script>")
    headers = ask("GET", "/v1/objects/content?target=page.html").headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == "attachment" and headers["x-content-type-options"] == "nosniff"


def test_an_empty_object(ask: Any) -> None:
    assert ask("PUT", "/v1/objects?name=empty", b"").json["size"] == 0
    got = ask("GET", "/v1/objects/content?target=empty")
    assert (got.status, got.body, got.headers["content-length"]) == (200, b"", "0")


def test_without_a_length_it_is_streamed_all_the_same(ask: Any) -> None:
    parts = iter([b"one ", b"", b"two ", b"three"])
    assert ask("PUT", "/v1/objects?name=chunked", parts).status == 200
    assert ask("GET", "/v1/objects/content?target=chunked").body == b"one two three"


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[http.client.HTTPConnection]:
    home = tmp_path_factory.mktemp("ten")
    with served(MemoryService(RealEnv()), home) as node:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        connection.request("PUT", "/v1/objects?name=ten", b"0123456789", {"authorization": f"Bearer {node.token}"})
        assert connection.getresponse().read()
        connection.token = node.token  # type: ignore[attr-defined]
        yield connection
        connection.close()


@given(st.one_of(st.none(), st.integers(0, 14)), st.one_of(st.none(), st.integers(0, 14)))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ranges(ten: Any, first: int | None, last: int | None) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    ten.request(
        "GET", "/v1/objects/content?target=ten", headers={"range": header, "authorization": f"Bearer {ten.token}"}
    )
    answer = ten.getresponse()
    body, whole = answer.read(), b"0123456789"
    if (first is None and last is None) or (first is not None and last is not None and last < first):
        assert (answer.status, body) == (200, whole)
        return
    expected = whole[-last:] if first is None and last else whole[first:] if last is None else whole[first : last + 1]
    if first is None and not last:
        expected = b""
    if not expected:
        assert answer.status == 416 and answer.headers["content-range"] == "bytes */10"
        return
    assert (answer.status, body) == (206, expected)
    match = re.fullmatch(r"bytes (\d+)-(\d+)/10", answer.headers["content-range"])
    assert match and whole[int(match[1]) : int(match[2]) + 1] == expected


def test_a_range_of_another_version_gives_the_whole(ask: Any) -> None:
    ask("PUT", "/v1/objects?name=v", b"0123456789")
    tag = ask("HEAD", "/v1/objects/content?target=v").headers["etag"]
    assert ask("GET", "/v1/objects/content?target=v", range="bytes=5-", if_range=tag).body == b"56789"
    assert ask("GET", "/v1/objects/content?target=v", range="bytes=5-", if_range='"other"').body == b"0123456789"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/objects/content", 400, "bad_input"),
        ("/v1/objects/content?target=missing", 404, "not_found"),
        ("/v1/objects/content?target=inos:nonsense", 400, "bad_reference"),
        ("/v1/objects/content?target=%ff", 400, "bad_input"),
        ("/v1/objects/content?" + "&".join(f"a{n}=1" for n in range(40)), 400, "bad_input"),
        ("/v1/objects/content?target=a/../b", 400, "bad_input"),
    ],
)
def test_reading_what_is_not_there(ask: Any, path: str, status: int, code: str) -> None:
    answer = ask("GET", path)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    "query",
    ["name=", "name=a/../b", "name=%00", "name=a&mode=x", "name=a&mode=99999", "name=a&modified_ms=" + "9" * 40],
)
def test_a_wrong_query_stores_nothing(ask: Any, service: MemoryService, query: str) -> None:
    answer = ask("PUT", f"/v1/objects?{query}", b"x")
    assert (answer.status, answer.code) == (400, "bad_input")
    assert not service.contents


def test_durability_that_cannot_be_reached(ask: Any) -> None:
    answer = ask("PUT", "/v1/objects?name=a&require=replicated", b"x")
    assert (answer.status, answer.code, answer.json["error"]["retryable"]) == (503, "not_enough_nodes", True)
    assert ask("PUT", "/v1/objects?name=a&require=4", b"x").status == 200


def test_a_full_disk_is_answered_while_the_client_still_sends(tmp_path: Path) -> None:
    with served(MemoryService(RealEnv(), quota_bytes=MIB), tmp_path) as node:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        connection.request("PUT", "/v1/objects?name=a", bytes(20 * MIB), {"authorization": f"Bearer {node.token}"})
        answer = connection.getresponse()
        assert answer.status == 507 and b"storage_full" in answer.read()
        connection.close()


def test_an_upload_broken_off_stores_nothing(ask: Any, service: MemoryService) -> None:
    head = f"PUT /v1/objects?name=cut HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {ask.node.token}\r\n"
    with socket.create_connection(("127.0.0.1", ask.node.port)) as connection:
        connection.sendall(head.encode() + b"content-length: 1000\r\n\r\nhalf of it")
    assert ask("GET", "/health").status == 200
    assert not service.contents and not service.names


@pytest.mark.parametrize("modified_ms", [1 << 53, -(1 << 53), 1 << 63])
def test_a_time_that_no_format_holds_is_refused(ask: Any, modified_ms: int) -> None:
    link, folder = {"name": "/l", "target": "x"}, {"name": "/f"}
    refused = [
        ask("PUT", f"/v1/objects?name=/a&modified_ms={modified_ms}", b"x"),
        ask("POST", "/v1/objects:batch", encode_batch([BatchItem("/a", 0o644, modified_ms, b"x")])),
        ask("POST", "/v1/links", {**link, "modified_ms": modified_ms}),
        ask("POST", "/v1/folders", {**folder, "modified_ms": modified_ms}),
    ]
    assert [(each.status, each.code) for each in refused] == [(400, "bad_input")] * 4
    assert ask("GET", "/v1/objects").json["items"] == []


def test_a_batch(ask: Any) -> None:
    items = [BatchItem(f"/t/{number}", 0o644, number, b"x" * number) for number in range(50)]
    answer = ask("POST", "/v1/objects:batch", encode_batch(items))
    assert [report["name"] for report in answer.json["reports"]] == [item.name for item in items]
    assert ask("GET", "/v1/objects/content?target=/t/7").body == b"x" * 7


def test_files_of_a_batch_have_names_of_their_own(ask: Any) -> None:
    for names in (("/t/a", "/t/b", "t/a"), ("/t/e\u0301", "/t/\u00e9"), ("/t", "/t/a")):
        refused = ask("POST", "/v1/objects:batch", encode_batch([BatchItem(name, 0, 0, b"x") for name in names]))
        assert (refused.status, refused.code) == (400, "bad_input")
    assert ask("GET", "/v1/objects").json["items"] == []


def test_a_name_is_a_file_or_a_folder(ask: Any) -> None:
    ask("PUT", "/v1/objects?name=/t/a", b"x")
    for refused in (
        ask("PUT", "/v1/objects?name=/t", b"x" * 100_000),
        ask("PUT", "/v1/objects?name=/t/a/b", b"x"),
        ask("POST", "/v1/objects:batch", encode_batch([BatchItem("/t/a/b", 0, 0, b"x")])),
        ask("POST", "/v1/links", {"name": "/t", "target": "x"}),
        ask("POST", "/v1/folders", {"name": "/t/a"}),
    ):
        assert (refused.status, refused.code) == (409, "conflict") and "inos rm /t" in refused.json["error"]["hint"]
    assert [item["name"] for item in ask("GET", "/v1/objects").json["items"]] == ["/t/a"]


@pytest.mark.parametrize("target", ["", "a\0b", "x" * 4096])
def test_a_link_has_a_target(ask: Any, target: str) -> None:
    refused = ask("POST", "/v1/links", {"name": "/l", "target": target})
    assert (refused.status, refused.code) == (400, "bad_input") and "no link can point to" in refused.json["error"][
        "message"
    ]


@pytest.mark.parametrize(
    ("body", "code"), [(b"garbage", "bad_frame"), (bytes(BATCH_BODY_MAX + 1), "too_large"), (b"\0\0\0\5", "bad_frame")]
)
def test_a_wrong_batch(ask: Any, body: bytes, code: str) -> None:
    assert ask("POST", "/v1/objects:batch", body).code == code


class Endless(MemoryService):
    """Reads of it never end; writes of it are only as fast as it is let."""

    def __init__(self) -> None:
        super().__init__(RealEnv())
        self.given = 0
        self.closed = threading.Event()
        self.taken = 0

    async def open(self, target: str, start: int, end: int | None) -> Download:
        return Download(10**15, "", "inos:x", "aa", self._forever())

    async def _forever(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                self.given += MIB
                yield bytes(MIB)
        finally:
            self.closed.set()


def test_a_reader_that_goes_away_stops_the_reading(tmp_path: Path) -> None:
    service = Endless()
    with served(service, tmp_path) as node:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        headers = {"authorization": f"Bearer {node.token}"}
        connection.request("GET", "/v1/objects/content?target=a", headers=headers)
        assert len(connection.getresponse().read(MIB)) == MIB
        connection.close()
        assert service.closed.wait(5)


def test_a_reader_that_stops_holds_only_a_few_pieces(tmp_path: Path) -> None:
    service = Endless()
    with served(service, tmp_path) as node:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        headers = {"authorization": f"Bearer {node.token}"}
        connection.request("GET", "/v1/objects/content?target=a", headers=headers)
        connection.getresponse().read(1)
        threading.Event().wait(0.5)
        assert service.given < 32 * MIB  # what the sockets' own buffers take
        connection.close()


class Failing(MemoryService):
    """Breaks in the middle of every read."""

    async def open(self, target: str, start: int, end: int | None) -> Download:
        return Download(10 * MIB, "", "inos:x", "aa", self._some())

    async def _some(self) -> AsyncGenerator[bytes, None]:
        yield bytes(MIB)
        raise Corrupt("every copy of chunk 2 is corrupt")

    async def put(self, source: AsyncIterator[bytes], options: PutOptions) -> PutReport:
        raise ZeroDivisionError("secret detail")


def test_a_failure_midway_never_looks_whole(tmp_path: Path) -> None:
    with served(Failing(RealEnv()), tmp_path) as node:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        headers = {"authorization": f"Bearer {node.token}"}
        connection.request("GET", "/v1/objects/content?target=a", headers=headers)
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
        connection.close()


def test_an_unforeseen_error_tells_an_id_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with served(Failing(RealEnv()), tmp_path) as node:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        connection.request("PUT", "/v1/objects", b"x", {"authorization": f"Bearer {node.token}"})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
    assert answer.status == 500 and '"internal"' in body and "secret" not in body and "ZeroDivision" not in body
    match = re.search(r"internal error ([0-9a-f]{12})", body)
    assert match and match[1] in caplog.text and "secret detail" in caplog.text
