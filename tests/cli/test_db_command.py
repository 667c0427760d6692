"""inos db: through a running node, and on a data root where none runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inos.core.rows import KINDS
from inos.testing.memory_service import MemoryService
from inos.testing.rows import Filled

Cli = Any


@pytest.fixture(params=["running", "stopped"])
def cli(request: pytest.FixtureRequest) -> Cli:
    """The command with a node to talk to, and with a data root alone."""
    if request.param == "running":
        return request.getfixturevalue("inos")
    alone = request.getfixturevalue("alone")
    assert alone("init", "--no-passphrase").code == 0
    return alone


def test_a_row_is_put_shown_listed_found_and_removed(cli: Cli) -> None:
    assert cli("db", "put", "preferences", "name=ui/theme", "value=dark", "updated_at_s=5").code == 0
    row = {"name": "ui/theme", "value": "dark", "updated_at_s": 5}
    assert cli("db", "show", "preferences", "ui/theme", "--json").json == row
    assert "ui/theme" in cli("db", "show", "preferences", "ui/theme").text
    assert cli("db", "list", "preferences", "--json").lines == [row]
    assert cli("db", "rm", "preferences", "ui/theme", "--json").json == {"removed": "ui/theme"}
    assert cli("db", "list", "preferences").text == ""
    assert cli("db", "show", "preferences", "ui/theme", "--json").error["code"] == "not_found"
    message = json.dumps({"message_id": "m1", "channel": "lab", "sender": "me", "subject": "Zürich trip"})
    assert cli("db", "put", "messages", "-", stdin=message.encode()).code == 0
    assert cli("db", "search", "zurich", "--json").lines == [{"kind": "messages", "key": "m1", "title": "Zürich trip"}]
    assert "m1" in cli("db", "search", "ZUR", "--kind", "messages").text
    stats = cli("db", "stats", "--json").json
    assert stats["rows"]["messages"] == 1 and stats["schema"] >= 2
    assert "messages" in cli("db", "stats").text
    assert cli("db", "check", "--json").json == {"ok": True, "problems": []}
    assert "sound" in cli("db", "check").err


def test_a_value_is_json_where_the_field_takes_that_and_text_else(cli: Cli) -> None:
    put = ("db", "put", "transactions", "--json", "tx_hash=1", "from_address=007", "to_address=b", "network=n")
    row = cli(*put, "amount=340282366920938463463374607431768211456", "created_at_s=9").json
    assert (row["tx_hash"], row["from_address"], row["amount"]) == (
        "1",
        "007",
        "340282366920938463463374607431768211456",
    )
    assert row["created_at_s"] == 9
    assert cli("db", "put", "preferences", "name=n", 'value=[1, {"a": null}]', "--json").json["value"] == [
        1,
        {"a": None},
    ]


def test_a_list_goes_on_where_it_ended(cli: Cli) -> None:
    for number in range(5):
        assert cli("db", "put", "preferences", f"name=p{number}", f"value={number}").code == 0
    first = cli("db", "list", "preferences", "--limit", "2", "--json")
    assert [row["name"] for row in first.lines] == ["p0", "p1"]
    cursor = first.err.split("--after ")[1].strip()
    rest = cli("db", "list", "preferences", "--after", cursor, "--json")
    assert [row["name"] for row in rest.lines] == ["p2", "p3", "p4"] and rest.err == ""
    assert [row["name"] for row in cli("db", "list", "preferences", "--descending", "--limit=1", "--json").lines] == [
        "p4"
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("list", "nonsense"), "not_found"),
        (("list", "transactions", "--where", "status"), "bad_input"),
        (("list", "transactions", "--where", "purpose=x"), "bad_input"),
        (("list", "transactions", "--where", "status=lost"), "bad_input"),
        (("list", "transactions", "--by", "colour"), "bad_input"),
        (("list", "transactions", "--limit", "0"), "bad_input"),
        (("list", "transactions", "--limit", "٣"), "bad_input"),
        (("list", "transactions", "--after", "xyz"), "bad_input"),
        (("show", "chunks", "xyz"), "bad_input"),
        (("put", "preferences", "name"), "bad_input"),
        (("put", "preferences", "name=a", "name=b"), "bad_input"),
        (("put", "preferences", "name=a"), "bad_input"),
        (("put", "preferences", "name=a", "value=1", "colour=2"), "bad_input"),
        (("put", "keys", "component_id=a"), "refused"),
        (("rm", "preferences", "absent"), "not_found"),
        (("rm", "objects", "bafk"), "refused"),
        (("search", "..."), "bad_input"),
    ],
)
def test_mistakes(inos: Cli, arguments: tuple[str, ...], code: str) -> None:
    error = inos("db", *arguments, "--json").error
    assert error["code"] == code and (error["hint"] or error["message"])


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"5", b"[" * 100_000, b" " * (2 << 20)])
def test_what_is_no_object_on_standard_input(inos: Cli, text: bytes) -> None:
    assert inos("db", "put", "preferences", "-", "--json", stdin=text).error["code"] == "bad_input"


def test_mistakes_are_the_same_where_no_node_runs(alone: Cli) -> None:
    assert alone("init", "--no-passphrase").code == 0
    assert alone("db", "list", "transactions", "--where", "status=lost", "--json").error["code"] == "bad_input"
    assert alone("db", "put", "keys", "component_id=a", "--json").error["code"] == "refused"
    assert alone("db", "rm", "preferences", "absent", "--json").error["code"] == "not_found"


def test_the_kinds_there_are(alone: Cli) -> None:
    lines = alone("db", "kinds", "--json").lines
    assert [line["kind"] for line in lines] == list(KINDS)
    assert "transactions" in alone("db", "kinds").text


def test_without_a_data_root(alone: Cli) -> None:
    error = alone("db", "stats", "--json").error
    assert error["code"] == "bad_input" and "inos init" in error["hint"]


def test_with_a_passphrase_where_no_node_runs(alone: Cli) -> None:
    alone.env["INOS_PASSPHRASE"] = "correct horse"
    assert alone("init").code == 0
    assert alone("db", "put", "preferences", "name=a", "value=1").code == 0
    alone.env["INOS_PASSPHRASE"] = "wrong horse"
    assert alone("db", "list", "preferences", "--json").error["code"] == "wrong_passphrase"


def test_damage_is_said_and_ends_with_1(inos: Cli, service: MemoryService) -> None:
    database = service.database
    Filled(database).add(KINDS["components"], 1, 2)
    database.write(lambda cursor: list(cursor.execute("DELETE FROM search WHERE rowid = 4")))
    done = inos("db", "check")
    assert done.code == 1 and "full-text index" in done.text and "hint:" in done.err
