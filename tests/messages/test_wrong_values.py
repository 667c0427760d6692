"""Whatever a program gives to an agent or to `mesh.messages`: it works, or an InosError says what was wrong with it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

import inos
from inos.client.messages import Messages
from inos.core.env import RealEnv
from inos.core.errors import BadInput, InosError
from inos.core.messages.message import Attachment, Draft
from inos.core.messages.query import MessageQuery
from inos.messages import open_agent
from inos.messages.agent import Agent
from inos.messages.config import AgentSettings
from inos.testing.corpus import message_id
from inos.testing.memory_service import MemoryService
from served import served


def deep() -> Any:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    return value


def looped() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


VALUES: Final[list[Any]] = [
    None, True, 0, 1, -1, 1.5, math.nan, 10**400, 1j, "", "x", "a b", "\0", "\ud800", "é" * 300, b"x", [], [1], [None],
    ["x"], ["\ud800"], (), {}, {"a": 1}, {1: 2}, {"\ud800": "\0"}, set(), {1}, object(), print, Draft, range(3), deep(),
    looped(), message_id(1), [message_id(1)], [message_id(1)] * 2, "../../v1/status", "a\r\nb: c", "state", iter("ab"),
]  # fmt: skip
FIELDS: Final = ("kind", "task", "priority", "sender", "recipient", "reply_to", "attachments")
QUESTION: Final = (
    "agent", "task", "role", "kind", "recipient", "priority", "since_ms", "until_ms", "state", "text", "order", "after",
    "limit",
)  # fmt: skip

Call = Callable[[Any], Any]


def _named(call: Callable[..., Any], name: str, value: Any) -> Any:
    return call(**{name: value})


def of_agent(agent: Agent) -> dict[str, Call]:
    """Every call of an agent, each argument of it."""
    calls: dict[str, Call] = {
        "append": agent.append,
        "append_drafts": agent.append_drafts,
        "append_draft": lambda value: agent.append_drafts([value]),
        "get": agent.get,
        "query": agent.query,
        "query of": lambda value: agent.query(of=value),
        "search": agent.search,
        "search limit": lambda value: agent.search("x", limit=value),
        "search of": lambda value: agent.search("x", of=value),
        "status": agent.status,
        "retry": agent.retry,
        "drop": agent.drop,
        "flush": lambda value: agent.flush(min(value, 0.0) if type(value) in (int, float) else value),
    }
    for name in FIELDS:
        calls[f"append {name}"] = partial(_named, lambda **given: agent.append("x", **given), name)
    for name in QUESTION:
        calls[f"query {name}"] = partial(_named, lambda **given: agent.query(MessageQuery(**given)), name)
    return calls


def of_mesh(messages: Messages) -> dict[str, Callable[[Any], Awaitable[Any]]]:
    """Every call of `mesh.messages`, each argument of it."""

    async def first_of(events: Any) -> Any:
        async with aclosing(events):
            with anyio.move_on_after(0.02):
                await anext(events, None)

    calls: dict[str, Callable[[Any], Awaitable[Any]]] = {
        "post agent": lambda value: messages.post(value, "x"),
        "post content": lambda value: messages.post("ada", value),
        "post_many": messages.post_many,
        "post_one": lambda value: messages.post_many([value]),
        "page": messages.page,
        "find": lambda value: first_of(messages.find(value)),
        "get": messages.get,
        "mark": lambda value: messages.mark(value, "read"),
        "mark name": lambda value: messages.mark([message_id(1)], value),
        "mark on": lambda value: messages.mark([message_id(1)], "read", on=value),
        "execute": messages.execute,
        "events": lambda value: first_of(messages.events(value)),
        "make_token": lambda value: messages.make_token(value, ["read"]),
        "make_token scopes": lambda value: messages.make_token("ada", value),
        "revoke_token": messages.revoke_token,
    }
    names = [name for name in FIELDS if name != "reply_to"] + ["role"]
    for name in names:
        calls[f"post {name}"] = partial(_named, partial(messages.post, "ada", "x"), name)
    return calls


def test_an_agent_takes_what_it_is_given_or_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    with open_agent("ada", home=tmp_path, linger_s=0) as agent:
        for name, call in of_agent(agent).items():
            outcomes = set()
            for value in VALUES:
                try:
                    call(value)
                except InosError as error:
                    outcomes.add(type(error))
                    assert error.message
            assert outcomes & {BadInput} or name == "query of", name
        written = agent.append("still at work")
        assert agent.query().messages[0].message == written


def test_what_opens_an_agent_is_checked_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "a" / "b" / "c"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    for name in ("home", "folder", "config", "settings", "key", "role", "linger_s"):
        for value in VALUES:
            given = {"home": tmp_path / "home", name: value}
            if name == "home" and not value:
                continue  # that of this user, which is not for tests
            try:
                with open_agent("ada", **({"linger_s": 0} | given)):
                    pass
            except InosError as error:
                assert error.message
    for agent in VALUES:
        if agent not in ("x", "state", message_id(1)):
            with pytest.raises(BadInput):
                open_agent(agent, home=tmp_path / "home")
    for name in AgentSettings.__slots__:
        for value in VALUES:
            try:
                AgentSettings(**{name: value})
            except BadInput as error:
                assert name.partition("_")[0] in error.message or "hub's url" in error.message


def test_the_messages_of_a_mesh_take_what_they_are_given_or_say_what_is_wrong_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with inos.connect(tmp_path) as mesh:
            for name, call in of_mesh(mesh.messages).items():
                outcomes = set()
                for value in VALUES:
                    try:
                        await call(value)
                    except InosError as error:
                        outcomes.add(type(error))
                        assert error.code != "internal", (name, str(value)[:80])
                assert BadInput in outcomes, name
            assert (await mesh.messages.post("ada", "still at work")).content == "still at work"

    with served(MemoryService(RealEnv()), tmp_path):
        anyio.run(main)


def test_files_are_a_list_of_attachments(tmp_path: Path) -> None:
    file = Attachment("a", "inos:1")
    with open_agent("ada", home=tmp_path, linger_s=0) as agent:
        for given in ([file], (file,), iter([file])):
            assert agent.append("x", attachments=given).attachments == (file,)
        for wrong in ([1], None, file, "a", [file, None], [file] * 65):
            with pytest.raises(BadInput, match="attachments"):
                agent.append("x", attachments=wrong)
            with pytest.raises(BadInput, match="attachments"):
                agent.append_drafts([Draft("ada", "x", attachments=wrong)])  # type: ignore[arg-type]
