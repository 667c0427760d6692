"""`mesh.keys`: keys of components, derived and used by the node, over its API.

    info = await mesh.keys.derive(KeyName("org.example.wallet", "secp256k1"), "payments")
    signed = await mesh.keys.sign(KeyName("org.example.wallet", "secp256k1"), hashlib.sha512(message).digest())

`mesh.db.rows(KeyInfo)` lists those that were derived.
"""

from __future__ import annotations

from inos.client.calls import Calls, json_request
from inos.core.component_keys import KeyName, Signed
from inos.core.errors import BadFrame, BadInput
from inos.core.rows.keys import KeyInfo


class Keys:
    """Keys of components of one owner. Every failure is an InosError."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def derive(self, name: KeyName, purpose: str = "") -> KeyInfo:
        """Derive a key; the node notes what is public of it."""
        value = await self._calls.json(json_request("POST", "/v1/keys/derive", {**_named(name), "purpose": purpose}))
        try:
            return KeyInfo.from_dict(value)
        except BadInput as error:
            raise BadFrame(f"the node's answer is not a key: {error}") from None

    async def sign(self, name: KeyName, digest: bytes) -> Signed:
        """Sign a message by its SHA-512."""
        return await self._calls.post(Signed, "/v1/keys/sign", {**_named(name), "digest": digest.hex()})


def _named(name: KeyName) -> dict[str, object]:
    return {"component": name.component, "kind": name.kind, "index": name.index}
