"""Memory does not grow with the object: gigabytes in and out through pipes, and no node above its bound.

The data does not compress and no two chunks of it are equal. SOAK_GB says how much of it the long test moves.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from soak_mesh import SoakMesh, no_traceback, reset_peak, resident_mb

from inos.cli.local_mesh import LocalNode, clean_environment, inos_command

LIMIT_MB = 250.0
MB, GB = 10**6, 10**9
BLOCK = 1 << 20
SOAK_BYTES = int(float(os.environ.get("SOAK_GB") or 5) * GB)


def stream(size: int) -> Iterator[bytes]:
    """`size` bytes that look like chance and are the same each time."""
    cipher = Cipher(algorithms.ChaCha20(b"k" * 32, b"n" * 16), None).encryptor()
    zeros = bytes(BLOCK)
    for start in range(0, size, BLOCK):
        yield cipher.update(zeros[: min(BLOCK, size - start)])


def put(node: LocalNode, size: int) -> str:
    """Through standard input, so that nobody knows the size beforehand; the reference."""
    command = inos_command("put", "-", "--name", "/large", "--home", str(node.home))
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=clean_environment(), **pipes) as process:
        assert process.stdin is not None
        try:
            for block in stream(size):
                process.stdin.write(block)
        except BrokenPipeError:
            pass
        out, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return str(out.decode().strip())


def get(node: LocalNode, target: str, size: int) -> None:
    """Through standard output, compared on the way."""
    command = inos_command("get", target, "-o", "-", "--home", str(node.home))
    with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for number, block in enumerate(stream(size)):
            assert process.stdout.read(len(block)) == block, f"block {number} differs"
        assert process.stdout.read(1) == b""
    assert process.returncode == 0


@contextmanager
def stage(name: str, mesh: SoakMesh, size: int) -> Iterator[None]:
    """Watches every node's peak, by the kernel's own mark, and says it."""
    for node in mesh.nodes:
        reset_peak(node.pid)
    began_s = time.monotonic()
    yield
    took_s = time.monotonic() - began_s
    peaks = [resident_mb(node.pid, "VmHWM") for node in mesh.nodes]
    rate = size / 1e6 / took_s if size else 0
    print(f"{name}: {took_s:.0f} s, {rate:.0f} MB/s, peak MB {[round(peak) for peak in peaks]}", flush=True)
    assert max(peaks) < LIMIT_MB, f"{name}: peaks of {[round(peak) for peak in peaks]} MB"


def through(mesh: SoakMesh, size: int) -> None:
    """In at the first node, out at the last, with everybody watched."""
    first, last = mesh.nodes[0], mesh.nodes[-1]
    with stage("put", mesh, size):
        ref = put(first, size)
    with stage("get where it was put", mesh, size):
        get(first, ref, size)
    with stage("get elsewhere", mesh, size):
        get(last, ref, size)
    if len(mesh.nodes) > 1:
        with stage("two gets at once", mesh, 2 * size):
            other = threading.Thread(target=get, args=(first, ref, size))
            other.start()
            get(first, ref, size)
            other.join()
    no_traceback(mesh)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_hundreds_of_megabytes_through_one_node(tmp_path: Path) -> None:
    """Enough for every queue to be full; what grows with the object shows in the long ones below."""
    with SoakMesh(tmp_path) as mesh:
        mesh.start(1)
        through(mesh, 600 * MB)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_two_gigabytes_of_copies_over_three_nodes(tmp_path: Path) -> None:
    with SoakMesh(tmp_path) as mesh:
        mesh.start(3)
        through(mesh, 2 * GB)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_gigabytes_of_stripes_over_six_nodes(tmp_path: Path) -> None:
    with SoakMesh(tmp_path) as mesh:
        mesh.start(6)
        through(mesh, SOAK_BYTES)
