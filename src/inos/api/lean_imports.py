"""Loads of Hypercorn what a node runs; imported before anything of it.

Its package files import its workers, its listening loop and HTTP/2, none of which run here (see connection.py). They
are imported if something asks for them; so is what reads its settings from a file.
"""

from __future__ import annotations

from inos.core.late_imports import put_off, put_off_classes

put_off(("tomllib", "hypercorn.trio", "hypercorn.protocol", "h2.events"))
# A request to become a WebSocket is refused, in words of this one.
put_off_classes("hypercorn.protocol.ws_stream", "WSStream")
