"""What a put hands to its store goes unhashed: so each piece must be addressed by its own bytes."""

from __future__ import annotations

import random

import pytest
import trio

from inos.core.env import RealEnv
from inos.crypto.digest import sha256_digest
from inos.crypto.hashing import Addressed, address_of
from inos.objects.chunks import CHUNK_BYTES, open_chunk
from inos.objects.layout import COPIES, Scheme
from inos.vault.sealing import Sealer

SECRET = bytes(32)


@pytest.mark.parametrize("scheme", [COPIES, Scheme(2, 1), Scheme(3, 2)])
def test_every_piece_is_addressed_by_its_own_bytes(scheme: Scheme) -> None:
    plain = random.Random(1).randbytes(4 * CHUNK_BYTES + 5)
    sealer = Sealer(SECRET, scheme, RealEnv())

    async def work() -> None:
        chunks = await sealer.seal(plain)
        await sealer.hash(plain)
        stripes = await sealer.stripes(chunks)
        pieces = [piece for stripe in stripes for piece in stripe.pieces]
        assert len(pieces) == 5 + len(stripes) * scheme.stripe_parity
        for piece in pieces:
            assert isinstance(piece, Addressed)
            assert address_of(piece.data) == piece.address
        assert b"".join(open_chunk(chunk.stored, chunk.key, chunk.plain_size) for chunk in chunks) == plain
        assert sealer.sha256.digest() == sha256_digest(plain)

    trio.run(work)
