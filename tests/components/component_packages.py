"""Packages of components for tests."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping

ID = "org.example.clock"
BEATING = """
import os, time
print("up", flush=True)
beats = int(os.environ["INOS_HEARTBEAT_FD"])
while True:
    os.write(beats, b"beat\\n")
    time.sleep(0.05)
"""
WAITING = "import time\nprint('up', flush=True)\nwhile True: time.sleep(60)\n"


def manifest(version: str = "1.0", *lines: str, component_id: str = ID, kind: str = "python", entry: str = "") -> str:
    """A `component.toml`."""
    entry = entry or ("main.py" if kind == "python" else "index.html")
    head = {"id": component_id, "name": "Clock", "version": version, "kind": kind, "entry": entry}
    return "\n".join([*(f'{name} = "{value}"' for name, value in head.items()), *lines]) + "\n"


def program(code: str, version: str = "1.0", *lines: str, component_id: str = ID) -> dict[str, str]:
    """The files of a Python component."""
    return {"component.toml": manifest(version, *lines, component_id=component_id), "main.py": code}


def packed(files: Mapping[str, str | bytes], within: str = "") -> bytes:
    """A .tar.gz of `files`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(within + name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """A .zip of `files`."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()
