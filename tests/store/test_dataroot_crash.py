"""Death and a full disk at every step of making a data root and of changing its passphrase.

A process of its own goes through the work once for each step, with an audit hook on the interpreter's file calls that
ends it (`_exit`, as kill -9 would) or has the call fail with ENOSPC; the real code runs, down to the real system calls.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import errno, json, os, resource, sys, traceback
from pathlib import Path

from inos.core.env import RealEnv
from inos.core.errors import InosError
from inos.crypto.cocoon import Argon2Cost
from inos.crypto.phrase import master_from_phrase
from inos.store.dataroot import DataRoot

PHRASE = "abandon " * 23 + "art"
OTHER = "legal winner thank year wave sausage worth useful " * 2 + "legal winner thank year wave sausage worth title"
CHEAP = Argon2Cost(8, 1, 1)
CHANGES = {"os.mkdir", "os.rename", "os.truncate", "fcntl.flock"}
UNDOES = {"os.remove", "os.rmdir", "os.chmod"}
DIED, REFUSED, DONE, BUG = 70, 71, 72, 73
master_from_phrase(PHRASE)


def steps(base, how, at):
    seen = 0

    def hook(event, args):
        nonlocal seen
        opened = event == "open" and str(args[0]).startswith(base)
        if not opened and event not in CHANGES and (how == "full" or event not in UNDOES):
            return
        seen += 1
        if seen == at and how == "death":
            os._exit(DIED)
        writes = event == "os.mkdir" or (opened and args[2] & os.O_CREAT) or event == "os.rename"
        if how == "full" and seen >= at and writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return hook


def run(base, how, at, work):
    child = os.fork()
    if child == 0:
        sys.addaudithook(steps(base, how, at))
        try:
            work()
        except InosError as error:
            os._exit(REFUSED if error.code == "storage_full" else BUG)
        except BaseException:
            traceback.print_exc()
            os._exit(BUG)
        os._exit(DONE)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def opens(home, passphrases):
    for passphrase in passphrases:
        try:
            DataRoot(home).unlock(passphrase)
            return True
        except InosError:
            pass
    return False


def create(base, how, at, passphrase):
    home = Path(base) / "above" / "home"
    code = run(base, how, at, lambda: DataRoot.create(home, PHRASE, passphrase, RealEnv(), CHEAP))
    left = sorted(str(path.relative_to(base)) for path in Path(base).rglob("*"))
    complete = DataRoot(home).initialised()
    fine = opens(home, [passphrase]) if complete else True
    if not complete:
        # Whoever comes next is not hindered, even with another phrase.
        DataRoot.create(home, OTHER, None, RealEnv(), CHEAP)
        fine = opens(home, [None]) and not list(home.glob("*.new"))
    return code, complete, fine, left


def change(base, how, at, old, new):
    home = Path(base) / "home"
    DataRoot.create(home, PHRASE, old, RealEnv(), CHEAP)
    code = run(base, how, at, lambda: DataRoot(home).change_passphrase(old, new, RealEnv(), CHEAP))
    complete = DataRoot(home).initialised()
    fine = opens(home, [old, new])
    current = old if opens(home, [old]) else new
    DataRoot(home).change_passphrase(current, "third", RealEnv(), CHEAP)
    return code, complete, fine and opens(home, ["third"]), []


work, how, base, *given = json.loads(sys.argv[1])
results = []
for at in range(1, 200):
    folder = Path(base) / str(at)
    folder.mkdir()
    results.append({"create": create, "change": change}[work](str(folder), how, at, *given))
    if results[-1][0] == DONE:
        break
print(json.dumps(results))
"""
DIED, REFUSED, DONE = 70, 71, 72


def sweep(work: str, how: str, base: Path, *given: str | None) -> list[tuple[int, bool, bool, list[str]]]:
    """Exit code, whether there is a data root, whether all is well, names left: for each step, last one undisturbed."""
    command = [sys.executable, "-c", SCRIPT, json.dumps([work, how, str(base), *given])]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert answer.stderr == ""
    results = json.loads(answer.stdout)
    assert results[-1][0] == DONE
    assert len(results) > 5
    return [tuple(result) for result in results]


@pytest.mark.parametrize("passphrase", ["passphrase", None])
def test_death_at_any_step_of_making_one_leaves_none_or_a_whole_one(tmp_path: Path, passphrase: str | None) -> None:
    results = sweep("create", "death", tmp_path, passphrase)
    assert {code for code, *_ in results[:-1]} == {DIED}
    assert all(fine for _, _, fine, _ in results)
    completed = [complete for _, complete, _, _ in results]
    assert completed == sorted(completed)
    assert not completed[0]


@pytest.mark.parametrize("passphrase", ["passphrase", None])
def test_a_disk_full_at_any_step_of_making_one_leaves_nothing_at_all(tmp_path: Path, passphrase: str | None) -> None:
    results = sweep("create", "full", tmp_path, passphrase)
    assert {code for code, *_ in results} == {REFUSED, DONE}
    for code, complete, fine, left in results:
        assert fine
        assert complete == (code == DONE)
        assert complete or left == []


@pytest.mark.parametrize("how", ["death", "full"])
@pytest.mark.parametrize(("old", "new"), [("old", "new"), ("old", None), (None, "new")])
def test_a_change_of_passphrase_broken_off_leaves_the_old_or_the_new_one(
    tmp_path: Path, how: str, old: str | None, new: str | None
) -> None:
    results = sweep("change", how, tmp_path, old, new)
    assert all(complete and fine for _, complete, fine, _ in results)


WITHOUT_ROOM = """
import resource, sys
from pathlib import Path
from inos.core.env import RealEnv
from inos.core.errors import StorageFull
from inos.crypto.cocoon import Argon2Cost
from inos.store.dataroot import DataRoot

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), -1))
try:
    DataRoot.create(Path(sys.argv[1]), "abandon " * 23 + "art", None, RealEnv(), Argon2Cost(8, 1, 1))
except StorageFull as error:
    print(error.hint)
"""


@pytest.mark.parametrize("room_bytes", [0, 10, 100, 180])
def test_a_write_the_system_cuts_short_leaves_nothing(tmp_path: Path, room_bytes: int) -> None:
    command = [sys.executable, "-c", WITHOUT_ROOM, str(tmp_path / "home"), str(room_bytes)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (answer.stderr, "nothing was changed" in answer.stdout) == ("", True)
    assert list(tmp_path.iterdir()) == []
