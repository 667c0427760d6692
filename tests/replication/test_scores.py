"""Scores: who is asked first, when the next one is asked too, and that nobody is condemned for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inos.replication.scores import Scores

A, B, C = (bytes([number]) * 32 for number in range(3))


def test_the_faster_one_is_asked_first() -> None:
    scores = Scores()
    for _ in range(20):
        scores.succeeded(A, 0.2)
        scores.succeeded(B, 0.01)
    assert scores.best_first([A, B, C]) == [B, C, A]
    assert scores.latency_s(A) > scores.latency_s(B)  # type: ignore[operator]
    assert scores.latency_s(C) is None


def test_a_busy_one_waits_its_turn() -> None:
    scores = Scores()
    scores.started(A)
    assert scores.best_first([A, B]) == [B, A]
    scores.ended(A)
    assert scores.best_first([A, B]) == [A, B]


def test_failures_and_wrong_bytes_push_back_and_success_forgives() -> None:
    scores = Scores()
    scores.failed(A)
    scores.failed(B, wrong=True)
    assert scores.best_first([A, B, C]) == [C, A, B]
    for _ in range(12):
        scores.succeeded(A, 0.05)
        scores.succeeded(B, 0.05)
    assert scores.best_first([A, B, C])[0] in (A, B, C)
    assert scores._cost_s(B) < 0.1


@given(st.lists(st.floats(0, 1000), max_size=30))
def test_a_hedge_comes_between_a_blink_and_two_seconds(latencies: list[float]) -> None:
    scores = Scores()
    for latency_s in latencies:
        scores.succeeded(A, latency_s)
    assert 0.15 <= scores.hedge_after_s(A) <= 2.0


@given(st.lists(st.sampled_from([A, B, C])))
def test_everybody_is_named_once(peers: list[bytes]) -> None:
    assert sorted(Scores().best_first(peers)) == sorted(set(peers))
