"""Derives keys of components and signs with them, away from the event loop; what is public of each is noted as a row.

The same desk serves the API of a running node, which has the owner's secrets in memory anyway, and the command line
where none runs. A private key lives as long as one call.
"""

from __future__ import annotations

from inos.core.component_keys import KeyName, Signed
from inos.core.env import Env
from inos.core.rows.keys import KeyInfo
from inos.crypto.component_keys import ComponentKey
from inos.crypto.derive import Keyring
from inos.store.repositories.keys import Keys


class KeyDesk:
    """`KeyCalls` of one owner on one node."""

    def __init__(self, keyring: Keyring, keys: Keys, env: Env) -> None:
        self._keyring = keyring
        self._keys = keys
        self._env = env

    async def derive(self, name: KeyName, purpose: str = "") -> KeyInfo:
        return await self._env.in_thread(self._derive, name, purpose)

    async def sign(self, name: KeyName, digest: bytes) -> Signed:
        return await self._env.in_thread(self._sign, name, digest)

    def _derive(self, name: KeyName, purpose: str) -> KeyInfo:
        return self._keys.record(self._info(ComponentKey(self._keyring, name), purpose))

    def _sign(self, name: KeyName, digest: bytes) -> Signed:
        key = ComponentKey(self._keyring, name)
        signature = key.sign(digest)
        self._keys.record(self._info(key, ""))
        self._keys.used(key.key_id, self._env.now_s())
        return Signed(name.kind, key.public_key.hex(), signature.hex())

    def _info(self, key: ComponentKey, purpose: str) -> KeyInfo:
        name = key.name
        created_at_s = int(self._env.now_s())
        return KeyInfo(key.key_id, name.component, name.kind, name.index, key.public_key, created_at_s, purpose)
