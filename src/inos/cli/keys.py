"""inos keys: keys of components, from the running node or, where none runs, from the opened cocoon; verifying needs
neither."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from inos.cli.node_door import Desks
from inos.cli.options import NODE, AsJson, Home, PassphraseFile
from inos.cli.output import GREEN, RED, note, paint, say, say_json, table, time_text
from inos.cli.running import command, with_desks
from inos.core.component_keys import MAX_INDEX, KeyName
from inos.core.errors import BadInput
from inos.core.reports import to_dict
from inos.crypto.digest import message_digest

if TYPE_CHECKING:
    from inos.core.rows.keys import KeyInfo

FAILED: Final = 1
_BLOCK: Final = 1 << 20
_MAX_HEX: Final = 1 << 14  # the largest signature has 6,618 digits

Component = Annotated[str, typer.Option(help="Id of the component.", metavar="ID")]
Index = Annotated[str, typer.Option(help="Which of its keys, from 0.", metavar="N")]
Kind = Annotated[str, typer.Option(help="ed25519, ml_dsa (post-quantum) or secp256k1 (wallets).", metavar="KIND")]
Message = Annotated[str, typer.Argument(help="The message; - for standard input.", metavar="FILE")]


def register(app: typer.Typer) -> None:
    """Add `inos keys` and what it can do."""
    group = typer.Typer(
        help="Derive keys of components from your phrase, sign and verify with them.",
        no_args_is_help=True,
        epilog="The same phrase gives the same keys on any machine. Private keys are never shown or stored.",
    )
    for each in (list_keys, derive, sign, verify):
        group.command("list" if each is list_keys else each.__name__)(each)
    app.add_typer(group, name="keys", rich_help_panel=NODE)


def _key_name(component: str, kind: str, index: str) -> KeyName:
    if not component:
        raise BadInput("the component is missing", hint="--component org.example.player")
    if not index.isascii() or not index.isdecimal() or len(index) > len(str(MAX_INDEX)):
        raise BadInput(f"not a derivation index: {index[:20]!r}", hint=f"--index N, 0 to {MAX_INDEX}")
    return KeyName(component, kind, int(index))  # type: ignore[arg-type]


@command
def list_keys(
    component: Annotated[str, typer.Option(help="Only keys of this component.", metavar="ID")] = "",
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the keys that were derived on this node: what is public of them.

    inos keys list --component org.example.wallet
    """
    from dataclasses import replace

    from inos.core.rows.keys import KeyInfo
    from inos.core.rows.row import Query

    async def work(desks: Desks) -> list[KeyInfo]:
        found: list[KeyInfo] = []
        query = Query(KeyInfo, "component_id" if component else "", component or None, "" if component else "created")
        while True:
            page = await desks.db.page(query)
            found += page.rows
            if not page.next:
                return found
            query = replace(query, after=page.next)

    found = with_desks(home, passphrase_file, work)
    if as_json:
        for key in found:
            say_json(key.to_dict())
    elif found:
        heads = ("COMPONENT", "KIND", "INDEX", "PURPOSE", "CREATED", "LAST USED", "PUBLIC KEY")
        say(table([heads, *(_row(key) for key in found)], right=frozenset({2})))
    else:
        note("no key was derived yet: inos keys derive --component ID")


def _row(key: KeyInfo) -> tuple[str, ...]:
    text = key.public_key.hex()
    shown = text if len(text) <= 66 else text[:63] + "…"
    used = "never" if key.last_used_s is None else time_text(key.last_used_s)
    index = str(key.derivation_index)
    return key.component_id, key.kind, index, key.purpose or "-", time_text(key.created_at_s), used, shown


@command
def derive(
    component: Component = "",
    index: Index = "0",
    kind: Kind = "ed25519",
    purpose: Annotated[str, typer.Option(help="What it is for, noted beside it.", metavar="TEXT")] = "",
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Derive a key of a component and print its public key; the same phrase gives the same key anywhere.

    inos keys derive --component org.example.wallet --kind secp256k1 --index 2
    """
    name = _key_name(component, kind, index)
    found = with_desks(home, passphrase_file, lambda desks: desks.keys.derive(name, purpose))
    if as_json:
        say_json(found.to_dict())
    else:
        say(found.public_key.hex())


@command
def sign(
    message: Message,
    component: Component = "",
    index: Index = "0",
    kind: Kind = "ed25519",
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Sign a file with a key of a component and print the signature.

    inos keys sign contract.pdf --component org.example.office --kind ml_dsa
    """
    name = _key_name(component, kind, index)
    digest = message_digest(_blocks(message))
    signed = with_desks(home, passphrase_file, lambda desks: desks.keys.sign(name, digest))
    if as_json:
        say_json(to_dict(signed))
    else:
        say(signed.signature)


@command
def verify(
    message: Message,
    public_key: Annotated[
        str, typer.Option("--public-key", help="Of whoever signed, hexadecimal; @FILE reads it.", metavar="HEX|@FILE")
    ] = "",
    signature: Annotated[str, typer.Option(help="Hexadecimal; @FILE reads it.", metavar="HEX|@FILE")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Check a signature with the public key alone: no node, no data root, no network. Exits 1 when it is not good.

    inos keys verify contract.pdf --public-key @key.hex --signature @contract.sig
    """
    from inos.crypto.component_keys import kind_of
    from inos.crypto.component_keys import verify as is_good

    del home  # every command takes it, so that scripts can pass it always
    key = _hexadecimal(public_key, "public key", "--public-key")
    made = _hexadecimal(signature, "signature", "--signature")
    kind = kind_of(key)
    good = is_good(kind, key, message_digest(_blocks(message)), made)
    if as_json:
        say_json({"valid": good, "kind": kind})
    else:
        verdict = paint("good", GREEN) if good else paint("NOT good", RED)
        say(f"the signature is {verdict} ({kind})")
    if not good:
        raise typer.Exit(FAILED)


def _hexadecimal(given: str, what: str, option: str) -> bytes:
    text = _read_text(Path(given[1:])) if given.startswith("@") else given
    try:
        data = bytes.fromhex(text.strip().removeprefix("0x"))
    except ValueError:
        data = b""
    if not data:
        raise BadInput(f"the {what} is missing or not hexadecimal", hint=f"{option} HEX, or {option} @FILE")
    return data


def _read_text(path: Path) -> str:
    from inos.client.local import read_small

    data = read_small(path, _MAX_HEX)
    if data is None:
        raise BadInput(f"{path} has more than {_MAX_HEX} bytes", hint="one key or signature, hexadecimal")
    return data.decode("ascii", "replace")


def _blocks(message: str) -> Iterator[bytes]:
    if message == "-":
        while block := sys.stdin.buffer.read(_BLOCK):
            yield block
        return
    from inos.client.local import file_error, open_source

    with open_source(message) as file:
        try:
            while block := file.read(_BLOCK):
                yield block
        except OSError as error:
            raise file_error(message, error) from None
