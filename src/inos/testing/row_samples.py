"""Rows of every kind to test with: the same for the same number, of different keys for different numbers."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from inos.core.component_keys import KEY_KINDS, PUBLIC_KEY_BYTES
from inos.core.ids import Address, Cid
from inos.core.rows.kept import Cached, HeldObject, KeptChunk
from inos.core.rows.keys import KeyInfo
from inos.core.rows.personal import MessageInfo, Preference
from inos.core.rows.row import Row
from inos.core.rows.software import Application, Component, ComponentRun
from inos.core.rows.wallet import Transaction
from inos.crypto.hashing import blake3_digest

TIME_S: Final = 1_700_000_000


def digest_of(number: int) -> bytes:
    """Thirty-two bytes for a number."""
    return blake3_digest(b"%d" % number)


def a_component(number: int) -> Component:
    kind = number % 3
    return Component(
        f"org.example.part-{number:05}", f"Part {number}", "1.2.3", "frontend" if kind == 0 else "backend",
        ("static", "wasm", "python")[kind], TIME_S + number % 5, description="Plays Bartók", author="Example",
        manifest={"entry": f"main{number}", "needs": ["gpu"]}, last_used_s=None if number % 2 else TIME_S + number,
    )  # fmt: skip


def an_application(number: int) -> Application:
    return Application(
        f"app-{number:05}", f"App {number}", "2.0", TIME_S, (a_component(number).component_id,),
        last_launched_s=None if number % 3 else TIME_S - number, launch_count=number,
    )  # fmt: skip


def a_run(number: int) -> ComponentRun:
    running = number % 2 == 0
    return ComponentRun(
        a_component(number).component_id, "1.2.3", "running", "running" if running else "crashed",
        1000 + number if running else None, f"http://127.0.0.1:{number + 1024}", TIME_S if running else None,
        restart_count=number, last_error="" if running else "exit status 1",
    )  # fmt: skip


def a_key(number: int) -> KeyInfo:
    kind = KEY_KINDS[number % 3]
    public_key = random.Random(number).randbytes(PUBLIC_KEY_BYTES[kind])  # noqa: S311 - no key at all
    return KeyInfo(digest_of(number), f"wallet-{number % 2}", kind, number, public_key, TIME_S - number, "signing")


def a_transaction(number: int) -> Transaction:
    done = number % 3 == 1
    return Transaction(
        f"0x{number:064x}", f"0x{number % 4:040x}", f"0x{number % 3:040x}", str(10 ** (number % 78)), "example",
        TIME_S + number // 3, "confirmed" if done else "pending", gas_price="20000000000", purpose="rent",
        confirmed_at_s=TIME_S + number if done else None,
    )  # fmt: skip


def a_cached(number: int) -> Cached:
    address = Address(digest_of(number))
    known = digest_of(number % 2) if number % 3 else None
    return Cached(address, "chunk", address, 70_000 + number, TIME_S, TIME_S + number % 4, known)


def a_preference(number: int) -> Preference:
    values: list[Any] = ["dark", 3, 2.5, True, [1, "zwei"], {"a": {"b": None}}, ""]
    return Preference(f"ui.setting-{number:05}", values[number % len(values)], TIME_S)


def a_message(number: int) -> MessageInfo:
    states = ("unread", "read", "archived")
    return MessageInfo(
        f"m{number:06}", f"room-{number % 2}", f"agent-{number % 3}", TIME_S + number // 4, TIME_S + number,
        subject=f"Über {number} things", priority=number % 10, state=states[number % 3], meta={"n": number},  # type: ignore[arg-type]
    )  # fmt: skip


def a_held(number: int) -> HeldObject:
    dropping = number % 2 == 0
    state, dropped = ("dropping", TIME_S) if dropping else ("held", None)
    return HeldObject(Cid(digest_of(number)), state, number, 5000, TIME_S, dropped, f"/{number}" if dropping else None)  # type: ignore[arg-type]


def a_chunk(number: int) -> KeptChunk:
    where = "file" if number % 2 else "database"
    return KeptChunk(Address(digest_of(number)), 70_000 + number, where, TIME_S, TIME_S + 1, TIME_S + 2)  # type: ignore[arg-type]


CHANGES: Final[Mapping[type[Row], dict[str, Any]]] = {
    Component: {"name": "Another", "manifest": {}},
    Application: {"name": "Another", "components": ()},
    ComponentRun: {"last_error": "exit status 2"},
    KeyInfo: {"purpose": "wallet"},
    Transaction: {"purpose": "salary"},
    Cached: {"access_count": 9},
    Preference: {"value": [None]},
    MessageInfo: {"subject": "Another"},
}
"""What may become of a row that is put again."""

SAMPLES: Final[Mapping[type[Row], Callable[[int], Row]]] = {
    Component: a_component,
    Application: an_application,
    ComponentRun: a_run,
    KeyInfo: a_key,
    Transaction: a_transaction,
    Cached: a_cached,
    Preference: a_preference,
    MessageInfo: a_message,
    HeldObject: a_held,
    KeptChunk: a_chunk,
}


def sample(kind: type[Row], number: int) -> Any:
    """The `number`-th row of a kind; different numbers have different keys."""
    return SAMPLES[kind](number)
