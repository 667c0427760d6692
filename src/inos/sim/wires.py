"""What lies between simulated nodes: distances, capacities, and everything that may be wrong with a wire.

Distance and bandwidth describe where machines stand and stay as they are; faults come and go, and `heal` undoes all of
them. What holds from one node to another is worked out once (a `Way`) and looked up from then on, until something
changes: a frame on a healthy wire costs one dictionary lookup. Nothing here draws on chance; `fabric.py` does, by what
a Way says. Times in seconds, rates in bytes a second, shares 0..1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from inos.core.errors import BadInput
from inos.core.ids import PeerId


@dataclass(frozen=True, slots=True)
class Distance:
    """How far two places are apart: a frame takes `latency_s` and up to `jitter_s` more, evenly spread."""

    latency_s: float = 0.0
    jitter_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Weather:
    """What chance does to frames. Of those lost, the share `breaks` takes its connection along; the rest vanish in
    silence. A late frame takes up to `late_s` more than its wire does, and may be overtaken; one that is `duplicated`
    arrives twice."""

    lost: float = 0.0
    breaks: float = 0.0
    duplicated: float = 0.0
    late: float = 0.0
    late_s: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in (self.lost, self.breaks, self.duplicated, self.late)):
            raise BadInput("shares of frames are between 0 and 1")


CLEAR: Final = Weather()


class Pipe:
    """One direction of a node's line: what is sent through it queues."""

    def __init__(self, bytes_per_s: float) -> None:
        if bytes_per_s <= 0:
            raise BadInput("a line of no bandwidth is a cut: use cut")
        self.bytes_per_s = bytes_per_s
        self._free_s = 0.0

    def through(self, size_bytes: int, from_s: float) -> float:
        """When the last of `size_bytes` that come at `from_s` has passed."""
        self._free_s = max(self._free_s, from_s) + size_bytes / self.bytes_per_s
        return self._free_s


@dataclass(frozen=True, slots=True)
class Way:
    """All that matters to a frame from one node to another. `chance` is False where nothing is drawn."""

    blocked: bool
    chance: bool
    latency_s: float
    jitter_s: float
    weather: Weather
    up: Pipe | None
    down: Pipe | None
    handling_s: float


@dataclass(frozen=True, slots=True)
class _Slowness:
    factor: float
    handling_s: float


_BRISK: Final = _Slowness(1.0, 0.0)


class Wires:
    """Where nodes stand and what is wrong between them. Every setting holds for frames sent from now on."""

    def __init__(self, distance: Distance) -> None:
        self._distance = distance
        self._regions: dict[PeerId, str] = {}
        self._between: dict[tuple[str, str], Distance] = {}
        self._pairs: dict[tuple[PeerId, PeerId], Distance] = {}
        self._lines: dict[PeerId, tuple[Pipe | None, Pipe | None]] = {}
        self._weather = CLEAR
        self._weather_on: dict[tuple[PeerId, PeerId], Weather] = {}
        self._cuts: dict[tuple[PeerId, PeerId], None] = {}
        self._groups: dict[PeerId, int] = {}
        self._slow: dict[PeerId, _Slowness] = {}
        self._asleep: dict[PeerId, None] = {}
        self._ways: dict[tuple[PeerId, PeerId], Way] = {}

    # -- geography

    def place(self, peer: PeerId, region: str) -> None:
        """Say where `peer` stands. Regions are names; the empty one is everywhere else."""
        self._regions[peer] = region
        self._ways.clear()

    def region(self, peer: PeerId) -> str:
        return self._regions.get(peer, "")

    def set_distance(self, one: str, other: str, distance: Distance) -> None:
        """How far two regions are apart, or the nodes within one from each other."""
        self._between[one, other] = self._between[other, one] = distance
        self._ways.clear()

    def set_latency(self, a: PeerId, b: PeerId, latency_s: float) -> None:
        """One-way delay between these two, wherever they stand; without jitter."""
        self._pairs[a, b] = self._pairs[b, a] = Distance(latency_s)
        self._ways.clear()

    def set_bandwidth(self, peer: PeerId, *, up: float | None = None, down: float | None = None) -> None:
        """Bytes a second that `peer` can send and receive; None is no limit."""
        self._lines[peer] = (None if up is None else Pipe(up), None if down is None else Pipe(down))
        self._ways.clear()

    # -- faults

    def set_weather(self, weather: Weather) -> None:
        """What chance does to every frame, except between those with a weather of their own."""
        self._weather = weather
        self._ways.clear()

    def set_weather_between(self, a: PeerId, b: PeerId, weather: Weather | None) -> None:
        """What chance does to frames between these two, both ways; None is the general weather again."""
        for pair in ((a, b), (b, a)):
            self._weather_on.pop(pair, None)
            if weather is not None:
                self._weather_on[pair] = weather
        self._ways.clear()

    def cut(self, a: PeerId, b: PeerId) -> None:
        """From now on nothing passes between `a` and `b`; neither is told."""
        self._cuts[a, b] = self._cuts[b, a] = None
        self._ways.clear()

    def cut_one_way(self, a: PeerId, b: PeerId) -> None:
        """Frames from `a` to `b` vanish; those from `b` to `a` pass."""
        self._cuts[a, b] = None
        self._ways.clear()

    def mend(self, a: PeerId, b: PeerId) -> None:
        """Undo what `cut` and `cut_one_way` did between these two."""
        self._cuts.pop((a, b), None)
        self._cuts.pop((b, a), None)
        self._ways.clear()

    def partition(self, groups: Iterable[Iterable[PeerId]]) -> None:
        """Let nothing pass between nodes of different groups; who is in none of them is in one more, with the others
        in none. Replaces the partition there was; no groups are no partition."""
        self._groups = {peer: number for number, group in enumerate(groups, 1) for peer in group}
        self._ways.clear()

    def slow(self, peer: PeerId, factor: float = 1.0, *, handling_s: float = 0.0) -> None:
        """Let frames to and from `peer` take `factor` times as long, and let it take up each request after
        `handling_s`. The defaults make it as quick as it was."""
        self._slow[peer] = _Slowness(factor, handling_s)
        self._ways.clear()

    def asleep(self, peer: PeerId) -> None:
        """A lid closed: nothing passes to or from `peer`, and nobody is told."""
        self._asleep[peer] = None
        self._ways.clear()

    def awake(self, peer: PeerId) -> None:
        """The lid opened again."""
        self._asleep.pop(peer, None)
        self._ways.clear()

    def is_asleep(self, peer: PeerId) -> bool:
        return peer in self._asleep

    def heal(self) -> None:
        """Undo every fault: cuts, partition, weather, slowness, sleep. Distances and bandwidths stay."""
        self._cuts.clear()
        self._groups.clear()
        self._weather = CLEAR
        self._weather_on.clear()
        self._slow.clear()
        self._asleep.clear()
        self._ways.clear()

    # -- what follows from it

    def way(self, a: PeerId, b: PeerId) -> Way:
        """What a frame from `a` to `b` meets now."""
        found = self._ways.get((a, b))
        if found is None:
            found = self._ways[a, b] = self._work_out(a, b)
        return found

    def is_cut(self, a: PeerId, b: PeerId) -> bool:
        """Whether nothing passes from `a` to `b`."""
        return self.way(a, b).blocked

    def _work_out(self, a: PeerId, b: PeerId) -> Way:
        regions = self.region(a), self.region(b)
        distance = self._pairs.get((a, b)) or self._between.get(regions, self._distance)
        slow_a, slow_b = self._slow.get(a, _BRISK), self._slow.get(b, _BRISK)
        factor = slow_a.factor * slow_b.factor
        latency_s, jitter_s = distance.latency_s * factor, distance.jitter_s * factor
        weather = self._weather_on.get((a, b), self._weather)
        apart = self._groups.get(a, 0) != self._groups.get(b, 0)
        return Way(
            blocked=apart or (a, b) in self._cuts or a in self._asleep or b in self._asleep,
            chance=weather is not CLEAR or jitter_s > 0,
            latency_s=latency_s,
            jitter_s=jitter_s,
            weather=weather,
            up=self._lines.get(a, (None, None))[0],
            down=self._lines.get(b, (None, None))[1],
            handling_s=slow_b.handling_s,
        )
