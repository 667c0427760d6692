"""One object out of a backup, without touching any data root."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from inos.backup.make import Steps
from inos.backup.repository import Repository
from inos.backup.restore import build_database
from inos.backup.snapshot import Snapshot
from inos.core.env import Env
from inos.core.errors import BadInput, Corrupt, NotFound
from inos.core.ids import Address
from inos.core.reports import BackupReport
from inos.objects.chunks import open_chunk
from inos.objects.manifest_codec import OuterManifest, OuterPage
from inos.objects.opening import Inner, open_inline, open_inner, open_page
from inos.objects.reference import ObjectName, Reference, parse_target
from inos.store import chunk_index
from inos.store.database import Database
from inos.store.names import NameIndex
from inos.store.private_files import explained


class ObjectReader:
    """Reads one snapshot's objects. `database` is its database."""

    def __init__(self, repository: Repository, database: Database) -> None:
        self._repository = repository
        self._database = database

    def reference(self, target: str) -> Reference:
        """What a name stood for, or the reference as it was given. Raises NotFound, BadInput."""
        parsed = parse_target(target)
        if isinstance(parsed, Reference):
            return parsed
        if not isinstance(parsed, ObjectName):
            raise BadInput("out of a backup an object is had by its name or its reference", hint=f"not by {target}")
        row = NameIndex(self._database).get(parsed)
        if row is None:
            raise NotFound(f"the snapshot has no {parsed}", hint="look into another one: --at")
        if row.kind != "file":
            raise BadInput(f"{parsed} is a {row.kind}", hint="name a file, or restore the whole into another --home")
        return Reference.parse(row.reference)

    def read(self, reference: Reference) -> tuple[Inner, Iterator[bytes]]:
        """What the object is, and its content, each chunk proven. Raises Corrupt, BadReference."""
        manifest = OuterManifest.decode(self._chunk(Address(reference.cid)))
        inner = open_inner(manifest, reference.key)
        if manifest.is_inline:
            return inner, iter([open_inline(manifest, reference.key)])
        return inner, self._content(manifest, reference.key, inner)

    def _content(self, manifest: OuterManifest, key: bytes, inner: Inner) -> Iterator[bytes]:
        for index in range(manifest.page_count):
            page = manifest.page or OuterPage.decode(self._chunk(manifest.pages[index]), manifest, index)
            keys = open_page(page, key, inner)
            for address, chunk_key, size in zip(page.addresses, keys.keys, keys.plain_sizes, strict=True):
                yield open_chunk(self._chunk(address), chunk_key, size)

    def _chunk(self, address: Address) -> bytes:
        row = self._database.read(lambda cursor: chunk_index.find(cursor, address))
        if row is not None and row.data is not None:
            return row.data
        if row is None and self._repository.spot(address) is None:
            raise NotFound(
                "a part of this object is not in the backup: its node held only a share of it",
                hint="get it from the mesh, or from the backup of another node",
            )
        return self._repository.chunk(address)


def object_steps(
    repository: Repository, snapshot: Snapshot, database_key: bytes, env: Env, target: str, out: Path
) -> Steps:
    """Write the object `target` of a snapshot to `out`; the last step is `finished`."""
    with tempfile.TemporaryDirectory(prefix="inos-restore-") as folder:
        path = Path(folder) / "inos.db"
        for written in build_database(repository, snapshot, path):
            yield BackupReport(0, 0, written)
        database = Database(path, database_key, env)
        try:
            yield from _write(ObjectReader(repository, database), target, out, env)
        finally:
            database.close()


def _write(reader: ObjectReader, target: str, out: Path, env: Env) -> Steps:
    inner, content = reader.read(reader.reference(target))
    done = 0
    with writing(out, env) as file:
        for plain in content:
            file.write(plain)
            done += len(plain)
            yield BackupReport(done, inner.size, done)
        if done != inner.size:
            raise Corrupt(f"{target} has {done} bytes in the backup, not {inner.size}", hint="see: inos backup check")
    yield BackupReport(done, inner.size, done, finished=True)


@contextmanager
def writing(out: Path, env: Env) -> Iterator[BinaryIO]:
    """What becomes the file `out`, synced, when nothing is raised; into a pipe or a device it goes at once."""
    whole = Path(os.path.realpath(out))  # /dev/stdout is a link
    with explained("write", out):
        kind = whole.stat().st_mode if whole.exists() else stat.S_IFREG
    if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
        with explained("write", out), whole.open("wb") as file:
            yield file
        return
    if not stat.S_ISREG(kind):
        raise BadInput(f"{out} is not a file", hint="name the file to write: -o FILE")
    part = whole.with_name(f".inos-{env.token_bytes(8).hex()}.part")
    with explained("write", out):
        file = part.open("xb")
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(whole)
        finally:
            part.unlink(missing_ok=True)
