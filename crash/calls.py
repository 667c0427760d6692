"""The calls of Linux that change a file or a folder, by their numbers, and what each of them is about to change.

Numbers differ by architecture (x86-64; the generic table of arm64 and riscv64); meanings do not. A call that is not in
the table goes unseen: whatever the stores begin to use must be added here.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

_X86_64: Final = {
    "write": 1, "open": 2, "pwrite64": 18, "writev": 20, "sendfile": 40, "fsync": 74, "fdatasync": 75, "truncate": 76,
    "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88,
    "chmod": 90, "fchmod": 91, "openat": 257, "mkdirat": 258, "unlinkat": 263, "renameat": 264, "linkat": 265,
    "symlinkat": 266, "fchmodat": 268, "fallocate": 285, "pwritev": 296, "renameat2": 316, "copy_file_range": 326,
    "pwritev2": 328, "openat2": 437,
}  # fmt: skip
_GENERIC: Final = {
    "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37, "renameat": 38, "truncate": 45, "ftruncate": 46,
    "fallocate": 47, "fchmod": 52, "fchmodat": 53, "openat": 56, "write": 64, "writev": 66, "pwrite64": 68,
    "pwritev": 70, "sendfile": 71, "fsync": 82, "fdatasync": 83, "renameat2": 276, "copy_file_range": 285,
    "pwritev2": 287, "openat2": 437,
}  # fmt: skip
NUMBERS: Final = {"x86_64": _X86_64, "aarch64": _GENERIC, "riscv64": _GENERIC}.get(platform.machine(), {})
NAMES: Final = {number: name for name, number in NUMBERS.items()}

HERE: Final = -100  # AT_FDCWD
_CREATES: Final = 0o100
_TRUNCATES: Final = 0o1000
_REMOVES_FOLDER: Final = 0x200


@dataclass(frozen=True, slots=True)
class Step:
    """One change that is about to happen to `path`. `other` is where a rename or a link comes from, and what a copy
    reads; `offset` and `size` say which bytes, `data` what they become where that was recorded."""

    kind: str
    path: str
    other: str = ""
    offset: int = 0
    size: int = 0
    data: bytes = b""


class Caller(Protocol):
    """The stopped thread that makes a call."""

    def file(self, descriptor: int) -> str:
        """The path of an open file."""

    def position(self, descriptor: int) -> int:
        """Where the next write to it goes."""

    def bytes_at(self, address: int, size: int) -> bytes:
        """Some of its memory."""

    def below(self, folder: int, address: int) -> str:
        """The absolute path that a string in its memory means, relative to the open `folder`."""


Arguments = tuple[int, ...]


def step_of(number: int, given: Arguments, caller: Caller, *, record: bool) -> Step | None:
    """What a call will change; None for one that changes nothing, such as opening a file to read."""
    return _MEANINGS[NAMES[number]](given, caller, record)


def _signed(value: int) -> int:
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low & 0x80000000 else low


def _write(given: Arguments, caller: Caller, record: bool) -> Step:
    descriptor, address, size = given[:3]
    data = caller.bytes_at(address, size) if record else b""
    return Step("write", caller.file(descriptor), "", caller.position(descriptor) if record else 0, size, data)


def _pwrite(given: Arguments, caller: Caller, record: bool) -> Step:
    descriptor, address, size, offset = given[:4]
    return Step("write", caller.file(descriptor), "", offset, size, caller.bytes_at(address, size) if record else b"")


def _copy(given: Arguments, caller: Caller, record: bool) -> Step:
    source, at, target, to, size = given[:5]
    if at or to:
        return _unknown(given, caller, record)
    name = f"{caller.file(source)}@{caller.position(source) if record else 0}"
    return Step("copy", caller.file(target), name, caller.position(target) if record else 0, size)


def _unknown(given: Arguments, caller: Caller, record: bool) -> Step:
    """A change whose effect is not worked out: fine to be killed at, not to be played again."""
    if record:
        raise NotImplementedError("a call that cannot be recorded yet: see crash/calls.py")
    return Step("other", caller.file(given[0]))


def _open(folder: int, address: int, flags: int, caller: Caller) -> Step | None:
    if not flags & (_CREATES | _TRUNCATES):
        return None
    return Step("cut" if flags & _TRUNCATES else "make", caller.below(folder, address))


def _on_file(kind: str) -> Callable[[Arguments, Caller, bool], Step]:
    return lambda given, caller, _record: Step(kind, caller.file(given[0]))


def _on_name(kind: str) -> Callable[[Arguments, Caller, bool], Step]:
    return lambda given, caller, _record: Step(kind, caller.below(HERE, given[0]))


def _on_name_at(kind: str) -> Callable[[Arguments, Caller, bool], Step]:
    return lambda given, caller, _record: Step(kind, caller.below(_signed(given[0]), given[1]))


def _moves(kind: str) -> Callable[[Arguments, Caller, bool], Step]:
    return lambda given, caller, _record: Step(kind, caller.below(HERE, given[1]), caller.below(HERE, given[0]))


def _moves_at(kind: str) -> Callable[[Arguments, Caller, bool], Step]:
    return lambda given, caller, _record: Step(
        kind, caller.below(_signed(given[2]), given[3]), caller.below(_signed(given[0]), given[1])
    )


_MEANINGS: Final[dict[str, Callable[[Arguments, Caller, bool], Step | None]]] = {
    "write": _write,
    "pwrite64": _pwrite,
    "writev": _unknown,
    "pwritev": _unknown,
    "pwritev2": _unknown,
    "sendfile": _unknown,
    "fallocate": _unknown,
    "copy_file_range": _copy,
    "fsync": _on_file("sync"),
    "fdatasync": _on_file("sync"),
    "ftruncate": lambda given, caller, _record: Step("resize", caller.file(given[0]), size=given[1]),
    "truncate": lambda given, caller, _record: Step("resize", caller.below(HERE, given[0]), size=given[1]),
    "rename": _moves("rename"),
    "renameat": _moves_at("rename"),
    "renameat2": _moves_at("rename"),
    "link": _moves("link"),
    "linkat": _moves_at("link"),
    "symlink": lambda given, caller, _record: Step("other", caller.below(HERE, given[1])),
    "symlinkat": lambda given, caller, _record: Step("other", caller.below(_signed(given[1]), given[2])),
    "mkdir": _on_name("folder"),
    "mkdirat": _on_name_at("folder"),
    "rmdir": _on_name("remove folder"),
    "unlink": _on_name("remove"),
    "unlinkat": lambda given, caller, _record: Step(
        "remove folder" if given[2] & _REMOVES_FOLDER else "remove", caller.below(_signed(given[0]), given[1])
    ),
    "chmod": _on_name("mode"),
    "fchmod": _on_file("mode"),
    "fchmodat": _on_name_at("mode"),
    "creat": lambda given, caller, _record: Step("cut", caller.below(HERE, given[0])),
    "open": lambda given, caller, _record: _open(HERE, given[0], given[1], caller),
    "openat": lambda given, caller, _record: _open(_signed(given[0]), given[1], given[2], caller),
    "openat2": lambda given, caller, _record: _open(
        _signed(given[0]), given[1], int.from_bytes(caller.bytes_at(given[2], 8), "little"), caller
    ),
}
