"""One process at a time on a data root, and the note it leaves for local programs while it is there."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inos.core.endpoint import Endpoint, read_endpoint
from inos.core.env import RealEnv
from inos.core.errors import InosError, Locked, NotFound
from inos.crypto.cocoon import Argon2Cost
from inos.store.dataroot import DataRoot

PHRASE = "legal winner thank year wave sausage worth useful " * 2 + "legal winner thank year wave sausage worth title"
PASSPHRASE = "correct horse"
CHEAP = Argon2Cost(memory_kib=8, passes=1, lanes=1)


def make(path: Path) -> DataRoot:
    return DataRoot.create(path, PHRASE, PASSPHRASE, RealEnv(), CHEAP)


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return make(tmp_path / "home")


class TestLock:
    def test_another_process_is_named_with_what_to_do(self, root: DataRoot) -> None:
        with holding(root.lock_file) as pid, pytest.raises(Locked, match=f"process {pid}") as caught, root.lock():
            pass
        assert f"kill {pid}" in caught.value.hint
        assert "--home" in caught.value.hint

    def test_the_same_process_cannot_hold_it_twice(self, root: DataRoot) -> None:
        with root.lock():
            with pytest.raises(Locked, match=str(os.getpid())), root.lock():
                pass
            assert root.lock_file.read_text() == f"{os.getpid()}\n"

    def test_it_is_free_after_and_after_an_error(self, root: DataRoot) -> None:
        with pytest.raises(ZeroDivisionError), root.lock():
            raise ZeroDivisionError
        with root.lock():
            pass
        assert root.lock_file.read_bytes() == b""

    def test_a_killed_holder_leaves_no_lock_and_no_address(self, root: DataRoot) -> None:
        with holding(root.lock_file):
            (root.path / "api.json").write_text("{}")
        assert root.lock_file.read_bytes() != b""
        with root.lock():
            assert not (root.path / "api.json").exists()

    def test_garbage_inside_is_not_believed(self, root: DataRoot) -> None:
        with root.lock():
            root.lock_file.write_bytes(b"\xff; rm -rf /\n" * 100)
            with pytest.raises(Locked, match="another process"), root.lock():
                pass

    def test_a_lock_on_a_file_that_lost_its_name_does_not_count(self, root: DataRoot) -> None:
        command = [sys.executable, "-c", SWAPPED_WHILE_LOCKING, str(root.lock_file)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (answer.stdout, answer.stderr) == (f"{root.path} is in use by another process\n", "")

    def test_no_data_root_no_lock(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="no data root"), DataRoot(tmp_path).lock():
            pass
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_open_to_others_is_mentioned(self, root: DataRoot, caplog: pytest.LogCaptureFixture) -> None:
        root.path.chmod(0o755)
        with caplog.at_level(logging.WARNING), root.lock():
            pass
        assert f"others may look into {root.path}" in caplog.text

    def test_not_under_a_running_node(self, root: DataRoot) -> None:
        with holding(root.lock_file), pytest.raises(Locked):
            root.change_passphrase(PASSPHRASE, "new", RealEnv(), CHEAP)

    def test_while_another_process_is_making_it(self, tmp_path: Path) -> None:
        home = tmp_path / "home"
        home.mkdir()
        with holding(home / "lock") as pid, pytest.raises(Locked, match=str(pid)):
            make(home)
        make(home).unlock(PASSPHRASE)


class TestApiFile:
    def test_it_is_there_while_the_lock_is_held(self, root: DataRoot) -> None:
        endpoint = Endpoint("http://127.0.0.1:4711", "secret token")
        with root.lock():
            root.write_api_file(endpoint)
            assert read_endpoint(root.path) == endpoint
            assert (root.path / "api.json").stat().st_mode & 0o777 == 0o600
        with pytest.raises(InosError, match="no node is running"):
            read_endpoint(root.path)
        root.remove_api_file()

    def test_the_token_does_not_print(self) -> None:
        assert "secret token" not in repr(Endpoint("http://127.0.0.1:4711", "secret token"))


HOLDER = """
import sys
from pathlib import Path
from inos.store.root_lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holding(lock_file: Path) -> Iterator[int]:
    """Another process that holds the lock, and is killed in the end; its pid."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, lock_file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process.pid
        finally:
            process.kill()


SWAPPED_WHILE_LOCKING = """
import sys
from pathlib import Path
from inos.core.errors import Locked
from inos.store.root_lock import hold_lock

def swap(event, args):
    if event == "fcntl.flock":
        lock_file.unlink()
        lock_file.touch()

lock_file = Path(sys.argv[1])
sys.addaudithook(swap)
try:
    with hold_lock(lock_file):
        print("held")
except Locked as error:
    print(error)
"""
