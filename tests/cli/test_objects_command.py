"""put, get, ls, stat, rm, verify as processes: names of every kind, pipes, and everything a user gets wrong."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from inos.client.connect import connect_sync
from inos.core.reports import PutOptions, PutReport
from inos.testing.memory_service import MemoryService

MIB = 1024 * 1024


@pytest.mark.parametrize("name", ["plain", "with space", "ünï→文", "-x", "--json", "*?[a]", "quote'\"", "bafkr4i"])
def test_a_file_of_any_name_goes_and_comes(inos: Any, name: str) -> None:
    content = os.urandom(1000)
    (inos.cwd / name).write_bytes(content)
    put = inos("put", "--json", "--", name).json
    assert (put["name"], put["size"], put["survives"]) == (f"/{name}", 1000, 3)
    assert inos("get", "-o", "-", "--", name).out == content
    assert inos("get", "--", name, "-").out == content
    assert inos("get", "-o", "out", put["ref"]).code == 0
    assert (inos.cwd / "out").read_bytes() == content
    assert inos("stat", "--json", "--", name).json["cid"] == put["cid"]
    assert [item["name"] for item in inos("ls", "--json").lines] == [f"/{name}"]
    assert inos("rm", "--json", "--", name).json["names"] == [f"/{name}"]


def test_get_writes_where_it_is_told_once(inos: Any) -> None:
    (inos.cwd / "a").write_bytes(b"a")
    ref = inos("put", "--json", "a").json["ref"]
    assert inos("get", ref, "there").code == 0 and (inos.cwd / "there").read_bytes() == b"a"
    assert inos("get", "a", "there", "--range", "0-0").code == 0
    twice = inos("get", ref, "there", "-o", "elsewhere")
    assert twice.code and "given twice" in twice.err and not (inos.cwd / "elsewhere").exists()


def test_put_prints_references_and_nothing_else(inos: Any) -> None:
    (inos.cwd / "a").write_bytes(b"a")
    (inos.cwd / "b").write_bytes(b"")
    done = inos("put", "a", "b")
    assert [line.startswith("inos:bafkr4i") for line in done.text.splitlines()] == [True, True]
    assert "/a  1 B" in done.err and "survives the loss of 3 nodes" in done.err
    assert inos("get", done.text.splitlines()[1], "-o", "-").out == b""


def test_names_can_be_chosen(inos: Any) -> None:
    (inos.cwd / "a").write_bytes(b"a")
    (inos.cwd / "b").write_bytes(b"b")
    assert inos("put", "a", "--as", "inos:/x/y", "--json").json["name"] == "/x/y"
    assert [line["name"] for line in inos("put", "a", "b", "--name", "/d", "--json").lines] == ["/d/a", "/d/b"]


def test_a_folder_goes_and_comes(inos: Any) -> None:
    folder = inos.cwd / "my photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a b.jpg").write_bytes(b"jpg")
    (folder / "link").symlink_to("sub/a b.jpg")
    os.mkfifo(folder / "pipe")
    put = inos("put", "my photos", "--json").json
    assert (put["ref"], put["files"], put["folders"], put["links"]) == ("inos:/my photos", 1, 2, 1)
    assert put["skipped"] == ["my photos/pipe: not a file, a folder or a link"]
    assert "skipped: my photos/pipe" in inos("put", "my photos").err
    got = inos("get", put["ref"], "-o", "copy", "--json").json
    assert (got["files"], got["links"]) == (1, 1)
    assert (inos.cwd / "copy" / "link").read_bytes() == b"jpg"
    assert inos("get", "/my photos/sub").code == 0
    assert (inos.cwd / "sub" / "a b.jpg").exists()


def test_pipes(inos: Any) -> None:
    content = os.urandom(3 * MIB)
    put = inos("put", "-", "--name", "piped", "--json", stdin=content).json
    assert (put["name"], put["size"]) == ("/piped", len(content))
    assert inos("get", "piped", "-o", "-").out == content
    nameless = inos("put", "-", stdin=b"x").text.strip()
    assert inos("get", nameless, "-o", "-").out == b"x"
    assert inos("put", "-", "--json").json["size"] == 0


def test_what_is_stored_is_found_by_what_it_holds(inos: Any) -> None:
    content = os.urandom(3 * MIB)
    digest = hashlib.sha256(content).hexdigest()
    (inos.cwd / "here").write_bytes(content)
    (inos.cwd / "other").write_bytes(b"other")
    nothing = inos("find", "here")
    assert (nothing.code, nothing.text) == (1, "") and "not here: here" in nothing.err
    for name in ("a", "b/c"):
        assert inos("put", "here", "--name", name, "--json").json["sha256"] == digest
    lines = inos("find", "here").text.splitlines()
    assert [line.split()[-1] for line in lines] == ["/a", "/b/c"]
    assert inos("find", "-", stdin=content).text.splitlines() == lines
    assert [(item["name"], item["sha256"]) for item in inos("find", "--sha256", digest, "--json").lines] == [
        ("/a", digest), ("/b/c", digest),
    ]  # fmt: skip
    some = inos("find", "here", "other")
    assert (some.code, some.text.splitlines()) == (1, lines) and "not here: other" in some.err
    assert inos("get", f"sha256:{digest}", "-o", "-").out == content
    assert inos("get", f"sha256:{digest}", "-o", "copy").code == 0
    assert digest in inos("stat", f"sha256:{digest}").text
    assert inos("rm", f"sha256:{digest}", "--json").json["names"] == ["/a", "/b/c"]
    assert inos("find", "--sha256", digest).code == 1


def test_paths_that_would_have_one_name_are_not_stored(inos: Any) -> None:
    for folder in ("a", "b"):
        (inos.cwd / folder).mkdir()
        (inos.cwd / folder / "x").write_bytes(folder.encode())
    for more in ((), ("--name", "/d")):
        refused = inos("put", "a/x", "b/x", *more, "--json").error
        assert refused["code"] == "bad_input" and "a/x and b/x would both be stored as" in refused["message"]
    assert inos("ls").text == ""
    assert inos("put", "a/x", "b").code == 0


def test_a_file_does_not_take_a_folders_name(inos: Any) -> None:
    (inos.cwd / "photos").mkdir()
    (inos.cwd / "photos" / "a").write_bytes(b"a")
    (inos.cwd / "x").write_bytes(b"x")
    inos("put", "photos")
    refused = inos("put", "x", "--name", "photos", "--json").error
    assert refused["code"] == "conflict" and "inos rm /photos" in refused["hint"]
    assert "/photos/a is a file" in inos("put", "x", "--name", "photos/a/b", "--json").error["message"]
    assert inos("get", "photos/a", "-").out == b"a"


def test_a_name_that_is_a_file_and_a_folder_is_told_and_taken_apart(inos: Any, service: MemoryService) -> None:
    """As older releases could make it."""
    for name in ("t/a", "t/c"):
        inos("put", "-", "--name", name, stdin=b"x")
    service.names["/t/a/b"] = replace(service.names["/t/c"], name="/t/a/b")
    got = inos("get", "t")
    assert got.code == 1 and "left out: /t/a: " in got.err and "error: 1 name left out" in got.err
    assert {path.name for path in (inos.cwd / "t").rglob("*")} == {"a", "b", "c"}
    got = inos("get", "t", "again", "--json")
    assert (got.code, got.json["files"], len(got.json["left_out"])) == (1, 2, 1) and '"code": "conflict"' in got.err
    removed = inos("rm", "t/a")
    assert "removed 1 name" in removed.err and "1 name below it stay" in removed.err and "inos rm t/a" in removed.err
    assert inos("ls").text.split() == ["/t/a/b", "/t/c"]
    assert inos("get", "t", "whole", "--json").json["left_out"] == []


def test_a_full_disk_behind_standard_output(inos: Any) -> None:
    inos("put", "-", "--name", "a", stdin=b"x" * 100_000)
    for words in (("status",), ("ls", "--json"), ("get", "a", "-"), ("get", "a", "-", "--range", "0-0")):
        with Path("/dev/full").open("wb") as full, inos.popen(*words, stdout=full) as process:
            err = process.communicate(timeout=60)[1].decode()
        assert process.returncode == 1, words
        json_error = '"code": "storage_full"' in err
        assert "cannot write to standard output" in err and json_error == ("--json" in words) and "internal" not in err


def test_a_range_into_a_file_is_reported(inos: Any) -> None:
    inos("put", "-", "--name", "a", stdin=b"0123456789")
    got = inos("get", "a", "out", "--range", "2-4", "--json").json
    assert (got["path"], got["size"], got["files"]) == ("out", 3, 1) and (inos.cwd / "out").read_bytes() == b"234"
    assert inos("get", "a", "-", "--range", "2-4", "--json").out == b"234"


def test_what_is_not_found_is_an_error_in_json(inos: Any) -> None:
    (inos.cwd / "here").write_bytes(b"here")
    (inos.cwd / "other").write_bytes(b"other")
    inos("put", "here")
    found = inos("find", "here", "other", "--json")
    assert (found.code, found.json["name"]) == (1, "/here")
    assert json.loads(found.err)["error"]["code"] == "not_found" and "not here: other" in found.err


def test_finding_says_what_is_wrong(inos: Any) -> None:
    assert "inos find FILE" in inos("find").err
    assert "inos find FILE" in inos("find", "x", "--sha256", "0" * 64).err
    assert "not a SHA-256" in inos("find", "--sha256", "xyz").err
    assert "cannot read missing" in inos("find", "missing").err
    assert "cannot read ." in inos("find", ".").err
    assert {inos("find").code, inos("find", "missing").code} == {1}


def test_ranges(inos: Any) -> None:
    inos("put", "-", "--name", "ten", stdin=b"0123456789")
    assert inos("get", "ten", "--range", "2-4", "-o", "-").out == b"234"
    assert inos("get", "ten", "--range", "7-", "-o", "part").code == 0
    assert (inos.cwd / "part").read_bytes() == b"789"
    assert [path.name for path in inos.cwd.iterdir()] == ["part"]
    (inos.cwd / "part.part").write_text("mine")
    (inos.cwd / "part").unlink()
    (inos.cwd / "part").symlink_to(os.devnull)
    assert inos("get", "ten", "--range", "2-4", "-o", "part").code == 0
    assert (inos.cwd / "part").is_char_device() and (inos.cwd / "part.part").read_text() == "mine"
    (inos.cwd / "part.part").unlink()
    for span in ("4-2", "x", "-5", "1-2,3-4"):
        assert inos("get", "ten", "--range", span, "-o", "-", "--json").error["code"] == "bad_input"
    assert inos("get", "ten", "--range", "10-", "-o", "f", "--json").error["code"] == "bad_input"
    assert inos("get", "ten", "--range", "1-2", "--json").error["hint"].startswith("name a file")
    assert [path.name for path in inos.cwd.iterdir()] == ["part"]


def test_listing(inos: Any) -> None:
    (inos.cwd / "t" / "empty").mkdir(parents=True)
    (inos.cwd / "t" / "file").write_bytes(bytes(12345))
    os.utime(inos.cwd / "t" / "file", (1_700_000_000, 1_700_000_000))
    (inos.cwd / "t" / "link").symlink_to("file")
    inos("put", "t")
    assert inos("ls").text.splitlines() == ["/t/", "/t/empty/", "/t/file", "/t/link"]
    assert inos("ls", "t/f").text == "/t/file\n"
    long = inos("ls", "-l", "/t/").text.splitlines()
    assert long[0].split() == ["KIND", "SIZE", "MODIFIED", "NAME"]
    assert "12 kB" in long[2] and "2023-11-1" in long[2] and long[3].endswith("/t/link -> file")
    assert inos("ls", "nothing").text == "" and inos("ls", "-l", "nothing").text == ""


def test_what_has_no_name_is_listed_apart(inos: Any) -> None:
    assert inos("ls", "--nameless").text == ""
    inos("put", "-", "--name", "named", stdin=b"named")
    cid = inos("put", "-", "--json", stdin=b"x" * 2000).json["cid"]
    shown = inos("ls", "--nameless")
    assert shown.text == f"{cid}  2.0 kB\n" and "inos rm CID" in shown.err
    (item,) = inos("ls", "--nameless", "--json").lines
    assert (item["cid"], item["size"], item["name"]) == (cid, 2000, "")
    assert inos("ls", "--nameless", "/a").code == inos("ls", "--nameless", "-l").code == 1


def test_stat_says_what_may_be_lost(inos: Any) -> None:
    inos("put", "-", "--name", "a", stdin=b"x" * 2000)
    text = inos("stat", "a").text
    assert "survives the loss of 3 nodes (4 when repair is done)" in text
    assert "2.0 kB (2000 bytes)" in text and "node-5  failed" in text and "\x1b" not in text


def test_verify(inos: Any, service: MemoryService) -> None:
    inos("put", "-", "--name", "a", stdin=b"x")
    assert "checked 1 chunk: 0 corrupt, 0 healed, 0 missing" in inos("verify").text
    service.corrupt.update(service.contents)
    reports = inos("verify", "a", "--json").lines
    assert reports[-1]["finished"] and reports[-1]["healed"] == 1
    assert inos("verify", "missing").code == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["put", "missing"], "not_found"),
        (["put", "/dev/null"], "bad_input"),
        (["put", "/no/such/folder/x"], "not_found"),
        (["put", "-", "-"], "bad_input"),
        (["put", "-", "other", "--name", "d"], "bad_input"),
        (["put", "file", "--name", "a/../b"], "bad_input"),
        (["put", "file", "--require", "replicated"], "not_enough_nodes"),
        (["put", "file", "--require", "many"], "bad_input"),
        (["get", "missing"], "not_found"),
        (["get", "inos:nonsense", "-o", "x"], "bad_reference"),
        (["get", "bafkr4i" + "a" * 52, "-o", "x"], "not_found"),
        (["get", "bafkr4i" + "a" * 52], "bad_input"),
        (["get", "stored", "-o", "folder"], "bad_input"),
        (["get", "stored", "-o", "folder", "--range", "0-1"], "bad_input"),
        (["get", "stored", "-o", "no/such/folder"], "not_found"),
        (["get", "stored", "-o", "no/such/folder", "--range", "0-1"], "bad_input"),
        (["stat", "missing"], "not_found"),
        (["rm", "missing"], "not_found"),
        (["verify", "missing"], "not_found"),
        (["join", "garbled"], "bad_ticket"),
        (["revoke", "nobody"], "not_found"),
        (["invite", "--lifetime", "soon"], "bad_input"),
        (["invite", "--lifetime", "400d"], "bad_input"),
        (["stat", ""], "bad_input"),
    ],
)
def test_what_a_user_gets_wrong(inos: Any, arguments: list[str], code: str) -> None:
    (inos.cwd / "file").write_bytes(b"x")
    (inos.cwd / "folder").mkdir()
    with connect_sync(inos.home) as mesh:
        mesh.put(b"x", name="stored")
    assert inos(*arguments, "--json").error["code"] == code
    done = inos(*arguments)
    assert done.code == 1 and done.out == b""
    first, *rest = done.err.splitlines()
    assert first.startswith("error: ") and len(rest) <= 1 and all(line.startswith("hint: ") for line in rest)
    assert sorted(path.name for path in inos.cwd.rglob("*")) == ["file", "folder"]


def test_a_missing_file_is_named(inos: Any) -> None:
    assert inos("put", "no such file").err == "error: no such file: no such file\n"


def test_a_name_that_is_not_text(inos: Any) -> None:
    name = b"bad\xff"
    Path(os.fsdecode(bytes(inos.cwd) + b"/" + name)).write_bytes(b"x")
    done = inos("put", name)
    assert done.code == 1 and "not UTF-8" in done.err
    assert inos("component", "show", name).err == "error: not UTF-8: 'bad\\udcff'\nhint: give text\n"
    assert inos("put", name, "--name", "good").code == 0


@pytest.mark.parametrize("arguments", [["put"], ["get"], ["nonsense"], ["put", "--nonsense", "x"], ["stat", "a", "b"]])
def test_used_wrongly(inos: Any, arguments: list[str]) -> None:
    assert inos(*arguments).code == 2


def test_no_node(alone: Any) -> None:
    done = alone("status")
    assert (done.code, done.out) == (1, b"")
    assert done.err == (
        f"error: no node is running for {alone.home}, and there is no data root\nhint: make one with: inos init\n"
    )
    alone.home.mkdir()
    assert alone("ls").err == f"error: no node is running for {alone.home}\nhint: start one with: inos up\n"
    (alone.home / "api.json").write_text('{"url": "http://127.0.0.1:1", "token": "x"}')
    assert alone("ls", "--json").error["code"] == "no_node"
    assert alone("ls", "--home", "elsewhere").err.startswith("error: no node is running for")
    (alone.home / "api.json").write_text("garbage")
    assert "damaged" in alone("ls").err


def test_another_program_on_the_port(alone: Any) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        alone.home.mkdir()
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        (alone.home / "api.json").write_text(f'{{"url": "{url}", "token": "x"}}')

        def answer() -> None:
            for reply in (b"220 mail.example ESMTP\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"):
                connection, _ = other.accept()
                connection.recv(1000)
                connection.sendall(reply)
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        done = alone("peers")
        thread.join(10)
    assert done.code == 1 and done.err.startswith("error: ")


def test_a_reader_that_leaves(inos: Any) -> None:
    inos("put", "-", "--name", "a", stdin=bytes(20 * MIB))
    with inos.popen("get", "a", "-o", "-") as process:
        assert len(process.stdout.read(1000)) == 1000
        process.stdout.close()
        assert process.wait(20) == 1
        assert process.stderr.read() == b""


def test_ctrl_c(inos: Any, service: MemoryService, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, store = threading.Event(), service.put

    async def put(source: AsyncIterator[bytes], options: PutOptions) -> PutReport:
        async def noticed() -> AsyncIterator[bytes]:
            async for part in source:
                under_way.set()
                yield part

        return await store(noticed(), options)

    monkeypatch.setattr(service, "put", put)
    with inos.popen("put", "-", "--name", "a", stdin=subprocess.PIPE) as process:
        process.stdin.write(b"x" * MIB)
        process.stdin.flush()
        assert under_way.wait(30)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert b"Traceback" not in process.stderr.read()
        process.stdin.close()
    assert inos("ls").text == ""


@pytest.mark.parametrize("size", [8 * MIB, 40 * MIB])
def test_a_file_that_another_get_writes_is_left_to_it(
    inos: Any, node: Any, service: MemoryService, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """As bytes and as an open file that the node writes: until that get has ended, however it ends."""
    (inos.cwd / "big").write_bytes(content := os.urandom(size))
    assert inos("put", "big").code == 0
    under_way, may_go_on, real = threading.Event(), trio.Event(), service._chunks

    async def chunks(whole: memoryview) -> AsyncIterator[bytes]:
        async with aclosing(real(whole)) as some:
            for _ in range(3):
                yield await anext(some)
            under_way.set()
            await may_go_on.wait()
            async for chunk in some:
                yield chunk

    monkeypatch.setattr(service, "_chunks", chunks)
    for end in ("killed", "done"):
        under_way.clear()
        with inos.popen("get", "big", "out") as first:
            try:
                assert under_way.wait(30)
                for _ in range(2):
                    refused = inos("get", "big", "out", "--json").error
                    assert refused["code"] == "conflict" and "another get writes this file: out" in refused["message"]
                    assert "wait until it has finished" in refused["hint"] and not (inos.cwd / "out").exists()
                if end == "done":
                    node.call(may_go_on.set)
                    assert first.wait(30) == 0
            finally:
                first.kill()
    assert (inos.cwd / "out").read_bytes() == content
    assert sorted(path.name for path in inos.cwd.iterdir()) == ["big", "out"]


def test_gets_of_one_file_at_once(inos: Any) -> None:
    (inos.cwd / "big").write_bytes(content := os.urandom(20 * MIB))
    assert inos("put", "big").code == 0
    for _ in range(3):
        (inos.cwd / "out").write_bytes(b"before")
        gets = [inos.popen("get", "big", "out") for _ in range(3)]
        ends = [(get.communicate(timeout=60)[1], get.returncode) for get in gets]
        assert any(code == 0 for _, code in ends), ends
        assert all(code == 0 or (code == 1 and b"another get writes this file" in said) for said, code in ends), ends
        assert (inos.cwd / "out").read_bytes() == content
        assert sorted(path.name for path in inos.cwd.iterdir()) == ["big", "out"]


def test_on_a_terminal_it_shows_progress_and_colour(
    inos: Any, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (inos.cwd / "big").open("wb") as file:
        file.truncate(64 * MIB)
    store = service.put

    async def put(source: AsyncIterator[bytes], options: PutOptions) -> PutReport:
        async def unhurried() -> AsyncIterator[bytes]:  # long enough under way to be drawn twice, which a rate takes
            async for part in source:
                yield part
                await trio.sleep(0.25)

        return await store(unhurried(), options)

    monkeypatch.setattr(service, "put", put)
    for environment, coloured in ((dict[str, str](), True), ({"NO_COLOR": "1"}, False)):
        inos.env.clear()
        inos.env.update(environment | {"TERM": "xterm"})
        main, side = pty.openpty()
        with inos.popen("put", "big", stderr=side) as process:
            os.close(side)
            seen = read_all(main)
            assert process.wait(30) == 0
            assert process.stdout.read().startswith(b"inos:")
        assert b"%" in seen and b"/s" in seen and b"left" in seen
        main, side = pty.openpty()
        with inos.popen("get", "missing", stderr=side):
            os.close(side)
            assert (b"\x1b[31merror:" in read_all(main)) is coloured


def read_all(terminal: int) -> bytes:
    seen = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            data = b""
        if not data:
            os.close(terminal)
            return seen
        seen += data
