"""How each kind of component is started: the command, where it runs, and all that its environment holds.

A component is told where its data is and where the node's API is. It gets the API's token only where its manifest asks
for that and its owner granted it, and nothing of the node's own environment but the search path.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inos.components.installed import Installed
from inos.components.manifest import is_module
from inos.components.process import Spec
from inos.components.shelf import Shelf
from inos.core.endpoint import Endpoint

_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
# -P: the folder it runs in, which is its data, is no place to import from.
_CALL: Final = "import sys; sys.path.insert(0, sys.argv.pop(1)); name = sys.argv.pop(1); sys.argv[0] = name; " \
    "import importlib; module, _, function = name.partition(':'); " \
    "sys.exit(getattr(importlib.import_module(module), function)())"  # fmt: skip


# Not imported: wasmtime is loaded where a module runs, and nowhere else.
_WASM_HOST: Final = Path(__file__).with_name("wasm_host.py")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of the node its components are told of."""

    shelf: Shelf
    api: Endpoint


def spec_of(installed: Installed, around: Surroundings) -> Spec:
    """What to run for a Python or WASM component."""
    manifest, shelf = installed.manifest, around.shelf
    data = shelf.data(manifest.id, manifest.version)
    return Spec(
        argv=_command(installed, shelf.code(manifest.id, manifest.version), data),
        folder=str(data),
        env=_environment(installed, data, around),
        log=str(shelf.log(manifest.id)),
        lock=str(shelf.lock(manifest.id)),
        stop_s=manifest.stop_s,
    )


def _command(installed: Installed, code: Path, data: Path) -> list[str]:
    manifest = installed.manifest
    python = [sys.executable, "-E", "-s", "-B", "-u"]
    if manifest.kind == "wasm":
        return [*python, "-P", str(_WASM_HOST), json.dumps(_told(installed, code, data))]
    if is_module(manifest.entry):
        return [*python, "-P", "-c", _CALL, str(code), manifest.entry, *manifest.arguments]
    return [*python, str(code / manifest.entry), *manifest.arguments]


def _told(installed: Installed, code: Path, data: Path) -> dict[str, object]:
    """What the host of a WASM module is told; none of it is secret, as such a module is granted nothing."""
    manifest = installed.manifest
    return {
        "module": str(code / manifest.entry),
        "data": str(data),
        "arguments": [manifest.entry, *manifest.arguments],
        "environment": {
            **manifest.environment,
            "INOS_COMPONENT": manifest.id,
            "INOS_COMPONENT_VERSION": manifest.version,
        },
        "memory_bytes": manifest.limits.memory_mib << 20,
        "cpu_s": manifest.limits.cpu_s,
    }


def _environment(installed: Installed, data: Path, around: Surroundings) -> Mapping[str, str]:
    manifest = installed.manifest
    env = {
        **manifest.environment,
        "PATH": os.environ.get("PATH", _PATH),
        "LANG": "C.UTF-8",
        "HOME": str(data),
        "INOS_COMPONENT": manifest.id,
        "INOS_COMPONENT_VERSION": manifest.version,
        "INOS_COMPONENT_DATA": str(data),
        "INOS_API": around.api.url,
    }
    if installed.before:
        env["INOS_COMPONENT_OLD_DATA"] = str(around.shelf.data(manifest.id, installed.before))
    if manifest.heartbeat_s:
        env["INOS_HEARTBEAT_S"] = f"{manifest.heartbeat_s:g}"
    if "api" in installed.granted:
        env["INOS_API_TOKEN"] = around.api.token
    return env
