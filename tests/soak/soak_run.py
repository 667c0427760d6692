"""The soak itself: puts, gets and removals from every side while random nodes are killed at random moments.

What must hold: a put that returned success is read back byte for byte whenever no more nodes are away than it was said
to survive; an operation fails only when the very node that served it was killed, or more nodes are away than that; no
read ever gives wrong bytes; a killed node starts again by itself.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from blake3 import blake3
from soak_mesh import SoakMesh, opened

from inos.cli.local_mesh import LocalNode
from inos.core.errors import InosError, NotEnoughNodes

PUTTERS, READERS = 2, 2
MAX_DOWN = 2
# Sizes on both sides of every rule: inline, one chunk, many chunks, and the class that is kept as stripes.
EDGES = (0, 1, 65_536, 65_537, 1 << 20, (1 << 20) + 1)
LARGE = (101_000_000, 125_000_000)
FINAL_REPAIR_S = 240.0
# So many failures say the same thing over and over.
HOPELESS = 40


@dataclass(slots=True)
class Entry:
    """One acknowledged put."""

    ref: str
    name: str
    size: int
    digest: bytes
    level: str
    survives: int
    away: frozenset[str]  # who was down already when it was acknowledged: not counted among its holders
    reads: int = 0

    def lost(self, down: set[str]) -> int:
        """Holders that may be missing when `down` are away."""
        return len(down - self.away)


@dataclass(slots=True)
class Plan:
    """How hard and how long."""

    seed: int
    kills: int
    live_bytes: int = 600_000_000
    large_share: float = 0.03
    pause_s: tuple[float, float] = (0.1, 2.5)
    down_s: tuple[float, float] = (0.2, 9.0)


@dataclass(slots=True)
class Soak:
    """One run over `mesh`. `failures` says everything that went wrong, in words."""

    mesh: SoakMesh
    plan: Plan
    ledger: dict[str, Entry] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _serving: Counter[str] = field(default_factory=Counter)
    _number: int = 0

    def run(self) -> None:
        """Kill `plan.kills` nodes while work goes on, then bring all back and read everything."""
        workers = [threading.Thread(target=self._guarded, args=(self._put_loop, n)) for n in range(PUTTERS)]
        workers += [threading.Thread(target=self._guarded, args=(self._read_loop, n)) for n in range(READERS)]
        for worker in workers:
            worker.start()
        try:
            self._kill_loop()
        finally:
            self._stop.set()
            for worker in workers:
                worker.join()
        self._settle()

    def summary(self) -> str:
        """What was done, in one line."""
        done = ", ".join(f"{name} {count:,}" for name, count in sorted(self.counts.items()))
        return f"soak seed {self.plan.seed}: {done}; {len(self.failures)} failures"

    def _guarded(self, loop: Callable[[random.Random], None], number: int) -> None:
        try:
            loop(random.Random(f"{self.plan.seed}/{loop.__name__}/{number}"))
        except Exception as error:  # a thread has nobody to raise to
            self._fail(f"{loop.__name__} {number} broke off: {error!r}")

    def _fail(self, text: str) -> None:
        with self._lock:
            self.failures.append(f"[{time.strftime('%H:%M:%S')}] {text}")
        print("FAILURE", text, flush=True)
        if len(self.failures) >= HOPELESS:
            self._stop.set()

    # Killing

    def _kill_loop(self) -> None:
        chance = random.Random(f"{self.plan.seed}/kill")
        revivals: list[threading.Thread] = []
        while self.counts["kills"] < self.plan.kills and not self._stop.is_set():
            time.sleep(chance.uniform(*self.plan.pause_s))
            victims = self._victims(chance)
            if not victims:
                continue
            self.mesh.kill(*victims)
            self.counts["kills"] += len(victims)
            self.counts["double kills"] += len(victims) > 1
            for node in victims:
                thread = threading.Thread(target=self._revive, args=(node, chance.uniform(*self.plan.down_s)))
                thread.start()
                revivals.append(thread)
            if self.counts["kills"] % 10 < len(victims):
                print(self.summary(), flush=True)
        for thread in revivals:
            thread.join()

    def _victims(self, chance: random.Random) -> list[LocalNode]:
        room = MAX_DOWN - len(self.mesh.down())
        up = self.mesh.up()
        if room <= 0 or not up:
            return []
        busy = [node for node in up if self._serving[node.name]]
        first = chance.choice(busy if busy and chance.random() < 0.4 else up)
        if room == 1 or chance.random() > 0.3:
            return [first]
        second = chance.choice([node for node in up if node is not first])
        return [first, second] if self._two_allowed(first) else [first]

    def _two_allowed(self, node: LocalNode) -> bool:
        """Whether everything acknowledged survives two losses; what did not when it was put may by now."""
        with self._lock:
            weak = [entry for entry in self.ledger.values() if entry.survives < 2]
        try:
            with opened(node) as mesh:
                for entry in weak:
                    entry.survives = max(entry.survives, mesh.stat(entry.ref).survives)
        except InosError:
            return False
        return all(entry.survives >= 2 for entry in weak)

    def _revive(self, node: LocalNode, pause_s: float) -> None:
        time.sleep(pause_s)
        started_s = time.monotonic()
        try:
            self.mesh.revive(node)
        except (InosError, AssertionError) as error:
            self._fail(f"{node.name} does not come back: {error}")
        with self._lock:
            slowest = max(self.counts["slowest return ms"], round(1000 * (time.monotonic() - started_s)))
            self.counts["slowest return ms"] = slowest

    # Putting and removing

    def _put_loop(self, chance: random.Random) -> None:
        again: tuple[str, bytes] | None = None
        while not self._stop.is_set():
            nodes = self.mesh.up()
            if not nodes:
                continue
            node = chance.choice(nodes)
            if again is None:
                with self._lock:
                    self._number += 1
                    again = f"/soak/{self._number}", chance.randbytes(self._size(chance))
            stored = self._put(node, *again)
            again = None if stored or chance.random() < 0.3 else again
            self._make_room(chance)

    def _size(self, chance: random.Random) -> int:
        kind = chance.random()
        if kind < self.plan.large_share:
            return chance.randint(*LARGE)
        if kind < 0.15:
            return chance.choice(EDGES)
        return int(10 ** chance.uniform(1, 7.47))

    def _put(self, node: LocalNode, name: str, data: bytes) -> bool:
        started_s = time.monotonic()
        self._serving[node.name] += 1
        try:
            with opened(node) as mesh:
                report = mesh.put(data, name=name)
        except InosError as error:
            self.counts["puts broken off"] += 1
            if node.name not in self.mesh.down(started_s):
                self._fail(f"put of {name} ({len(data)} bytes) on {node.name}, which lives: {error!r}")
            return False
        finally:
            self._serving[node.name] -= 1
        away = frozenset(self.mesh.down(started_s))
        digest = blake3(data).digest()
        with self._lock:
            entry = Entry(report.ref, report.name, report.size, digest, report.level, report.survives, away)
            self.ledger[name] = entry
            self.counts["puts"] += 1
            self.counts["put bytes"] += len(data)
            self.counts[f"level {report.level}"] += 1
        if report.size != len(data):
            self._fail(f"put of {name}: {len(data)} bytes went in, {report.size} were acknowledged")
        return True

    def _make_room(self, chance: random.Random) -> None:
        with self._lock:
            if sum(entry.size for entry in self.ledger.values()) < self.plan.live_bytes:
                return
            name = chance.choice(list(self.ledger))
            entry = self.ledger.pop(name)
        nodes = self.mesh.up()
        if not nodes:
            return
        node, started_s = chance.choice(nodes), time.monotonic()
        try:
            with opened(node) as mesh:
                mesh.remove(entry.ref if chance.random() < 0.5 else f"inos:{name}")
            self.counts["removed"] += 1
        except NotEnoughNodes:
            self.counts["removals put off"] += 1  # just back, and nobody to ask yet which names there are
        except InosError as error:
            if node.name not in self.mesh.down(started_s):
                self._fail(f"removal of {name} on {node.name}, which lives: {error!r}")

    # Reading

    def _read_loop(self, chance: random.Random) -> None:
        while not self._stop.is_set():
            nodes = self.mesh.up()
            with self._lock:
                entries = list(self.ledger.values())
            if not nodes or not entries:
                time.sleep(0.05)
                continue
            self._read(chance.choice(nodes), chance.choice(entries))
            time.sleep(0.02)

    def _read(self, node: LocalNode, entry: Entry) -> None:
        started_s = time.monotonic()
        digest, got = blake3(), 0
        try:
            with opened(node) as mesh:
                for chunk in mesh.stream(entry.ref):
                    digest.update(chunk)
                    got += len(chunk)
        except InosError as error:
            self._judge_failed_read(node, entry, started_s, got, error)
            return
        entry.reads += 1
        self.counts["gets"] += 1
        self.counts["get bytes"] += got
        if digest.digest() != entry.digest:
            self._fail(f"get of {entry.name} from {node.name}: WRONG BYTES, {got} of {entry.size}")
        took_ms = round(1000 * (time.monotonic() - started_s))
        with self._lock:
            if took_ms > self.counts["slowest get ms"]:
                self.counts["slowest get ms"] = took_ms
                print(f"slowest get so far: {took_ms} ms for {got} bytes from {node.name}", flush=True)

    def _judge_failed_read(self, node: LocalNode, entry: Entry, started_s: float, got: int, error: InosError) -> None:
        self.counts["gets broken off"] += 1
        down = self.mesh.down(started_s)
        with self._lock:
            removed = self.ledger.get(entry.name) is not entry
        if not removed and node.name not in down and entry.lost(down) <= entry.survives:
            self._fail(
                f"get of {entry.name} ({got} of {entry.size} bytes came) from {node.name} with {sorted(down)} away; "
                f"acknowledged to survive {entry.survives} without {sorted(entry.away)}: {error!r}"
            )

    # The end

    def _settle(self) -> None:
        """Everything acknowledged, from every node in turn and by name too; then full redundancy again."""
        for node in self.mesh.nodes:
            if not node.running:
                self._fail(f"{node.name} is not running at the end")
        nodes = [node for node in self.mesh.nodes if node.running]
        for number, entry in enumerate(list(self.ledger.values())):
            self._read(nodes[number % len(nodes)], entry)
            self._look_up(nodes[(number + 1) % len(nodes)], entry)
        self.counts["read back at the end"] = len(self.ledger)
        self._wait_whole(nodes[0])

    def _look_up(self, node: LocalNode, entry: Entry) -> None:
        with opened(node) as mesh:
            try:
                found = mesh.stat(f"inos:{entry.name}").ref
            except InosError as error:
                self._fail(f"the name {entry.name} is unknown to {node.name}: {error!r}")
                return
        if found != entry.ref:
            self._fail(f"the name {entry.name} leads to {found} on {node.name}, not to {entry.ref}")

    def _wait_whole(self, node: LocalNode) -> None:
        started_s = time.monotonic()
        weak = list(self.ledger.values())
        while weak and time.monotonic() < started_s + FINAL_REPAIR_S:
            with opened(node) as mesh:
                states = [(entry, mesh.stat(entry.ref)) for entry in weak]
            most = len(self.mesh.nodes) - 1
            weak = [entry for entry, state in states if state.survives < min(most, state.wanted_survives)]
            if weak:
                time.sleep(1)
        self.counts["seconds to full redundancy"] = round(time.monotonic() - started_s)
        for entry in weak:
            self._fail(f"{entry.name} has not its full redundancy {FINAL_REPAIR_S:g} s after the last node came back")
