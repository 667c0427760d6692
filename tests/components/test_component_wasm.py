"""WASM modules under WASI in a process of their own: what they reach, and what ends them."""

from __future__ import annotations

import pytest
import wasmtime
from component_bench import OpenBench, parts
from component_packages import ID, manifest, packed

from inos.core.components import ComponentReport
from inos.testing.run import trio_test

IMPORTS = """
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
"""


def module(body: str, data: str = "") -> bytes:
    """A program: at 8 a vector of what is to be written, at 64 `data`."""
    length = len(data.encode())
    return bytes(
        wasmtime.wat2wasm(
            f"""(module {IMPORTS} (memory (export "memory") 1)
          (data (i32.const 8) "\\40\\00\\00\\00\\{length & 255:02x}\\{length >> 8:02x}\\00\\00")
          (data (i32.const 64) "{data}")
          (func (export "_start") {body}))"""
        )
    )


def opening(path: str) -> bytes:
    """Make the file `path`, write its own name into it, and end with the error there was."""
    length = len(path.encode())
    return module(
        f"""(local $error i32)
        (local.set $error (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const {length}) (i32.const 1)
          (i64.const 64) (i64.const 64) (i32.const 0) (i32.const 32)))
        (if (local.get $error) (then (call $exit (local.get $error))))
        (call $exit (call $write (i32.load (i32.const 32)) (i32.const 8) (i32.const 1) (i32.const 40)))""",
        path,
    )


async def ran(bench: OpenBench, code: bytes, *lines: str) -> tuple[ComponentReport, str, dict[str, str]]:
    """What became of a module, what it said, and the files it has now."""
    rule = ("[restart]", 'policy = "never"')
    text = manifest("1", *lines, *rule, kind="wasm", entry="main.wasm")
    async with bench() as at:
        await at.desk.install(parts(packed({"component.toml": text, "main.wasm": code})), ())
        await at.desk.start(ID)
        report = await at.until(ID, lambda report: report.status in ("stopped", "crashed"))
        data = at.shelf.data(ID, "1")
        return report, await at.said(ID), {path.name: path.read_text() for path in data.iterdir()}


@trio_test
async def test_it_prints_and_writes_into_its_data_and_ends_well(bench: OpenBench) -> None:
    said = "(drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 40)))"
    report, log, _ = await ran(bench, module(said, "hello from wasm"))
    assert (report.status, report.last_error, log) == ("stopped", "", "hello from wasm")


@trio_test
async def test_its_data_folder_is_all_it_can_write(bench: OpenBench) -> None:
    report, _, files = await ran(bench, opening("notes"))
    assert (report.status, files) == ("stopped", {"notes": "notes"})


@pytest.mark.parametrize("path", ["../escaped", "../../../escaped", "/../escaped", "/tmp/escaped-from-inos"])
@trio_test
async def test_nothing_else_can_be_opened(bench: OpenBench, path: str) -> None:
    report, _, files = await ran(bench, opening(path))
    assert report.status == "crashed" and files == {}
    async with bench() as at:
        assert not list(at.root.rglob("*escaped*"))


@trio_test
async def test_the_environment_of_the_node_is_not_its_own(bench: OpenBench) -> None:
    count = "(drop (call $environ (i32.const 0) (i32.const 4))) (call $exit (i32.load (i32.const 0)))"
    report, _, _ = await ran(bench, module(count))
    assert report.last_error == "exit code 2"  # INOS_COMPONENT and its version


@trio_test
async def test_memory_beyond_its_limit_is_not_given(bench: OpenBench) -> None:
    grow = "(if (i32.eq (memory.grow (i32.const 64)) (i32.const -1)) (then (call $exit (i32.const 9))))"
    report, _, _ = await ran(bench, module(grow), "limits = {memory_mib = 1}")
    assert report.last_error == "exit code 9"


@trio_test
async def test_one_that_spins_is_ended_when_its_time_is_used_up(bench: OpenBench) -> None:
    report, _, _ = await ran(bench, module("(loop $on (br $on))"), "limits = {cpu_s = 1}")
    assert report.last_error.startswith("killed by signal")


@trio_test
async def test_one_that_spins_without_end_is_stopped_when_asked(bench: OpenBench) -> None:
    text = manifest("1", kind="wasm", entry="main.wasm")
    async with bench() as at:
        spin = module("(loop $on (br $on))")
        await at.desk.install(parts(packed({"component.toml": text, "main.wasm": spin})), ())
        assert (await at.desk.start(ID)).status == "running"
        assert (await at.desk.stop(ID)).status == "stopped"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (module("unreachable"), "unreachable"),
        (b"\0asm\1\0\0\0", "no function _start"),
        (b"\0asm\1\0\0\0\xff", "failed"),
        (b"no module", "expected"),
        (
            bytes(wasmtime.wat2wasm('(module (import "host" "reach" (func)) (func (export "_start")))')),
            "unknown import",
        ),
    ],
)
@trio_test
async def test_what_is_no_program_says_why(bench: OpenBench, code: bytes, said: str) -> None:
    report, log, _ = await ran(bench, code)
    assert report.status == "crashed" and report.last_error == "exit code 134"
    assert said in log and "Traceback" not in log
