"""Keys of components over HTTP."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from inos.core.component_keys import KEY_KINDS
from inos.crypto.component_keys import verify

DIGEST = hashlib.sha512(b"a message").hexdigest()


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_deriving_and_signing(ask: Any, kind: Any) -> None:
    key = ask("POST", "/v1/keys/derive", {"component": "org.example", "kind": kind, "index": 5, "purpose": "p"}).json
    assert ask("GET", f"/v1/db/keys/{key['key_id']}").json == key and key["last_used_s"] is None
    signed = ask("POST", "/v1/keys/sign", {"component": "org.example", "kind": kind, "index": 5, "digest": DIGEST}).json
    assert set(signed) == {"kind", "public_key", "signature"} and signed["public_key"] == key["public_key"]
    assert verify(kind, bytes.fromhex(key["public_key"]), bytes.fromhex(DIGEST), bytes.fromhex(signed["signature"]))
    [row] = ask("GET", "/v1/db/keys?where=component_id&equals=org.example").json["rows"]
    assert row["last_used_s"] >= row["created_at_s"] and row["purpose"] == "p"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("derive", {}),
        ("derive", {"component": "Upper"}),
        ("derive", {"component": "a", "kind": "rsa"}),
        ("derive", {"component": "a", "index": -1}),
        ("derive", {"component": "a", "index": 1 << 32}),
        ("derive", {"component": "a", "index": "1"}),
        ("derive", {"component": "a", "purpose": "x" * 201}),
        ("sign", {"component": "a"}),
        ("sign", {"component": "a", "digest": "00"}),
        ("sign", {"component": "a", "digest": "zz" * 64}),
        ("sign", {"component": "a", "digest": " " * 128}),
    ],
)
def test_what_is_wrong_is_said_and_no_key_noted(ask: Any, path: str, body: dict[str, Any]) -> None:
    assert ask("POST", f"/v1/keys/{path}", body).code == "bad_input"
    assert ask("GET", "/v1/db/keys").json["rows"] == []


def test_nobody_without_the_token(ask: Any) -> None:
    for path in ("derive", "sign"):
        assert ask("POST", f"/v1/keys/{path}", {"component": "a", "digest": DIGEST}, authorization="none").status == 401
