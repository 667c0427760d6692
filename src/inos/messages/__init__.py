"""The message corpus: agents write to their own disk at once, a hub gathers what they write, anyone finds it.

    from inos.messages import open_agent

    with open_agent("recruiter-1", role="recruiter") as agent:
        agent.append({"text": "found it"}, kind="lead")

Names load on first use: a node imports parts of this without the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inos.messages.agent import Agent, AsyncAgent, open_agent, open_agent_async

__all__ = ["Agent", "AsyncAgent", "open_agent", "open_agent_async"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from inos.messages import agent as module

        return getattr(module, name)
    raise AttributeError(f"module 'inos.messages' has no attribute {name!r}")
