"""Simulation: the network seam in memory, for tests of whole meshes in one process.

Imported by tests only; nothing that ships depends on it.
"""
