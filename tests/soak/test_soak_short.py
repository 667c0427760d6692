"""Three kills in the ordinary suite: the soak itself works, and the commonest losses are met on every run."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak_mesh import SoakMesh, logs, no_traceback
from soak_run import Plan, Soak


@pytest.mark.slow
def test_three_kills_lose_nothing(tmp_path: Path) -> None:
    with SoakMesh(tmp_path, ("--repair-after", "2s", "--remove-delay", "5s")) as mesh:
        mesh.start(4)
        soak = Soak(mesh, Plan(seed=20, kills=3, live_bytes=60_000_000, large_share=0.0, down_s=(0.2, 4.0)))
        soak.run()
        assert not soak.failures, "\n".join([soak.summary(), *soak.failures, logs(mesh)])
        assert soak.counts["puts"] > 3
        no_traceback(mesh)
