"""Simulation: the network and the disks of nodes in memory, for whole meshes in one process.

Imported by tests only; nothing that ships depends on it.
"""
