"""The database's schema as numbered steps, one module each.

Rules: a released step never changes, a new one is appended. Each runs in one transaction with its own verification and
the new version number, so an interrupted upgrade is taken up where it stopped; a database that is made takes them all
in one. A database with a higher number than the last step was written by a newer release and is refused before anything
is written to it. Before the first step on a database that holds something, a copy of its file is kept (`previous.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from inos.store.migrations.step import Migration
from inos.store.migrations.v1 import V1
from inos.store.migrations.v2 import V2
from inos.store.migrations.v3 import V3
from inos.store.migrations.v4 import V4
from inos.store.migrations.v5 import V5

MIGRATIONS: Final[Sequence[Migration]] = (V1, V2, V3, V4, V5)
