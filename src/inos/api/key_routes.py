"""The calls under /v1/keys: deriving keys of components and signing with them. No answer holds a private key."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from inos.api.service import KeyHolding
from inos.core.component_keys import DIGEST_BYTES, MAX_INDEX, KeyName, Signed
from inos.core.errors import BadInput

_ID_MAX: Final = 128
_KIND_MAX: Final = 32
_PURPOSE_MAX: Final = 200


class KeyBody(BaseModel):
    """Which key."""

    component: str = Field(min_length=1, max_length=_ID_MAX)
    index: int = Field(default=0, ge=0, le=MAX_INDEX, strict=True)
    kind: str = Field(default="ed25519", max_length=_KIND_MAX)

    def name(self) -> KeyName:
        """The key it names. Raises BadInput."""
        return KeyName(self.component, self.kind, self.index)  # type: ignore[arg-type]


class DeriveBody(KeyBody):
    """Which key, and what it is for."""

    purpose: str = Field(default="", max_length=_PURPOSE_MAX)


class SignBody(KeyBody):
    """Which key, and the SHA-512 of the message in hexadecimal."""

    digest: str = Field(min_length=2 * DIGEST_BYTES, max_length=2 * DIGEST_BYTES)


def key_routes(service: KeyHolding) -> APIRouter:
    """Every call on keys; `GET /v1/db/keys` lists them."""
    router = APIRouter(prefix="/v1/keys", tags=["keys"])

    @router.post("/derive", summary="Derive a key of a component, and note that it was")
    async def derive_key(body: DeriveBody) -> dict[str, Any]:
        return (await service.keys.derive(body.name(), body.purpose)).to_dict()

    @router.post("/sign", summary="Sign a message, by its SHA-512, with a key of a component")
    async def sign_message(body: SignBody) -> Signed:
        return await service.keys.sign(body.name(), _digest(body.digest))

    return router


def _digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != DIGEST_BYTES:
        raise BadInput(f"digest: {2 * DIGEST_BYTES} hexadecimal digits are needed", hint="it is a message's SHA-512")
    return digest
