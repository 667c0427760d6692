"""Every decoder of bytes or text from outside, by its place in `inos`.
tests/test_fuzz_smoke.py finds any that is missing.

A decoder may return, or raise one of the errors its target allows: anything else is a bug here, whatever the bytes.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from fuzz import samples
from fuzz.message_targets import MESSAGE_DECODERS
from inos.api import content, gate, message_sync, multipart, ranges
from inos.api.sessions import Sessions
from inos.backup import entries, index, snapshot
from inos.cli import members, objects
from inos.components import manifest as component_manifest
from inos.components import package
from inos.core import batch, reports
from inos.core.env import RealEnv
from inos.core.errors import (
    BadFrame,
    BadInput,
    BadReference,
    BadTicket,
    Corrupt,
    InosError,
    NewerFormat,
    Refused,
    TooLarge,
)
from inos.core.ids import Cid, PeerId
from inos.core.messages.query import MessageQuery
from inos.core.rows import KINDS
from inos.core.rows.cursor import cursor_behind, parse_cursor
from inos.core.rows.row import Query, field_names, parse_key
from inos.core.rows.wallet import Transaction
from inos.crypto import cocoon
from inos.mesh import frames, heartbeats, libp2p_network, witness
from inos.node import availability
from inos.objects import chunks, manifest_codec, opening, parts, reference
from inos.replication import bulk, hold_calls, placement, table_wire
from inos.state import capability, certificates, hello, invitations, joining, records, revocation, tickets
from inos.store import replica
from inos.store.repositories.search import parse_words
from inos.testing.row_samples import sample
from inos.vault.unfinished import Note

Decoder = Callable[[bytes], object]
Samples = Callable[[], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder. `samples` are inputs it accepts, to start mutating from."""

    decode: Decoder
    allowed: tuple[type[InosError], ...]
    samples: Samples = tuple


def try_once(target: Target, data: bytes) -> None:
    """Run the decoder; only what it allows is swallowed."""
    try:
        target.decode(data)
    except target.allowed as error:
        # A message is fit to be shown, whatever the bytes were: short, and without the lone surrogates JSON refuses.
        assert len(str(error).encode()) < 4000


def in_text(parse: Callable[[str], object]) -> Decoder:
    """Text as the operating system hands it over: undecodable bytes become lone surrogates."""
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


def in_two(decode: Callable[[bytes, bytes], object]) -> Decoder:
    """Payload and body from one input: two bytes of payload length, payload, body."""

    def split(data: bytes) -> object:
        end = 2 + int.from_bytes(data[:2], "big")
        return decode(data[2:end], data[end:])

    return split


WIRE: Final = (BadFrame, NewerFormat)


def _wire(decode: Decoder, *made: Callable[[], bytes]) -> Target:
    return Target(decode, WIRE, lambda: [make() for make in made])


def _struct(decode: Decoder, struct: str, **fields: object) -> Target:
    return _wire(decode, lambda: samples.message(struct, **fields))


def _page(data: bytes) -> object:
    root = manifest_codec.OuterManifest.decode(samples.in_pages().manifest_chunks[0][1])
    page = manifest_codec.OuterPage.decode(data, root, 0)
    return list(page.stripes())


def _pages() -> Sequence[bytes]:
    return [data for _, data in samples.in_pages().manifest_chunks[1:]]


def _manifests() -> Sequence[bytes]:
    return [made().manifest_chunks[0][1] for made in (samples.in_pages, samples.in_place, samples.inline)]


def _inner(data: bytes) -> object:
    """What whoever made a reference may have sealed inside the manifest it opens."""
    built = samples.in_pages()
    root = manifest_codec.OuterManifest.decode(built.manifest_chunks[0][1])
    sealed = parts.seal_part(built.reference.key, parts.Part.INNER, 0, data)
    changed = {name: getattr(root, name) for name in root.__dataclass_fields__} | {"inner": sealed}
    return opening.open_inner(manifest_codec.OuterManifest(**changed), built.reference.key)


def _request_headers(data: bytes) -> object:
    """Header lines of a request, as an HTTP server hands them over: lower-case names, bytes."""
    lines = [line.partition(b":") for line in data.split(b"\n")[:80]]
    headers = [(name.strip().lower(), value.strip()) for name, _, value in lines]
    scope = {"type": "http", "method": "POST", "path": "/v1/stat", "raw_path": data[:99], "query_string": data[99:]}
    sessions = Sessions(RealEnv())
    front = gate.Gate(_no_app, token="token", host="127.0.0.1", tokens=_NoTokens(), sessions=sessions)
    if (refusal := front._refusal(scope | {"headers": headers})) is not None:
        return refusal
    try:
        front._admitted(scope | {"path": "/query/messages"}, dict(headers), sessions.use).send(None)
    except StopIteration as admitted:
        return admitted.value
    return None


_FORM: Final = (
    b'--b\r\ncontent-disposition: form-data; name="agent"\r\n\r\nada\r\n'
    b'--b\r\ncontent-disposition: form-data; name="f"; filename="a.txt"\r\ncontent-type: text/plain\r\n\r\n'
    b"content\r\n--b--\r\n"
)


def _form(data: bytes) -> object:
    """Fed in two pieces: what is remembered between them is half of the parser."""
    form = multipart.Form(b"b")
    return [*form.feed(data[: len(data) // 2]), *form.feed(data[len(data) // 2 :])]


def _unpacked(data: bytes) -> bytes:
    return message_sync.unpack_part(zlib.decompressobj(31), data, 1000)


def _message_query(data: bytes) -> object:
    return MessageQuery.from_params(content.query_of({"type": "http", "query_string": data}))


class _NoTokens:
    """A node that made no token for anybody."""

    message_tokens = property(lambda self: self)

    async def of(self, _text: str) -> None:
        return None


async def _no_app(*_: object) -> None:
    raise AssertionError("only headers are looked at here")


def _report(data: bytes) -> object:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return reports.from_dict(reports.StatReport, document)


def _rows() -> Sequence[bytes]:
    return [json.dumps(sample(kind, 2).to_dict()).encode() for kind in KINDS.values()]


def _row(data: bytes) -> None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    names = set(document) if isinstance(document, dict) else set()
    max(KINDS.values(), key=lambda kind: len(names.intersection(field_names(kind)))).from_dict(document)


def _keys(text: str) -> None:
    """Refused by all kinds, or taken by some."""
    refused = 0
    for kind in KINDS.values():
        try:
            parse_key(kind, text)
        except BadInput as error:
            refused += 1
            if refused == len(KINDS):
                raise error


def _cursors() -> Sequence[bytes]:
    return [cursor_behind(Query(Transaction), sample(Transaction, number)).encode() for number in range(3)]


def _cursor(data: bytes) -> object:
    return parse_cursor(Query(Transaction, after=data.decode("utf-8", "surrogateescape")))


def _nowhere(name: str, data: bytes) -> None:
    del name, data


MESH, TABLES, CHUNKS = "p2p/mesh.capnp:", "p2p/tables.capnp:", "p2p/chunks.capnp:"
_KEY: Final = bytes(range(32))
_PLACE: Final = {"table": "placement", "sector": 3}

TARGETS: Final[Mapping[str, Target]] = {
    "api.gate.Gate": Target(
        _request_headers,
        (BadInput, Refused),
        lambda: [b"Host: 127.0.0.1:80\nAuthorization: Bearer token\nCookie: a=b; inos_messages=00"],
    ),
    "api.multipart.parse_boundary": Target(
        in_text(multipart.parse_boundary), (BadInput,), lambda: [b'multipart/form-data; boundary="a b"; charset=utf-8']
    ),
    "api.multipart.Form": Target(_form, (BadInput,), lambda: [_FORM]),
    "api.message_sync.unpack_part": Target(_unpacked, (BadInput, TooLarge), lambda: [gzip.compress(b"{}" * 99)]),
    "core.messages.query.MessageQuery.from_params": Target(
        _message_query,
        (BadInput,),
        lambda: [b"agent=ada&text=a%20word&since_ms=5&limit=7&order=best", b"state=open&after=9&priority=3"],
    ),
    "api.ranges.parse_range": Target(in_text(ranges.parse_range), (BadInput,), lambda: [b"bytes=0-99", b"bytes=-5"]),
    "backup.index.IndexTable.decode": Target(
        lambda data: index.IndexTable.decode(data, "index"), (Corrupt,), lambda: [samples.backup_index()]
    ),
    "backup.entries.entries_in": Target(
        lambda data: list(entries.entries_in(data)), (Corrupt,), lambda: [samples.backup_entries()]
    ),
    "backup.snapshot.Snapshot.decode": Target(
        lambda data: snapshot.Snapshot.decode(data, "snapshot"),
        (Corrupt, NewerFormat),
        lambda: [samples.backup_snapshot()],
    ),
    "cli.objects.parse_part": Target(in_text(objects.parse_part), (BadInput,), lambda: [b"3/30", b""]),
    "cli.members.parse_size": Target(in_text(members.parse_size), (BadInput,), lambda: [b"500MB", b"1.5 TB", b"64MiB"]),
    "cli.members.parse_time_s": Target(in_text(members.parse_time_s), (BadInput,), lambda: [b"30min", b"12h"]),
    "cli.objects.parse_range": Target(in_text(objects.parse_range), (BadInput,), lambda: [b"0-99", b"100-"]),
    "components.manifest.parse_manifest": Target(
        component_manifest.parse_manifest, (BadInput,), lambda: [samples.component_manifest()]
    ),
    "components.package.parse_package": Target(
        lambda data: package.parse_package(data, _nowhere), (BadInput,), samples.component_packages
    ),
    "core.batch.decode_batch": Target(
        batch.decode_batch,
        (BadFrame, TooLarge),
        lambda: [batch.encode_batch([reports.BatchItem("/a", 0o644, 1_800_000_000_000, b"content")])],
    ),
    "core.ids.Cid.parse": Target(in_text(Cid.parse), (BadReference,), lambda: [str(samples.CID).encode()]),
    "core.ids.PeerId.parse": Target(
        in_text(PeerId.parse), (BadInput,), lambda: [PeerId.from_public_key(_KEY).encode()]
    ),
    "core.reports.from_dict": Target(_report, (BadFrame,)),
    "core.rows.cursor.parse_cursor": Target(_cursor, (BadInput,), _cursors),
    "core.rows.row.Row.from_dict": Target(_row, (BadInput,), _rows),
    "core.rows.row.parse_key": Target(
        in_text(_keys), (BadInput,), lambda: [_KEY.hex().encode(), str(samples.CID).encode()]
    ),
    "crypto.cocoon.cocoon_opener": Target(cocoon.cocoon_opener, (Corrupt, NewerFormat), lambda: [samples.cocoon()]),
    "mesh.frames.decode_envelope": _wire(frames.decode_envelope, lambda: samples.frame()[frames.HEADER_BYTES : -4]),
    "mesh.frames.decode_error": _wire(frames.decode_error, samples.error),
    "mesh.frames.parse_header": _wire(frames.parse_header, lambda: samples.frame()[: frames.HEADER_BYTES]),
    "mesh.heartbeats.decode_beat": _wire(heartbeats.decode_beat, lambda: heartbeats.Beat(0.5, _KEY).encode()),
    "mesh.witness.decode_sightings": _wire(
        witness.decode_sightings, lambda: witness.Sightings((_KEY,), (_KEY,)).encode()
    ),
    "mesh.libp2p_network.parse_multiaddr": Target(
        in_text(libp2p_network.parse_multiaddr),
        (BadInput,),
        lambda: [b"/ip4/127.0.0.1/tcp/4001", b"/dns4/a.b/tcp/1/ws"],
    ),
    "node.availability.decode_observed": Target(
        availability.decode_observed, (), lambda: [b'{"version": 1, "peers": {}}']
    ),
    "objects.chunks.unpack": Target(
        lambda data: chunks.unpack(data, 1000, limit=1 << 20), (Corrupt,), lambda: [chunks.pack(bytes(1000))]
    ),
    "objects.manifest_codec.OuterManifest.decode": Target(manifest_codec.OuterManifest.decode, WIRE, _manifests),
    "objects.manifest_codec.OuterPage.decode": Target(_page, WIRE, _pages),
    "objects.opening.open_inner": Target(_inner, (BadFrame, Corrupt, NewerFormat)),
    "objects.reference.ObjectName.parse": Target(in_text(reference.ObjectName.parse), (BadInput,), lambda: [b"/a/b"]),
    "objects.reference.Reference.parse": Target(
        in_text(reference.Reference.parse), (BadReference,), lambda: [str(samples.inline().reference).encode()]
    ),
    "objects.reference.parse_sha256": Target(
        in_text(reference.parse_sha256), (BadInput,), lambda: [b"sha256:" + b"a0" * 32, b"B1" * 32]
    ),
    "objects.reference.parse_target": Target(
        in_text(reference.parse_target),
        (BadInput,),
        lambda: [b"inos:/a/b.jpg", str(samples.inline().reference).encode(), str(samples.CID).encode()],
    ),
    "replication.bulk.decode_addresses": _wire(
        bulk.decode_addresses, lambda: bulk.encode_addresses([samples.CID.address])
    ),
    "replication.bulk.decode_batch": _wire(
        in_two(bulk.decode_batch),
        lambda: samples.pair(bulk.encode_batch([(samples.CID.address, b"chunk")]), b"chunk"),
    ),
    "replication.bulk.decode_wanted": _struct(bulk.decode_wanted, CHUNKS + "ChunkRequest", address=_KEY),
    "replication.hold_calls.decode_asked": _struct(
        hold_calls.decode_asked, CHUNKS + "StateRequest", cids=[_KEY, _KEY], verify=True
    ),
    "replication.hold_calls.decode_holds": _wire(
        in_two(hold_calls.decode_holds),
        lambda: samples.pair(
            samples.message(
                CHUNKS + "HoldBatch",
                requests=[{"placement": samples.record(), "chunks": {"addresses": [_KEY], "sizes": [5]}}],
            ),
            b"chunk",
        ),
    ),
    "replication.hold_calls.decode_states": _struct(
        hold_calls.decode_states,
        CHUNKS + "HoldAnswer",
        states=[{"cid": _KEY, "held": 2, "assigned": 3, "error": "not_found"}],
    ),
    "replication.placement.decode_placement": _wire(
        partial(placement.decode_placement, samples.CID), samples.placement
    ),
    "replication.table_wire.decode_batch": _wire(
        table_wire.decode_batch, lambda: samples.message(TABLES + "RecordBatch", records=[samples.record()])
    ),
    "replication.table_wire.decode_push_answer": _struct(
        table_wire.decode_push_answer, TABLES + "PushAnswer", applied=1, refused=[{"index": 0, "code": "refused"}]
    ),
    "replication.table_wire.decode_digests": _struct(
        table_wire.decode_digests, TABLES + "DigestList", digests=[{**_PLACE, "root": _KEY}]
    ),
    "replication.table_wire.decode_bucket_request": _struct(
        table_wire.decode_bucket_request, TABLES + "BucketRequest", **_PLACE
    ),
    "replication.table_wire.decode_buckets": _struct(
        table_wire.decode_buckets, TABLES + "BucketAnswer", buckets=[_KEY] * replica.BUCKETS
    ),
    "replication.table_wire.decode_entry_request": _struct(
        table_wire.decode_entry_request, TABLES + "EntryRequest", **_PLACE, buckets=[1, 2]
    ),
    "replication.table_wire.decode_entries": _struct(
        table_wire.decode_entries, TABLES + "EntryAnswer", entries=[{"key": b"key", "digest": _KEY}]
    ),
    "replication.table_wire.decode_fetch": _struct(
        table_wire.decode_fetch, TABLES + "FetchRequest", table="placement", keys=[_KEY]
    ),
    "replication.table_wire.decode_scan": _struct(
        table_wire.decode_scan, TABLES + "ScanRequest", table="catalogue", prefix=_KEY, limit=10
    ),
    "state.capability.decode_capability": _wire(
        capability.decode_capability,
        lambda: capability.Capability(samples.certificate().encode(), samples.ADDRESSES).encode(),
    ),
    "state.certificates.decode_certificate": _wire(
        certificates.decode_certificate, lambda: samples.certificate().encode()
    ),
    "state.certificates.decode_genesis": _wire(certificates.decode_genesis, lambda: samples.genesis().encoded),
    "state.hello.decode_hello": _wire(hello.decode_hello, samples.hello),
    "state.invitations.decode_invitation": _wire(invitations.decode_invitation, lambda: samples.invitation().encode()),
    "state.joining.decode_request": _struct(
        joining.decode_request,
        MESH + "JoinRequest",
        version=1,
        invitation=samples.invitation().encode(),
        secret=samples.NONCE,
        node=_KEY,
        owner=_KEY,
        ownerProof=_KEY * 2,
    ),
    "state.joining.decode_answer": _struct(
        joining.decode_answer, MESH + "JoinAnswer", certificate=samples.certificate().encode(), members=[_KEY]
    ),
    "state.records.decode_record": Target(
        records.decode_record, (BadInput, NewerFormat, Refused), lambda: [samples.record()]
    ),
    "state.records.parse_record": _wire(records.parse_record, samples.record),
    "state.revocation.decode_revocation": _wire(
        revocation.decode_revocation, lambda: revocation.Revocation("lost", 1, frozenset({_KEY})).encode()
    ),
    "state.tickets.parse_ticket": Target(in_text(tickets.parse_ticket), (BadTicket,), lambda: [samples.ticket()]),
    "store.repositories.search.parse_words": Target(
        in_text(lambda text: parse_words(text, "")), (BadInput,), lambda: ["zürich trip".encode(), b"a b c"]
    ),
    "vault.unfinished.Note.decode": Target(Note.decode, (Corrupt,), lambda: [samples.unfinished_note()]),
    **{name: Target(*found) for name, found in MESSAGE_DECODERS.items()},
}
