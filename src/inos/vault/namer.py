"""Giving names and taking them away, so that no object is left without one by a kill in between (`unfinished.py`).

A name is written only after its object is stored, and an object is removed only when the last of its names is. Whoever
looks whether an object has names left is alone with that; those who give names share their turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from inos.core.env import Env
from inos.core.errors import Conflict, InosError, NotEnoughNodes
from inos.core.ids import Cid
from inos.core.turns import Turns
from inos.replication.placement import Placement
from inos.replication.placements import Placements
from inos.state.lamport import GENERATION
from inos.vault.catalogue import Entry, cid_of, reference_of
from inos.vault.names import Catalogue
from inos.vault.put import Made, Putter
from inos.vault.unfinished import Naming, Note, Notes, Object

# What a client that went away has left waits so long; what a kill has, until the node is up again.
FINISH_EVERY_S: Final = 60.0
# Nobody gives names meanwhile.
_OUTDONE_AT_ONCE: Final = 100


class Namer:
    """The names of one owner on one node. Owned by the event loop."""

    def __init__(self, putter: Putter, catalogue: Catalogue, placements: Placements, notes: Notes, env: Env) -> None:
        self._putter = putter
        self._catalogue = catalogue
        self._placements = placements
        self._notes = notes
        self._env = env
        self.turns = Turns()
        self._suspects: list[Object] = []

    @contextmanager
    def noted(self) -> Iterator[str]:
        """The key of a note that stays where what is inside is cut off. When it fails, the caller hears so."""
        key = self._notes.new_key()
        try:
            yield key
        except InosError:
            self._notes.done(key)
            raise
        except BaseException:
            self._notes.leave(key)
            raise
        self._notes.done(key)

    async def note_names(
        self, key: str, names: Sequence[Entry], made: Sequence[Made], placements: Sequence[Placement]
    ) -> None:
        """Note that these names are to stand for what was made, which is about to be placed."""

        def work() -> Note:
            entries = [
                replace(name, reference=str(one.reference), size=one.size, sha256=one.sha256)
                for name, one in zip(names, made, strict=True)
            ]
            return Note(
                tuple(Naming(entry, self._catalogue.seen(entry.name)) for entry in entries),
                tuple(Object(one.cid, one.epoch, self._placements.surely_absent(one.cid)) for one in placements),
            )

        await self._notes.write(key, await self._env.in_thread(work))

    async def name(self, entries: Sequence[Entry]) -> bool:
        """Write names for objects just stored; whether a quorum has them. What they stood for before is removed where
        no other name does. Raises Conflict when one of the objects was removed while it was being put, or a name cannot
        be where it is to be."""
        async with self.turns.shared():
            cids = [cid for cid in map(cid_of, entries) if cid is not None]
            await self._check_places(entries, cids)
            if await self._env.in_thread(lambda: any(map(self._placements.removed, cids))):
                raise Conflict(
                    "the same content was removed while it was being put", hint="put it again; nothing was kept of it"
                )
            replaced = set(await self._catalogue.objects_named([entry.name for entry in entries])).difference(cids)
            key = await self.note_removal(sorted(replaced))
            agreed = await self._catalogue.write(entries)
        if replaced:
            # Cut off, nobody can say whether it has other names: a put does not fail for that, and the note stays.
            with suppress(NotEnoughNodes), self.removing(key):
                async with self.turns.alone():
                    await self.remove_unnamed(sorted(replaced))
        return agreed

    async def _check_places(self, entries: Sequence[Entry], cids: Sequence[Cid]) -> None:
        """Raises Conflict; what was stored for a name that it cannot have is removed soon."""
        try:
            await self._catalogue.check_places(entries)
        except Conflict:
            self._notes.leave(await self.note_removal(cids))
            raise

    async def note_removal(self, cids: Sequence[Cid]) -> str:
        """Note that these objects are to be removed where no name is left; the note's key, "" when none is needed."""
        placements = await self._placements.known_all(cids)
        objects = tuple(Object(one.cid, one.epoch) for one in placements if one is not None)
        if not objects:
            return ""
        key = self._notes.new_key()
        await self._notes.write(key, Note(objects=objects))
        return key

    @contextmanager
    def removing(self, key: str) -> Iterator[None]:
        """Whatever cuts it off, the note stays."""
        if not key:
            yield
            return
        try:
            yield
        except BaseException:
            self._notes.leave(key)
            raise
        self._notes.done(key)

    async def finish(self) -> None:
        """Take up what a kill, a cut or a caller that went away has left between an object and its name: give the name,
        where nobody has given it since and all of the object is here, and remove what else is without one. Raises
        NotEnoughNodes; what else one of them fails with once all have had their turn."""
        failed: InosError | None = None
        for key, note in await self._notes.left():
            await self._catalogue.refresh()
            try:
                await self._finish(note)
            except NotEnoughNodes:
                raise
            except InosError as error:
                failed = error
            else:
                self._notes.done(key)
        await self._notes.flush()
        await self._remove_outdone()
        if failed is not None:
            raise failed

    async def _remove_outdone(self) -> None:
        """Two nodes give a name at once, or on two sides of a cut, and one of them wins: whoever hears of that removes
        what the other stored. Only what was without a name a round ago, and has not been stored anew since."""
        suspects, self._suspects = self._suspects, []
        placements = await self._placements.known_all(await self._catalogue.left_nameless())
        self._suspects = [Object(one.cid, one.epoch) for one in placements if one is not None]
        nameless = set(await self._catalogue.nameless([one.cid for one in suspects]))
        known = await self._placements.known_all([one.cid for one in suspects])
        outdone = [one for one, now in zip(suspects, known, strict=True) if now is not None and one.cid in nameless]
        if not outdone:
            return
        try:
            await self._catalogue.refresh(quorum=True)
            await self._finish_removal(outdone[:_OUTDONE_AT_ONCE])
        except NotEnoughNodes:
            self._suspects += outdone
            raise
        self._suspects += outdone[_OUTDONE_AT_ONCE:]

    async def _finish(self, note: Note) -> None:
        if note.names:
            await self._finish_naming(note)
        await self._finish_removal([one for one in note.objects if one.fresh or not note.names])

    async def _finish_naming(self, note: Note) -> None:
        lamports = {one.cid: one.lamport for one in note.objects}
        async with self.turns.shared():
            entries = []
            for naming in note.names:
                cid = reference_of(naming.entry).cid
                seen = await self._catalogue.version(naming.entry.name)
                placement = await self._unchanged(Object(cid, lamports.get(cid, 0)))
                if seen != naming.seen or placement is None or not await self._has_place(naming.entry):
                    continue
                if await self._env.in_thread(self._putter.is_whole_here, placement):
                    entries.append(naming.entry)
            if not entries:
                return
            replaced = set(await self._catalogue.objects_named([entry.name for entry in entries]))
            key = await self.note_removal(sorted(replaced.difference(lamports)))
            await self._catalogue.write(entries)
        if key:
            self._notes.leave(key)  # taken up in the next round

    async def _has_place(self, entry: Entry) -> bool:
        try:
            await self._catalogue.check_places([entry])
        except Conflict:
            return False
        return True

    async def _finish_removal(self, objects: Sequence[Object]) -> None:
        # Asked before the turn: a replica that is slow to answer keeps nobody from giving names.
        unchanged = [one for one in objects if await self._unchanged(one) is not None]
        if not unchanged:
            return
        async with self.turns.alone():
            still = await self._env.in_thread(lambda: [one.cid for one in unchanged if self._may_still_go(one)])
            if still:
                await self.remove_unnamed(still)

    def _may_still_go(self, meant: Object) -> bool:
        """Blocks."""
        known = self._placements.known(meant.cid)
        return not self._placements.removed(meant.cid) if known is None else _is_of(known, meant)

    async def _unchanged(self, meant: Object) -> Placement | None:
        """The object's placement, unless it was put or removed since: its generation is another then."""
        placement = await self._placements.latest(meant.cid)
        return placement if placement is not None and _is_of(placement, meant) else None

    async def remove_unnamed(self, cids: Sequence[Cid]) -> list[Cid]:
        """Remove those of these objects that no name stands for; needs a turn alone."""
        await self._catalogue.refresh()
        unnamed = [cid for cid in dict.fromkeys(cids) if not await self._catalogue.names_of(cid)]
        if unnamed:
            await self._placements.remove(unnamed)
        return unnamed


def _is_of(placement: Placement, meant: Object) -> bool:
    """Whether it is of the generation that was meant."""
    return placement.epoch // GENERATION == meant.lamport // GENERATION
