"""Simulation: the network and the disks of nodes in memory, for whole meshes in one process.

For tests and `inos sim`; nothing that a node runs depends on it.
"""
