"""The workers that look after a node's database."""

from __future__ import annotations

from pathlib import Path

import trio

from inos.core.env import RealEnv
from inos.core.errors import Corrupt
from inos.node.database_upkeep import (
    SPARE_AGE_S,
    VACUUM_FROM_PAGES,
    DatabaseUpkeep,
    worth_vacuuming,
)
from inos.node.disk import Disk, open_disk
from inos.store.database_care import PAGE_BYTES, DatabaseCare
from inos.store.rebuild import SPARE
from inos.testing.chunks import chunk
from inos.testing.env import SimEnv
from inos.testing.run import sim_test, trio_test

KEY = bytes(range(32))
QUOTA = 10**9


def test_a_quarter_of_free_pages_is_given_back_down_to_a_twentieth() -> None:
    assert not worth_vacuuming(10_000, 2_400, under_way=False)
    assert worth_vacuuming(10_000, 2_500, under_way=False)
    assert worth_vacuuming(10_000, 600, under_way=True)
    assert not worth_vacuuming(10_000, 500, under_way=True)
    assert not worth_vacuuming(VACUUM_FROM_PAGES, VACUUM_FROM_PAGES - 1, under_way=False)


@trio_test
async def test_the_file_shrinks_a_little_at_a_time_and_stays_sound(tmp_path: Path) -> None:
    with open_disk(tmp_path, KEY, QUOTA, RealEnv()) as disk:
        upkeep = DatabaseUpkeep(DatabaseCare(disk.database), disk.spare, RealEnv())
        small = [chunk(n, 60_000) for n in range(300)]
        disk.chunks.put_many(small)
        await upkeep.checkpoint()
        full = (tmp_path / "inos.db").stat().st_size
        disk.chunks.remove_many([address for address, _ in small[:280]])
        await upkeep.vacuum()
        await upkeep.checkpoint()
        once = (tmp_path / "inos.db").stat().st_size
        assert full - 1_100 * PAGE_BYTES < once < full - 900 * PAGE_BYTES
        for _ in range(8):
            await upkeep.vacuum()
        await upkeep.checkpoint()
        room = DatabaseCare(disk.database).room()
        assert room.free <= room.pages * 0.05 + 1 and (tmp_path / "inos.db").stat().st_size < full / 4
        assert disk.database.check() == []
        assert all(disk.chunks.get(address) == data for address, data in small[280:])


@trio_test
async def test_each_table_in_turn_is_read_through(tmp_path: Path) -> None:
    with open_disk(tmp_path, KEY, QUOTA, RealEnv()) as disk:
        disk.chunks.put_many([chunk(n, 30_000) for n in range(60)])
    path = tmp_path / "inos.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with open_disk(tmp_path, KEY, QUOTA, RealEnv()) as disk:
        upkeep = DatabaseUpkeep(DatabaseCare(disk.database), disk.spare, RealEnv())
        seen: list[str] = []
        for _ in DatabaseCare(disk.database).tables():
            try:
                await upkeep.integrity()
            except Corrupt as error:
                seen.append(error.message)
                assert "inos rebuild" in error.hint
        assert len(seen) == 1 and "inline_chunks" in seen[0]


@sim_test
async def test_a_spare_is_made_at_once_and_then_by_age(tmp_path: Path) -> None:
    env, place = SimEnv(), tmp_path / SPARE

    async def made_after(disk: Disk, upkeep: DatabaseUpkeep, wait_s: float, *, write: bool = True) -> bool:
        before = place.stat().st_mtime_ns if place.exists() else 0
        if write:
            disk.settings.put({"wait": str(wait_s).encode()})
        await trio.sleep(wait_s)
        await upkeep.spare()
        return place.stat().st_mtime_ns != before

    with open_disk(tmp_path, KEY, QUOTA, env) as disk:
        upkeep = DatabaseUpkeep(DatabaseCare(disk.database), disk.spare, env)
        assert await made_after(disk, upkeep, 0)
        assert not await made_after(disk, upkeep, SPARE_AGE_S - 1)
        assert await made_after(disk, upkeep, 1)
        assert not await made_after(disk, upkeep, SPARE_AGE_S, write=False)
    with open_disk(tmp_path, KEY, QUOTA, env) as disk:
        upkeep = DatabaseUpkeep(DatabaseCare(disk.database), disk.spare, env)
        assert not await made_after(disk, upkeep, 10)
        assert await made_after(disk, upkeep, SPARE_AGE_S)


@trio_test
async def test_the_room_that_the_log_keeps_is_given_back_where_there_is_too_little(tmp_path: Path) -> None:
    log, pressed = tmp_path / "inos.db-wal", False
    with open_disk(tmp_path, KEY, QUOTA, RealEnv()) as disk:
        upkeep = DatabaseUpkeep(DatabaseCare(disk.database), disk.spare, RealEnv(), lambda: pressed)
        disk.chunks.put_many([chunk(n, 60_000) for n in range(30)])
        await upkeep.checkpoint()
        assert log.stat().st_size > 1_500_000  # the next writes find it there
        pressed = True
        await upkeep.checkpoint()
        assert log.stat().st_size == 0
        disk.chunks.put_many([chunk(n, 60_000) for n in range(30, 33)])
        assert disk.database.check() == []
