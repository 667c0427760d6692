"""Replication: where pieces go, who holds them, and the workers that keep it so."""
