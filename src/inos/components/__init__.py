"""Components: programs and front ends that a node keeps installed and running for its owner.

Decisions (`manifest.py`, `life.py`, what a package may hold) are apart from effects (`shelf.py`, `process.py`).
"""
