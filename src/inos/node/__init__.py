"""Node: the one place that wires disk, mesh, replication and vault into something that runs, and looks after itself.

Nothing here decides what storage means; it says which part gets which other part, and which workers run.
"""
