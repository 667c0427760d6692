"""inos mcp: through the protocol's own client, over standard input and output and over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

Cli = Any

TOOLS = {
    "post_message", "query_messages", "search_messages", "get_message", "mark_messages", "unread_count", "put_file",
    "get_file", "list_files",
}  # fmt: skip


@asynccontextmanager
async def started(inos: Cli, *arguments: str) -> AsyncIterator[Client]:
    """The client of a server that it started, as an agent framework does."""
    environment = {
        "INOS_HOME": str(inos.home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    command = ["-m", "inos", "mcp", "--agent", "scout-1", *arguments]
    async with Client(StdioServerParameters(command=sys.executable, args=command, env=environment)) as client:
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return answer.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    return str(getattr(answer.content[0], "text", ""))


def test_an_agent_posts_finds_and_acknowledges_and_keeps_files(inos: Cli) -> None:
    async def main() -> None:
        async with started(inos, "--role", "coder") as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
            stored = await call(client, "put_file", name="/reports/today.md", text="all is well")
            assert stored["size"] == 11
            posted = await call(
                client,
                "post_message",
                content="see the report of today",
                kind="completion",
                attachments=["/reports/today.md"],
            )
            await call(client, "post_message", content={"n": 1}, kind="error", priority=9)
            assert (await call(client, "unread_count"))["unread"] == 2
            page = await call(client, "query_messages", kind="completion")
            message = page["messages"][0]["message"]
            assert message["agent"] == "scout-1" and message["role"] == "coder"
            assert message["attachments"][0]["size_bytes"] == 11
            found = await call(client, "search_messages", text="report")
            assert [each["message"]["id"] for each in found["messages"]] == [posted["id"]]
            assert "[report]" in found["messages"][0]["snippet"]
            marked = await call(client, "mark_messages", ids=[posted["id"]])
            assert marked == {"states": {posted["id"]: "acknowledged"}, "covered": True}
            assert (await call(client, "get_message", message_id=posted["id"]))["state"] == "acknowledged"
            assert (await call(client, "get_file", name="/reports/today.md"))["text"] == "all is well"
            assert (await call(client, "get_file", name="/reports/today.md", start=4))["text"] == "is well"
            names = (await call(client, "list_files", prefix="/reports"))["files"]
            assert [each["name"] for each in names] == ["/reports/today.md"]
            await call(client, "put_file", name="/raw", base64_data="/w==")
            assert (await call(client, "get_file", name="/raw"))["base64_data"] == "/w=="

    anyio.run(main)


def test_wrong_calls_say_what_is_wrong_and_change_nothing(inos: Cli) -> None:
    async def main() -> None:
        async with started(inos) as client:
            assert "bad_input" in await refusal(client, "query_messages", state="lost")
            assert "bad_input" in await refusal(client, "mark_messages", ids=["x"])
            assert "not_found" in await refusal(client, "get_file", name="/nowhere")
            assert "bad_input" in await refusal(client, "put_file", name="/x", base64_data="%")
            assert "inos mcp --files" in await refusal(client, "put_file", name="/x", local_path="/etc/hostname")
            assert "less than or equal to 9" in await refusal(client, "post_message", content="x", priority=10)
            assert (await call(client, "unread_count"))["unread"] == 0
            assert (await call(client, "list_files"))["files"] == []

    anyio.run(main)


def test_local_files_only_below_the_folder_that_was_named(inos: Cli) -> None:
    allowed = inos.cwd / "allowed"
    allowed.mkdir()
    (allowed / "in.txt").write_text("12345")
    (inos.cwd / "secret").write_text("x")
    (allowed / "way-out").symlink_to(inos.cwd)

    async def main() -> None:
        async with started(inos, "--files", str(allowed)) as client:
            assert (await call(client, "put_file", name="/in", local_path="in.txt"))["size"] == 5
            await call(client, "get_file", name="/in", local_path="out.txt")
            for path in ("../secret", "/etc/hostname", "way-out/secret"):
                assert "outside" in await refusal(client, "put_file", name="/s", local_path=path)
                assert "outside" in await refusal(client, "get_file", name="/in", local_path=path)

    anyio.run(main)
    assert (allowed / "out.txt").read_text() == "12345" and (inos.cwd / "secret").read_text() == "x"


def test_over_http_only_with_the_token(inos: Cli) -> None:
    with inos.popen("mcp", "--http", "127.0.0.1:0") as process:
        assert process.stderr is not None and b"serving" in process.stderr.readline()
        file = inos.home / "mcp.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        where = json.loads(file.read_text())
        assert where["token"] not in " ".join(process.args)

        async def main() -> None:
            headers = {"authorization": f"Bearer {where['token']}"}
            async with (
                httpx2.AsyncClient(headers=headers) as http,
                Client(streamable_http_client(where["url"], http_client=http)) as client,
            ):
                await call(client, "post_message", content="over http")
                assert (await call(client, "unread_count"))["unread"] == 1
            async with httpx2.AsyncClient() as stranger:
                for wrong in ({}, {"authorization": "Bearer wrong"}):
                    answer = await stranger.post(where["url"], headers=wrong, json={})
                    assert answer.status_code == 401
                rebound = await stranger.post(where["url"], headers=headers | {"host": "evil.example"}, json={})
                assert rebound.status_code in (403, 421)

        anyio.run(main)
        address = urlsplit(where["url"])
        with socket.create_connection((address.hostname, address.port), timeout=20) as leaver:
            head = (
                f"POST {address.path} HTTP/1.1\r\nhost: {address.netloc}\r\nauthorization: Bearer {where['token']}\r\n"
            )
            kind = "content-type: application/json\r\naccept: application/json, text/event-stream\r\n"
            leaver.sendall(f"{head}{kind}content-length: 100\r\n\r\n{{".encode())
        assert httpx2.post(where["url"], json={}).status_code == 401, "it is there for others"
        process.send_signal(signal.SIGINT)
        process.wait(20)
        assert b"Traceback" not in process.stderr.read()
        assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--http", "nonsense"], "not an address"),
        (["--http", "127.0.0.1:99999"], "not an address"),
        (["--files", "nowhere"], "not a folder"),
        (["--agent", "no spaces"], "not the name of an agent"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(alone: Cli, arguments: list[str], says: str) -> None:
    done = alone("mcp", *arguments)
    assert done.code == 1 and says in done.err


def test_a_port_in_use_is_said(alone: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = alone("mcp", "--http", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.code == 1 and "cannot listen" in done.err
