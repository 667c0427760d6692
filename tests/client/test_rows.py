"""`mesh.db` in both event loops and in none."""

from __future__ import annotations

from typing import Any

import pytest

import inos
from inos.client.mesh import Mesh
from inos.core.errors import BadInput, NotFound, Refused
from inos.core.rows.kept import KeptChunk
from inos.core.rows.personal import MessageInfo, Preference
from inos.core.rows.wallet import Transaction
from inos.testing.memory_service import MemoryService
from inos.testing.row_samples import sample
from served import Served


def test_rows_go_in_and_come_out(run: Any, service: MemoryService) -> None:
    made = [sample(Transaction, number) for number in range(20)]

    async def work(mesh: Mesh) -> None:
        for row in made:
            assert await mesh.db.save(row) == row
        assert [row async for row in mesh.db.rows(Transaction)] == sorted(
            made, key=lambda row: (row.created_at_s, row.tx_hash)
        )
        confirmed = [row async for row in mesh.db.rows(Transaction, where="status", equals="confirmed")]
        assert {row.status for row in confirmed} == {"confirmed"}
        assert await mesh.db.get(Transaction, made[3].tx_hash) == made[3]
        await mesh.db.remove(Transaction, made[3].tx_hash)
        with pytest.raises(NotFound):
            await mesh.db.get(Transaction, made[3].tx_hash)
        assert (await mesh.db.stats()).rows["transactions"] == 19
        assert (await mesh.db.check()).ok

    run(work)


@pytest.mark.parametrize("name", ["a/b", "..", ".", "a b?c#d%2F", "ümläut", "x" * 200, "a//b/"])
def test_any_key_is_one_part_of_an_address(run: Any, name: str) -> None:
    async def work(mesh: Mesh) -> None:
        row = Preference(name, name, 1)
        assert await mesh.db.save(row) == row
        assert await mesh.db.get(Preference, name) == row
        await mesh.db.remove(Preference, name)

    run(work)


def test_what_cannot_be_asked_is_said_here(run: Any) -> None:
    async def work(mesh: Mesh) -> None:
        with pytest.raises(BadInput):
            [row async for row in mesh.db.rows(Preference, where="value", equals=1)]
        with pytest.raises(BadInput):
            await mesh.db.put(Preference, {"value": 1})
        with pytest.raises(Refused):
            await mesh.db.save(sample(KeptChunk, 1))

    run(work)


def test_without_an_event_loop(node: Served) -> None:
    with inos.connect_sync(node.home) as mesh:
        row = mesh.db.save(sample(MessageInfo, 1))
        assert list(mesh.db.rows(MessageInfo, where="channel", equals=row.channel)) == [row]
        assert [found.key for found in mesh.db.search("things")] == [row.message_id]
