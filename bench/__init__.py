"""Benchmarks: how fast INOS is here and now, each number beside a baseline of the same run. See docs/benchmarks.md."""
