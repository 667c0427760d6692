"""Files that go with messages: streamed in, all or none, bounded."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from inos.api import message_files
from inos.api.multipart import MAX_HEADER_BYTES, Form, PartBegin, PartData, PartEnd
from inos.core.errors import BadInput
from inos.core.messages.message import MAX_ATTACHMENTS, Attachment
from inos.testing.corpus import message
from inos.testing.memory_service import MemoryService
from served import TOKEN, Served

TYPE = 'multipart/form-data; boundary="edge"'


def field(name: str, value: str) -> bytes:
    return f'--edge\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def file(filename: str, content: bytes, media_type: str = "text/plain") -> bytes:
    head = f'--edge\r\nContent-Disposition: form-data; name="f"; filename="{filename}"\r\n'
    return f"{head}Content-Type: {media_type}\r\n\r\n".encode() + content + b"\r\n"


END = b"--edge--\r\n"


def send(ask: Any, *parts: bytes, **headers: str) -> Any:
    return ask("POST", "/sync/files", b"".join(parts), content_type=TYPE, **headers)


def test_files_become_attachments(ask: Any, service: MemoryService) -> None:
    large = bytes(range(256)) * 10_000 + b"\r\n--edg\r\n--edge-"
    answer = send(
        ask,
        field("agent", "ada"),
        field("task", "find"),
        file("a.txt", b"hello"),
        file("ü.bin", large, "image/png"),
        END,
    )
    assert answer.status == 200, answer.body
    assert (answer.json["status"], answer.json["agent"], answer.json["task"]) == ("stored", "ada", "find")
    first, second = (Attachment.from_json(each) for each in answer.json["attachments"])
    assert (first.name, first.size_bytes, first.media_type) == ("a.txt", 5, "text/plain")
    assert (second.name, second.size_bytes, second.media_type) == ("ü.bin", len(large), "image/png")
    assert ask("GET", f"/v1/objects/content?target={second.reference.replace('#', '%23')}").body == large
    assert {name.rpartition("/")[2] for name in service.names} == {"a.txt", "ü.bin"}
    assert all(name.startswith("/messages/ada/") for name in service.names)
    whole = message(1, attachments=(first, second))
    assert ask("POST", "/sync/message", whole.encode()).json["status"] == "stored"


@pytest.mark.parametrize(
    "parts",
    [
        (END,),
        (field("agent", "ada"), END),
        (file("a", b"x"), END),
        (field("agent", "no agent"), file("a", b"x"), END),
        (field("agent", "ada"), field("agent", "bob"), file("a", b"x"), END),
        (field("agent", "ada"), field("colour", "red"), file("a", b"x"), END),
        (field("agent", "ada"), file("a", b"x"), field("task", "late"), END),
        (field("agent", "ada"), file("a", b"x")),
        (field("agent", "ada"), file("a", b"x"), file("b", b"x" * 99)[:-50]),
        (field("agent", "ada"), file("a", b"x"), file("a", b"y"), END),
        (field("agent", "ada"), file("", b"x"), END),
        (field("agent", "ada"), file("..", b"x"), END),
        (field("agent", "ada"), b"--edge\r\nno header\r\n\r\nx\r\n", END),
        (field("agent", "ada"), b"--edge\r\ncontent-type: a/b\r\n\r\nx\r\n", END),
        (b"no form at all",),
        (b"",),
    ],
)
def test_a_form_that_is_wrong_stores_nothing(ask: Any, service: MemoryService, parts: tuple[bytes, ...]) -> None:
    answer = send(ask, *parts)
    assert (answer.status, answer.json["error"]["code"]) in ((400, "bad_input"), (400, "bad_reference"))
    assert service.names == {}


def test_other_bodies_are_refused(ask: Any) -> None:
    for kind in ("application/json", "multipart/form-data", "multipart/form-data; boundary=" + "a" * 71, "none"):
        assert ask("POST", "/sync/files", b"x", content_type=kind).code == "bad_input"


def test_a_path_in_the_name_of_a_file_is_not_followed(ask: Any, service: MemoryService) -> None:
    names = ["/etc/passwd", "C:\\\\windows\\\\a.txt", "../../b.txt"]
    answer = send(ask, field("agent", "ada"), *(file(name, b"x") for name in names), END)
    assert [each["name"] for each in answer.json["attachments"]] == ["passwd", "a.txt", "b.txt"]
    assert all(name.startswith("/messages/ada/") and ".." not in name for name in service.names)


def test_sizes_are_bounded(ask: Any, service: MemoryService, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = field("agent", "ada")
    assert send(ask, agent, *(file(f"{n}", b"x") for n in range(MAX_ATTACHMENTS + 1)), END).code == "too_large"
    assert send(ask, field("agent", "a" * 2000), file("a", b"x"), END).code == "too_large"
    assert send(ask, agent, file("a" * MAX_HEADER_BYTES, b"x"), END).code == "bad_input"
    monkeypatch.setattr(message_files, "MAX_FORM_BYTES", 1000)
    assert send(ask, agent, file("a", b"x"), file("b", b"x" * 1000), END).code == "too_large"
    assert service.names == {}


def test_a_full_disk_stores_nothing_of_a_form(ask: Any, service: MemoryService) -> None:
    service._quota_bytes = 100
    answer = send(ask, field("agent", "ada"), file("a", b"x" * 50), file("b", b"x" * 80), END)
    assert (answer.status, answer.code) == (507, "storage_full")
    assert service.names == {}


def test_a_client_that_goes_away_stores_nothing(node: Served, service: MemoryService) -> None:
    body = field("agent", "ada") + file("a.txt", b"whole") + file("b.txt", b"x" * 100_000)[:-40_000]
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as client:
        head = (
            f"POST /sync/files HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: {TYPE}\r\n"
        )
        client.sendall(head.encode() + b"content-length: 1000000\r\n\r\n" + body)
        deadline_s = time.monotonic() + 10
        while not service.names and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert [name.rpartition("/")[2] for name in service.names] == ["a.txt"]
    deadline_s = time.monotonic() + 10
    while service.names and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert service.names == {}


def test_an_agent_stores_files_as_itself(ask: Any) -> None:
    token = ask("POST", "/v1/messages/tokens", {"agent": "ada", "scopes": ["files"]}).json["token"]
    bearer = f"Bearer {token}"
    assert send(ask, file("a", b"x"), END, authorization=bearer).json["agent"] == "ada"
    assert send(ask, field("agent", "ada"), file("a", b"x"), END, authorization=bearer).status == 200
    assert send(ask, field("agent", "bob"), file("a", b"x"), END, authorization=bearer).code == "refused"
    reader = ask("POST", "/v1/messages/tokens", {"agent": "ada", "scopes": ["read"]}).json["token"]
    assert send(ask, file("a", b"x"), END, authorization=f"Bearer {reader}").code == "refused"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_pieces_of_any_size_say_the_same(size: int) -> None:
    body = field("agent", "ada") + file("a.txt", b"\r\n--edge\r" * 20) + END + b"behind the end"
    form = Form(b"edge")
    events = [event for at in range(0, len(body), size) for event in form.feed(body[at : at + size])]
    assert form.ended
    content = {"": b""}
    current = ""
    for event in events:
        if isinstance(event, PartBegin):
            current = event.name
            content[current] = b""
        elif isinstance(event, PartData):
            content[current] += event.data
        else:
            assert isinstance(event, PartEnd)
    assert content == {"": b"", "agent": b"ada", "f": b"\r\n--edge\r" * 20}


def test_what_cannot_be_read_is_bad_input(caplog: pytest.LogCaptureFixture) -> None:
    for body in (b'--edge\r\ncontent-disposition: form-data; name="\xff"\r\n\r\n', b"--other\r\n"):
        with pytest.raises(BadInput):
            Form(b"edge").feed(body)
    assert not caplog.records, "the log is not for whoever sends it"
