"""Two nodes of one mesh on one network find each other; others are left alone. Multicast stays on loopback."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio
from zeroconf import ServiceInfo

from inos.core.env import RealEnv
from inos.core.ids import MeshId, PeerId
from inos.mesh.mdns import SERVICE, announced, read_announcement
from inos.testing.roster import until
from inos.testing.run import trio_test

MESH, OTHER = MeshId(b"\x01" * 32), MeshId(b"\x02" * 32)
LABEL = MESH.hex()[:16]


def _peer(number: int) -> PeerId:
    return PeerId.from_public_key(bytes([number]) * 32)


@trio_test
async def test_members_of_one_mesh_find_each_other() -> None:
    env = RealEnv()
    heard: dict[PeerId, dict[PeerId, tuple[str, ...]]] = {}
    async with AsyncExitStack() as stack:
        for mesh, number in ((MESH, 1), (MESH, 2), (OTHER, 3)):
            mine = heard.setdefault(_peer(number), {})
            await stack.enter_async_context(
                announced(
                    mesh,
                    _peer(number),
                    4000 + number,
                    lambda peer, places, mine=mine: mine.__setitem__(peer, tuple(places)),  # type: ignore[misc]
                    env,
                    interfaces=["127.0.0.1"],
                )
            )
        await until(lambda: bool(heard[_peer(1)]) and bool(heard[_peer(2)]), "they find each other")
        await trio.sleep(0.5)
    assert heard[_peer(1)] == {_peer(2): (f"/ip4/127.0.0.1/tcp/4002/p2p/{_peer(2)}",)}
    assert heard[_peer(2)] == {_peer(1): (f"/ip4/127.0.0.1/tcp/4001/p2p/{_peer(1)}",)}
    assert heard[_peer(3)] == {}


def _info(**properties: str | bytes) -> ServiceInfo:
    return ServiceInfo(SERVICE, f"{LABEL}-x.{SERVICE}", port=1, properties=properties, parsed_addresses=["192.0.2.1"])


@pytest.mark.parametrize(
    "info",
    [
        _info(),
        _info(mesh=LABEL),
        _info(mesh=LABEL, peer="nonsense"),
        _info(mesh=LABEL, peer=b"\xff\xfe"),
        _info(mesh="0" * 16, peer=str(_peer(1))),
        ServiceInfo(SERVICE, f"{LABEL}-x.{SERVICE}", port=1, properties={"mesh": LABEL, "peer": str(_peer(1))}),
        ServiceInfo(SERVICE, f"{LABEL}-x.{SERVICE}", properties={"mesh": LABEL, "peer": str(_peer(1))}),
    ],
)
def test_announcements_that_make_no_sense_are_ignored(info: ServiceInfo) -> None:
    assert read_announcement(info, LABEL) is None


def test_an_announcement_of_this_mesh_is_read() -> None:
    heard = read_announcement(_info(mesh=LABEL, peer=str(_peer(1))), LABEL)
    assert heard == (_peer(1), (f"/ip4/192.0.2.1/tcp/1/p2p/{_peer(1)}",))
