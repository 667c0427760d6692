"""A program that is an agent, against a real API with a real corpus behind it: blocking, on asyncio and on trio."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from inos.core.env import RealEnv
from inos.core.errors import BadInput, Locked, NoNode, NotFound, Refused
from inos.core.messages.message import Attachment
from inos.core.messages.query import MessageQuery
from inos.messages import open_agent, open_agent_async
from inos.messages.config import AgentSettings
from inos.testing.memory_service import MemoryService
from served import TOKEN, Served, served

WAIT_S = 20.0
UNKNOWN = "01a21e41-4a9d-7d52-84bc-361e79528b9a"


class Node:
    """A node of one data root that a test starts and stops."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.service = MemoryService(RealEnv())
        self._stack = ExitStack()

    def start(self) -> Served:
        return self._stack.enter_context(served(self.service, self.home))

    def stop(self) -> None:
        self._stack.close()
        self.service.close()

    def corpus_texts(self) -> list[object]:
        return [each.message.content for each in self.service.messages.corpus.after(0, 500)]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.stop()


def test_what_an_agent_writes_is_here_and_a_moment_later_on_the_hub(node: Node) -> None:
    node.start()
    with open_agent("scout-1", role="recruiter", home=node.home) as agent:
        photo = Attachment("a.jpg", "inos:abc", 5, "image/jpeg")
        first = agent.append({"text": "found it"}, kind="lead", task="t", priority=8, attachments=[photo])
        assert (first.agent, first.role, first.kind, first.attachments) == ("scout-1", "recruiter", "lead", (photo,))
        assert agent.get(first.id).message == first
        assert agent.flush(WAIT_S)
        second = agent.append("again", reply_to=first.id)
        assert agent.flush(WAIT_S)
        assert agent.status(first.id) == "acked"
        assert [each.message for each in agent.query(of="all").messages] == [second, first]
        stats = agent.stats()
        assert (stats.sent, stats.failures, stats.last_error) == (2, 0, "")
        assert (stats.cache.messages, stats.cache.pending, stats.cache.max_bytes) == (2, 0, 2_064_000_000)
    assert node.corpus_texts() == [{"text": "found it"}, "again"]


def test_it_works_without_a_node_and_sends_when_there_is_one_later(node: Node) -> None:
    with open_agent("scout-1", home=node.home) as agent:
        agent.append("one")
        assert not agent.flush(0.3)
        assert agent.stats().last_error.startswith("no_node")
        assert agent.query().messages[0].message.content == "one"
    node.start()
    with open_agent("scout-1", home=node.home) as agent:
        agent.append("two")
    assert node.corpus_texts() == ["one", "two"], "leaving gives what is pending a moment"


def test_a_node_that_starts_anew_elsewhere_is_found_again(node: Node) -> None:
    before = node.start()
    with open_agent("scout-1", home=node.home) as agent:
        agent.append("one")
        assert agent.flush(WAIT_S)
        node.stop()
        agent.append("two")
        assert not agent.flush(0.3)
        after = node.start()
        assert after.port != before.port
        assert agent.flush(WAIT_S)
    assert node.corpus_texts() == ["one", "two"]


def test_messages_of_others_are_read_from_the_hub_and_remembered_while_it_is_away(node: Node) -> None:
    node.start()
    with open_agent("writer", home=node.home) as writer, open_agent("reader", home=node.home) as reader:
        theirs = writer.append({"text": "pears and apples"}, task="fruit")
        assert writer.flush(WAIT_S)
        mine = reader.append({"text": "apples"}, task="fruit")
        assert reader.flush(WAIT_S)
        assert reader.get(theirs.id).message == theirs
        assert [each.message for each in reader.search("apples", of="all").messages] == [mine, theirs]
        assert [each.message for each in reader.search("apples").messages] == [mine]
        with pytest.raises(NotFound):
            reader.get(UNKNOWN)
        node.stop()
        assert reader.get(theirs.id).message == theirs
        found = reader.query(MessageQuery(task="fruit", text="apples"), of="all").messages
        assert [each.message for each in found] == [mine, theirs]
        assert not reader.query(MessageQuery(task="fruit", agent="nobody"), of="all").messages
        with pytest.raises(NoNode):
            reader.get(UNKNOWN)


def test_a_hub_at_an_address_with_a_token_in_a_file(node: Node, tmp_path_factory: pytest.TempPathFactory) -> None:
    at = node.start()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    token = elsewhere / "token"
    token.write_text(TOKEN + "\n")
    settings = AgentSettings(hub_url=at.url, token_file=token)
    token.chmod(0o644)
    with pytest.raises(Refused, match="can be used by others"):
        open_agent("a", home=elsewhere, settings=settings)
    token.chmod(0o600)
    with open_agent("a", home=elsewhere, settings=settings) as agent:
        agent.append("from far away")
        assert agent.flush(WAIT_S)
        token.write_text("changed")
        token.chmod(0o600)
        assert node.corpus_texts() == ["from far away"]
    wrong = [
        ("ftp://x", "t"),
        ("http://x:99999", "t"),
        (f"http://{'x' * 70}", "t"),
        (at.url, "two words"),
        (at.url, ""),
    ]
    for url, text in wrong:
        token.write_text(text)
        with pytest.raises(BadInput):
            open_agent("a", home=elsewhere, settings=AgentSettings(hub_url=url, token_file=token))
    token.write_text("wrong")
    with open_agent("a", home=elsewhere, settings=settings) as agent:
        agent.append("refused")
        assert not agent.flush(0.5)
        assert agent.stats().last_error.startswith("unauthorised")
        token.write_text(TOKEN)
        assert agent.flush(WAIT_S), "the token is read again"


def test_one_agent_is_open_once_and_lets_go_when_it_is_closed(tmp_path: Path) -> None:
    agent = open_agent("a", home=tmp_path, settings=AgentSettings(enabled=False))
    with pytest.raises(Locked):
        open_agent("a", home=tmp_path)
    with open_agent("b", home=tmp_path, settings=AgentSettings(enabled=False)) as other:
        assert other.name == "b"
    agent.append("x")
    assert not agent.flush(0.1)
    assert agent.stats().cache.pending == 0
    agent.close()
    agent.close()
    with open_agent("a", home=tmp_path, folder=tmp_path / "given") as other:
        assert not other.query().messages, "another folder is another cache"
    assert (tmp_path / "given" / "cache.db").exists()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_same_on_an_event_loop(node: Node, backend: str) -> None:
    node.start()

    async def main() -> None:
        async with open_agent_async("scout-1", home=node.home) as agent:
            written = await agent.append({"text": "from a loop"})
            many = await agent.append_drafts([agent.draft(number) for number in range(50)])
            assert await agent.flush(WAIT_S)
            assert (await agent.get(written.id)).message == written
            assert len((await agent.query(MessageQuery(limit=500), of="all")).messages) == 51
            assert [each.message for each in (await agent.search("loop")).messages] == [written]
            assert await agent.status(many[-1].id) == "acked"
            assert await agent.parked() == []
            assert await agent.retry() == await agent.drop([]) == 0
            assert (await agent.stats()).sent == 51
            with pytest.raises(ValueError, match="mine"):
                async with open_agent_async("other", home=node.home):
                    raise ValueError("mine")

    anyio.run(main, backend=backend)
    assert node.corpus_texts() == [{"text": "from a loop"}, *range(50)]


def test_the_network_never_holds_up_the_writer(tmp_path: Path) -> None:
    """A hub that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        token = tmp_path / "token"
        token.touch(0o600)
        token.write_text("t")
        settings = AgentSettings(hub_url=f"http://127.0.0.1:{silent.getsockname()[1]}", token_file=token)
        began = time.monotonic()
        with open_agent("a", home=tmp_path, settings=settings, linger_s=0.2) as agent:
            for number in range(50):
                agent.append(number)
            assert agent.stats().cache.pending == 50
        assert time.monotonic() - began < 20, "not even at the end"


def test_the_example_in_the_documents_runs(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.start()
    monkeypatch.setenv("INOS_HOME", str(node.home))
    page = Path(__file__).resolve().parents[2] / "docs" / "messages.md"
    [example] = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    exec(compile(example, page.name, "exec"), {})
    assert node.corpus_texts() == [{"text": "three pears, one apple"}, "nothing else today"]


def test_a_node_that_uses_parts_of_it_loads_neither_yaml_nor_the_client() -> None:
    heavy = "[name for name in ('yaml', 'inos.client.http') if name in sys.modules]"
    program = f"import inos.messages.cache, inos.messages.desk_outboxes, sys; print({heavy})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
