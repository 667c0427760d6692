"""Machines of a test mesh: real node processes of chosen owners, and the real command against each of them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from inos.cli.local_mesh import LocalNode, clean_environment, inos_command
from inos.client.connect import SyncMesh, connect_sync

COMMAND_S: Final = 110.0
POLL_S: Final = 0.2
# Failed after 5 s of silence, 2 s until repair begins, a pass of every worker, on a machine that does other things too.
SETTLE_S: Final = 60.0
QUICK: Final = ("--repair-after", "2s", "--remove-delay", "2s")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command did."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value that was printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON values that were printed, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        """The error that `--json` printed."""
        error: dict[str, Any] = json.loads(self.err.splitlines()[-1])["error"]
        return error


@dataclass(slots=True)
class Machine(LocalNode):
    """A node of ours. `phrase` is its owner's."""

    phrase: str = ""

    def inos(
        self, *arguments: str, stdin: bytes = b"", cwd: Path | None = None, code: int = 0, as_json: bool = True
    ) -> Done:
        """Run a command against this machine; it must end with `code`."""
        common = ("--home", str(self.home), *(["--json"] if as_json else []))
        done = run_inos(arguments[0], *common, *arguments[1:], stdin=stdin, cwd=cwd)
        assert done.code == code, f"inos {' '.join(arguments)}: exit {done.code}, not {code}: {done.err}"
        return done

    @contextmanager
    def connected(self) -> Iterator[SyncMesh]:
        """The client library on this machine."""
        with connect_sync(self.home) as mesh:
            yield mesh

    def put(self, data: bytes, name: str = "", **options: Any) -> Any:
        """Store bytes; the report."""
        with self.connected() as mesh:
            return mesh.put(data, name=name or None, **options)

    def read(self, target: object) -> bytes:
        """The bytes of an object."""
        with self.connected() as mesh, mesh.open(str(target)) as content:
            return b"".join(content.chunks)

    def stat(self, target: object) -> Any:
        with self.connected() as mesh:
            return mesh.stat(str(target))

    def status(self) -> Any:
        with self.connected() as mesh:
            return mesh.status()

    def names(self, prefix: str = "") -> list[str]:
        with self.connected() as mesh:
            return [item.name for item in mesh.list(prefix)]

    def restart(self) -> None:
        self.start()
        self.wait_ready()

    def blobs(self) -> list[Path]:
        """The chunk files on this machine's disk."""
        return sorted((self.home / "blobs").rglob("*.enc"))


@dataclass(slots=True)
class Machines:
    """All machines of one test module, below `folder`."""

    folder: Path
    options: tuple[str, ...] = QUICK
    made: list[Machine] = field(default_factory=list)

    def make(self, name: str, *, phrase: str = "") -> Machine:
        """A data root, not running."""
        home = self.folder / name
        given = ("--phrase", "-") if phrase else ()
        done = run_inos(
            "init", "--no-passphrase", "--home", str(home), "--name", name, "--json", *given, stdin=phrase.encode()
        )
        assert done.code == 0, done.err
        machine = Machine(home, self.options, phrase=phrase or done.json["phrase"])
        self.made.append(machine)
        return machine

    def found(self, name: str) -> Machine:
        """The first node of a mesh, running."""
        machine = self.make(name)
        machine.restart()
        return machine

    def join(self, host: Machine, *guests: Machine) -> None:
        """Start `guests` as members of the mesh of `host`; done when every running machine sees all."""
        ticket = host.inos("invite").json["ticket"]
        for guest in guests:
            plain, guest.options = guest.options, (*guest.options, "--join", ticket)
            guest.start()
            guest.options = plain
        for guest in guests:
            guest.wait_ready()
        running = [machine for machine in self.made if machine.running]
        wait_for(lambda: all(m.status().alive == len(running) for m in running), "all members alive")

    def stop(self) -> None:
        for machine in self.made:
            if machine.running and machine.process is not None:
                machine.process.terminate()
        for machine in self.made:
            machine.stop()


def run_inos(
    *arguments: str, stdin: bytes = b"", cwd: Path | None = None, environment: dict[str, str] | None = None
) -> Done:
    """Run the command as a user would."""
    done = subprocess.run(
        inos_command(*arguments),
        input=stdin,
        capture_output=True,
        timeout=COMMAND_S,
        cwd=cwd,
        env=clean_environment() | (environment or {}),
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


def wait_for(holds: Callable[[], object], what: str, timeout_s: float = SETTLE_S) -> float:
    """Wait until it holds; the seconds it took."""
    started_s = time.monotonic()
    while not holds():
        assert time.monotonic() - started_s < timeout_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(POLL_S)
    return time.monotonic() - started_s


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes that do not shrink and differ from chunk to chunk."""
    import random

    return random.Random(seed).randbytes(size)


def everything_in(homes: Sequence[Path]) -> Iterator[tuple[Path, bytes]]:
    """Every file below the data roots."""
    for home in homes:
        for path in sorted(home.rglob("*")):
            if path.is_file():
                yield path, path.read_bytes()
