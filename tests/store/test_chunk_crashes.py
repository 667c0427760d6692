"""Kill a writing process at any moment, fill its disk: what it acknowledged is there, nothing is half there."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from inos.core.env import RealEnv
from inos.store.database import Database
from inos.store.disk_chunks import DiskChunkStore
from inos.testing.chunks import chunk

KEY: Final = bytes(range(32))
KILLS: Final = 20
SIZES: Final = (1_000, 70_000, 300_000)

# Spells out `chunk` because importing the suites would take most of the writer's time.
PRELUDE: Final = """
import sys
from pathlib import Path
from inos.core.env import RealEnv
from inos.crypto.hashing import address_of
from inos.store.database import Database
from inos.store.disk_chunks import DiskChunkStore
env = RealEnv()
def chunk(number, size):
    data = number.to_bytes(8, "big") + bytes(size - 8)
    return address_of(data), data
"""

# Puts batches of chunks `start`, `start + 1`, … and prints how far it got after each acknowledgement.
WRITER: Final = """
root, number, sizes = Path(sys.argv[1]), int(sys.argv[2]), (1_000, 70_000, 300_000)
database = Database(root / "inos.db", bytes(range(32)), env)
store = DiskChunkStore(root, database, env)
print(number, flush=True)
while True:
    store.put_many([chunk(n, sizes[n % 3]) for n in range(number, number + 8)])
    if number and number % 64 == 0:
        store.remove_many([chunk(n, sizes[n % 3])[0] for n in range(number - 8, number) if n % 2])
        database.checkpoint()
    number += 8
    print(number, flush=True)
"""


def opened(root: Path) -> tuple[Database, DiskChunkStore]:
    env = RealEnv()
    database = Database(root / "inos.db", KEY, env)
    return database, DiskChunkStore(root, database, env)


def killed_while_writing(root: Path, start: int, batches: int, delay_s: float) -> int:
    """Kill a writer `delay_s` after its first `batches` acknowledgements; the first chunk it did not acknowledge."""
    command = [sys.executable, "-c", PRELUDE + WRITER, str(root), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        lines = [writer.stdout.readline() for _ in range(1 + batches)]
        time.sleep(delay_s)
        writer.kill()
        assert all(lines), writer.stderr.read()
        lines += writer.stdout.read().split("\n")
    return max(int(line) for line in lines if line.strip())


def test_what_was_acknowledged_survives_kills_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(7)
    start = 0
    for _ in range(KILLS):
        reached = killed_while_writing(tmp_path, start, chance.randrange(4), chance.uniform(0, 0.02))
        database, store = opened(tmp_path)
        assert list((tmp_path / "staging").iterdir()) == []
        for number in range(start, reached):
            address, data = chunk(number, SIZES[number % 3])
            removed = number % 2 and (number // 8 + 1) * 8 % 64 == 0
            if not removed or store.present([address]):
                assert store.get(address) == data
        database.close()
        start = reached + 8  # the batch under way may or may not be there
    database, store = opened(tmp_path)
    everything = list(store.addresses())
    assert len(everything) > KILLS
    assert all(store.get(address) for address in everything)
    swept = store.rebuild_index()  # files in place were whole, so none is deleted; no row was without its file
    assert (swept.deleted, swept.dropped) == (0, 0)
    assert database.check() == []
    database.close()


# Fills a disk of 12 MB, or as much as files of at most 400 KB hold, and goes on once there is room.
FILLER: Final = """
import resource, signal
from inos.core.errors import StorageFull
root, limited = Path(sys.argv[1]), sys.argv[2] == "limited"
database = Database(root / "inos.db", bytes(range(32)), env)
store = DiskChunkStore(root, database, env, reserve_bytes=0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
if limited:
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, unlimited[1]))
sizes = (60_000, 5_000, 390_000)
held, number, full = {}, 0, 0
while full < 5:
    batch = dict(chunk(n, sizes[n % 3]) for n in range(number, number + 4))
    number += 4
    try:
        store.put_many(list(batch.items()))
        held.update(batch)
    except StorageFull as error:
        assert error.hint
        full += 1
        assert not store.present(list(batch))
assert held and number < 4000
assert list(store.addresses()) == sorted(held)
assert not list((root / "staging").iterdir())
files = {file.stem for file in (root / "blobs").rglob("*.enc")}
assert files == {address.hex() for address, data in held.items() if len(data) > 65_536}
assert all(store.get(address) == data for address, data in held.items())
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
if not limited:
    (root / "ballast").unlink()
    large = [address for address, data in held.items() if len(data) > 65_536]
    store.remove_many(large)
    for address in large:
        del held[address]
    database.checkpoint()
late = [chunk(n, 100_000) for n in range(10_000, 10_008)]
store.put_many(late)
assert all(store.get(address) == data for address, data in [*held.items(), *late])
assert database.check() == []
database.close()
print("done", len(held))
"""
# The ballast stands for whatever else lies on the disk: without any room at all not even a removal can be recorded.
ON_A_SMALL_DISK: Final = (
    'mount -t tmpfs -o size=12m none "$1" && head -c 1000000 /dev/zero > "$1/ballast" && exec "$2" -c "$3" "$1" disk'
)


def small_disk_command(root: Path) -> list[str]:
    """The filler on a real file system of 12 MB, where mounting one is permitted; else under a file size limit."""
    probe = ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=1m none '{root}'"]
    if shutil.which("unshare") and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return ["unshare", "-rm", "sh", "-c", ON_A_SMALL_DISK, "sh", str(root), sys.executable, PRELUDE + FILLER]
    return [sys.executable, "-c", PRELUDE + FILLER, str(root), "limited"]


@pytest.mark.parametrize("disk", ["small", "limited"])
def test_a_disk_that_fills_up_keeps_what_it_has_and_says_so(tmp_path: Path, disk: str) -> None:
    command = [sys.executable, "-c", PRELUDE + FILLER, str(tmp_path), "limited"]
    if disk == "small":
        command = small_disk_command(tmp_path)
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("done")
