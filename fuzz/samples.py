"""Valid messages of every kind, the starting points of mutation: random bytes alone rarely get past a header.

Keys, nonces and secrets are fixed bytes, so that a sample never changes between runs.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from functools import cache
from itertools import count

from inos.backup.entries import Entry as FileEntry
from inos.backup.index import encode_index
from inos.backup.packs import Spot
from inos.backup.snapshot import Part, Snapshot
from inos.core.codec import encode
from inos.core.errors import Busy
from inos.core.ids import Address, Cid, OwnerId, PeerId
from inos.crypto.cocoon import KEYFILE_COST, seal_cocoon
from inos.crypto.derive import MasterSecret
from inos.crypto.hashing import blake3_digest
from inos.crypto.signing import SigningKey
from inos.mesh.frames import Envelope, Kind, encode_error, encode_frame
from inos.objects.chunks import SealedChunk, seal_chunk
from inos.objects.layout import Scheme
from inos.objects.manifest import BuiltObject, ManifestBuilder, build_inline
from inos.replication.placement import Placement, encode_placement
from inos.state.certificates import Certificate, Genesis, Grant, found_mesh, issue_certificate
from inos.state.hello import Hello
from inos.state.invitations import Invitation, Terms, make_invitation
from inos.state.records import sign_record
from inos.state.tickets import make_ticket
from inos.vault.catalogue import Entry
from inos.vault.catalogue import Kind as EntryKind
from inos.vault.unfinished import Naming, Note, Object

FOUNDER, NODE = SigningKey(b"\1" * 32), SigningKey(b"\2" * 32)
SECRET, NONCE = b"\3" * 32, b"\4" * 16
CID = Cid(b"\5" * 32)
ADDRESSES = (f"/ip4/127.0.0.1/tcp/4001/p2p/{PeerId.from_public_key(NODE.public_key)}",)
_serial = count()


def _bytes(size: int) -> bytes:
    return (blake3_digest(next(_serial).to_bytes(8, "big")) * (size // 32 + 1))[:size]


@cache
def genesis() -> Genesis:
    return found_mesh(OwnerId(FOUNDER.public_key), NONCE)


@cache
def certificate() -> Certificate:
    grant = Grant(genesis().mesh, NODE.public_key, OwnerId(FOUNDER.public_key), True, 1_800_000_000_000, NONCE)
    return issue_certificate(FOUNDER, grant)


@cache
def invitation() -> Invitation:
    terms = Terms(expires_ms=1_800_000_000_000, single_use=True)
    return make_invitation(NODE, genesis().mesh, terms, invitation_id=NONCE, secret=NONCE)


@cache
def chunks() -> tuple[SealedChunk, ...]:
    return tuple(seal_chunk(bytes([i]) * (1 << 20), SECRET) for i in range(4))


@cache
def in_pages() -> BuiltObject:
    """An object whose manifest is a tree: two pages of one stripe each."""
    builder = ManifestBuilder(SECRET, Scheme(2, 1), name="sample", page_chunks=2)
    for first in (0, 2):
        stripe = chunks()[first : first + 2]
        longest = max(len(chunk.stored) for chunk in stripe)
        builder.add_stripe(stripe, [(Address(blake3_digest(bytes([first]))), longest)])
    return builder.finish(4 << 20, bytes(32))


@cache
def in_place() -> BuiltObject:
    builder = ManifestBuilder(SECRET, Scheme(1, 0), name="sample")
    builder.add_stripe(chunks()[:1])
    return builder.finish(1 << 20, bytes(32))


@cache
def inline() -> BuiltObject:
    return build_inline(b"a small file", SECRET, "sample")


def frame() -> bytes:
    return encode_frame(Envelope(Kind.REQUEST, 7, "chunk.get", b"payload", 9), b"body")


def error() -> bytes:
    return encode_error(Busy("too many calls", hint="wait a second"), context="chunk.get")


def record() -> bytes:
    return sign_record(FOUNDER, "placement", bytes(CID), placement(), 7).encoded


def placement() -> bytes:
    members = (NODE.public_key, FOUNDER.public_key)
    return encode_placement(Placement(CID, OwnerId(FOUNDER.public_key), Scheme(1, 0), 2, members, 1000, 1))


def hello() -> bytes:
    return Hello(certificate().encode(), ADDRESSES).encode()


def ticket() -> bytes:
    return make_ticket(genesis(), invitation(), NONCE, ADDRESSES).text().encode()


def cocoon() -> bytes:
    return seal_cocoon(MasterSecret(b"\6" * 32), "keyfile", _bytes, KEYFILE_COST)


def pair(payload: bytes, body: bytes) -> bytes:
    """Two arguments in one input, as `targets.in_two` takes them apart."""
    return len(payload).to_bytes(2, "big") + payload + body


def message(struct: str, **fields: object) -> bytes:
    return encode(struct, **fields)


def component_manifest() -> bytes:
    """A `component.toml` with most of what there is."""
    return (
        b'id = "org.example.clock"\nname = "Clock"\nversion = "1.0"\nkind = "python"\nentry = "main.py"\n'
        b'arguments = ["--utc"]\npermissions = ["api"]\nheartbeat_s = 2\n[environment]\nZONE = "UTC"\n'
        b'[restart]\npolicy = "always"\ncrashes = 3\n'
    )


def component_packages() -> list[bytes]:
    """A package as a .tar.gz and as a .zip."""
    tarred, zipped = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w:gz") as tar, zipfile.ZipFile(zipped, "w") as archive:
        for name, data in (("component.toml", component_manifest()), ("app/main.py", b"print()\n" * 50)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            archive.writestr(name, data)
    return [tarred.getvalue(), zipped.getvalue()]


def backup_index() -> bytes:
    """An index of two pieces in one pack."""
    spots = {bytes([number]) * 32: Spot(b"p" * 32, 100 * number, 100) for number in range(2)}
    return encode_index(spots)


def backup_snapshot() -> bytes:
    """A snapshot with a list of each kind."""
    part = Part(1, 10, 0, (b"l" * 32,))
    return Snapshot("full", 1_700_000_000_000, "a", "0.1.0", "{}", part, part, part, part, part).encode()


def backup_entries() -> bytes:
    """What a backup says of two files of a component, a link and an empty folder."""
    files = [FileEntry(f"app/{name}", 0o600, 1_700_000_000_000, 9, (b"l" * 32,)) for name in "ab"]
    link = FileEntry("app/link", 0o777, 1_700_000_000_000, 0, kind="link", target="../a")
    folder = FileEntry("app/folder", 0o700, 1_700_000_000_000, 0, kind="folder")
    return b"".join(each.encode() for each in (*files, link, folder))


def unfinished_note() -> bytes:
    """What a put was about to name."""
    entry = Entry("/letters/one", EntryKind.FILE, "inos:x", 10, 0o644, 1_700_000_000_000, sha256=bytes(32))
    return Note((Naming(entry, 3),), (Object(Cid(bytes(32)), 7, True),)).encode()
