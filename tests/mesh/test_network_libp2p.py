"""The network seam over libp2p passes the suite."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from libp2p_machines import libp2p_machines

from inos.testing.network import NetworkSuite
from inos.testing.roster import Machines


class TestLibp2pNetwork(NetworkSuite):
    def machines(self) -> AbstractAsyncContextManager[Machines]:
        return libp2p_machines()
