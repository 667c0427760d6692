"""An agent as a process of its own: writes as fast as it can and says so, until it is killed or told to stop.

writing_agent.py HOME FIRST COUNT        one line for each message that was acknowledged: its number and its id
"""

from __future__ import annotations

import sys

from inos.messages import open_agent


def main() -> None:
    home, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with open_agent("writer", role="recruiter", home=home, linger_s=20.0) as agent:
        for number in range(first, first + count):
            written = agent.append({"number": number, "text": "words " * (number % 60)})
            print(number, written.id, flush=True)


if __name__ == "__main__":
    main()
