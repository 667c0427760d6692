"""Operations of a data root as a whole: making it, its passphrase, its backup, its components."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final

import trio
import trio.lowlevel

from crash.kept import keep
from crash.operations import Acknowledge, Operation
from crash.roots import CHEAP, PHRASE, Clock, Found, Scene, found, large, make_root, opens, small
from inos.components.desk import ComponentDesk
from inos.components.launch import Surroundings
from inos.components.shelf import Shelf
from inos.components.supervisor import Supervisor
from inos.core.backups import KeepRules, KeySource
from inos.core.endpoint import Endpoint
from inos.core.errors import NotFound
from inos.daemon.backups import backup_offline, prune_backup, restore_home
from inos.store.dataroot import DataRoot

# Making one


def _nothing(scene: Scene) -> None:
    scene.home.parent.mkdir(exist_ok=True)


def _init(passphrase: str | None, scene: Scene, acknowledge: Acknowledge) -> None:
    if not DataRoot(scene.home).initialised():
        DataRoot.create(scene.home, PHRASE, passphrase, Clock(), CHEAP)
    acknowledge()


def _found_made(scene: Scene) -> Found:
    """There is a root that opens, or there is none; which node it is was drawn."""
    seen = found(scene)
    return Found({key: value for key, value in seen.facts.items() if key != "node"}, seen.recovery_s)


def _change(to: str | None, scene: Scene, acknowledge: Acknowledge) -> None:
    root = DataRoot(scene.home)
    if (now := opens(root)) != to:
        root.change_passphrase(now, to, Clock(), CHEAP)
    acknowledge()


# Backup and restore


def _backed_up(scene: Scene) -> None:
    make_root(scene)
    _store(scene, *range(20, 23))
    _keep(scene, "one", "two")
    _backup(scene)


def _stored(scene: Scene) -> None:
    make_root(scene)
    _store(scene, 20, 21)
    _keep(scene, "one", "two")


def _keep(scene: Scene, *texts: str) -> None:
    """Messages and settings. One clock stands still in all scenes: later messages are told by their order."""
    keep(scene.home, DataRoot(scene.home).unlock().keyring.database_key(), Clock(), *texts)


def _backup(scene: Scene, acknowledge: Acknowledge = lambda: None) -> None:
    for _ in backup_offline(scene.home, None, str(scene.dest)):
        pass
    acknowledge()


def _store(scene: Scene, *numbers: int) -> None:
    with scene.opened() as disk:
        disk.chunks.put_many([*small(numbers[0]), *large(*numbers)])


def _two_snapshots_apart(scene: Scene) -> None:
    """A backup of an earlier state, and chunks, messages and settings put since."""
    _backed_up(scene)
    _store(scene, 30, 31)
    _keep(scene, "three")


def _lost_but_backed_up(scene: Scene) -> None:
    """Only the backup is left, of chunks, messages, settings, and of a component that has written something."""
    _installed(scene)
    _store(scene, *range(20, 23))
    _keep(scene, "one", "two")
    _backup(scene)
    shutil.rmtree(scene.home)


def _found_snapshots(scene: Scene) -> Found:
    """A backup that was done and not acknowledged is one more when it is done again: that there are two is enough."""
    seen = found(scene)
    return Found({key: value for key, value in seen.facts.items() if key < "snapshot 2"}, seen.recovery_s)


def _with_old_snapshots(scene: Scene) -> None:
    """Three snapshots, of which the later ones do not need all that the first has."""
    _backed_up(scene)
    for number in (20, 21):
        with scene.opened() as disk:
            disk.chunks.remove_many([address for address, _ in large(number)])
        _store(scene, number + 20)
        _backup(scene)


def _prune(scene: Scene, acknowledge: Acknowledge) -> None:
    for _ in prune_backup(scene.keys, str(scene.dest), KeepRules(last=1)):
        pass
    acknowledge()


def _found_pruned(scene: Scene) -> Found:
    """Cut off, some of the snapshots that were to go are there; those that are kept check, whatever went."""
    seen = found(scene)
    snapshots = [key for key in seen.facts if key.startswith("snapshot ")]
    assert snapshots, "the snapshot that was kept is gone"
    facts = {key: value for key, value in seen.facts.items() if key not in snapshots}
    return Found(facts | {"pruned": "yes"} if len(snapshots) == 1 else facts, seen.recovery_s)


def _restore(scene: Scene, acknowledge: Acknowledge) -> None:
    keys = KeySource(scene.home, None, PHRASE if not DataRoot(scene.home).initialised() else None)
    for _ in restore_home(keys, str(scene.dest), ""):
        pass
    acknowledge()


def _found_restored(scene: Scene) -> Found:
    """From the phrase: the root that is made has its own way of being opened."""
    seen = found(scene)
    return Found({key: value for key, value in seen.facts.items() if key != "opened by"}, seen.recovery_s)


# Components

_ID: Final = "org.example.board"


def _package(version: str) -> bytes:
    files = {
        "component.toml": f'id = "{_ID}"\nname = "Board"\nversion = "{version}"\nkind = "static"\n'
        'entry = "index.html"\napplication = "office"\n',
        "index.html": f"<h1>{version}</h1>" * 50,
        "assets/style.css": "h1 { color: red }\n" * 5000,
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
    return out.getvalue()


def _at_desk(scene: Scene, work: Callable[[ComponentDesk], Awaitable[None]]) -> None:
    async def main() -> None:
        with scene.opened() as disk:
            shelf, env = Shelf(scene.home, Clock()), Clock()
            around = Surroundings(shelf, Endpoint("http://127.0.0.1:1", "a token"))
            supervisor = Supervisor(disk.rows, around, env)
            desk = ComponentDesk(disk.rows, shelf, supervisor, _fetch, env)
            async with trio.open_nursery() as nursery:
                await nursery.start(supervisor.run)
                await work(desk)
                nursery.cancel_scope.cancel()

    trio.run(main)


async def _fetch(target: str) -> tuple[str, AsyncGenerator[bytes, None]]:
    raise NotFound(f"nothing is installed from {target} here")


async def _parts(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 4096):
        yield data[at : at + 4096]


def _install(version: str, scene: Scene, acknowledge: Acknowledge) -> None:
    async def work(desk: ComponentDesk) -> None:
        await desk.install(_parts(_package(version)), ())
        acknowledge()

    _at_desk(scene, work)


def install_sample(scene: Scene) -> None:
    """A front end of some files in version 1.0."""
    _install("1.0", scene, lambda: None)


def _uninstall(scene: Scene, acknowledge: Acknowledge) -> None:
    async def work(desk: ComponentDesk) -> None:
        if any(report.component_id == _ID for report in await desk.list()):
            await desk.remove(_ID)
        acknowledge()

    _at_desk(scene, work)


def _installed(scene: Scene) -> None:
    """A component that has written something."""
    make_root(scene)
    install_sample(scene)
    (scene.home / "components" / _ID / "1.0" / "data" / "scores").write_bytes(b"data" * 100)


async def _nothing_more(_desk: ComponentDesk) -> None:
    await trio.lowlevel.checkpoint()


def _found_on_shelf(scene: Scene) -> Found:
    """With a look at the folders: what no row knows goes when a node starts."""
    seen = found(scene)
    _at_desk(scene, _nothing_more)
    folders = sorted(path.name for path in (scene.home / "components").glob("*") if path.name != ".new")
    rows = sorted(key.removeprefix("components ") for key in seen.facts if key.startswith("components "))
    assert folders == rows, f"components/ has {folders}, the rows have {rows}"
    return seen


OPERATIONS: Final = (
    Operation("init", _nothing, partial(_init, None), _found_made),
    Operation("init with a passphrase", _nothing, partial(_init, "new"), _found_made),
    Operation("set a passphrase", make_root, partial(_change, "new")),
    Operation("change the passphrase", partial(make_root, passphrase="old"), partial(_change, "new")),
    Operation("give the passphrase up", partial(make_root, passphrase="old"), partial(_change, None)),
    Operation("back up", _stored, _backup, _found_snapshots),
    Operation("back up again", _two_snapshots_apart, _backup, _found_snapshots),
    Operation("prune a backup", _with_old_snapshots, _prune, _found_pruned),
    Operation("restore over a root", _two_snapshots_apart, _restore, _found_restored),
    Operation("restore into nothing", _lost_but_backed_up, _restore, _found_restored),
    Operation("install a component", make_root, partial(_install, "1.0"), _found_on_shelf, atomic=False),
    Operation("upgrade a component", _installed, partial(_install, "2.0"), _found_on_shelf, atomic=False),
    Operation("remove a component", _installed, _uninstall, _found_on_shelf, atomic=False),
)  # fmt: skip
