"""The guard: one small process between the node and each component that runs, started as a script of its own.

It starts the component in a session of its own, writes what that says to its log, passes on its heartbeats, and sees to
it that nothing of it is left when it ends, when it is to end, or when the node is gone, however it went: its standard
input is a pipe from the node. If the guard itself is killed, the kernel kills the component (where it is Linux). The
lock it holds keeps two processes of one component apart, also across a restart of the node.

Runs on the standard library alone and imports nothing of ours: it costs few milliseconds and megabytes.

    in:   one line of JSON (`Spec` in process.py), then lines `stop` (SIGTERM) and `kill` (SIGKILL); the end means both
    out:  `started PID`, `beat`, `endpoint URL`, then `exit CODE` (negative: a signal) or `failed TEXT`
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

BLOCK: Final = 1 << 16
# A page of a log for a person, and one before it; a component that says more loses its oldest words.
MAX_LOG_BYTES: Final = 1 << 20
# What a node that was killed leaves runs on for no longer than this.
ORPHAN_S: Final = 2.0
LOCK_S: Final = 10.0
LOOK_S: Final = 0.05
MAX_ENDPOINT: Final = 500
_PDEATHSIG: Final = 1
_CHILD_SUBREAPER: Final = 36

_prctl: Any = getattr(ctypes.CDLL(None), "prctl", None)


class Log:
    """What the component says, in two files of bounded size."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._file = self._opened()
        self._size = os.fstat(self._file).st_size

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        """Add it. A full disk costs the words, not the component, nor those that follow once there is room."""
        with suppress(OSError):
            if self._size + len(data) > MAX_LOG_BYTES and self._size:
                self._turn_over()
            os.write(self._file, data)
            self._size += len(data)

    def _turn_over(self) -> None:
        with suppress(FileNotFoundError):  # moved by an attempt before, which could not open the next one
            self._path.replace(f"{self._path}.1")
        opened = self._opened()
        os.close(self._file)
        self._file, self._size = opened, 0


class Guard:
    """One run of one component."""

    def __init__(self, spec: dict[str, Any], rest: bytes) -> None:
        self._spec = spec
        self._orders = rest
        self._log = Log(spec["log"])
        self._output, self._output_end = os.pipe()
        self._beats, self._beats_end = os.pipe()
        self._wake, self._wake_end = os.pipe()
        # Nor does a node that does not listen hold us up: what it does not take is dropped.
        for descriptor in (self._output, self._beats, self._wake, self._wake_end, 0, 1):
            os.set_blocking(descriptor, False)
        self._said = b""
        self._beat_at_s = 0.0
        self._kill_at_s = float("inf")
        self._pid = 0
        self._code: int | None = None

    def run(self) -> None:
        """From the start of the component to its end."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_end, warn_on_full_buffer=False)
        if _prctl is not None:
            _prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)  # whatever it leaves behind becomes ours, and is ended with it
        try:
            self._pid = self._start()
        except OSError as error:
            say(f"failed cannot run {self._spec['argv'][0]}: {error.strerror}")
            return
        os.close(self._output_end)
        os.close(self._beats_end)
        say(f"started {self._pid}")
        self._attend()
        self._end_the_rest()
        self._take_output()
        say(f"exit {self._code}")

    def _start(self) -> int:
        spec, beats, parent = self._spec, self._beats_end, os.getpid()

        def ready() -> None:
            if _prctl is not None:
                _prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)

        process = subprocess.Popen(
            spec["argv"],
            cwd=spec["folder"],
            env={**spec["env"], "INOS_HEARTBEAT_FD": str(beats)},
            stdin=subprocess.DEVNULL,
            stdout=self._output_end,
            stderr=self._output_end,
            pass_fds=[beats],
            start_new_session=True,
            preexec_fn=ready,  # noqa: PLW1509 - there is one thread
        )
        process.returncode = 0  # reaped here, not by its destructor
        return process.pid

    def _attend(self) -> None:
        selector = selectors.DefaultSelector()
        handlers = {0: self._obey, self._wake: self._reap}
        handlers |= {self._output: self._take_output, self._beats: self._take_beats}
        for descriptor in handlers:
            selector.register(descriptor, selectors.EVENT_READ)
        while self._code is None:
            left_s = self._kill_at_s - time.monotonic()
            if left_s <= 0:
                self._signal(signal.SIGKILL)
                self._kill_at_s = left_s = float("inf")
            for key, _ in selector.select(None if left_s == float("inf") else left_s):
                if not handlers[key.fd]():
                    selector.unregister(key.fd)

    def _obey(self) -> bool:
        data = read(0)
        if data is None:
            return True
        if not data:
            self._signal(signal.SIGTERM)
            self._kill_at_s = time.monotonic() + min(ORPHAN_S, self._spec["stop_s"])
            return False
        *lines, self._orders = (self._orders + data).split(b"\n")
        for line in lines:
            self._signal(signal.SIGKILL if line == b"kill" else signal.SIGTERM)
        return True

    def _signal(self, number: int) -> None:
        if self._code is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, number)

    def _take_output(self) -> bool:
        data = read(self._output)
        if data:
            self._log.write(data)
        return data != b""

    def _take_beats(self) -> bool:
        data = read(self._beats)
        if data:
            *lines, self._said = (self._said + data).split(b"\n")
            self._said = self._said[-MAX_ENDPOINT - 16 :]
            places = [line for line in lines if line.startswith(b"endpoint ")]
            if places:
                say("endpoint " + places[-1][9 : 9 + MAX_ENDPOINT].decode("ascii", "replace"))
            if time.monotonic() - self._beat_at_s >= LOOK_S:
                self._beat_at_s = time.monotonic()
                say("beat")
        return data != b""

    def _reap(self) -> bool:
        read(self._wake)
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self._pid:
                    self._code = os.waitstatus_to_exitcode(status)
        return True

    def _end_the_rest(self) -> None:
        """Processes that it started and that are still there, in its session or out of it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        for _ in range(int(ORPHAN_S / LOOK_S)):
            for pid in children():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            time.sleep(LOOK_S)


def children() -> list[int]:
    """Our child processes, those that were adopted included; none where the system does not say."""
    with suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    return []


def read(descriptor: int) -> bytes | None:
    """What is there; None when nothing is, b"" at the end."""
    try:
        return os.read(descriptor, BLOCK)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def say(text: str) -> None:
    """Tell the node, which may be gone."""
    with suppress(OSError):
        os.write(1, text.encode("utf-8", "replace") + b"\n")


def held(path: str) -> bool:
    """Hold the lock until this process ends. The one before may still be ending, which takes a moment."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until_s = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > until_s:
                return False
            time.sleep(LOOK_S)
        else:
            return True


def main() -> None:
    """Run what the first line of standard input says."""
    os.umask(0o077)
    head = b""
    while b"\n" not in head:
        data = os.read(0, BLOCK)
        if not data:
            return
        head += data
    line, _, rest = head.partition(b"\n")
    spec = json.loads(line)
    if not held(spec["lock"]):
        say("failed another process of it is still running")
        return
    try:
        guard = Guard(spec, rest)
    except OSError as error:
        say(f"failed cannot write its log: {error.strerror}")
        return
    guard.run()


if __name__ == "__main__":
    main()
