"""An agent as a process of its own: writes numbered messages, says the id of each once it is acknowledged, and ends
when the hub has all of them. Started again it goes on with the next number. It stops at COUNT, or when there is a file
UNTIL.

    python message_agent.py HOME AGENT COUNT PAUSE_S [UNTIL]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from inos.messages import open_agent


def main(home: str, name: str, count: int, pause_s: float, until: Path | None) -> None:
    with open_agent(name, home=home) as agent:
        for number in range(agent.stats().cache.messages, count):
            if until is not None and until.exists():
                break
            print(agent.append({"n": number}).id, flush=True)
            time.sleep(pause_s)
        while not agent.flush(5.0):
            pass


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]) if sys.argv[5:] else None)
