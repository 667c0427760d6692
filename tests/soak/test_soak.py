"""A hundred kills (SOAK_KILLS) at random moments (SOAK_SEED) among seven nodes; nothing acknowledged may be lost.

Seven nodes, so that with two of them away an object above 100 MB still gets a stripe of its own.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from soak_mesh import SoakMesh, logs, no_traceback
from soak_run import Plan, Soak

# Read here: the suite's fixtures take every INOS_ setting away, and these are not INOS's but the test's.
SEED = int(os.environ.get("SOAK_SEED") or time.time_ns() % 10**9)
KILLS = int(os.environ.get("SOAK_KILLS") or 100)
NODES = int(os.environ.get("SOAK_NODES") or 7)


@pytest.mark.soak
@pytest.mark.timeout(120 + 60 * KILLS)
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    print(f"SOAK_SEED={SEED} SOAK_KILLS={KILLS} SOAK_NODES={NODES}", flush=True)
    with SoakMesh(tmp_path, ("--repair-after", "4s", "--remove-delay", "5s")) as mesh:
        mesh.start(NODES)
        soak = Soak(mesh, Plan(SEED, KILLS))
        soak.run()
        print(soak.summary(), flush=True)
        assert not soak.failures, "\n".join([soak.summary(), *soak.failures, logs(mesh)])
        assert soak.counts["kills"] >= KILLS
        no_traceback(mesh)
