"""inos keys: through a running node, and on a data root where none runs; verifying without either."""

from __future__ import annotations

import os
from typing import Any

import pytest

from inos.core.component_keys import KEY_KINDS, PUBLIC_KEY_BYTES

Cli = Any
WALLET = ("--component", "org.example.wallet")


@pytest.fixture(params=["running", "stopped"])
def cli(request: pytest.FixtureRequest) -> Cli:
    """The command with a node to talk to, and with a data root alone."""
    if request.param == "running":
        return request.getfixturevalue("inos")
    alone = request.getfixturevalue("alone")
    assert alone("init", "--no-passphrase").code == 0
    return alone


def test_a_key_is_derived_listed_used_and_its_signature_verified(cli: Cli) -> None:
    (cli.cwd / "contract").write_bytes(os.urandom(3_000_000))
    (cli.cwd / "other").write_bytes(b"")
    for kind in KEY_KINDS:
        key = cli("keys", "derive", *WALLET, "--kind", kind, "--index", "2", "--purpose", "tests", "--json").json
        assert len(key["public_key"]) == 2 * PUBLIC_KEY_BYTES[kind] and key["derivation_index"] == 2
        assert cli("keys", "derive", *WALLET, "--kind", kind, "--index=2").text.strip() == key["public_key"]
        signed = cli("keys", "sign", "contract", *WALLET, "--kind", kind, "--index", "2", "--json").json
        assert (signed["kind"], signed["public_key"]) == (kind, key["public_key"])
        (cli.cwd / "key").write_text(signed["public_key"] + "\n")
        (cli.cwd / "sig").write_text(signed["signature"] + "\n")
        given = ("--public-key", "@key", "--signature", "@sig", "--json")
        assert cli("keys", "verify", "contract", *given).json == {"valid": True, "kind": kind}
        wrong = cli("keys", "verify", "other", *given)
        assert (wrong.code, wrong.json) == (1, {"valid": False, "kind": kind})
    rows = cli("keys", "list", *WALLET, "--json").lines
    assert sorted(row["kind"] for row in rows) == sorted(KEY_KINDS)
    assert all(row["purpose"] == "tests" and row["last_used_s"] >= row["created_at_s"] for row in rows)
    assert "org.example.wallet" in cli("keys", "list").text
    assert cli("keys", "list", "--component", "nobody", "--json").lines == []


def test_a_message_from_standard_input(cli: Cli) -> None:
    signature = cli("keys", "sign", "-", *WALLET, stdin=b"words").text.strip()
    public_key = cli("keys", "derive", *WALLET).text.strip()
    given = ("--public-key", public_key, "--signature", "0x" + signature)
    assert cli("keys", "verify", "-", *given, stdin=b"words").code == 0
    assert cli("keys", "verify", "-", *given, stdin=b"wordz").code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("derive",),
        ("derive", "--component", ""),
        ("derive", "--component", "Upper"),
        ("derive", "--component", "../x"),
        ("derive", "--component", "a", "--kind", "rsa"),
        ("derive", "--component", "a", "--index", "-1"),
        ("derive", "--component", "a", "--index", "4294967296"),
        ("derive", "--component", "a", "--index", "٣"),
        ("derive", "--component", "a", "--purpose", "x" * 201),
        ("list", "--component", "Upper"),
        ("sign", "-"),
        ("verify", "-", "--public-key", "zz", "--signature", "00"),
        ("verify", "-", "--public-key", "00", "--signature", "00"),
        ("verify", "-", "--public-key", "00" * 32),
    ],
)
def test_mistakes(inos: Cli, arguments: tuple[str, ...]) -> None:
    assert inos("keys", *arguments, "--json").error["code"] == "bad_input"


def test_files_that_cannot_be_read(alone: Cli) -> None:
    (alone.cwd / "large").write_bytes(b"0" * 20_000)
    given = ("--public-key", "00" * 32, "--signature")
    assert alone("keys", "verify", "absent", *given, "00", "--json").error["code"] == "not_found"
    assert alone("keys", "verify", "-", *given, "@absent", "--json").error["code"] == "not_found"
    assert alone("keys", "verify", "-", *given, "@large", "--json").error["code"] == "bad_input"
    assert alone("keys", "sign", "absent", *WALLET, "--json").error["code"] == "not_found"


def test_verifying_needs_no_data_root(alone: Cli) -> None:
    done = alone("keys", "verify", "-", "--public-key", "00" * 32, "--signature", "00" * 64, "--json", stdin=b"")
    assert (done.code, done.json) == (1, {"valid": False, "kind": "ed25519"}) and not alone.home.exists()
