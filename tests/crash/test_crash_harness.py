"""Operations killed at their boundaries and cut off from power (`make crash` does it a thousand times), and proof that
the harness would notice: it counts right, kills where it says, and stores that forget something are found out."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crash.calls import Step
from crash.power import PowerLoss

ROOT = Path(__file__).resolve().parents[2]
# One of each kind: what is stored how, rows, upkeep, copies, secrets, backup, components, a node, messages.
SLICE = (
    "put a batch", "move chunks", "rows of applications", "records", "vacuum", "upgrade the", "rebuild a damaged",
    "init", "give the passphrase", "back up again", "restore over", "remove a component", "node: replace",
    "node: remove", "messages: let go", "messages: sync",
)  # fmt: skip


def crash(*arguments: str) -> tuple[int, Any]:
    """What `python -m crash --json` says."""
    command = [sys.executable, "-m", "crash", "--json", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert ran.returncode in (0, 1), ran.stderr
    return ran.returncode, json.loads(ran.stdout)


def test_nothing_acknowledged_is_lost_wherever_a_process_or_its_power_ends() -> None:
    code, said = crash("--each", "1", "--seed", str(random.randrange(10**6)), *SLICE)
    assert [each["violations"] for each in said["operations"] if each["violations"]] == []
    assert code == 0
    assert said["total"]["kills"] == said["total"]["power_losses"] == said["total"]["operations"] > len(SLICE)
    assert min(each["boundaries"] for each in said["operations"]) > 10


def test_a_component_is_in_one_version_or_the_other_wherever_its_upgrade_ends() -> None:
    code, said = crash("--each", "8", "--seed", str(random.randrange(10**6)), "upgrade a component")
    assert [each["violations"] for each in said["operations"]] == [[]]
    assert code == 0 and said["total"]["kills"] == 8


WATCHED = """
import json, os, sys
from pathlib import Path
from crash.watched import run
base = Path(sys.argv[1])

def work(acknowledge):
    (base / "elsewhere").parent.joinpath("seen").exists()
    descriptor = os.open(base / "a", os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, b"one")
    os.fsync(descriptor)
    acknowledge()
    os.rename(base / "a", base / "b")
    acknowledge()
    (base / "b").unlink()

for at in range(7):
    for left in base.iterdir():
        left.unlink()
    ran = run(work, base, kill_at=at, record=True)
    there = {path.name: path.read_text() for path in base.iterdir()}
    print(json.dumps([ran.end, ran.boundaries, ran.acknowledged, there, [step.kind for step in ran.steps]]))
failed = run(lambda _acknowledge: (base / "x" / "y").mkdir(), base)
print(json.dumps([failed.end.splitlines()[-1].split(":")[0]]))
"""


def test_each_boundary_is_met_and_what_is_killed_there_does_not_happen(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ran.stderr == ""
    undisturbed, *ends, failed = [json.loads(line) for line in ran.stdout.splitlines()]
    kinds = ["make", "write", "sync", "acknowledged", "rename", "acknowledged", "remove"]
    assert undisturbed == ["done", 5, 2, {}, kinds]
    assert [end[:4] for end in ends[:5]] == [
        ["killed", 1, 0, {}],
        ["killed", 2, 0, {"a": ""}],
        ["killed", 3, 0, {"a": "one"}],
        ["killed", 4, 1, {"a": "one"}],
        ["killed", 5, 2, {"b": "one"}],
    ]
    assert ends[5] == undisturbed
    assert failed == ["FileNotFoundError"]


def left_of(folder: Path, *steps: Step) -> set[str]:
    """Everything that power losses after `steps` may leave of a folder that held `old`, as texts."""
    (folder / "template" / "kept").mkdir(parents=True)
    (folder / "template" / "old").write_bytes(b"old")
    found = set()
    for seed in range(40):
        lost, target = PowerLoss(folder / "base", folder / "template"), folder / f"left{seed}"
        for step in steps:
            lost.play(step)
        lost.leave(random.Random(seed), target)
        files = [path for path in sorted(target.rglob("*")) if path.is_file()]
        found.add(" ".join(f"{path.relative_to(target)}={path.read_text()}" for path in files))
    return found


def test_power_takes_what_was_not_synced_and_nothing_else(tmp_path: Path) -> None:
    base = str(tmp_path / "a" / "base")
    made = [Step("make", f"{base}/new"), Step("write", f"{base}/new", data=b"new"), Step("sync", f"{base}/new")]
    assert left_of(tmp_path / "a", *made) == {"old=old", "new=new old=old"}
    base = str(tmp_path / "b" / "base")
    made = [Step(step.kind, f"{base}/new", data=step.data) for step in made]
    renamed = [*made, Step("rename", f"{base}/old", f"{base}/new")]
    assert left_of(tmp_path / "b", *renamed) == {"old=old", "new=new old=old", "old=new"}
    base = str(tmp_path / "c" / "base")
    moved = [
        Step("folder", f"{base}/in"),
        Step("rename", f"{base}/in/old", f"{base}/old"),
        Step("sync", f"{base}/in"),
    ]
    assert left_of(tmp_path / "c", *moved, Step("sync", base)) == {"in/old=old"}
    base = str(tmp_path / "d" / "base")
    unsynced = [Step("cut", f"{base}/old"), Step("write", f"{base}/old", data=b"new")]
    assert left_of(tmp_path / "d", *unsynced) >= {"old=old", "old=new"}


SABOTAGED = """
import json, random, sys, tempfile
from pathlib import Path
import crash.play
from crash.__main__ import OPERATIONS
from crash.play import Prepared, Result, killed, unpowered
from inos.store import private_files, dataroot, filesystem
from inos.store.chunk_files import ChunkFiles

def in_place(path, data):
    path.write_bytes(data)
    path.chmod(0o600)

def without_staging(self, chunks):
    for address, data in chunks:
        self.path(address).write_bytes(data)

what, name, how = sys.argv[1:]
if what == "no folder is synced":
    filesystem.RealFiles.sync_folder = lambda self, folder: None
elif what == "secrets are written in place":
    dataroot.write_private = in_place
elif what == "chunks are written in place":
    ChunkFiles.write = without_staging
with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
    prepared = Prepared(next(each for each in OPERATIONS if each.name == name), Path(folder) / "template")
    result = Result(name)
    for at in range(prepared.boundaries, 0, -1):
        if how == "kill":
            killed(prepared, at, result)
        else:
            unpowered(prepared, at, random.Random(at), result)
        if result.violations:
            break
print(json.dumps(result.violations))
"""


@pytest.mark.parametrize(
    ("what", "name", "how"),
    [
        ("no folder is synced", "put large chunks", "power"),
        ("secrets are written in place", "give the passphrase up", "kill"),
        ("chunks are written in place", "put large chunks", "kill"),
    ],
)
def test_a_store_that_forgets_something_is_found_out(what: str, name: str, how: str) -> None:
    command = [sys.executable, "-c", SABOTAGED, what, name, how]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout), f"{what}: nobody noticed"
