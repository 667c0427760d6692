"""The OpenAPI description is, to the byte, the one that was reviewed: openapi.json beside this file.

After a change that is meant: .venv/bin/python tests/api/test_openapi.py rewrites it; the diff is part of the review.
"""

from __future__ import annotations

import json
from pathlib import Path

from inos.api.documents import describe
from inos.api.sessions import Sessions
from inos.api.timing import Timings
from inos.api.whole import make_whole
from inos.core.env import RealEnv
from inos.testing.memory_service import MemoryService

REVIEWED = Path(__file__).with_name("openapi.json")


def described() -> str:
    """The description as it is now, a value a line, in the order in which it is sent."""
    env = RealEnv()
    service = MemoryService(env)
    try:
        whole = make_whole(service, [], Sessions(env), Timings(), env=env, version="reviewed")  # type: ignore[arg-type]
        return json.dumps(describe(whole), indent=1, ensure_ascii=False) + "\n"
    finally:
        service.close()


def test_the_description_is_the_reviewed_one() -> None:
    assert described() == REVIEWED.read_text(), f"another description: see {__file__}"


if __name__ == "__main__":
    REVIEWED.write_text(described())
