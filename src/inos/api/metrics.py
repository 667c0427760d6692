"""Prometheus text from a status report: gauges and counters a person would alert on, above all worker ages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inos.core.reports import StatusReport

NEVER_AGE_S = float("inf")  # a worker that never succeeded must trip every alert on its age


class _Snapshot(Collector):
    def __init__(self, status: StatusReport, others: Iterable[Metric]) -> None:
        self._status = status
        self._others = others

    def collect(self) -> Iterator[Metric]:
        yield from _node(self._status)
        yield from _reads(self._status)
        yield from _workers(self._status)
        yield from _tiers(self._status)
        yield from _messages(self._status)
        yield from _named("inos_repair", "Repair, by counter", self._status.repair)
        yield from _named("inos_refused", "Requests of peers refused, by reason", self._status.refused)
        yield from self._others


def render_metrics(status: StatusReport, others: Iterable[Metric] = ()) -> bytes:
    """The whole exposition of one moment: what `status` says, and `others`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(status, others))
    return generate_latest(registry)


def _node(status: StatusReport) -> Iterator[Metric]:
    info = GaugeMetricFamily("inos_node_info", "This node", labels=["peer", "node_name", "version", "profile"])
    info.add_metric([status.peer, status.node_name, status.version, status.profile], 1)
    yield info
    for name, help_text, value in (
        ("inos_uptime_seconds", "Time since the node started", status.uptime_s),
        ("inos_members", "Members of the mesh", status.members),
        ("inos_members_alive", "Members that answer", status.alive),
        ("inos_objects", "Objects this node holds", status.objects),
        ("inos_chunks", "Chunks this node holds", status.chunks),
        ("inos_stored_bytes", "Bytes of chunks this node holds", status.stored_bytes),
        ("inos_quota_bytes", "Bytes this node may hold; 0 means no quota", status.quota_bytes),
        ("inos_free_bytes", "Bytes free on the disk of the data root", status.free_bytes),
    ):
        yield GaugeMetricFamily(name, help_text, value=value)


def _reads(status: StatusReport) -> Iterator[Metric]:
    """Chunks that readers asked for: hits lay on this node, misses came from others."""
    hits = CounterMetricFamily("inos_cache_hits", "Chunks read that this node had", value=status.reads.get("hits", 0))
    misses = CounterMetricFamily(
        "inos_cache_misses", "Chunks read that other nodes had to give", value=status.reads.get("misses", 0)
    )
    yield from (hits, misses)


def _workers(status: StatusReport) -> Iterator[Metric]:
    age = GaugeMetricFamily(
        "inos_worker_last_success_age_seconds", "Time since a worker last succeeded", labels=["worker"]
    )
    runs = CounterMetricFamily("inos_worker_runs", "Successful rounds of a worker", labels=["worker"])
    failures = CounterMetricFamily("inos_worker_failures", "Failed rounds of a worker", labels=["worker"])
    for worker in status.workers:
        age_s = worker.last_success_age_s
        age.add_metric([worker.name], NEVER_AGE_S if age_s is None else age_s)
        runs.add_metric([worker.name], worker.runs)
        failures.add_metric([worker.name], worker.failures)
    yield from (age, runs, failures)


def _tiers(status: StatusReport) -> Iterator[Metric]:
    used = GaugeMetricFamily("inos_tier_bytes", "Bytes of the disk that a tier takes up", labels=["tier"])
    quota = GaugeMetricFamily("inos_tier_quota_bytes", "Bytes of the disk that a tier may take up", labels=["tier"])
    surplus = GaugeMetricFamily("inos_tier_surplus_bytes", "Bytes of a tier that could go", labels=["tier"])
    full = GaugeMetricFamily("inos_tier_full", "Whether a tier has hit its quota", labels=["tier"])
    hits = CounterMetricFamily("inos_tier_quota_hits", "Times a tier has hit its quota", labels=["tier"])
    for tier in status.tiers:
        used.add_metric([tier.name], tier.used_bytes)
        quota.add_metric([tier.name], tier.quota_bytes)
        surplus.add_metric([tier.name], tier.surplus_bytes)
        full.add_metric([tier.name], tier.state == "full")
        hits.add_metric([tier.name], tier.hits)
    yield from (used, quota, surplus, full, hits)


def _messages(status: StatusReport) -> Iterator[Metric]:
    """By the names that the dashboards of agents know."""
    node, messages = status.node_name, status.messages
    used = GaugeMetricFamily(
        "cache_bytes_used", "Bytes of the messages that this node keeps for an agent", labels=["node", "agent"]
    )
    depth = GaugeMetricFamily(
        "outbox_queue_depth", "Messages of an agent that the hub has not acknowledged", labels=["node", "agent"]
    )
    for cache in messages.caches:
        used.add_metric([node, cache.agent], cache.used_bytes)
        depth.add_metric([node, cache.agent], cache.pending)
    lag = GaugeMetricFamily(
        "sync_lag_seconds", "Age of the oldest message on this node that the hub has not acknowledged", labels=["node"]
    )
    lag.add_metric([node], max((each.lag_s for each in messages.caches if each.pending), default=0.0))
    failures = CounterMetricFamily(
        "sync_failures", "Batches of messages of this node that did not reach the hub", labels=["node"]
    )
    failures.add_metric([node], messages.sync_failures)
    growing = GaugeMetricFamily(
        "htpc_write_throughput_bytes", "Bytes a second by which the hub on this node grows", labels=["node"]
    )
    growing.add_metric([node], messages.bytes_per_s)
    yield from (used, depth, lag, failures, growing)


def _named(name: str, help_text: str, values: dict[str, int | float | str] | dict[str, int]) -> Iterator[Metric]:
    family = GaugeMetricFamily(name, help_text, labels=["name"])
    for key, value in values.items():
        if not isinstance(value, str):
            family.add_metric([key], value)
    yield family
