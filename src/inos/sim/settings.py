"""What the machines of a simulated mesh have in common, apart from what happens to them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from inos.replication.scheme import PlanRules
from inos.replication.warm import WarmRules
from inos.sim.cluster import ClusterSettings

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class SimSettings:
    """`regions`: how many the machines are spread over in turn. `quota_bytes`: what chunk files may take up, 0
    for the whole disk; `keep_unused_s`: how long surplus stays. `hubs`: how many machines, from the first on, may be
    the hub for messages, which puts what is new into the mesh every `snapshot_s`. Delays in seconds, sizes in bytes."""

    nodes: int = 5
    seed: int = 0
    regions: int = 1
    latency_s: float = 0.001
    region_latency_s: float = 0.05
    tick_s: float = 0.005
    repair_after_s: float = 30.0
    remove_delay_s: float = 60.0
    disk_bytes: int = 1 << 30
    erasure_from_bytes: int = 3 * MIB
    chunk_bytes: int = MIB
    settle_s: float = 600.0
    quota_bytes: int = 0
    keep_unused_s: float = 0.0
    hubs: int = 0
    snapshot_s: float = 10.0

    def rules(self) -> PlanRules:
        return PlanRules(erasure_from_bytes=self.erasure_from_bytes, chunk_bytes=self.chunk_bytes)

    def cluster(self) -> ClusterSettings:
        """The same for the machines."""
        return ClusterSettings(
            seed=self.seed,
            repair_after_s=self.repair_after_s,
            remove_delay_s=self.remove_delay_s,
            quota_bytes=self.quota_bytes or self.disk_bytes,
            rules=self.rules(),
            warm=WarmRules(self.keep_unused_s),
            disk_bytes=self.disk_bytes,
            latency_s=self.latency_s,
            tick_s=self.tick_s,
            regions=self.regions,
            region_latency_s=self.region_latency_s,
            hubs=self.hubs,
            snapshot_s=self.snapshot_s,
        )

    def given(self) -> list[str]:
        """The arguments of `script.cluster` that make these settings."""
        plain = SimSettings()
        others = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name != "nodes" and getattr(self, field.name) != getattr(plain, field.name)
        ]
        return [str(self.nodes), *others]
