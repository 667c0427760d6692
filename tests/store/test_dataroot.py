"""The data root: making one, opening it, changing what opens it, one node at a time, and every way it can be wrong."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inos.core.endpoint import Endpoint
from inos.core.env import RealEnv
from inos.core.errors import (
    BadInput,
    Conflict,
    Corrupt,
    InosError,
    NewerFormat,
    NotFound,
    Refused,
    WrongPassphrase,
)
from inos.crypto.cocoon import Argon2Cost
from inos.crypto.derive import Keyring
from inos.crypto.phrase import master_from_phrase
from inos.store.dataroot import DataRoot

PHRASE = "legal winner thank year wave sausage worth useful " * 2 + "legal winner thank year wave sausage worth title"
OTHER_PHRASE = "abandon " * 23 + "art"
PASSPHRASE = "correct horse"
CHEAP = Argon2Cost(memory_kib=8, passes=1, lanes=1)
KEYRING = Keyring(master_from_phrase(PHRASE))


def make(path: Path, passphrase: str | None = PASSPHRASE, phrase: str = PHRASE) -> DataRoot:
    return DataRoot.create(path, phrase, passphrase, RealEnv(), CHEAP)


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return make(tmp_path / "home")


@pytest.fixture
def keyfile_root(tmp_path: Path) -> DataRoot:
    return make(tmp_path / "home", None)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def tree(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


class TestCreate:
    def test_what_was_made_opens(self, root: DataRoot) -> None:
        opened = root.unlock(PASSPHRASE)
        assert opened.keyring.owner_key() == KEYRING.owner_key()
        assert opened.node_key() == KEYRING.node_key(opened.node_nonce)
        assert set(tree(root.path)) == {"cocoon", "node.json", "lock"}

    def test_without_a_passphrase_a_keyfile_opens_it(self, keyfile_root: DataRoot) -> None:
        assert keyfile_root.unlock().keyring.owner_key() == KEYRING.owner_key()
        assert set(tree(keyfile_root.path)) == {"cocoon", "keyfile", "node.json", "lock"}

    def test_the_same_phrase_elsewhere_is_another_node_of_the_same_owner(self, root: DataRoot, tmp_path: Path) -> None:
        here, there = root.unlock(PASSPHRASE), make(tmp_path / "other").unlock(PASSPHRASE)
        assert here.keyring.owner_key() == there.keyring.owner_key()
        assert here.node_key() != there.node_key()

    @pytest.mark.parametrize("mask", [0o000, 0o022, 0o277, 0o777])
    @pytest.mark.parametrize("passphrase", [PASSPHRASE, None])
    def test_nobody_else_may_look_in_whatever_the_umask(
        self, tmp_path: Path, mask: int, passphrase: str | None
    ) -> None:
        (tmp_path / "home").mkdir(mode=0o755)
        with umask(mask):
            root = make(tmp_path / "home", passphrase)
            with root.lock():
                root.write_api_file(Endpoint("http://127.0.0.1:1", "token"))
                assert not any(mode(file) & 0o077 for file in root.path.iterdir())
        assert {mode(file) for file in root.path.iterdir()} == {0o600}
        assert mode(root.path) == 0o700
        root.unlock(passphrase)

    def test_a_spare_file_left_open_to_others_does_not_make_the_new_one_so(self, tmp_path: Path) -> None:
        (tmp_path / "cocoon.new").touch(0o666)
        (tmp_path / "cocoon.new").chmod(0o666)
        make(tmp_path).unlock(PASSPHRASE)

    def test_missing_folders_above_are_made(self, tmp_path: Path) -> None:
        root = make(tmp_path / "a" / "b" / "home")
        assert [mode(folder) for folder in (root.path, *root.path.parents[:2])] == [0o700] * 3

    def test_no_secret_is_in_any_file(self, root: DataRoot) -> None:
        found = b"".join(tree(root.path).values()).lower()
        keys = root.unlock(PASSPHRASE)
        secrets = (
            keys.keyring.database_key(),
            keys.keyring.convergence_secret(),
            keys.keyring.owner_key().reveal_seed(),
            keys.node_key().reveal_seed(),
            master_from_phrase(PHRASE).reveal(),
        )
        for secret in secrets:
            assert secret not in found
            assert secret.hex().encode() not in found
        assert not any(word.encode() in found for word in (*PHRASE.split(), *PASSPHRASE.split()))

    def test_twice_is_a_conflict_and_changes_nothing(self, root: DataRoot) -> None:
        before = tree(root.path)
        with pytest.raises(Conflict, match="already"):
            make(root.path, phrase=OTHER_PHRASE)
        assert tree(root.path) == before

    def test_a_folder_of_something_else_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("dear")
        tmp_path.chmod(0o755)
        with pytest.raises(Conflict, match=r"letter\.txt") as caught:
            make(tmp_path)
        assert "--home" in caught.value.hint
        assert tree(tmp_path) == {"letter.txt": b"dear"}
        assert mode(tmp_path) == 0o755

    def test_a_freshly_mounted_disk_will_do(self, tmp_path: Path) -> None:
        (tmp_path / "lost+found").mkdir()
        make(tmp_path).unlock(PASSPHRASE)

    @pytest.mark.parametrize("phrase", ["", "one two three", PHRASE.replace("title", "year")])
    def test_a_bad_phrase_makes_nothing(self, tmp_path: Path, phrase: str) -> None:
        with pytest.raises(BadInput):
            make(tmp_path / "home", phrase=phrase)
        assert not (tmp_path / "home").exists()

    def test_an_empty_passphrase_is_not_no_passphrase(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput) as caught:
            make(tmp_path / "home", "")
        assert "--no-passphrase" in caught.value.hint
        assert not (tmp_path / "home").exists()

    def test_a_file_in_the_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(BadInput, match="not a folder"):
            make(tmp_path / "file")
        with pytest.raises(BadInput):
            make(tmp_path / "file" / "below")

    def test_a_name_no_file_system_takes(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput):
            make(tmp_path / ("n" * 300))


class TestComingBack:
    def test_a_lost_cocoon_is_made_again_from_the_phrase_and_the_node_stays_itself(self, root: DataRoot) -> None:
        before = root.unlock(PASSPHRASE)
        root.database.write_bytes(b"database")
        root.cocoon.unlink()
        after = make(root.path, "another passphrase").unlock("another passphrase")
        assert after.node_key() == before.node_key()
        assert root.database.read_bytes() == b"database"

    def test_but_not_with_another_phrase(self, root: DataRoot) -> None:
        root.blobs.mkdir()
        root.cocoon.unlink()
        before = tree(root.path)
        with pytest.raises(Conflict, match="another phrase"):
            make(root.path, phrase=OTHER_PHRASE)
        assert tree(root.path) == before

    def test_what_an_unfinished_init_left_is_taken_over(self, root: DataRoot) -> None:
        root.cocoon.rename(root.path / "cocoon.new")
        make(root.path, phrase=OTHER_PHRASE)
        opened = root.unlock(PASSPHRASE)
        assert opened.keyring.owner_key() == Keyring(master_from_phrase(OTHER_PHRASE)).owner_key()

    def test_a_damaged_node_file_is_replaced(self, root: DataRoot) -> None:
        root.cocoon.unlink()
        root.node_file.write_bytes(b"\0")
        make(root.path).unlock(PASSPHRASE)

    def test_a_newer_node_file_is_not(self, root: DataRoot) -> None:
        root.cocoon.unlink()
        root.node_file.write_text('{"version": 2}')
        with pytest.raises(NewerFormat):
            make(root.path)
        assert root.node_file.read_text() == '{"version": 2}'


class TestUnlock:
    def test_a_wrong_passphrase(self, root: DataRoot) -> None:
        before = tree(root.path)
        with pytest.raises(WrongPassphrase):
            root.unlock("wrong")
        assert tree(root.path) == before

    def test_no_passphrase_where_one_is_needed(self, root: DataRoot) -> None:
        with pytest.raises(WrongPassphrase, match="none was given") as caught:
            root.unlock()
        assert "INOS_PASSPHRASE" in caught.value.hint

    def test_a_passphrase_where_a_keyfile_opens(self, keyfile_root: DataRoot) -> None:
        with pytest.raises(WrongPassphrase, match="keyfile"):
            keyfile_root.unlock("passphrase")

    def test_no_data_root(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for home in (tmp_path / "missing", tmp_path / "empty", tmp_path / "missing" / "below"):
            with pytest.raises(NotFound, match="no data root") as caught:
                DataRoot(home).unlock(PASSPHRASE)
            assert "inos init" in caught.value.hint

    def test_a_file_in_the_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(BadInput, match="not a folder"):
            DataRoot(tmp_path / "file").unlock(PASSPHRASE)

    @pytest.mark.parametrize("name", ["cocoon", "keyfile"])
    @pytest.mark.parametrize("bits", [0o040, 0o004, 0o020, 0o001, 0o644])
    def test_key_files_others_may_use(self, keyfile_root: DataRoot, name: str, bits: int) -> None:
        (keyfile_root.path / name).chmod(0o600 | bits)
        with pytest.raises(Refused, match="by others") as caught:
            keyfile_root.unlock()
        assert f"chmod 600 '{keyfile_root.path / name}'" in caught.value.hint

    def test_a_missing_keyfile(self, keyfile_root: DataRoot) -> None:
        keyfile_root.keyfile.unlink()
        with pytest.raises(NotFound, match="keyfile is gone") as caught:
            keyfile_root.unlock()
        assert "--phrase" in caught.value.hint

    def test_another_keyfile(self, keyfile_root: DataRoot) -> None:
        keyfile_root.keyfile.write_text("0" * 64)
        with pytest.raises(WrongPassphrase, match="keyfile does not open"):
            keyfile_root.unlock()

    def test_files_of_two_nodes_mixed(self, root: DataRoot, tmp_path: Path) -> None:
        other = make(tmp_path / "other", phrase=OTHER_PHRASE)
        root.cocoon.write_bytes(other.cocoon.read_bytes())
        with pytest.raises(Corrupt, match="do not belong together"):
            root.unlock(PASSPHRASE)

    def test_a_missing_node_file(self, root: DataRoot) -> None:
        root.node_file.unlink()
        with pytest.raises(NotFound, match=r"node\.json"):
            root.unlock(PASSPHRASE)

    def test_a_newer_node_file(self, root: DataRoot) -> None:
        fields = json.loads(root.node_file.read_bytes())
        root.node_file.write_text(json.dumps(fields | {"version": 2, "more": "fields"}))
        with pytest.raises(NewerFormat, match="format 2"):
            root.unlock(PASSPHRASE)

    @pytest.mark.parametrize(
        "content",
        [b"", b"{}", b"[]", b"1", b"\xff", b"[" * 4000, b'{"version":1,"node":1,"nonce":2}', b"x" * 5000, b'"version"'],
    )
    def test_a_node_file_of_something_else(self, root: DataRoot, content: bytes) -> None:
        root.node_file.write_bytes(content)
        with pytest.raises(Corrupt, match=r"node\.json"):
            root.unlock(PASSPHRASE)

    def test_an_oversized_cocoon(self, root: DataRoot) -> None:
        os.truncate(root.cocoon, 1 << 40)
        with pytest.raises(Corrupt, match="larger"):
            root.unlock(PASSPHRASE)

    def test_a_pipe_in_the_place_of_the_cocoon_does_not_hang(self, root: DataRoot) -> None:
        root.cocoon.unlink()
        os.mkfifo(root.cocoon, 0o600)
        with pytest.raises(Corrupt, match="not a file"):
            root.unlock(PASSPHRASE)

    @pytest.mark.parametrize("name", ["cocoon", "node.json", "keyfile"])
    def test_every_byte_flipped_or_cut_is_noticed(self, keyfile_root: DataRoot, name: str) -> None:
        file = keyfile_root.path / name
        whole = file.read_bytes()
        for place in range(len(whole)):
            for flip in (0x01, 0x20, 0x80):
                file.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
                with pytest.raises((Corrupt, WrongPassphrase, NewerFormat)):
                    keyfile_root.unlock()
            file.write_bytes(whole[:place])
            with pytest.raises(InosError):
                keyfile_root.unlock()
        file.write_bytes(whole)
        keyfile_root.unlock()

    def test_what_it_gives_does_not_print_keys(self, root: DataRoot) -> None:
        opened = root.unlock(PASSPHRASE)
        assert opened.node_key().reveal_seed().hex() not in repr(opened)
        assert repr(opened) == f"Unlocked(keyring=Keyring(…), node_nonce={opened.node_nonce!r})"


class TestUnreadable:
    """What an account without the right sees; the process that plays it gives up root first where the tests have it."""

    @pytest.mark.parametrize("closed", ["home", "home/cocoon", "home/keyfile", "home/node.json"])
    def test_it_is_refused_with_a_hint(self, tmp_path: Path, closed: str) -> None:
        make(tmp_path / "home", None)
        (tmp_path / closed).chmod(0o000)
        said = as_nobody(tmp_path, "DataRoot(home).unlock()")
        (tmp_path / closed).chmod(0o700)
        assert said.startswith("Refused: cannot ")
        assert "permissions" in said

    def test_a_place_one_may_not_write_to(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o555)
        said = as_nobody(tmp_path, "DataRoot.create(home, PHRASE, None, RealEnv())")
        tmp_path.chmod(0o755)
        assert said.startswith("Refused: cannot create")
        assert list(tmp_path.iterdir()) == []


class TestChangePassphrase:
    def test_the_new_one_opens_the_old_one_does_not(self, root: DataRoot) -> None:
        before = root.unlock(PASSPHRASE)
        root.change_passphrase(PASSPHRASE, "new", RealEnv(), CHEAP)
        assert root.unlock("new").node_key() == before.node_key()
        with pytest.raises(WrongPassphrase):
            root.unlock(PASSPHRASE)

    def test_to_a_keyfile_and_back(self, root: DataRoot) -> None:
        root.change_passphrase(PASSPHRASE, None, RealEnv(), CHEAP)
        assert mode(root.keyfile) == 0o600
        root.unlock()
        root.change_passphrase(None, "new", RealEnv(), CHEAP)
        assert not root.keyfile.exists()
        assert root.unlock("new").keyring.owner_key() == KEYRING.owner_key()

    @pytest.mark.parametrize(
        ("old", "new", "error"),
        [("wrong", "new", WrongPassphrase), (None, "new", WrongPassphrase), (PASSPHRASE, "", BadInput)],
    )
    def test_what_fails_changes_nothing(
        self, root: DataRoot, old: str | None, new: str, error: type[InosError]
    ) -> None:
        before = tree(root.path)
        with pytest.raises(error):
            root.change_passphrase(old, new, RealEnv(), CHEAP)
        assert tree(root.path) == before

    def test_from_a_keyfile_to_a_keyfile_is_nothing(self, keyfile_root: DataRoot) -> None:
        with pytest.raises(BadInput, match="no passphrase already"):
            keyfile_root.change_passphrase(None, None, RealEnv(), CHEAP)


AS_NOBODY = """
import os, sys
from pathlib import Path
from inos.core.env import RealEnv
from inos.core.errors import InosError
from inos.store.dataroot import DataRoot
import inos.crypto.phrase as phrase
PHRASE = sys.argv[3]
phrase.master_from_phrase(PHRASE)
home = Path(sys.argv[1]) / "home"
if os.geteuid() == 0:
    for folder in (Path(sys.argv[1]), *Path(sys.argv[1]).rglob("*")):
        os.chown(folder, 65534, 65534)
    os.chdir(sys.argv[1])
    home = Path("home")
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
try:
    exec(sys.argv[2])
except InosError as error:
    print(f"{type(error).__name__}: {error} ({error.hint})")
"""


def as_nobody(folder: Path, statement: str) -> str:
    """What `statement` says when run on `folder`/home by an account that is not root."""
    command = [sys.executable, "-c", AS_NOBODY, str(folder), statement, PHRASE]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert answer.stderr == ""
    return answer.stdout
