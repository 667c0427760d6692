"""How messages look on a terminal, and what the options of `inos msg` ask for."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from inos.cli.output import BOLD, GREEN, RED, YELLOW, age_text, count_text, paint, size_text

if TYPE_CHECKING:
    from inos.core.messages.calls import MessagesReport
    from inos.core.messages.query import MessageQuery, StoredMessage

_SHOWN: Final = 160
_URGENT: Final = 8
# Fields in which programs put what people read, in this order.
_TEXT_FIELDS: Final = ("title", "subject", "text", "message", "summary")
_COLOURS: Final = {"unread": BOLD, "acknowledged": GREEN, "executed": GREEN}


def query_of(
    agent: str, task: str, role: str, kind: str, priority: int, state: str, since: str, text: str, limit: int
) -> MessageQuery:
    """The query that the options ask for. Raises BadInput."""
    from inos.cli.members import parse_time_s
    from inos.core.env import RealEnv
    from inos.core.messages.query import MessageQuery, check_state

    since_ms = int((RealEnv().now_s() - parse_time_s(since)) * 1000) if since else 0
    return MessageQuery(
        agent=agent, task=task, role=role, kind=kind, priority=priority, state=check_state(state),
        since_ms=max(0, since_ms), text=text, limit=limit,
    )  # fmt: skip


def text_of(content: Any) -> str:
    """What a person would read of a message's content, on one line."""
    if isinstance(content, dict):
        found = next((content[name] for name in _TEXT_FIELDS if isinstance(content.get(name), str)), None)
        content = content if found is None else found
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """`text` without what a terminal would obey: it comes from programs that nobody vouches for."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def headline(stored: StoredMessage) -> str:
    """One line: when, who, what, and the beginning of the content or what a search found of it."""
    message = stored.message
    when = datetime.fromtimestamp(message.time_ms / 1000).astimezone().strftime("%m-%d %H:%M:%S")
    urgent = paint(f"!{message.priority}", RED) if message.priority >= _URGENT else f" {message.priority}"
    text = _found(stored.snippet) if stored.snippet else text_of(message.content)
    text = text if stored.snippet or len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    who = message.agent + (f" > {printable(message.recipient)}" if message.recipient else "")
    state = "" if stored.marks.state == "unread" else f" [{stored.marks.state}]"
    return f"{message.id}  {when}  {urgent}  {who}  {paint(message.kind, YELLOW)}{state}  {text}"


def _found(snippet: str) -> str:
    """A search's snippet, what was found in bold."""
    parts = [each for piece in snippet.split("\x02") for each in piece.split("\x03")]
    return "".join(
        paint(printable(part), BOLD) if odd % 2 else printable(part) for odd, part in enumerate(parts)
    ).strip()


def lines_of(stored: StoredMessage) -> list[str]:
    """A message whole."""
    shown = {name: value for name, value in stored.message.to_json().items() if name not in ("v", "content")}
    shown |= {"state": stored.marks.state, "seq": stored.seq}
    width = max(len(name) for name in shown)
    lines = [f"{name:<{width}}  {_value(value)}" for name, value in shown.items()]
    content = stored.message.content
    body = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2)
    return [*lines, "", *(printable(line.expandtabs()) for line in body.splitlines())]


def _value(value: Any) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def stats_lines(report: MessagesReport) -> list[str]:
    """The hub on the first line, then what it has, then this node's outboxes."""
    lines = [_hub_line(report)]
    if report.reachable:
        behind = report.last_seq - report.covered_seq
        kept = "all of them kept by the mesh" if behind <= 0 else f"{behind} not yet kept by the mesh"
        lines.append(f"{count_text(report.messages, 'message')}, {report.unread} unread; {kept}")
    for each in report.outboxes:
        waiting = f"{each.pending} to send, the oldest {age_text(each.lag_s)} old" if each.pending else "all sent"
        parked = f"; {each.parked} refused by the hub" if each.parked else ""
        room = f"{size_text(each.used_bytes)} of {size_text(each.max_bytes)}"
        error = f" ({printable(each.last_error)})" if each.last_error and each.pending else ""
        lines.append(f"{each.agent}: {count_text(each.messages, 'message')}, {room}; {waiting}{parked}{error}")
    return lines


def _hub_line(report: MessagesReport) -> str:
    if report.role == "hub":
        return f"this node is the hub ({report.store})" if report.store else "this node is the hub"
    if not report.hub_peer:
        return "there is no hub; make this node one with: inos msg hub --take"
    reach = "" if report.reachable else paint(", which cannot be reached now", RED)
    return f"the hub is {report.hub_peer}{reach}"
