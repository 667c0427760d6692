"""Running work in a process of its own, watched by the kernel, ended by SIGKILL at any change it makes to a folder.

    ran = run(work, base, kill_at=17)

A fork of this process does the work: nothing is imported anew. A filter (seccomp) stops it right before each call that
may change a file (`calls.py`), whichever library makes it - Python, SQLite, C; those on files below `base` are counted
as *boundaries*. At number `kill_at` the whole process is killed, and the call does not happen. The calls of all its
threads come here one after the other, though not in the same order each time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from crash.calls import HERE, NAMES, NUMBERS, Step, step_of

Work = Callable[[Callable[[], None]], None]
"""What is run. It calls what it is given each time something it did counts as acknowledged."""

# A process that has not ended by itself after this long hangs.
LIMIT_S: Final = 60

_TRACEME, _CONT, _SETOPTIONS, _SYSCALL_INFO = 0, 7, 0x4200, 0x420E
# Threads and children of it too; seccomp stops; and it dies with us.
_OPTIONS: Final = 0x02 | 0x04 | 0x08 | 0x80 | 0x100000
_SECCOMP_STOP: Final = 7
_INFO_BYTES: Final = 88
_WALL: Final = 0x40000000
_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _TRACE = 0x7FFF0000, 0x7FF00000
_PAGE: Final = 4096

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


@dataclass(slots=True)
class Ran:
    """How a run went. `boundaries` were met, `acknowledged` is what it had acknowledged at its end, which is "done",
    "killed", or what went wrong; `steps` is all it changed, where that was recorded, with each acknowledgement."""

    boundaries: int = 0
    acknowledged: int = 0
    end: str = ""
    steps: list[Step] = field(default_factory=list)


def can_watch() -> bool:
    """Whether this machine lets a process watch its children like this."""
    if not NUMBERS:
        return False
    try:
        return run(lambda _acknowledge: None, Path("/nowhere")).end == "done"
    except OSError:
        return False


def run(work: Work, base: Path, *, kill_at: int = 0, record: bool = False) -> Ran:
    """Do `work` in a process of its own; see the module. 0: to its end."""
    said, saying = os.pipe()
    process = os.fork()
    if not process:
        os.close(said)
        _be_watched(work, saying)
    os.close(saying)
    with os.fdopen(said, "rb") as told:
        ran = Ran()
        try:
            _watch(process, str(base), kill_at, record, ran)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            raise
        lines = told.read().split(b"\n")
    ran.acknowledged = sum(line == b"ok" for line in lines)
    failed = [line for line in lines if line not in (b"ok", b"")]
    if failed and ran.end != "killed":
        ran.end = b"\n".join(failed).decode(errors="replace")
    return ran


# In the process that does the work


def _be_watched(work: Work, saying: int) -> None:
    code = 1
    try:
        signal.alarm(LIMIT_S)
        if _libc.ptrace(_TRACEME, 0, None, None):
            raise OSError(ctypes.get_errno(), "ptrace")
        os.kill(os.getpid(), signal.SIGSTOP)
        _install_filter()
        work(lambda: _say(saying))
        code = 0
    except BaseException:
        os.write(saying, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _say(saying: int) -> None:
    os.write(saying, b"ok\n")


def _install_filter() -> None:
    numbers = sorted(NAMES)
    program = [(_LOAD, 0, 0, 0)]
    program += [(_JUMP_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _TRACE)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in program))
    described = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
    if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.prctl(_SET_SECCOMP, _FILTER, described, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


# In the process that watches


def _watch(process: int, base: str, kill_at: int, record: bool, ran: Ran) -> None:
    _, status = os.waitpid(process, 0)
    if not os.WIFSTOPPED(status):
        raise OSError("this machine does not let a process be watched (ptrace)")
    if _libc.ptrace(_SETOPTIONS, process, None, _OPTIONS):
        raise OSError(ctypes.get_errno(), "ptrace options")
    _go_on(process, 0)
    while True:
        thread, status = os.waitpid(-1, _WALL)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            if thread == process:
                ran.end = _end(os.waitstatus_to_exitcode(status), ran)
                return
            continue
        if status >> 16 == _SECCOMP_STOP and _is_the_end(thread, base, kill_at, record, ran):
            os.kill(process, signal.SIGKILL)
            ran.end = "killed"
            continue
        number = os.WSTOPSIG(status)
        _go_on(thread, 0 if status >> 16 or number in (signal.SIGSTOP, signal.SIGTRAP) else number)


def _end(code: int, ran: Ran) -> str:
    if ran.end == "killed":
        return "killed"
    return "done" if code == 0 else f"ended by itself: {code}"


def _go_on(thread: int, deliver: int) -> None:
    _libc.ptrace(_CONT, thread, None, deliver)


def _is_the_end(thread: int, base: str, kill_at: int, record: bool, ran: Ran) -> bool:
    """Count what the stopped thread is about to do; whether it is to be killed instead."""
    info = ctypes.create_string_buffer(_INFO_BYTES)
    if _libc.ptrace(_SYSCALL_INFO, thread, _INFO_BYTES, info) <= 0:
        return False
    number, *given = struct.unpack_from("7Q", info.raw, 24)
    try:
        step = step_of(number, tuple(given), _Stopped(thread), record=record)
    except OSError:  # a descriptor that is not open, a string that is not there: the call will fail
        return False
    if step is None:
        return False
    if step.path.startswith("pipe:"):
        if record and step.data == b"ok\n":
            ran.steps.append(Step("acknowledged", ""))
        return False
    if not (step.path + "/").startswith(base + "/") or _changes_nothing(step):
        return False
    ran.boundaries += 1
    if record:
        ran.steps.append(step)
    return ran.boundaries == kill_at


def _changes_nothing(step: Step) -> bool:
    """A folder that is there is made for nothing; the index of SQLite's log is memory that happens to have a name."""
    return (step.kind == "folder" and Path(step.path).exists()) or step.path.endswith("-shm")


class _Stopped:
    """A stopped thread, as `/proc` shows it."""

    def __init__(self, thread: int) -> None:
        self._folder = f"/proc/{thread}"

    def file(self, descriptor: int) -> str:
        return os.readlink(f"{self._folder}/fd/{descriptor & 0xFFFFFFFF}")  # noqa: PTH115

    def position(self, descriptor: int) -> int:
        with open(f"{self._folder}/fdinfo/{descriptor & 0xFFFFFFFF}") as lines:  # noqa: PTH123
            fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        if int(fields["flags"], 8) & os.O_APPEND:
            return os.stat(f"{self._folder}/fd/{descriptor & 0xFFFFFFFF}").st_size  # noqa: PTH116
        return int(fields["pos"])

    def bytes_at(self, address: int, size: int) -> bytes:
        memory = os.open(f"{self._folder}/mem", os.O_RDONLY)
        try:
            return os.pread(memory, size, address)
        finally:
            os.close(memory)

    def _text(self, address: int) -> str:
        found = b""
        while b"\0" not in found:
            found += self.bytes_at(address + len(found), _PAGE - (address + len(found)) % _PAGE)
        return os.fsdecode(found[: found.index(b"\0")])

    def below(self, folder: int, address: int) -> str:
        name = self._text(address)
        if name.startswith("/"):
            return os.path.normpath(name)
        start = os.readlink(f"{self._folder}/cwd" if folder == HERE else f"{self._folder}/fd/{folder}")  # noqa: PTH115
        return os.path.normpath(f"{start}/{name}")
