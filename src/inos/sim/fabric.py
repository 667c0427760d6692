"""The wires between the nodes of one process, and everything on them.

    fabric = MemoryFabric(env, latency_s=0.02)
    network = fabric.join(peer, admission)
    fabric.set_weather(Weather(lost=0.05))
    fabric.watch(lambda at_s, frame: trace.update(frame.digest))

A `MemoryFabric` carries frames between those who joined it (`network.py` for nodes, `hostile.py` for those who mean
harm), as late, as often and as seldom as its `Wires` say. Chance comes from its Env alone and in a fixed order: for
each frame whether it is lost, whether that breaks its connection, jitter, lateness, whether it comes twice, and then
jitter and lateness of the second. Nothing depends on the clock beyond trio's, on hashes or on addresses in memory, so
a run under a seeded scheduler repeats, frame for frame.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final

from inos.core.env import Env
from inos.core.errors import BadInput, PeerUnavailable
from inos.core.ids import PeerId
from inos.mesh.network import Admission, Message, Outcome
from inos.sim.frames import Counters, Frame, Kind, Watcher
from inos.sim.hostile import HostileSeat
from inos.sim.network import MemoryNetwork
from inos.sim.schedule import Schedule
from inos.sim.wires import Distance, Way, Wires

# Others give up a connection to a machine that has gone quiet when their keepalive or a send has gone unanswered for
# this long; until then a sleeper that wakes goes on where it was.
LINK_PATIENCE_S: Final = 60.0


class MemoryFabric(Wires):
    """Who is there, and the frames between them."""

    def __init__(self, env: Env, *, latency_s: float = 0.0, jitter_s: float = 0.0, tick_s: float = 0.0) -> None:
        """`tick_s` rounds arrivals up to whole ticks: under a jumping clock frames that arrive together cost less."""
        super().__init__(Distance(latency_s, jitter_s))
        self.env = env
        self.schedule = Schedule()
        self.counters = Counters()
        self._tick_s = tick_s
        self._stations: dict[PeerId, MemoryNetwork] = {}
        self._announced: dict[bytes, dict[PeerId, None]] = {}
        self._watchers: list[Watcher] = []
        self._tampering: dict[PeerId, Callable[[Frame], Outcome]] = {}
        self._numbers = 0
        self._naps: dict[PeerId, int] = {}

    # -- who is there

    def join(self, peer: PeerId, admission: Admission) -> MemoryNetwork:
        """A network for `peer`, alone until it connects. A stopped peer may join again."""
        network = MemoryNetwork(self, peer, admission)
        self._seat(network)
        return network

    def join_hostile(self, peer: PeerId, hello: bytes = b"") -> HostileSeat:
        """A place for somebody who keeps no rule and shows `hello`: see `hostile.py`."""
        seat = HostileSeat(self, peer, hello)
        self._seat(seat)
        return seat

    def _seat(self, station: MemoryNetwork) -> None:
        if station.me in self._stations:
            raise BadInput(f"{station.me.short()} has joined already")
        self._stations[station.me] = station

    def stop(self, peer: PeerId) -> None:
        """Kill `peer`: its work ends, its connections break at once, its address is dead."""
        station = self._stations.pop(peer)
        for other in station.links():
            if not self.is_cut(peer, other) and (there := self._stations.get(other)) is not None:
                there.hung_up(peer)
        station.shut()

    def node(self, peer: PeerId) -> MemoryNetwork | None:
        """Whoever runs under that name."""
        return self._stations.get(peer)

    def passes(self, a: PeerId, b: PeerId) -> bool:
        """Whether a frame sent now from `a` can arrive at `b`."""
        return a in self._stations and b in self._stations and not self.is_cut(a, b)

    def number(self) -> int:
        """A number not given before: for connections and messages."""
        self._numbers += 1
        return self._numbers

    def asleep(self, peer: PeerId, *, links_break_after_s: float = LINK_PATIENCE_S) -> None:
        """A lid closed: nothing passes to or from `peer` until it is `awake`. Others give up their connections to it
        after a while, and `peer` finds out when it next uses them."""
        super().asleep(peer)
        nap = self._naps[peer] = self.number()
        self.schedule.at(self.schedule.now_s() + links_break_after_s, self._give_up_on, (peer, nap))

    def _give_up_on(self, sleep: tuple[PeerId, int]) -> None:
        peer, nap = sleep
        if not self.is_asleep(peer) or self._naps[peer] != nap:
            return
        station = self._stations.get(peer)
        for other in station.links() if station is not None else ():
            if (there := self._stations.get(other)) is not None:
                there.hung_up(peer)

    # -- frames

    def watch(self, watcher: Watcher) -> None:
        """`watcher` sees every frame that arrives, before its receiver does."""
        self._watchers.append(watcher)

    def tamper(self, peer: PeerId, tampering: Callable[[Frame], Outcome]) -> None:
        """Have `peer` send what `tampering` makes of its messages instead of them."""
        self._tampering[peer] = tampering

    def send(self, frame: Frame) -> None:
        """Put `frame` on its wire."""
        if self._tampering and frame.source in self._tampering:
            frame.message = self._tampering[frame.source](frame)
        way = self._ways.get((frame.source, frame.target)) or self.way(frame.source, frame.target)
        counters, size_bytes = self.counters, frame.size_bytes
        counters.sent += 1
        counters.sent_bytes += size_bytes
        leaves_s = self.schedule.now_s()
        if way.up is not None:
            leaves_s = way.up.through(size_bytes, leaves_s)
        if way.blocked:
            counters.lost += 1
        elif way.chance:
            self._send_by_chance(frame, way, leaves_s)
        else:
            self._arrives(frame, way, leaves_s + way.latency_s)

    def _send_by_chance(self, frame: Frame, way: Way, leaves_s: float) -> None:
        weather, chance = way.weather, self.env.random.random
        if weather.lost and chance() < weather.lost:
            self.counters.lost += 1
            if weather.breaks and chance() < weather.breaks:
                self.schedule.at(leaves_s + way.latency_s, self._break, frame)
            return
        self._arrives(frame, way, leaves_s + self._travel_s(way))
        if weather.duplicated and chance() < weather.duplicated:
            self.counters.sent += 1
            self.counters.duplicated += 1
            self._arrives(frame, way, leaves_s + self._travel_s(way))

    def _travel_s(self, way: Way) -> float:
        weather, chance = way.weather, self.env.random.random
        travel_s = way.latency_s
        if way.jitter_s:
            travel_s += way.jitter_s * chance()
        if weather.late and chance() < weather.late:
            travel_s += weather.late_s * chance()
        return travel_s

    def _arrives(self, frame: Frame, way: Way, at_s: float) -> None:
        if self._tick_s:
            at_s = ceil(at_s / self._tick_s) * self._tick_s
        self.schedule.at(at_s, self._take_in if way.down is not None else self._deliver, frame)

    def _take_in(self, frame: Frame) -> None:
        """The first byte has come; the rest comes as fast as the receiver's line lets it."""
        down = self.way(frame.source, frame.target).down
        now_s = self.schedule.now_s()
        self.schedule.at(down.through(frame.size_bytes, now_s) if down is not None else now_s, self._deliver, frame)

    def _deliver(self, frame: Frame) -> None:
        way = self._ways.get((frame.source, frame.target)) or self.way(frame.source, frame.target)
        if way.blocked:
            self.counters.lost += 1
        elif way.handling_s and frame.kind is Kind.REQUEST:
            self.schedule.at(self.schedule.now_s() + way.handling_s, self._hand_over, frame)
        else:
            self._hand_over(frame)

    def _hand_over(self, frame: Frame) -> None:
        station = self._stations.get(frame.target)
        if station is None:
            self.counters.lost += 1
            self.reset(frame)
            return
        self.counters.arrived += 1
        if self._watchers:
            now_s = self.schedule.now_s()
            for watcher in self._watchers:
                watcher(now_s, frame)
        station.receive(frame)

    def reset(self, frame: Frame) -> None:
        """Answer a frame nobody can take with the end of its connection."""
        if frame.kind in (Kind.REQUEST, Kind.HELLO):
            back = Frame(Kind.RESET, frame.target, frame.source, frame.name, Message(), frame.number, frame.call)
            self.send(back)

    def _break(self, frame: Frame) -> None:
        """A lost frame has taken its connection along."""
        for one, other in ((frame.source, frame.target), (frame.target, frame.source)):
            if (there := self._stations.get(one)) is not None:
                there.hung_up(other)
        if frame.call is not None:
            frame.call.settle(PeerUnavailable(f"the connection to {frame.call.to.short()} broke"))

    # -- directory

    def announce(self, key: bytes, peer: PeerId) -> None:
        self._announced.setdefault(key, {})[peer] = None

    def announced(self, key: bytes, seeker: PeerId) -> list[PeerId]:
        """Who announced `key` on this side of every cut; the dead stay listed, as they do in a real directory."""
        return [peer for peer in self._announced.get(key, ()) if not self.is_cut(peer, seeker)]
