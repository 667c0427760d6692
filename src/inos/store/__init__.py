"""Store: what this machine's disk holds: the encrypted database, the chunks, the replica of the tables, the holdings.

Classes here block and are safe from several threads; run them through `Env.in_thread`. SQLite is imported by
`database.py` alone. Layout, write order, delete rules and recovery are in docs/format.md.
"""
