"""Witnesses: who may speak about whom, when a member counts as failed, and what the wire accepts."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import BadFrame
from inos.core.ids import PeerId
from inos.mesh.links import FULL_MESH, choose_links
from inos.mesh.liveness import Change, State
from inos.mesh.network import GossipHandler
from inos.mesh.witness import RETRY_S, WITNESSES, Sightings, Witnesses, decode_sightings
from inos.testing.env import SimEnv
from inos.testing.members import fixed_key
from inos.testing.run import sim_test

KEYS = [fixed_key(f"witness {number}").public_key for number in range(FULL_MESH + 10)]
ME, SUBJECT = KEYS[0], KEYS[1]
WITNESSES_OF = choose_links(SUBJECT, KEYS)[:WITNESSES]


class Said:
    """A gossip that keeps what was published."""

    def __init__(self) -> None:
        self.published: list[Sightings] = []

    async def publish(self, _topic: str, data: bytes) -> None:
        self.published.append(decode_sightings(data))

    async def subscribe(self, _topic: str, _handler: GossipHandler) -> None: ...


@sim_test
async def test_a_mesh_that_grows_too_large_for_a_full_one_is_listened_to_at_once() -> None:
    members, listening = KEYS[:FULL_MESH], trio.Event()

    class Heard(Said):
        async def subscribe(self, _topic: str, _handler: GossipHandler) -> None:
            listening.set()

    known = Witnesses(ME, lambda: members, Heard(), SimEnv())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(known.run)
        await trio.sleep(7)
        members = KEYS[: FULL_MESH + 1]
        known.noticed(Change(PeerId.from_public_key(members[-1]), State.ALIVE, 7.0))
        with trio.fail_after(1):
            await listening.wait()
        nursery.cancel_scope.cancel()


def witnesses(me: bytes = ME, said: Said | None = None) -> Witnesses:
    return Witnesses(me, lambda: KEYS, said or Said(), SimEnv())


async def say(to: Witnesses, who: bytes, *, failed: tuple[bytes, ...] = (), alive: tuple[bytes, ...] = ()) -> None:
    await to.hear(PeerId.from_public_key(who), Sightings(failed, alive).encode())


@sim_test
async def test_two_witnesses_make_a_failure_and_one_word_ends_it() -> None:
    known, heard = witnesses(), []
    known.on_change(lambda node, alive: heard.append((node, alive)))
    await say(known, WITNESSES_OF[0], failed=(SUBJECT,))
    await say(known, WITNESSES_OF[0], failed=(SUBJECT,))
    assert known.worth_calling(SUBJECT) and known.failed_since_s(SUBJECT) is None
    await trio.sleep(3)
    await say(known, WITNESSES_OF[1], failed=(SUBJECT,))
    assert not known.worth_calling(SUBJECT) and known.failed_since_s(SUBJECT) == 3.0
    await say(known, WITNESSES_OF[4], alive=(SUBJECT,))
    assert known.worth_calling(SUBJECT) and heard == [(SUBJECT, False), (SUBJECT, True)]


@sim_test
async def test_others_are_not_believed() -> None:
    known = witnesses()
    for other in KEYS:
        if other not in WITNESSES_OF:
            await say(known, other, failed=(SUBJECT,))
    assert known.worth_calling(SUBJECT)
    await known.hear(PeerId.from_public_key(WITNESSES_OF[0]), b"garbage")
    for witness in WITNESSES_OF[:2]:
        await say(known, witness, failed=(SUBJECT,))
    await say(known, next(key for key in KEYS if key not in WITNESSES_OF), alive=(SUBJECT,))
    assert not known.worth_calling(SUBJECT)


@sim_test
async def test_what_was_dialled_in_vain_is_tried_again_later() -> None:
    known = witnesses()
    known.missed(SUBJECT)
    assert not known.worth_calling(SUBJECT)
    await trio.sleep(RETRY_S)
    assert known.worth_calling(SUBJECT) and known.failed_since_s(SUBJECT) == 0.0
    known.missed(SUBJECT)
    assert not known.worth_calling(SUBJECT) and known.failed_since_s(SUBJECT) == 0.0
    known.found(SUBJECT)
    assert known.failed_since_s(SUBJECT) is None


@sim_test
async def test_only_witnesses_tell_and_what_comes_together_goes_out_together() -> None:
    for me, expected in ((WITNESSES_OF[2], 1), (next(key for key in KEYS if key not in WITNESSES_OF), 0)):
        said = Said()
        known = witnesses(me, said)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(known.run)
            for state in (State.FAILED, State.ALIVE, State.FAILED):
                known.noticed(Change(PeerId.from_public_key(SUBJECT), state, 0.0))
            await trio.sleep(5)
            nursery.cancel_scope.cancel()
        assert said.published == [Sightings((SUBJECT,), ())] * expected


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    try:
        decode_sightings(data)
    except BadFrame:
        return


def test_sightings_come_back_as_they_were_and_short_keys_do_not() -> None:
    said = Sightings((SUBJECT, ME), (KEYS[5],))
    assert decode_sightings(said.encode()) == said
    with pytest.raises(BadFrame):
        decode_sightings(Sightings((b"short",), ()).encode())
