"""The client library: everything a program asks of a running node, over its local HTTP API.

Imports core only; never the network stack. Names load on first use. Opened with `inos.connect` or `inos.connect_sync`;
see `Mesh` for the calls.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inos.client.connect import SyncMesh
    from inos.client.content import Content
    from inos.client.download import GetReport
    from inos.client.mesh import Mesh
    from inos.client.progress import Progress

__all__ = ["Content", "GetReport", "Mesh", "Progress", "SyncMesh"]

_HOMES = {
    "Content": "content",
    "GetReport": "download",
    "Mesh": "mesh",
    "Progress": "progress",
    "SyncMesh": "connect",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"inos.client.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'inos.client' has no attribute {name!r}")
