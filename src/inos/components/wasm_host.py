"""The host of one WASM module: a process of its own that runs it under WASI, started as a script.

The module reaches its data folder, as `/`, its arguments, the variables of its manifest, and what it prints goes to its
log; there is nothing else it could reach: no other file, no network, no other process. Its memory is bounded by the
store, its processor time by the kernel. Imports nothing of ours: it starts in the time that wasmtime takes.

    wasm_host.py '{"module", "data", "arguments", "environment", "memory_bytes", "cpu_s"}'
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any, Final

import wasmtime

# As a shell shows a program that was ended for what it did.
FAILED: Final = 134
# A module and what it defines; no module of a compiler has more.
MAX_TABLE: Final = 1 << 20
_START: Final = "_start"


def run(told: dict[str, Any]) -> int:
    """Run a module from beginning to end; its exit code."""
    _limit_processor_time(told["cpu_s"])
    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    store.set_limits(told["memory_bytes"], MAX_TABLE, 1, 8, 1)
    store.set_wasi(_surroundings(told))
    try:
        module = wasmtime.Module.from_file(engine, told["module"])
        start = linker.instantiate(store, module).exports(store).get(_START)
        if not isinstance(start, wasmtime.Func):
            raise wasmtime.WasmtimeError(f"the module has no function {_START}: it is a library, not a program")
        start(store)
    except wasmtime.ExitTrap as ended:
        return ended.code
    except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    return 0


def _surroundings(told: dict[str, Any]) -> wasmtime.WasiConfig:
    wasi = wasmtime.WasiConfig()
    wasi.argv = told["arguments"]
    wasi.env = list(told["environment"].items())
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    wasi.preopen_dir(told["data"], "/")
    return wasi


def _limit_processor_time(cpu_s: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if cpu_s:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
