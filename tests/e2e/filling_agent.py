"""An agent that writes until its disk is full, says so, and goes on when it is told that there is room.

    python filling_agent.py HOME AGENT FOLDER

Each line of standard input is a command, answered by one line: `write N` (N messages; how many were taken, and the
error after which it stopped), `read` (the numbers of all messages there are), `flush` (whether the hub has all),
`clock S` (sets the clock of this process S seconds ahead of the machine's).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from inos.core.errors import StorageFull
from inos.core.messages.query import MessageQuery
from inos.messages import open_agent

machine_clock = time.time


def set_ahead(seconds: float) -> None:
    time.time = lambda: machine_clock() + seconds


def main(home: str, name: str, folder: str) -> None:
    number = 0
    with open_agent(name, home=home, folder=Path(folder)) as agent:
        print("ready", flush=True)
        for line in sys.stdin:
            what, _, count = line.strip().partition(" ")
            answer: Any = {}
            if what == "write":
                error = None
                for _ in range(int(count)):
                    try:
                        agent.append({"n": number, "text": f"{number} of many words " * 400})
                    except StorageFull as full:
                        error = {"code": full.code, "message": full.message, "hint": full.hint}
                        break
                    number += 1
                answer = {"written": number, "error": error}
            elif what == "read":
                answer = numbers(agent)
            elif what == "clock":
                set_ahead(float(count))
            else:
                answer = agent.flush(60)
            print(json.dumps(answer), flush=True)


def numbers(agent: Any) -> list[int]:
    """What is in the cache, in order."""
    found: list[int] = []
    after = ""
    while True:
        page = agent.query(MessageQuery(order="oldest", limit=500, after=after))
        found += [each.message.content["n"] for each in page.messages]
        after = page.next
        if not after:
            return found


if __name__ == "__main__":
    main(*sys.argv[1:])
