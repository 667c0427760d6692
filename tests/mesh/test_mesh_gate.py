"""The gate: what strangers may use, counted."""

from __future__ import annotations

import pytest

from inos.core.errors import Busy
from inos.mesh.gate import Gate, GateLimits


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _gate(**limits: float) -> tuple[Gate, Clock]:
    clock = Clock()
    return Gate(GateLimits(**limits), clock), clock  # type: ignore[arg-type]


def test_the_oldest_connection_of_an_address_goes_when_there_are_too_many() -> None:
    gate, _ = _gate(connections_per_ip=2)
    evicted: list[int] = []
    for number in range(3):
        gate.enter("192.0.2.1", lambda number=number: evicted.append(number))  # type: ignore[misc]
    gate.enter("192.0.2.2", lambda: evicted.append(99))
    assert evicted == [0]
    assert gate.refused["connections_per_ip"] == 1


def test_the_oldest_of_all_goes_when_there_are_too_many_in_all() -> None:
    gate, _ = _gate(connections=2)
    evicted: list[str] = []
    for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        gate.enter(ip, lambda ip=ip: evicted.append(ip))  # type: ignore[misc]
    assert evicted == ["192.0.2.1"]


def test_those_who_left_no_longer_count() -> None:
    gate, _ = _gate(connections_per_ip=1)
    evicted: list[int] = []
    visit = gate.enter("192.0.2.1", lambda: evicted.append(1))
    gate.leave(visit)
    gate.leave(visit)
    gate.enter("192.0.2.1", lambda: evicted.append(2))
    assert not evicted


def test_calls_are_limited_by_peer_and_by_address_and_recover() -> None:
    gate, clock = _gate(burst_per_peer=2, calls_per_s_per_peer=1, burst_per_ip=3, calls_per_s_per_ip=1)
    gate.charge("peer 1", "192.0.2.1")
    gate.charge("peer 1", "192.0.2.1")
    with pytest.raises(Busy):
        gate.charge("peer 1", "192.0.2.1")
    with pytest.raises(Busy):  # that refusal cost the address its third token
        gate.charge("peer 2", "192.0.2.1")
    gate.charge("peer 2", "192.0.2.9")
    clock.now_s += 1
    gate.charge("peer 1", "192.0.2.1")
    assert gate.refused["rate"] == 2


def test_rates_of_many_peers_are_kept_in_bounded_room() -> None:
    gate, _ = _gate()
    for number in range(5000):
        gate.charge(f"peer {number}", f"192.0.{number // 250}.{number % 250}")
    assert len(gate._buckets) <= 4096
