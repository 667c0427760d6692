"""What a vault was about to do to names, written down so that a kill or a cut in between leaves no object behind.

Naming is the last step of a put, and removing an object the last step of taking its last name away. A *note* is synced
before the first step that would leave an object without a name, and goes once the last one is done: at the next note,
or with `flush`, for nobody has to wait for that. Notes found later, whose task is not running, are taken up again
(`Vault.finish`). One that was done already is found to be so; all decisions go by versions and generations, so that
nothing is undone that was done since.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from inos.core.env import Env
from inos.core.errors import Corrupt, InosError
from inos.core.file_times import nearest_ms
from inos.core.ids import Cid
from inos.vault.catalogue import Entry, Kind

PREFIX: Final = "unfinished/"
_KEY_BYTES: Final = 8
_VERSION: Final = 1


class Kept(Protocol):
    """Bytes by name on this node's disk. Calls block."""

    def under(self, prefix: str) -> dict[str, bytes]: ...

    def change(self, values: Mapping[str, bytes], gone: Sequence[str]) -> None:
        """Set and remove all of these, or none; synced."""


@dataclass(frozen=True, slots=True)
class Object:
    """An object in the generation of its placement that was meant. `fresh`: as far as this node knew, it was not there
    before."""

    cid: Cid
    lamport: int
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Naming:
    """A name to be given; `seen` is the version of its record that was known then, 0 for none."""

    entry: Entry
    seen: int


@dataclass(frozen=True, slots=True)
class Note:
    """Names to be given to `placed` objects, or, where there are none, objects to be removed unless a name is left."""

    names: tuple[Naming, ...] = ()
    objects: tuple[Object, ...] = ()

    def encode(self) -> bytes:
        """As JSON."""
        names = [{**asdict(one.entry), "sha256": one.entry.sha256.hex(), "seen": one.seen} for one in self.names]
        objects = [[str(one.cid), one.lamport, one.fresh] for one in self.objects]
        return json.dumps({"v": _VERSION, "names": names, "objects": objects}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Note:
        """Raises Corrupt for what `encode` did not make."""
        try:
            value = json.loads(data)
            if value["v"] != _VERSION:
                raise ValueError(value["v"])
            objects = tuple(Object(Cid.parse(cid), int(at), bool(fresh)) for cid, at, fresh in value["objects"])
            return cls(tuple(map(_naming, value["names"])), objects)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, InosError):
            raise Corrupt("not a note of what is unfinished") from None


def _naming(value: dict[str, Any]) -> Naming:
    sha256, modified_ms = bytes.fromhex(value["sha256"]), nearest_ms(int(value["modified_ms"]))
    fields = {**value, "kind": Kind(value["kind"]), "sha256": sha256, "modified_ms": modified_ms}
    return Naming(seen=int(fields.pop("seen")), entry=Entry(**fields))


class Notes:
    """The notes of one node. Owned by the event loop."""

    def __init__(self, kept: Kept, env: Env) -> None:
        self._kept = kept
        self._env = env
        self._running: set[str] = set()
        self._done: set[str] = set()

    def new_key(self) -> str:
        """A key for a note of a task that runs; nobody takes it up until `leave`."""
        key = PREFIX + self._env.token_bytes(_KEY_BYTES).hex()
        self._running.add(key)
        return key

    async def write(self, key: str, note: Note) -> None:
        """Synced when it returns. Raises StorageFull."""
        gone = self._done - {key}
        await self._env.in_thread(self._kept.change, {key: note.encode()}, sorted(gone))
        self._done -= gone

    def done(self, key: str) -> None:
        """There is nothing left to do."""
        self._running.discard(key)
        self._done.add(key)

    def leave(self, key: str) -> None:
        """The task was cut off: what its note says, if there is one, is to be taken up."""
        self._running.discard(key)

    async def flush(self) -> None:
        """Remove the notes of what is done."""
        if gone := sorted(self._done):
            await self._env.in_thread(self._kept.change, {}, gone)
            self._done -= set(gone)

    async def left(self) -> list[tuple[str, Note]]:
        """Notes of tasks that do not run any more. One that cannot be read is dropped: it names nothing."""
        found: list[tuple[str, Note]] = []
        for key, data in (await self._env.in_thread(self._kept.under, PREFIX)).items():
            if key in self._running or key in self._done:
                continue
            try:
                found.append((key, Note.decode(data)))
            except Corrupt:
                self._done.add(key)
        return found
