"""What the API needs of a node, as small Protocols that `node` implements; the API knows nothing else of INOS.

Rules for implementers: a target is a reference ("inos:<cid>#<key>"), a cid, a name ("/a/b", "a/b", "inos:/a/b"), or the
SHA-256 of a content ("sha256:<64 hex>"), which stands for the names that have it;
failures are InosErrors; a method may be cancelled at any await (the client went away) and must leave nothing half done.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from inos.core import reports
from inos.core.component_keys import KeyCalls
from inos.core.components import ComponentCalls
from inos.core.ids import ContentDigest
from inos.core.messages.access import TokenCalls
from inos.core.messages.calls import MessageCalls
from inos.core.rows.calls import RowCalls


@dataclass(frozen=True, slots=True)
class Download:
    """An object being read. `size` is the whole object's; `chunks` gives only the bytes asked for, any size each, and
    is closed by the API. `content_hash` (hex) is the SHA-256 of the whole content, its BLAKE3 in objects of the first
    release."""

    size: int
    name: str
    reference: str
    content_hash: str
    chunks: AsyncGenerator[bytes, None]
    mode: int = 0o644
    modified_ms: int = 0


class Storing(Protocol):
    """Bytes into the mesh."""

    async def put(self, source: AsyncIterator[bytes], options: reports.PutOptions) -> reports.PutReport:
        """Store everything `source` gives. An error raised by `source` means the client went away: store nothing."""

    async def put_batch(self, items: Sequence[reports.BatchItem], require: str) -> list[reports.PutReport]:
        """Store many small files; all acknowledged together, or an error (what was stored by then may remain)."""


class TreeStoring(Protocol):
    """Names without content, so that a folder comes back as it was."""

    async def put_link(self, name: str, target: str, modified_ms: int) -> reports.CatalogueItem:
        """Record a symbolic link; `target` is kept as text."""

    async def put_folder(self, name: str, mode: int, modified_ms: int) -> reports.CatalogueItem:
        """Record a folder, which may be empty."""


class Reading(Protocol):
    """Bytes and names out of the mesh."""

    async def open(self, target: str, start: int, end: int | None) -> Download:
        """Bytes [start, end) of a file, both clamped to its size. NotFound when there is none; BadInput for the name of
        a folder or a link. The first chunk must have been found when this returns, so that errors get a status."""

    async def list(self, prefix: str, after: str, limit: int) -> reports.CataloguePage:
        """Up to `limit` names that start with `prefix` and sort (by code point) behind `after`."""

    async def list_nameless(self, after: str, limit: int) -> reports.CataloguePage:
        """Up to `limit` objects that no name stands for, behind the cid `after`; their size is that of their stored
        chunks, 0 where they are too small to have any."""

    async def find(self, sha256: ContentDigest, after: str, limit: int) -> reports.CataloguePage:
        """Up to `limit` names of files whose whole content has this SHA-256, in order, behind the name `after`."""

    async def stat(self, target: str) -> reports.StatReport:
        """What is known of one object, and who holds it now."""


class Keeping(Protocol):
    """Removing, pinning and checking what is stored."""

    async def pin(self, target: str, pinned: bool) -> reports.PinReport:
        """Keep all of an object, or of a folder's, on this node whatever its quota says; or no longer."""

    async def list_pinned(self, after: str, limit: int) -> reports.CataloguePage:
        """Up to `limit` objects pinned to this node, behind the cid `after`."""

    async def remove(self, target: str) -> reports.RemoveReport:
        """Remove a name, a folder's whole tree of names, or every name of a reference."""

    def verify(self, target: str | None, plan: reports.VerifyPlan) -> AsyncGenerator[reports.VerifyReport, None]:
        """Re-read this node's chunks, those of the plan, or every piece of one object everywhere; reports as it
        goes (an interval of a second or so, and every problem), the last one `finished`."""


class BackingUp(Protocol):
    """A copy of this node elsewhere."""

    def backup(self, place: str, kind: str) -> AsyncGenerator[reports.BackupReport, None]:
        """Back this node up to a folder or URL; `kind` is "full", or "mesh" to leave the chunks to the mesh. Reports as
        it goes, the last one `finished`."""


class Membership(Protocol):
    """Who is in."""

    async def invite(self, single_use: bool, lifetime_s: int) -> reports.TicketReport:
        """A ticket for one or more new members."""

    async def join(self, ticket: str) -> reports.JoinReport:
        """Make this node a member of the ticket's mesh."""

    async def revoke(self, peer: str) -> reports.RevokeReport:
        """Shut a member out for good."""


class Reporting(Protocol):
    """What a person looks at."""

    async def status(self) -> reports.StatusReport:
        """This node, its mesh and its workers."""

    async def peers(self) -> Sequence[reports.PeerReport]:
        """Every member, this node included."""


class RowKeeping(Protocol):
    """The rows of the node's own database."""

    @property
    def db(self) -> RowCalls:
        """What can be asked of them."""


class KeyHolding(Protocol):
    """The owner's keys of components."""

    @property
    def keys(self) -> KeyCalls:
        """What can be done with them."""


class ComponentKeeping(Protocol):
    """The components of the node."""

    @property
    def components(self) -> ComponentCalls:
        """What can be done with them."""


class Messaging(Protocol):
    """Messages of agents."""

    @property
    def messages(self) -> MessageCalls:
        """What can be done with them."""


class TokenKeeping(Protocol):
    """Tokens with which agents use the calls on messages."""

    @property
    def message_tokens(self) -> TokenCalls:
        """What can be done with them."""


class NodeService(
    Storing,
    TreeStoring,
    Reading,
    Keeping,
    BackingUp,
    Membership,
    Reporting,
    RowKeeping,
    KeyHolding,
    ComponentKeeping,
    Messaging,
    TokenKeeping,
    Protocol,
):
    """A whole node."""
