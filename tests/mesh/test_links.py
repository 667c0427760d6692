"""Links: full mesh or a graph of picks, from members' records alone; backoff; the address book."""

from __future__ import annotations

import itertools

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.ids import PeerId
from inos.core.worker import Phase, WorkerSet
from inos.mesh.addressbook import MAX_PEERS, AddressBook
from inos.mesh.admission import MemberAdmission
from inos.mesh.links import DIAL_TIMEOUT_S, FULL_MESH, LOOK_S, PARALLEL, PICKS, REST_S, Links, choose_links
from inos.mesh.throttle import Throttle
from inos.sim.fabric import MemoryFabric
from inos.sim.network import MemoryNetwork
from inos.state.capability import MAX_ADDRESSES
from inos.state.membership import Membership
from inos.state.records import sign_record
from inos.state.revocation import MEMBERS
from inos.testing.env import SimEnv
from inos.testing.members import Machine, Team
from inos.testing.run import sim_test

TEAM = Team()
MACHINES = [TEAM.machine(number) for number in range(FULL_MESH + 20)]
A, B, C = MACHINES[:3]

INTERVAL_S = 2.0


class Country:
    """Nodes that know each other's records and no seed address."""

    def __init__(self, machines: list[Machine], *, up: int | None = None) -> None:
        self.fabric = MemoryFabric(SimEnv())
        self.membership = TEAM.membership(*machines)
        self.networks: dict[PeerId, MemoryNetwork] = {}
        self.links: dict[PeerId, Links] = {}
        for number, machine in enumerate(machines[:up]):
            self.start(machine, number)

    def start(self, machine: Machine, seed: int = 0, book: AddressBook | None = None) -> Links:
        admission = MemberAdmission(self.membership, machine.certificate.encode(), lambda: [machine.address])
        network = self.networks[machine.peer] = self.fabric.join(machine.peer, admission)
        links = Links(
            network, SimEnv(seed), me=machine.node, members=self.membership.members, book=book or AddressBook()
        )
        self.links[machine.peer] = links
        return links


def reachable(networks: dict[PeerId, MemoryNetwork], start: PeerId) -> set[PeerId]:
    found, todo = {start}, [start]
    while todo:
        for peer in networks[todo.pop()].connected() - found:
            found.add(peer)
            todo.append(peer)
    return found


@sim_test
async def test_a_small_mesh_is_full() -> None:
    country = Country(MACHINES[:7])
    for links in country.links.values():
        await links.step()
        await links.step()
        assert links.pause_s() == REST_S
    lost = country.links[A.peer]
    country.fabric.stop(B.peer)
    await lost.step()
    assert lost.pause_s() == LOOK_S
    country.start(B)
    for links in country.links.values():
        await links.step()
    for peer, network in country.networks.items():
        assert network.connected() == country.networks.keys() - {peer}
        assert country.links[peer].watched() == network.connected()


@sim_test
async def test_a_large_mesh_is_one_piece_of_bounded_degree() -> None:
    country = Country(MACHINES)
    for links in country.links.values():
        await links.step()
    degrees = [len(network.connected()) for network in country.networks.values()]
    assert min(degrees) >= PICKS and sum(degrees) / len(degrees) < 2 * PICKS + 1
    assert reachable(country.networks, A.peer) == country.networks.keys()


@sim_test
async def test_a_node_that_was_in_comes_back_without_any_seed() -> None:
    country = Country([A, B, C], up=2)
    for peer in (A.peer, B.peer):
        await country.links[peer].step()
    await country.start(C).step()
    assert country.networks[C.peer].connected() == {A.peer, B.peer}


@sim_test
async def test_who_does_not_answer_is_tried_later_and_later() -> None:
    country = Country([A, B], up=1)
    network, tried_s = country.networks[A.peer], []
    connect = network.connect

    async def noting(addresses: list[str], *, timeout_s: float) -> PeerId:
        tried_s.append(trio.current_time())
        return await connect(addresses, timeout_s=timeout_s)

    network.connect = noting  # type: ignore[method-assign,assignment]
    for _ in range(300):
        await country.links[A.peer].step()
        await trio.sleep(1)
    gaps = [later - sooner for sooner, later in itertools.pairwise(tried_s)]
    assert 8 <= len(tried_s) <= 14
    assert gaps[0] < 4 and 45 < max(gaps) <= 80


@sim_test
async def test_news_of_a_peer_brings_it_back_at_once() -> None:
    country = Country([A, B], up=1)
    links = country.links[A.peer]
    for _ in range(20):
        await links.step()
        await trio.sleep(1)
    country.start(B)
    await links.step()
    assert not country.networks[A.peer].connected()
    assert links.hint(B.peer, [B.address])
    await links.step()
    assert country.networks[A.peer].connected() == {B.peer}
    assert not links.hint(B.peer, [B.address])


@sim_test
async def test_the_newest_address_is_tried_first_and_the_old_one_still_helps() -> None:
    country = Country([A, B])
    book = AddressBook()
    book.learn(B.peer, [f"/memory/nowhere/p2p/{B.peer}"])
    country.fabric.stop(A.peer)
    await country.start(A, book=book).step()
    assert country.networks[A.peer].connected() == {B.peer}


@sim_test
async def test_silent_peers_do_not_hold_up_the_others() -> None:
    country = Country(MACHINES[:12])
    for machine in MACHINES[1:6]:
        country.fabric.cut(A.peer, machine.peer)
    began_s = trio.current_time()
    await country.links[A.peer].step()
    assert trio.current_time() - began_s <= DIAL_TIMEOUT_S
    assert len(country.networks[A.peer].connected()) == 6
    assert PARALLEL > 5


@sim_test
async def test_silent_picks_of_a_large_mesh_get_spares() -> None:
    country = Country(MACHINES)
    links = country.links[A.peer]
    picks = links.targets()
    for peer in picks[:4]:
        country.fabric.stop(peer)
    for _ in range(60):
        await links.step()
        await trio.sleep(1)
    assert len(links.targets()) == PICKS + 4
    assert links.targets()[:PICKS] == picks
    assert len(country.networks[A.peer].connected()) == PICKS


@sim_test
async def test_who_had_a_link_to_us_stays_watched_when_it_breaks() -> None:
    country = Country(MACHINES)
    for links in country.links.values():
        await links.step()
    links = country.links[A.peer]
    others_pick = min(country.networks[A.peer].connected() - set(links.targets()))
    country.fabric.stop(others_pick)
    assert others_pick not in country.networks[A.peer].connected()
    assert others_pick in links.watched()
    machine = next(machine for machine in MACHINES if machine.peer == others_pick)
    country.membership.apply_member(sign_record(machine.key, MEMBERS, machine.node, b"", 2, removed=True))
    assert others_pick not in links.watched()


@sim_test
async def test_links_as_a_worker_mend_what_breaks() -> None:
    country = Country(MACHINES[:3])
    workers = WorkerSet(SimEnv())
    for peer, links in country.links.items():
        workers.add(f"links {peer.short()}", links.step, interval_s=INTERVAL_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(workers.run)
        await trio.sleep(1)
        await country.networks[A.peer].disconnect(B.peer)
        assert B.peer not in country.networks[A.peer].connected()
        await trio.sleep(2 * INTERVAL_S)
        assert country.networks[A.peer].connected() == {B.peer, C.peer}
        assert all(status.phase is Phase.WAITING for status in workers.statuses())
        nursery.cancel_scope.cancel()


@given(st.sets(st.binary(min_size=32, max_size=32), max_size=120), st.binary(min_size=32, max_size=32))
@settings(max_examples=50)
def test_choosing_is_a_function_of_the_members(members: set[bytes], me: bytes) -> None:
    chosen = choose_links(me, members)
    assert chosen == choose_links(me, sorted(members | {me}))
    assert me not in chosen and set(chosen) <= members
    others = len(members - {me})
    assert len(chosen) == (others if others < FULL_MESH else PICKS)


def test_the_address_book_keeps_the_newest_first_and_is_bounded() -> None:
    book = AddressBook()
    old, new = f"/ip4/10.0.0.1/tcp/1/p2p/{A.peer}", f"/ip4/10.0.0.2/tcp/1/p2p/{A.peer}"
    assert book.learn(A.peer, [old])
    assert book.learn(A.peer, [new])
    assert not book.learn(A.peer, [old])
    assert book.addresses(A.peer) == (old, new)
    assert not book.learn(B.peer, [old])
    assert book.addresses(B.peer) == ()
    assert book.learn(A.peer, [f"/ip4/10.0.1.{n}/tcp/1/p2p/{A.peer}" for n in range(40)])
    assert len(book.addresses(A.peer)) == MAX_ADDRESSES


def test_the_address_book_forgets_the_longest_unheard_of() -> None:
    book = AddressBook()
    for number in range(MAX_PEERS + 1):
        book.learn(PeerId(number), [f"/p2p/{number}"])
    assert book.addresses(PeerId(0)) == ()
    assert book.addresses(PeerId(MAX_PEERS))


def test_the_throttle_allows_a_burst_and_then_the_rate() -> None:
    throttle = Throttle(2.0, 3)
    assert [throttle.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert [throttle.take(at_s) for at_s in (10.4, 10.5, 10.6, 11.0)] == [False, True, False, True]
    assert [throttle.take(1000.0) for _ in range(4)] == [True, True, True, False]
    assert not throttle.take(999.0)


def test_links_read_the_membership_as_it_is_now() -> None:
    membership = Membership(TEAM.genesis)
    network = MemoryFabric(SimEnv()).join(A.peer, MemberAdmission(membership, b"", list))
    links = Links(network, SimEnv(), me=A.node, members=membership.members, book=AddressBook())
    assert links.targets() == []
    membership.apply_member(B.record())
    assert links.targets() == [B.peer]
