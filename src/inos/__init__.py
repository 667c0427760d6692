"""INOS: one private place over all your machines. `inos.connect()` reaches the node running on this one.

    async with inos.connect() as mesh:
        stored = await mesh.put("photos/a.jpg")

Names load on first use: importing `inos` alone costs nothing, and never loads the network stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inos.client.connect import connect, connect_sync

    __version__: str

__all__ = ["__version__", "connect", "connect_sync"]


def __getattr__(name: str) -> Any:
    if name in {"connect", "connect_sync"}:
        from inos.client import connect as module

        return getattr(module, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("inos")
    raise AttributeError(f"module 'inos' has no attribute {name!r}")
